"""The chain's storage: raw keys to raw values, overlays for what may be taken back, and what each block replaced."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zos.scale.pallet import Item, Pallet
from zos.scale.reader import Reader
from zos.scale.types import Struct, decode

PREFIX = 32
HISTORY = 256
"""Blocks whose state can still be read."""

Changes = dict[bytes, bytes | None]


class State:
    """The present storage, and the way back for the last blocks."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: dict[bytes, list[bytes]] = {}
        self._undo: dict[int, Changes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def all_keys(self, prefix: bytes) -> Sequence[bytes]:
        """The present keys of one item, in order."""
        return self._keys.get(prefix[:PREFIX], ())

    def load(self, key: bytes, value: bytes) -> None:
        """Put a value in without a way back (from the disk, or of the genesis)."""
        self._set(key, value)

    def apply(self, changes: Mapping[bytes, bytes | None], number: int) -> Changes:
        """Make a block's changes; returns what they replaced."""
        undo = {key: self._values.get(key) for key in changes}
        for key, value in changes.items():
            self._set(key, value)
        self.remember(number, undo)
        return undo

    def remember(self, number: int, undo: Changes) -> None:
        """Keep what a block replaced, and forget the oldest."""
        self._undo[number] = undo
        self._undo.pop(number - HISTORY, None)

    def forget(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Make the changes of many blocks, and give up the way back."""
        for key, value in changes.items():
            self._set(key, value)
        self._undo.clear()

    def take_back(self, number: int) -> Changes:
        """Undo the newest block; returns the changes that did it."""
        undo = self._undo.pop(number)
        for key, value in undo.items():
            self._set(key, value)
        return undo

    def at(self, key: bytes, number: int, head: int) -> bytes | None:
        """A value as it was after block `number`."""
        for later in range(number + 1, head + 1):
            if key in self._undo[later]:
                return self._undo[later][key]
        return self._values.get(key)

    def is_kept(self, number: int, head: int) -> bool:
        """Whether the state after that block can still be read."""
        is_near = head - HISTORY <= number <= head
        return is_near and all(later in self._undo for later in range(number + 1, head + 1))

    def keys(self, prefix: bytes, start: bytes | None, count: int, number: int, head: int) -> list[bytes]:
        """Keys under a prefix after `start`, in order, as of a block."""
        found: list[bytes] = []
        for key in self._under(prefix, start, number, head):
            if len(found) >= count:
                break
            if self.at(key, number, head) is not None:
                found.append(key)
        return found

    def _under(self, prefix: bytes, start: bytes | None, number: int, head: int) -> Iterator[bytes]:
        """Keys under a prefix after `start` that there are now or were, in order; no more are looked at than taken."""
        gone = sorted(
            {
                key
                for later in range(number + 1, head + 1)
                for key in self._undo[later]
                if key not in self._values and key.startswith(prefix) and (start is None or key > start)
            }
        )
        return heapq.merge(self._present(prefix, start), gone)

    def _present(self, prefix: bytes, start: bytes | None) -> Iterator[bytes]:
        # Keys of one group share its first bytes, so the groups in order have all keys in order.
        groups = sorted(one for one in self._keys if one.startswith(prefix[:PREFIX]))
        for group in groups if start is None else groups[bisect.bisect_left(groups, start[:PREFIX]) :]:
            keys = self._keys[group]
            at = bisect.bisect_left(keys, prefix) if start is None else bisect.bisect_right(keys, start)
            while at < len(keys) and keys[at].startswith(prefix):
                yield keys[at]
                at += 1

    def _set(self, key: bytes, value: bytes | None) -> None:
        keys = self._keys.setdefault(key[:PREFIX], [])
        known = key in self._values
        if value is None:
            if known:
                del self._values[key]
                del keys[bisect.bisect_left(keys, key)]
            return
        if not known:
            bisect.insort(keys, key)
        self._values[key] = value


class Overlay:
    """Changes over a storage that are kept or dropped as a whole."""

    def __init__(self, below: State | Overlay) -> None:
        self._below = below
        self.changes: Changes = {}

    @property
    def base(self) -> State:
        """The storage at the bottom."""
        return self._below if isinstance(self._below, State) else self._below.base

    def get(self, key: bytes) -> bytes | None:
        """A value as seen through the changes."""
        if key in self.changes:
            return self.changes[key]
        return self._below.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Change a value; None removes it."""
        self.changes[key] = value

    def merge(self) -> None:
        """Give the changes to the overlay below."""
        assert isinstance(self._below, Overlay)
        self._below.changes.update(self.changes)


class Typed:
    """Storage by pallet and item name, with typed values."""

    def __init__(self, pallets: Mapping[str, Pallet], store: State | Overlay) -> None:
        self._pallets = pallets
        self.store = store

    def over(self, store: State | Overlay) -> Typed:
        """The same names and types over another store."""
        return Typed(self._pallets, store)

    def get(self, name: str, *keys: Any) -> Any:
        """`Pallet.Item` at some keys; an absent one is its default, or None."""
        pallet, item = self._item(name)
        raw = self.store.get(pallet.key(item.name, *keys))
        if raw is not None:
            return decode(item.value, raw)
        return None if item.optional else decode(item.value, item.value.encode(item.default))

    def part(self, name: str, *keys: Any, field: str) -> Any:
        """One field of a stored struct, without reading those behind it; None when there is no entry."""
        pallet, item = self._item(name)
        raw = self.store.get(pallet.key(item.name, *keys))
        if raw is None:
            return None
        if not isinstance(item.value, Struct):
            return decode(item.value, raw)[field]
        reader = Reader(raw)
        values = ((known, kind.read(reader)) for known, kind in item.value.fields)
        return next(value for known, value in values if known == field)

    def raw(self, name: str, *keys: Any) -> bytes | None:
        """An entry as it is stored."""
        pallet, item = self._item(name)
        return self.store.get(pallet.key(item.name, *keys))

    def has(self, name: str, *keys: Any) -> bool:
        """Whether there is an entry."""
        return self.raw(name, *keys) is not None

    def put(self, name: str, *keys_and_value: Any) -> None:
        """Store a value (the last argument)."""
        *keys, value = keys_and_value
        pallet, item = self._item(name)
        assert isinstance(self.store, Overlay)
        self.store.put(pallet.key(item.name, *keys), item.value.encode(value))

    def drop(self, name: str, *keys: Any) -> None:
        pallet, item = self._item(name)
        assert isinstance(self.store, Overlay)
        self.store.put(pallet.key(item.name, *keys), None)

    def _item(self, name: str) -> tuple[Pallet, Item]:
        pallet, _, item = name.partition(".")
        return self._pallets[pallet], self._pallets[pallet].item(item)
