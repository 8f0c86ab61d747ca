"""Finding a namespace's items: by key, by place, one after the other. Blocking, for one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from zos.zdb import format as fmt
from zos.zdb.files import Files
from zos.zdb.format import Cursor, Item, Located
from zos.zdb.keys import KeyTable
from zos.zdb.parts import Refused, Statistics

SCAN_ITEMS = 512
"""Keys in one answer to SCAN."""


class Reader:
    """What a namespace has, as it will be when everything is settled; see `Batch`."""

    def __init__(self, index: Path, data: Path, *, is_sequential: bool) -> None:
        self.is_sequential = is_sequential
        self.files = Files(index, data)
        self.keys = KeyTable()
        self.statistics = Statistics()
        self.next_id = 0
        """How many items were ever written: in sequential mode the next new key."""
        self.first_ids: list[tuple[int, int]] = []
        """(index file, number of its first item), in order."""
        self._replaced: dict[tuple[int, int], Item | None] = {}
        """What the next batch changes in place; see Batch."""
        self._under_way: dict[tuple[int, int], Item | None] = {}
        """The same of the batch that is being synced."""

    def find(self, key: bytes) -> Located | None:
        """The live item of a key."""
        return self._sequential(key) if self.is_sequential else self._user(key)

    def _user(self, key: bytes) -> Located | None:
        raw = b""

        def matches(file: int, offset: int) -> bool:
            nonlocal raw
            raw = self.files.raw_item(file, offset, len(key))
            return raw[fmt.ITEM :] == key and raw[0] == len(key)

        place = self.keys.find(key, matches)
        if place is None:
            return None
        item = fmt.read_item(raw)
        return Located(place[0], place[1], item) if item else None

    def slot_of(self, id: int) -> tuple[int, int] | None:
        """Where the item of a sequential id stands: items have one size there."""
        if id >= self.next_id:
            return None
        for file, first in reversed(self.first_ids):
            if id >= first:
                return file, fmt.INDEX_HEADER + (fmt.ITEM + fmt.SEQUENTIAL_KEY) * (id - first)
        return None

    def _sequential(self, key: bytes) -> Located | None:
        if len(key) != fmt.SEQUENTIAL_KEY:
            return None
        place = self.slot_of(int.from_bytes(key, "little"))
        if place is None:
            return None
        item = self._current(place)
        # A copy of an older version stands at an id of its own and has the key of the original.
        return Located(*place, item) if item is not None and item.is_live and item.key == key else None

    def _current(self, place: tuple[int, int]) -> Item | None:
        """The item at a place as it will be when everything is settled."""
        item = self.files.item(*place)
        for changes in (self._under_way, self._replaced):
            if item is not None and place in changes:
                item = changes[place] or item._replace(flags=item.flags | fmt.DELETED)
        return item

    def data_file(self, at: Located) -> int:
        """The data file of an item."""
        return at.item.data_file if self.is_sequential else at.file

    def payload(self, at: Located) -> bytes:
        """The value of an item, checked; raises Refused when it is damaged."""
        item = at.item
        try:
            raw = self.files.payload(self.data_file(at), item.offset, len(item.key), item.length)
        except OSError as err:
            self.statistics.data_errors += 1
            self.statistics.data_error_last = int(time.time())
            raise Refused("Internal Error") from err
        if len(raw) != item.length or fmt.checksum(raw) != item.crc:
            self.statistics.data_faults += 1
            raise Refused("Internal Error")
        return raw

    def get(self, key: bytes) -> bytes | None:
        at = self.find(key)
        return self.payload(at) if at else None

    def is_intact(self, at: Located) -> bool | None:
        """Whether a payload has the checksum of its item; None when it cannot be read."""
        try:
            raw = self.files.payload(self.data_file(at), at.item.offset, len(at.item.key), at.item.length)
        except OSError:
            return None
        if len(raw) != at.item.length:
            return None
        return fmt.checksum(raw) == at.item.crc

    def _has_key(self, file: int, offset: int, key: bytes) -> bool:
        item = self.files.item(file, offset)
        return item is not None and item.key == key

    def scan(self, cursor: Cursor | None) -> list[Located]:
        """The live items behind a cursor, or from the beginning; raises Refused for a cursor of nothing."""
        start = (0, fmt.INDEX_HEADER)
        if cursor is not None:
            item = self._at_cursor(cursor)
            start = (cursor.file, cursor.offset + fmt.ITEM + len(item.key))
        return self._live(self.files.items(*start))

    def rscan(self, cursor: Cursor | None) -> list[Located]:
        """The live items before a cursor, or from the end, the newest first."""
        start = (self.files.number + 1, fmt.INDEX_HEADER, self.files.last_item)
        if cursor is not None:
            start = (cursor.file, cursor.offset, self._at_cursor(cursor).previous)
        try:
            return self._live(self.files.backwards(*start))
        except fmt.BadFile as err:
            self.statistics.index_faults += 1
            raise Refused("Internal Error") from err

    def _live(self, items: Iterator[Located]) -> list[Located]:
        found = []
        for at in items:
            place = (at.file, at.offset)
            waits = place in self._replaced or place in self._under_way
            item = self._current(place) if waits else at.item
            if item is not None and item.is_live:
                found.append(Located(at.file, at.offset, item))
                if len(found) == SCAN_ITEMS:
                    break
        return found

    def _at_cursor(self, cursor: Cursor) -> Item:
        item = None
        if cursor.offset >= fmt.INDEX_HEADER:
            item = self._current((cursor.file, cursor.offset))
        if item is None or (len(item.key), item.length, item.crc) != (cursor.key_length, cursor.length, cursor.crc):
            raise Refused("Invalid key format")
        return item

    def version(self, file: int, offset: int) -> Located | None:
        """The item that a history cookie names."""
        item = self._current((file, offset)) if offset >= fmt.INDEX_HEADER else None
        return Located(file, offset, item) if item else None
