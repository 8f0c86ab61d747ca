"""One namespace: its keys, its history, its limits. Blocking, for one thread.

A write is in the page cache when a call returns. Whoever acknowledges writes takes a `Batch`, syncs it (in any thread)
and settles it: what a new version replaces is marked only when the new version is safe, so that a cut of power at any
moment leaves the old one or the new one. `commit` does all of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zos.zdb import format as fmt
from zos.zdb.files import Files, Place, sync
from zos.zdb.format import Item, Located, Settings
from zos.zdb.keys import KeyTable
from zos.zdb.memory import Share, TooManyKeys
from zos.zdb.parts import Batch, Refused, write_settings
from zos.zdb.reader import Reader

ENTRY_COST = 64
"""What NSINFO's index size counts for each entry beside its key, as 0-db does."""
RESERVE = 1 << 20
"""Bytes of the limit on the disk that are kept for changes in place, beside as much as the index takes."""
INDEX_PER_MARK = 1 << 12
"""Bytes of the index for each byte of memory by which its items are found (`Files.mark`)."""
FLUSHED_IN_PLACE = 1000
"""Items that are marked one by one; more are erased with their file."""


class Namespace(Reader):
    """One namespace: its keys in memory, its files on disk. `zos.zdb.recovery.open_namespace` opens one."""

    def __init__(self, settings: Settings, index: Path, data: Path, *, is_sequential: bool, data_size: int) -> None:
        super().__init__(index, data, is_sequential=is_sequential)
        self.settings = settings
        self.index_path, self.data_path = index, data
        self.entries = 0
        self.live_bytes = 0
        self.index_bytes = 0
        self.told_id = 0
        """`next_id` as NSINFO says it: in user mode, newer versions count once they are read from the files."""
        self.dirty: set[int] = set()
        """Index files in which something was changed in place since the last look."""
        self.on_jump: Callable[[int, int], None] = lambda old, new: None
        """Told the numbers of the files before and after."""
        self.locks: list[int] = []
        """Descriptors that keep other processes out; closed with it."""
        self.epoch = 0
        """Which of the passwords that it had so far."""
        self.rests_until = 0.0
        """Until then it is not flushed again, by `time.monotonic`."""
        self.trouble: OSError | None = None
        """Why what was erased could not be removed from the disk."""
        self._flushed: Place | None = None
        """Where the next entry went to after everything was erased."""
        self.disk_limit = 0
        """Bytes that its files may take of the disk, whatever they hold; 0: no limit."""
        self.is_kept = True
        """The disk has its settings."""
        self.share: Share | None = None
        """What its keys may take of the memory; None: as much as there is."""
        self._data_size = data_size
        self._batch: Batch | None = None
        """The one that is being synced."""

    # Writing

    def set(self, key: bytes, payload: bytes, timestamp: int) -> bytes | None:
        """Store a value; returns its key, or None when it was that already."""
        old = self.find(key) if key else None
        if self.settings.is_worm and old is not None:
            raise Refused("Namespace is protected by worm mode")
        if self.is_sequential and key and old is None:
            raise Refused("Invalid key, only update authorized")
        self._check_room(len(payload), old.item.length if old else 0, len(key))
        self._check_memory(key, is_new=old is None)
        crc = fmt.checksum(payload)
        if old is not None and old.item.crc == crc and old.item.length == len(payload) and self.payload(old) == payload:
            return None
        end = self.files.data_end
        # A value that is larger than a file gets one of its own.
        if end + fmt.ENTRY + len(key) + len(payload) > self._data_size and end > fmt.DATA_HEADER:
            self.jump()
        if not key:
            key = self.next_id.to_bytes(fmt.SEQUENTIAL_KEY, "little")
        place = self.files.place()
        try:
            self._write(key, payload, crc, timestamp, old)
        except OSError:
            # What cannot be written to its end (the disk is full) is taken back.
            self.files.take_back(place)
            raise
        return key

    def _append_deletion(self, key: bytes, timestamp: int) -> None:
        place = self.files.place()
        try:
            self.files.append_entry(key, b"", 0, fmt.DELETED, timestamp)
        except OSError:
            self.files.take_back(place)
            raise

    def _write(self, key: bytes, payload: bytes, crc: int, timestamp: int, old: Located | None) -> None:
        offset = self.files.append_entry(key, payload, crc, 0, timestamp)
        # As 0-db writes it: in user mode only a newer version says where its data is.
        data_file = self.files.number if self.is_sequential or old is not None else 0
        item = Item(key, offset, len(payload), 0, 0, data_file, timestamp, crc)
        if self.is_sequential and old is not None:
            self._update_in_place(old, item)
        else:
            self._append(item, old)

    def _check_room(self, new: int, old: int, key: int) -> None:
        limit = self.settings.max_size
        if limit and self.live_bytes + new > limit + old:
            raise Refused("No space left on this namespace")
        self._check_disk(new + key + fmt.ENTRY + key + fmt.ITEM, 1)

    def _check_disk(self, need: int, share: int) -> None:
        """Refuse what would leave no room for changes in place, which copy-on-write writes anew; deletions may use a
        share of that."""
        reserve = (min(RESERVE, self.disk_limit // 8) + self.files.index_size) // share
        if self.disk_limit and self.files.size + need + reserve > self.disk_limit:
            raise Refused("No space left on this namespace")

    def _check_memory(self, key: bytes, *, is_new: bool) -> None:
        if self.share is not None:
            keys = self.keys.size_with(key) if is_new and not self.is_sequential else self.keys.size
            if not self.share.covers(keys + self.files.index_size // INDEX_PER_MARK):
                raise Refused("No space left on this namespace")

    def hold(self) -> None:
        """Have the memory for what was read of it so far; raises TooManyKeys."""
        if self.share is not None:
            size = self.keys.size + self.files.index_size // INDEX_PER_MARK
            if self.share.is_over or not self.share.covers(size, is_there=True):
                raise TooManyKeys

    def _let_go(self, left: int) -> None:
        if self.share is not None:
            self.share.shrink(left)

    def _append(self, item: Item, old: Located | None) -> None:
        if old is not None:
            item = item._replace(parent_file=old.file, parent_offset=old.offset)
        place = self.files.append_item(item)
        self.next_id += 1
        if old is None or self.is_sequential:
            self.told_id += 1
        if not self.is_sequential:
            self.keys.put(item.key, *place, lambda file, offset: self._has_key(file, offset, item.key))
        if old is not None:
            self._replaced[old.file, old.offset] = None
            self.dirty.add(old.file)
            self._uncount(old.item)
        self._count(item)

    def _update_in_place(self, old: Located, item: Item) -> None:
        """Sequential mode: the id's item is rewritten, and its old content moves behind as a version."""
        copy = self.files.append_item(old.item._replace(flags=old.item.flags | fmt.DELETED))
        self.next_id += 1
        self.told_id += 1
        self._replaced[old.file, old.offset] = item._replace(
            previous=old.item.previous, parent_file=copy[0], parent_offset=copy[1]
        )
        self.dirty.add(old.file)
        self._uncount(old.item)
        self._count(item)

    def _count(self, item: Item) -> None:
        self.entries += 1
        self.live_bytes += item.length
        self.index_bytes += ENTRY_COST + len(item.key)

    def _uncount(self, item: Item) -> None:
        self.entries -= 1
        self.live_bytes -= item.length
        self.index_bytes -= ENTRY_COST + len(item.key)

    def delete(self, key: bytes, timestamp: int) -> bool:
        """Remove a key; False when it is not there."""
        at = self.find(key)
        if at is None:
            return False
        if self.settings.is_worm:
            raise Refused("Namespace is protected by worm mode")
        place = (at.file, at.offset)
        self._check_disk(len(key) + fmt.ENTRY, 2)
        self._append_deletion(key, timestamp)
        if place in self._replaced or place in self._under_way:
            # Its newest version is not written in place yet; the flag comes with it.
            self._replaced[place] = at.item._replace(flags=at.item.flags | fmt.DELETED)
        else:
            self.files.mark_deleted(*place)
        self.dirty.add(at.file)
        if not self.is_sequential:
            self.keys.drop(key, lambda file, offset: (file, offset) == place)
        self._uncount(at.item)
        return True

    @property
    def is_unsynced(self) -> bool:
        """Something was written since the last batch."""
        return bool(self.files.data.unsynced or self.files.index.unsynced or self._replaced)

    def take_batch(self) -> Batch:
        """What was written so far; the batch before must be settled."""
        assert not self._under_way, "one batch at a time"
        self._under_way, self._replaced = self._replaced, {}
        written = self.files.take_unsynced()
        self._batch = Batch(self.files.again(written), written, self._under_way)
        return self._batch

    def settle(self, batch: Batch) -> bool:
        """Change in place what newer versions replaced; True when that must be synced before it is acknowledged.

        Raises OSError when what is to be acknowledged cannot be written.
        """
        must_sync = False
        if batch.is_settled:
            return must_sync
        batch.is_settled, self._batch, self._under_way = True, None, {}
        left = dict(batch.replaced)
        try:
            for (file, offset), item in batch.replaced.items():
                if item is None:
                    self.files.mark_deleted(file, offset)
                else:
                    self.files.overwrite_item(file, offset, item)
                    must_sync = True
                del left[file, offset]
        except OSError:
            # Tried again with the next batch. In user mode the newer item says whose place it took.
            self._replaced = left | self._replaced
            if any(left.values()):
                raise
        return must_sync

    def settle_unsynced(self) -> None:
        """Change in place what newer versions replaced, without waiting for a disk."""
        batch = self.take_batch()
        for descriptor in batch.descriptors:
            os.close(descriptor)
        self.settle(batch)

    def commit(self) -> None:
        """Bring everything to the disk. Blocking."""
        if self._batch is not None:
            # Somebody syncs it in another thread just now; who wants the namespace whole does not wait for that.
            sync(self.files.again(self._batch.written))
            self.settle(self._batch)
        while True:
            batch = self.take_batch()
            sync(batch.descriptors)
            if not self.settle(batch):
                return

    def jump(self) -> None:
        """Goes on with new data and index files."""
        old = self.files.number
        self.files.begin(old + 1, self.is_sequential)
        self.first_ids.append((self.files.number, self.next_id))
        self.on_jump(old, self.files.number)

    # Settings

    def change(self, **settings: object) -> None:
        """Change settings, and keep those that outlive a restart."""
        before, self.settings = self.settings, replace(self.settings, **settings)  # type: ignore[arg-type]
        self.epoch += before.password != self.settings.password
        self.is_kept = False
        write_settings(self.index_path, self.settings)
        self.is_kept = True

    @property
    def is_erased(self) -> bool:
        """Nothing was written since everything was erased."""
        return self._flushed == self.files.place()

    def erase(self) -> None:
        """Nothing is in it any more, for whoever looks. What is left of it on the disk is to be removed: `clear`.

        The files before the last one go. In the last one, unless it is long, items are marked and their data is given
        back to the disk, so that places and ids go on as they were.
        """
        if self.files.number or self.next_id > FLUSHED_IN_PLACE:
            self.jump()
            self.files.leave_before()
            self.first_ids = [(self.files.number, 0)]
            self.next_id = self.told_id = 0
            self.files.last_item = self.files.last_entry = 0
        else:
            for at in list(self.files.items_of(self.files.number, fmt.INDEX_HEADER)):
                self.files.mark_deleted(at.file, at.offset)
            self.files.leave_entries()
        self._abandon()
        self.keys, self._replaced, self._under_way, self.dirty = KeyTable(), {}, {}, set()
        self.entries = self.live_bytes = self.index_bytes = 0
        self._flushed = self.files.place()
        self._let_go(self.keys.size)

    @property
    def is_clear(self) -> bool:
        """Nothing is left on the disk of what was erased."""
        return not self.files.leftovers

    def clear(self) -> None:
        """Remove from the disk what was erased; most of it may have been done in another thread."""
        self.files.leftovers.remove()
        self.files.left()

    def flush(self) -> None:
        """Erase everything that is in it, and bring that to the disk."""
        self.erase()
        self.clear()
        self.commit()

    def begin(self) -> None:
        """Begins the namespace anew, with no entries."""
        self.index_path.mkdir(parents=True, exist_ok=True)
        self.data_path.mkdir(parents=True, exist_ok=True)
        recent = self.files.index.recent
        self.clear()
        self.files = Files(self.index_path, self.data_path)
        self.files.share(recent)
        self.files.begin_anew()
        self.files.begin(0, self.is_sequential)
        self._abandon()
        self.keys, self._replaced, self._under_way, self.dirty = KeyTable(), {}, {}, set()
        self.entries = self.live_bytes = self.index_bytes = self.next_id = self.told_id = 0
        self.first_ids = [(0, 0)]
        self._let_go(self.keys.size)
        self.commit()

    def destroy(self) -> None:
        """Erase it with its folders."""
        # Nothing of it is on its way to the disk any more, for whoever is about to ask.
        self._abandon()
        self._replaced = {}
        self.files.take_unsynced()
        self.files.leftovers.forget()
        self.files.close()
        self.keys = KeyTable()
        self._let_go(0)
        shutil.rmtree(self.index_path, ignore_errors=True)
        shutil.rmtree(self.data_path, ignore_errors=True)

    def _abandon(self) -> None:
        """Nothing is changed in place any more by a batch that is still being synced."""
        if self._batch is not None:
            self._batch.is_settled, self._batch = True, None

    def close(self) -> None:
        """Bring everything to the disk and close."""
        try:
            try:
                self.clear()
            finally:
                self.commit()
        finally:
            self.files.close()
            self.keys = KeyTable()
            self._let_go(0)
            while self.locks:
                os.close(self.locks.pop())
