"""The numbered files of one namespace: `i0, i1, …` below the index folder and `d0, d1, …` below the data folder.

Appends go to the last pair. Reads and the few changes in place go anywhere. What was written is remembered until
it is taken to be synced.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from zos.zdb import format as fmt
from zos.zdb.descriptors import FOLDER, Descriptors, Recent
from zos.zdb.format import Entry, Item, Located
from zos.zdb.leftovers import Leftovers

BLOCK = 1 << 14
"""Bytes of an index file between two items whose places are kept in memory: what is looked at in one go."""
_READ_AHEAD = fmt.ITEM + fmt.MAX_KEY
_CHUNK = 1 << 18
BEGINS = "begins."
"""The name of an empty file beside the index says with which file the namespace begins: flushing one takes a while, and
meanwhile writes are acknowledged that must not come behind what was flushed."""
Written = tuple[tuple[int, ...], tuple[int, ...]]
"""Numbers of data files and of index files."""
Place = tuple[int, int, int, int, int]
"""See `Files.place`."""
At = tuple[int, int]
"""An index file and an offset in it."""


class Files:
    """The files of one namespace; `number` is the pair that is written now."""

    def __init__(self, index: Path, data: Path) -> None:
        self.index = Descriptors(index, "i")
        self.data = Descriptors(data, "d")
        self.number = 0
        self._before = 0, 0
        """Bytes of the data files and of the index files before the current ones."""
        self._punched = 0
        self.leftovers = Leftovers()
        self._left: list[tuple[int, int, int]] = []
        """What counts until the leftovers are gone: the number of the data file that they are a part of (-1: files
        before the current ones), bytes of data, bytes of index."""
        self.index_end = fmt.INDEX_HEADER
        self.data_end = fmt.DATA_HEADER
        self.last_item = 0
        """Offset of the newest item, which the next one names as its `previous`."""
        self.last_entry = 0
        self._marks: dict[int, array[int]] = {}
        """By index file, in order: where an item begins, one in each block. Clients name places, and what is written
        there may be a value of theirs that looks like an item."""

    @property
    def index_size(self) -> int:
        """Bytes of all index files."""
        return self._before[1] + self.index_end

    @property
    def size(self) -> int:
        """Bytes that all files take of the disk."""
        return self._before[0] + self.data_end - self._punched + self.index_size

    def measure(self) -> None:
        """Find out what the files before the current ones take, and what was given back of the current one."""
        before = [0, 0]
        for at, kind in enumerate((self.data, self.index)):
            before[at] = sum(os.stat(kind.path(one)).st_size for one in kind.numbers() if one != self.number)
        self._before = before[0], before[1]
        now = os.fstat(self.data.get(self.number))
        self._punched = max(0, now.st_size - now.st_blocks * 512)

    def leave_entries(self) -> None:
        """The entries of the current data file are left over; they read as zeros, now or later."""
        start = fmt.DATA_HEADER + self._punched + sum(size for number, size, _ in self._left if number == self.number)
        self.leftovers.part(self.data.path(self.number), fmt.DATA_HEADER, self.data_end)
        self._left.append((self.number, self.data_end - start, 0))

    def leave_before(self) -> None:
        """All files but the current pair are left over: whatever of them a kill leaves is no part of the namespace."""
        self.begin_with(self.number)
        self._marks = {number: marks for number, marks in self._marks.items() if number >= self.number}
        # Without its index nothing of a data file is found again.
        for kind in (self.index, self.data):
            self.leftovers.files(kind.leave_before(self.number))
        self._left = [(-1, *self._before)]

    def begins(self) -> int:
        """The number of the file with which the namespace begins; those before it are left over from a flush."""
        return max(map(_begins_with, self.index.folder.glob(f"{BEGINS}*")), default=0)

    def begin_with(self, number: int) -> None:
        """Say on the disk that it begins with a file. Whoever syncs what is written to that syncs the folder, too."""
        before = list(self.index.folder.glob(f"{BEGINS}*"))
        (self.index.folder / f"{BEGINS}{number}").touch(0o600)
        self.index.unsynced.add(FOLDER)
        # The greatest counts, so these may stay.
        self.leftovers.files(path for path in before if _begins_with(path) != number)

    def begin_anew(self) -> None:
        """It is empty and begins with the first file again."""
        for kind in (self.index, self.data):
            for number in kind.numbers():
                kind.path(number).unlink()
        for path in self.index.folder.glob(f"{BEGINS}*"):
            path.unlink(missing_ok=True)
        self.index.unsynced.add(FOLDER)

    def left(self) -> None:
        """What was left over is gone from the disk, and counts no longer; to be synced."""
        for number, data, index in self._left:
            if number == self.number:
                self._punched += data
                self.data.unsynced.add(number)
            else:
                self._before = self._before[0] - data, self._before[1] - index
                self.data.unsynced.add(FOLDER)
                self.index.unsynced.add(FOLDER)
        self._left.clear()

    def begin(self, number: int, is_sequential: bool) -> None:
        """Go on with the next pair of files."""
        self.index.create(number, fmt.index_header(number, is_sequential))
        self.data.create(number, fmt.data_header(number))
        if number:
            self._before = self._before[0] + self.data_end - self._punched, self._before[1] + self.index_end
        self.number, self._punched = number, 0
        self.index_end, self.data_end = fmt.INDEX_HEADER, fmt.DATA_HEADER

    def place(self) -> Place:
        """Where the next entry and item go to."""
        return self.number, self.data_end, self.last_entry, self.index_end, self.last_item

    def take_back(self, place: Place) -> None:
        """Forget what was appended since to the same files: it could not be written whole."""
        if place[0] == self.number:
            _, self.data_end, self.last_entry, self.index_end, self.last_item = place
            marks = self._marks.get(self.number)
            while marks and marks[-1] >= self.index_end:
                marks.pop()
            for kind, end in ((self.data, self.data_end), (self.index, self.index_end)):
                with contextlib.suppress(OSError):
                    os.ftruncate(kind.get(self.number), end)

    def append_entry(self, key: bytes, payload: bytes, crc: int, flags: int, timestamp: int) -> int:
        """Write an entry; returns its offset in the current data file."""
        raw = fmt.pack_entry(key, payload, self.last_entry, crc, flags, timestamp)
        at = self.data_end
        _write_all(self.data.get(self.number), raw, at)
        self.data.unsynced.add(self.number)
        self.data_end, self.last_entry = at + len(raw), at
        return at

    def append_item(self, item: Item) -> tuple[int, int]:
        """Write an item, whose `previous` is filled in; returns (index file, offset)."""
        raw = fmt.pack_item(item._replace(previous=self.last_item))
        at = self.index_end
        _write_all(self.index.get(self.number), raw, at)
        self.index.unsynced.add(self.number)
        self.index_end, self.last_item = at + len(raw), at
        self.mark(self.number, at)
        return self.number, at

    def mark(self, file: int, offset: int) -> None:
        """An item begins here, behind all others of which that was said."""
        marks = self._marks.setdefault(file, array("I"))
        if not marks or offset - marks[-1] >= BLOCK:
            marks.append(offset)

    def is_item(self, file: int, offset: int) -> bool:
        """Whether an item begins at a place."""
        return any(at == offset for at, _ in self._block(file, offset + 1))

    def _block(self, file: int, before: int) -> list[tuple[int, bytes]]:
        """The items between the last mark before an offset and that offset, each with its place; in order."""
        marks = self._marks.get(file)
        if not marks or before <= marks[0]:
            return []
        start = marks[bisect_right(marks, before - 1) - 1]
        return list(_whole(os.pread(self.index.get(file), BLOCK + _READ_AHEAD, start), start, before))

    def block_from(self, file: int, offset: int) -> tuple[list[tuple[At, bytes]], At | None]:
        """The items that begin within a block's length from the beginning of one on, and where the next ones are."""
        if file not in self._marks:
            return [], self._file_from(file)
        end = offset + BLOCK
        if file == self.number:
            end = min(end, self.index_end)
        raw = os.pread(self.index.get(file), BLOCK + _READ_AHEAD, offset)
        found = [((file, at), item) for at, item in _whole(raw, offset, end)]
        if not found:
            return [], self._file_from(file + 1)
        (_, last), item = found[-1]
        return found, (file, last + len(item))

    def block_before(self, file: int, offset: int) -> tuple[list[tuple[At, bytes]], At | None]:
        """A block of items before a place, the last first, and where those before them are.

        By their places and not by what each names as its `previous`: that is believed nowhere.
        """
        found = [((file, at), item) for at, item in self._block(file, offset)]
        if found:
            return found[::-1], found[0][0]
        before = max((number for number in self._marks if number < file), default=None)
        return [], None if before is None else (before, self._end_of_index(before))

    def last_place(self) -> At:
        """Behind the newest item."""
        return self.number, self.index_end

    def _file_from(self, number: int) -> At | None:
        found = min((one for one in self._marks if one >= number), default=None)
        return None if found is None else (found, fmt.INDEX_HEADER)

    def _end_of_index(self, file: int) -> int:
        return self.index_end if file == self.number else os.fstat(self.index.get(file)).st_size

    def raw_item(self, file: int, offset: int, key_length: int) -> bytes:
        """The bytes of an item whose key is so long."""
        return os.pread(self.index.get(file), fmt.ITEM + key_length, offset)

    def item(self, file: int, offset: int) -> Item | None:
        """The item at a place, or None when there is no whole one."""
        try:
            return fmt.read_item(os.pread(self.index.get(file), _READ_AHEAD, offset))
        except FileNotFoundError:
            return None

    def overwrite_item(self, file: int, offset: int, item: Item) -> None:
        """Change an item in place."""
        _write_all(self.index.get(file), fmt.pack_item(item), offset)
        self.index.unsynced.add(file)

    def mark_deleted(self, file: int, offset: int) -> None:
        """Set the one byte that says that an item is no longer live."""
        os.pwrite(self.index.get(file), bytes((fmt.DELETED,)), offset + fmt.FLAGS_AT)
        self.index.unsynced.add(file)

    def payload(self, file: int, offset: int, key_length: int, length: int) -> bytes:
        """The payload of an entry; shorter than `length` when the file ends before."""
        if not length:
            return b""
        return os.pread(self.data.get(file), length, offset + fmt.ENTRY + key_length)

    def entry(self, file: int, offset: int) -> tuple[Entry, bytes, bytes] | None:
        """A whole entry with its key and its payload, or None when there is none that its checksum fits."""
        descriptor = self.data.get(file)
        entry = fmt.read_entry(os.pread(descriptor, fmt.ENTRY, offset))
        if entry is None or entry.length > fmt.MAX_VALUE or not entry.key_length:
            return None
        body = os.pread(descriptor, entry.key_length + entry.length, offset + fmt.ENTRY)
        key, payload = body[: entry.key_length], body[entry.key_length :]
        if len(body) != entry.key_length + entry.length or fmt.checksum(payload) != entry.crc:
            return None
        return entry, key, payload

    def end_of_data(self, file: int) -> int:
        """Bytes of a data file that are written."""
        return self.data_end if file == self.number else os.fstat(self.data.get(file)).st_size

    def items_of(self, file: int, at: int) -> Iterator[Located]:
        """Items of one file from an offset on, as far as they are whole."""
        chunk = b""
        while True:
            position = 0
            while (item := fmt.read_item(chunk, position)) is not None:
                yield Located(file, at, item)
                size = fmt.ITEM + len(item.key)
                position, at = position + size, at + size
            chunk = os.pread(self.index.get(file), _CHUNK, at)
            if fmt.read_item(chunk) is None:
                return

    def take_unsynced(self) -> Written:
        """The data and index files that were written to since it was asked for the last time."""
        return self.data.take_unsynced(), self.index.take_unsynced()

    def again(self, written: Written) -> list[int]:
        """What `sync` needs. Data first: an item on the disk never points at an entry that is not."""
        data, index = written
        return [*self.data.again(data), *self.index.again(index)]

    def share(self, recent: Recent | None) -> None:
        """Keep files open only as long as they are among those that are used."""
        self.close()
        self.index.recent = self.data.recent = recent

    def close(self) -> None:
        self.index.close()
        self.data.close()


def _begins_with(path: Path) -> int:
    number = path.name.removeprefix(BEGINS)
    return int(number) if number.isdecimal() else 0


def _whole(raw: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The items in bytes that begin at a place, those that begin before `end` and are there whole."""
    at = 0
    while start + at < end and at + fmt.ITEM <= len(raw):
        size = fmt.ITEM + raw[at]
        if at + size > len(raw):
            return
        yield start + at, raw[at : at + size]
        at += size


def _write_all(descriptor: int, raw: bytes, at: int) -> None:
    written = os.pwrite(descriptor, raw, at)
    while written < len(raw):
        more = os.pwrite(descriptor, raw[written:], at + written)
        if not more:
            raise OSError(28, "nothing more can be written")
        written += more


def sync(descriptors: list[int]) -> None:
    """Bring files to the disk and close the descriptors. Blocking, fit for another thread."""
    try:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
