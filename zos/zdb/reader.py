"""Finding a namespace's items: by key, by place, one after the other. Blocking, for one thread."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from zos.zdb import format as fmt
from zos.zdb.files import At, Files
from zos.zdb.format import Cursor, Item, Located
from zos.zdb.keys import KeyTable
from zos.zdb.parts import Refused, Statistics

SCAN_ITEMS = 512
"""Keys in one answer to SCAN."""
CHECKED_AT_ONCE = 1 << 18


class Reader:
    """What a namespace has, as it will be when everything is settled; see `Batch`."""

    def __init__(self, index: Path, data: Path, *, is_sequential: bool) -> None:
        self.is_sequential = is_sequential
        self.files = Files(index, data)
        self.keys = KeyTable()
        self.statistics = Statistics()
        self.totals = Statistics()
        """The same over all namespaces of a server, those that are gone included."""
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
            if item.length > fmt.MAX_VALUE:
                raise OSError(errno.EFBIG, "longer than any value")
            raw = self.files.payload(self.data_file(at), item.offset, len(item.key), item.length)
        except OSError as err:
            self.statistics.data_errors += 1
            self.statistics.data_error_last = int(time.time())
            self.totals.data_errors += 1
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
        item, crc = at.item, fmt.NO_CHECKSUM
        try:
            for done in range(0, min(item.length, fmt.MAX_VALUE), CHECKED_AT_ONCE):
                length = min(CHECKED_AT_ONCE, item.length - done)
                raw = self.files.payload(self.data_file(at), item.offset + done, len(item.key), length)
                if len(raw) != length:
                    return None
                crc = fmt.checksum(raw, crc)
        except OSError:
            return None
        return item.length <= fmt.MAX_VALUE and crc == item.crc

    def _has_key(self, file: int, offset: int, key: bytes) -> bool:
        item = self.files.item(file, offset)
        return item is not None and item.key == key

    def behind(self, cursor: Cursor | None) -> At:
        """Where a scan begins: behind a cursor, or at the beginning. Raises Refused for a cursor of nothing."""
        if cursor is None:
            return 0, fmt.INDEX_HEADER
        return cursor.file, cursor.offset + fmt.ITEM + len(self._at_cursor(cursor).key)

    def before(self, cursor: Cursor | None) -> At:
        """Where a scan backwards begins: before a cursor, or at the end. Raises Refused for a cursor of nothing."""
        if cursor is None:
            return self.files.last_place()
        self._at_cursor(cursor)
        return cursor.file, cursor.offset

    def scan(self, at: At, found: list[Located], *, is_backwards: bool = False) -> At | None:
        """Look at one block of items from a place on, and add the live ones to what was found.

        Returns where to go on; None when nothing is left, or enough for one answer was found.
        """
        items, rest = (self.files.block_before if is_backwards else self.files.block_from)(*at)
        for place, raw in items:
            if raw[fmt.FLAGS_AT] & fmt.DELETED:
                continue
            waits = place in self._replaced or place in self._under_way
            item = self._current(place) if waits else fmt.read_item(raw)
            if item is not None and item.is_live:
                found.append(Located(*place, item))
                if len(found) == SCAN_ITEMS:
                    return None
        return rest

    def _at_cursor(self, cursor: Cursor) -> Item:
        item = self._named(cursor.file, cursor.offset)
        if item is None or (len(item.key), item.length, item.crc) != (cursor.key_length, cursor.length, cursor.crc):
            raise Refused("Invalid key format")
        return item

    def _named(self, file: int, offset: int) -> Item | None:
        """The item at a place that a client names."""
        return self._current((file, offset)) if self.files.is_item(file, offset) else None

    def version(self, file: int, offset: int) -> Located | None:
        """The item that a history cookie names."""
        item = self._named(file, offset)
        return Located(file, offset, item) if item else None
