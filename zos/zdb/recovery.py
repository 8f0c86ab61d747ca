"""Opens a namespace: reads its index, and mends what a cut of power or a lost file left.

What was acknowledged is on the disk, data before index. So an item that is not whole, or whose data is not there, was
never acknowledged and is cut off. Whole entries of data that no item names are entered into the index again: that also
brings back a namespace whose index was lost.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from zos.zdb import format as fmt
from zos.zdb.format import BadFile, Entry, Item, Settings
from zos.zdb.memory import Share
from zos.zdb.namespace import Namespace
from zos.zdb.parts import RECORD, has_settings, write_settings

log = logging.getLogger("zos.zdb")


def open_namespace(
    name: bytes,
    index: Path,
    data: Path,
    *,
    is_sequential: bool | None,
    data_size: int,
    share: Share | None = None,
) -> Namespace:
    """The namespace in two folders, made when there is none.

    `is_sequential` is what a new one becomes (None: user mode); raises BadFile when it is given and the namespace in
    the folders is of the other mode, or when a file is none of 0-db's, and TooManyKeys beyond its share of the memory.
    """
    record = index / RECORD
    is_known = has_settings(index)
    settings = fmt.read_settings(record.read_bytes(), record) if is_known else Settings(name)
    mode = _mode(index)
    if mode is not None and is_sequential is not None and mode != is_sequential:
        words = {True: "sequential", False: "user"}
        raise BadFile(path=index, problem=f"is of {words[mode]} mode, the server of {words[is_sequential]}")
    chosen = mode if mode is not None else bool(is_sequential)
    space = Namespace(settings, index, data, is_sequential=chosen, data_size=data_size)
    space.share = share
    if not is_known:
        write_settings(index, settings)
    _remove_flushed(space)
    if not space.files.index.numbers() and not space.files.data.numbers():
        space.begin()
        return space
    try:
        _Loader(space).load()
    except BaseException:
        space.files.close()
        raise
    return space


def _remove_flushed(space: Namespace) -> None:
    """Remove what a flush that was cut short has left of the files before the first one."""
    first = space.files.begins()
    # Without its index nothing of a data file is found again.
    for kind in (space.files.index, space.files.data):
        for number in kind.numbers():
            if number < first:
                kind.path(number).unlink(missing_ok=True)


def _mode(index: Path) -> bool | None:
    for path in sorted(index.glob("i*")) if index.is_dir() else []:
        if path.name[1:].isdecimal() and path.stat().st_size >= fmt.INDEX_HEADER:
            with path.open("rb") as file:
                return fmt.read_index_header(file.read(fmt.INDEX_HEADER), path)
    return None


class _Loader:
    """Fills a namespace from its files."""

    def __init__(self, space: Namespace) -> None:
        self._space = space
        self._files = space.files
        self._known_end: dict[int, int] = {}
        """By data file: where the last entry that an item names ends."""

    def load(self) -> None:
        """Read all files, oldest first."""
        space, files = self._space, self._files
        numbers = sorted({*files.index.numbers(), *files.data.numbers()})
        space.first_ids = []
        for number in numbers:
            self._open(number)
            self._index(number)
        self._mend_updates()
        for number in numbers:
            self._tail(number)
        space.commit()
        files.measure()

    def _open(self, number: int) -> None:
        """Make the pair of files whole at their beginning."""
        space, files = self._space, self._files
        for kind, header, size in (
            (files.index, fmt.index_header(number, space.is_sequential), fmt.INDEX_HEADER),
            (files.data, fmt.data_header(number), fmt.DATA_HEADER),
        ):
            path = kind.path(number)
            if not path.exists() or path.stat().st_size < size:
                log.warning("%s is missing or cut short in its header; it is made again", path)
                kind.create(number, header)
        fmt.read_index_header(os.pread(files.index.get(number), fmt.INDEX_HEADER, 0), files.index.path(number))
        fmt.check_data_header(os.pread(files.data.get(number), fmt.DATA_HEADER, 0), files.data.path(number))

    def _index(self, number: int) -> None:
        """Read the items of a file; what is not whole at its end is cut off."""
        space, files = self._space, self._files
        space.first_ids.append((number, space.next_id))
        end = fmt.INDEX_HEADER
        size = os.fstat(files.data.get(number)).st_size
        for at in space.files.items_of(number, fmt.INDEX_HEADER):
            item = at.item
            data_file = item.data_file if space.is_sequential else number
            entry_end = item.offset + fmt.ENTRY + len(item.key) + item.length
            if data_file == number and entry_end > size:
                log.warning("%s: the item at %d names data that is not there", files.index.path(number), at.offset)
                break
            self._known_end[data_file] = max(self._known_end.get(data_file, 0), entry_end)
            self._take(number, at.offset, item)
            files.mark(number, at.offset)
            end, files.last_item = at.offset + fmt.ITEM + len(item.key), at.offset
        self._cut(files.index.path(number), files.index.get(number), end)
        files.number, files.index_end = number, end

    def _take(self, number: int, offset: int, item: Item) -> None:
        space = self._space
        space.next_id += 1
        space.told_id += 1
        if not item.is_live:
            return
        if not space.is_sequential:
            before = space.find(item.key)
            if before is not None:
                # Power went between the new version and the mark on the one that it replaced.
                space._replaced[before.file, before.offset] = None
                space._uncount(before.item)
            space.keys.put(item.key, number, offset, lambda f, o: space._has_key(f, o, item.key))
        space._count(item)
        space.hold()

    def _mend_updates(self) -> None:
        """Sequential mode: an item that was being rewritten in place when power went is brought back from its copy."""
        space, files = self._space, self._files
        if not space.is_sequential:
            return
        for at in space.files.items_of(files.number, fmt.INDEX_HEADER):
            id = int.from_bytes(at.item.key, "little")
            place = space.slot_of(id)
            if place is None or place == (at.file, at.offset) or at.item.is_live:
                continue
            slot = files.item(*place)
            whole = slot is not None and slot.key == at.item.key and self._has_entry(slot)
            if not whole:
                log.warning("%s: the item of id %d is brought back from its copy", files.index.path(place[0]), id)
                files.overwrite_item(*place, at.item._replace(flags=at.item.flags & ~fmt.DELETED))

    def _has_entry(self, item: Item) -> bool:
        """Whether the entry that a sequential item names is there and is its own."""
        try:
            raw = os.pread(self._files.data.get(item.data_file), fmt.ENTRY, item.offset)
        except FileNotFoundError:
            return False
        entry = fmt.read_entry(raw)
        return entry is not None and (entry.length, entry.crc) == (item.length, item.crc)

    def _tail(self, number: int) -> None:
        """Data behind the last entry that is named: enter it into the index again, and cut off what is not whole."""
        files = self._files
        at = max(self._known_end.get(number, 0), fmt.DATA_HEADER)
        is_last = number == files.number
        files.data_end = at
        for offset, entry, key, payload in self._entries(number, at):
            if is_last:
                files.last_entry = offset
                self._again(offset, entry, key, payload)
            at = offset + entry.size
        if is_last:
            self._cut(files.data.path(number), files.data.get(number), at)
            files.data_end = at
            if not files.last_entry:
                files.last_entry = self._last_named(number)

    def _last_named(self, number: int) -> int:
        """The offset of the last entry, which the next one names as its `previous`."""
        space = self._space
        offsets = [at.item.offset for at in space.files.items_of(number, fmt.INDEX_HEADER)]
        return max(offsets, default=0)

    def _entries(self, number: int, at: int) -> Iterator[tuple[int, Entry, bytes, bytes]]:
        """Whole entries from an offset on."""
        while (found := self._files.entry(number, at)) is not None:
            entry, key, payload = found
            yield at, entry, key, payload
            at += entry.size

    def _again(self, offset: int, entry: Entry, key: bytes, payload: bytes) -> None:
        """An entry that no item names: a deletion, or a write whose item was lost."""
        space, files = self._space, self._files
        at = space.find(key)
        if entry.flags & fmt.DELETED:
            if at is not None and at.item.offset < offset:
                files.mark_deleted(at.file, at.offset)
                if not space.is_sequential:
                    space.keys.drop(key, lambda f, o: (f, o) == (at.file, at.offset))
                space._uncount(at.item)
            return
        if space.is_sequential and at is None and int.from_bytes(key, "little") != space.next_id:
            return
        log.warning("%s: an entry at %d is entered into the index again", files.data.path(files.number), offset)
        data_file = files.number if space.is_sequential else 0
        item = Item(key, offset, entry.length, 0, 0, data_file, entry.timestamp, entry.crc)
        if space.is_sequential and at is not None:
            space._update_in_place(at, item)
        else:
            space._append(item, at)
        space.hold()

    def _cut(self, path: Path, descriptor: int, end: int) -> None:
        size = os.fstat(descriptor).st_size
        if size > end:
            # 0-db reserves whole data files in advance: zeros behind the end are no loss.
            if any(os.pread(descriptor, 4096, end)):
                log.warning("%s: %d bytes at its end were never acknowledged and are cut off", path, size - end)
            try:
                os.ftruncate(descriptor, end)
            except OSError as err:
                # A full disk may refuse even that; what comes next is written over it.
                if err.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
