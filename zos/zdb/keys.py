"""Where each live key of a user-mode namespace stands: a hash table of 12 bytes a slot, without the keys themselves.

A Python dictionary takes 171 bytes a key, and a disk holds millions. Here a slot is the item's place in the index files
(file and offset in 8 bytes) and 32 bits of the key's hash; whoever looks reads the key from the index file to be sure.
A small table has one part, a larger one many that grow one at a time, so that no single write waits for millions of
keys to move.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

PARTS = 256
SPLIT = 2048
"""Keys with which one part becomes many."""
_FIRST = 8
_EMPTY = 0
_GONE = 0xFFFFFFFFFFFFFFFF
_OFFSET_BITS = 32
_SLOT = 12
_PART = 320
"""Bytes of a part beside its slots: its objects in Python."""

Matches = Callable[[int, int], bool]
"""Whether the item at (index file, offset) has the key that is looked for."""


class _Part:
    """Open addressing with linear probing; places and hashes in two arrays."""

    __slots__ = ("hashes", "live", "mask", "places", "used")

    def __init__(self) -> None:
        self.mask = _FIRST - 1
        self.used = 0
        """Slots that are not empty."""
        self.live = 0
        """Those of keys that are there."""
        self.places = array("Q", bytes(8 * _FIRST))
        self.hashes = array("I", bytes(4 * _FIRST))

    def find(self, hash32: int, matches: Matches) -> int:
        """The slot of a key, or -1."""
        mask, places, hashes = self.mask, self.places, self.hashes
        slot = hash32 & mask
        while (place := places[slot]) != _EMPTY:
            if hashes[slot] == hash32 and place != _GONE and matches(*unpack(place)):
                return slot
            slot = (slot + 1) & mask
        return -1

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return _PART + _SLOT * (self.mask + 1)

    @property
    def next_slots(self) -> int:
        """How many slots it has with one key more."""
        size = self.mask + 1
        # Many deleted slots are swept by building the same size again.
        return size * 2 if 4 * (self.used + 1) > 3 * size and 2 * self.live >= size else size

    def add(self, hash32: int, place: int) -> None:
        """Put a key that is not there."""
        if 4 * (self.used + 1) > 3 * (self.mask + 1):
            self._grow()
        self.live += 1
        mask, places = self.mask, self.places
        slot = hash32 & mask
        while places[slot] not in (_EMPTY, _GONE):
            slot = (slot + 1) & mask
        if places[slot] == _EMPTY:
            self.used += 1
        places[slot] = place
        self.hashes[slot] = hash32

    def entries(self) -> list[tuple[int, int]]:
        """All hashes and places."""
        return [(h, p) for h, p in zip(self.hashes, self.places, strict=True) if p not in (_EMPTY, _GONE)]

    def _grow(self) -> None:
        old, size = self.entries(), self.next_slots
        self.mask, self.used = size - 1, len(old)
        self.places, self.hashes = array("Q", bytes(8 * size)), array("I", bytes(4 * size))
        for hash32, place in old:
            slot = hash32 & self.mask
            while self.places[slot] != _EMPTY:
                slot = (slot + 1) & self.mask
            self.places[slot], self.hashes[slot] = place, hash32


def pack(file: int, offset: int) -> int:
    """An item's place as one number; never 0, since offsets begin behind the header."""
    return file << _OFFSET_BITS | offset


def unpack(place: int) -> tuple[int, int]:
    """Index file and offset."""
    return place >> _OFFSET_BITS, place & 0xFFFFFFFF


class KeyTable:
    """Key to the place of its item."""

    def __init__(self) -> None:
        self._parts = [_Part()]
        self.count = 0
        self.size = self._parts[0].size
        """Bytes that it takes: 16 to 32 for each of many keys, more while most of them are deleted again."""

    def size_with(self, key: bytes) -> int:
        """Bytes that it takes with one more key."""
        if self.count == SPLIT and len(self._parts) == 1:
            return PARTS * (_PART + _SLOT * 4 * _FIRST)
        part, _ = self._of(key)
        return self.size + _SLOT * (part.next_slots - part.mask - 1)

    def _of(self, key: bytes) -> tuple[_Part, int]:
        # Python's own hash of bytes is keyed with a secret of the process: clients cannot choose keys that collide.
        hash32 = hash(key) & 0xFFFFFFFF
        return self._part(hash32), hash32

    def _part(self, hash32: int) -> _Part:
        # By the upper bits: the lower ones choose the slot.
        return self._parts[(hash32 * len(self._parts)) >> 32]

    def find(self, key: bytes, matches: Matches) -> tuple[int, int] | None:
        """Where the key's item is, or None."""
        table, hash32 = self._of(key)
        slot = table.find(hash32, matches)
        return unpack(table.places[slot]) if slot >= 0 else None

    def put(self, key: bytes, file: int, offset: int, matches: Matches) -> None:
        """Set or move a key."""
        table, hash32 = self._of(key)
        slot = table.find(hash32, matches)
        if slot >= 0:
            table.places[slot] = pack(file, offset)
            return
        before = table.mask
        table.add(hash32, pack(file, offset))
        self.size += _SLOT * (table.mask - before)
        self.count += 1
        if self.count > SPLIT and len(self._parts) == 1:
            self._split()

    def _split(self) -> None:
        entries = self._parts[0].entries()
        self._parts = [_Part() for _ in range(PARTS)]
        for hash32, place in entries:
            self._part(hash32).add(hash32, place)
        self.size = sum(part.size for part in self._parts)

    def drop(self, key: bytes, matches: Matches) -> None:
        """Forget a key; one that is not there is fine."""
        table, hash32 = self._of(key)
        slot = table.find(hash32, matches)
        if slot >= 0:
            table.places[slot] = _GONE
            table.live -= 1
            self.count -= 1
