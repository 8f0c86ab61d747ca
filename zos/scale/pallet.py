"""How a pallet is declared, and how its storage keys are made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

import xxhash

from zos.scale.types import Enum, Named, Type, Variant
from zos.scale.zero import zero


class Hasher(StrEnum):
    """How a map's key becomes part of the storage key."""

    BLAKE2_128 = "Blake2_128"
    BLAKE2_256 = "Blake2_256"
    BLAKE2_128_CONCAT = "Blake2_128Concat"
    TWOX_128 = "Twox128"
    TWOX_256 = "Twox256"
    TWOX_64_CONCAT = "Twox64Concat"
    IDENTITY = "Identity"


@cache
def twox128(text: str) -> bytes:
    """Two xxh64 with seeds 0 and 1, little-endian."""
    return b"".join(xxhash.xxh64_intdigest(text.encode(), seed).to_bytes(8, "little") for seed in (0, 1))


@lru_cache(maxsize=4096)
def _hash(hasher: Hasher, raw: bytes) -> bytes:
    """A key's part of the storage key. The same few keys are asked for again and again: a bill reads ten entries."""
    match hasher:
        case Hasher.BLAKE2_128_CONCAT:
            return hashlib.blake2b(raw, digest_size=16).digest() + raw
        case Hasher.TWOX_64_CONCAT:
            return xxhash.xxh64_intdigest(raw, 0).to_bytes(8, "little") + raw
        case Hasher.IDENTITY:
            return raw
        case _:
            raise ValueError(f"no pallet of ours hashes keys with {hasher}")


@dataclass(frozen=True)
class Item:
    """One storage item: a value, or a map with one key per hasher."""

    name: str
    value: Type
    keys: tuple[Type, ...] = ()
    hashers: tuple[Hasher, ...] = ()
    optional: bool = False
    default: Any = None
    """What an absent entry reads as, unless it is optional; None is the type's zero."""

    @property
    def absent(self) -> Any:
        """What reading an absent entry gives."""
        if self.optional:
            return None
        return zero(self.value) if self.default is None else self.default


@dataclass(frozen=True)
class Call:
    """A dispatchable; `fields` are its arguments in order."""

    name: str
    index: int
    fields: tuple[tuple[str, Type], ...] = ()
    free: bool = False
    """Its fee is given back when it succeeds."""


@dataclass(frozen=True)
class Event:
    """An event; names of fields are None where the runtime has none."""

    name: str
    fields: tuple[Named, ...] = ()
    index: int | None = None
    """Its number; by default its place among its pallet's events."""


@dataclass(frozen=True)
class Constant:
    """A value in the metadata."""

    name: str
    kind: Type
    value: Any


@dataclass(frozen=True)
class Pallet:
    """What a pallet stores, calls, emits and refuses."""

    name: str
    index: int
    path: str
    """Its crate, as it stands in type paths."""
    storage: tuple[Item, ...] = ()
    calls: tuple[Call, ...] = ()
    events: tuple[Event, ...] = ()
    errors: tuple[str, ...] = ()
    constants: tuple[Constant, ...] = ()
    prefix: str = ""
    """What its storage keys begin with, when that is not its name."""
    _items: dict[str, Item] = field(init=False, compare=False, repr=False, default_factory=dict)
    _prefixes: dict[str, bytes] = field(init=False, compare=False, repr=False, default_factory=dict)
    """What the storage keys of each item begin with."""

    def __post_init__(self) -> None:
        self._items.update({item.name: item for item in self.storage})
        pallet = twox128(self.prefix or self.name)
        self._prefixes.update({item.name: pallet + twox128(item.name) for item in self.storage})

    def item(self, name: str) -> Item:
        """A storage item by its name."""
        return self._items[name]

    def key(self, name: str, *keys: Any) -> bytes:
        """The storage key of an entry; with fewer keys than the map has, the prefix of all entries below."""
        item = self._items[name]
        key = self._prefixes[name]
        for hasher, kind, value in zip(item.hashers, item.keys, keys, strict=False):
            key += _hash(hasher, kind.encode(value))
        return key

    def error(self, name: str) -> int:
        """The index of an error."""
        return self.errors.index(name)

    def call_type(self) -> Enum | None:
        """The enum of its calls."""
        if not self.calls:
            return None
        return Enum(f"{self.path}::pallet::Call", tuple(Variant(c.name, c.index, c.fields) for c in self.calls))

    def event_type(self) -> Enum | None:
        """The enum of its events."""
        if not self.events:
            return None
        numbered = ((index if one.index is None else one.index, one) for index, one in enumerate(self.events))
        return Enum(
            f"{self.path}::pallet::Event", tuple(Variant(one.name, index, one.fields) for index, one in numbered)
        )

    def error_type(self) -> Enum | None:
        """The enum of its errors."""
        if not self.errors:
            return None
        return Enum(f"{self.path}::pallet::Error", tuple(Variant(name, i) for i, name in enumerate(self.errors)))


def value(name: str, kind: Type, default: Any = None, *, optional: bool = False) -> Item:
    """A single storage value."""
    return Item(name, kind, (), (), optional, default)


def mapping(
    name: str,
    key: Type | tuple[Type, ...],
    kind: Type,
    default: Any = None,
    *,
    optional: bool = False,
    hasher: Hasher = Hasher.BLAKE2_128_CONCAT,
) -> Item:
    """A storage map: `key` may be several types, each hashed by `hasher`."""
    keys = key if isinstance(key, tuple) else (key,)
    return Item(name, kind, keys, tuple(hasher for _ in keys), optional, default)


def call(index: int, call_name: str, /, *, is_free: bool = False, **fields: Type) -> Call:
    """A call by keyword."""
    return Call(call_name, index, tuple(fields.items()), is_free)


def event(event_name: str, /, *unnamed: Type, **named: Type) -> Event:
    """An event with unnamed or named fields."""
    return Event(event_name, (*((None, kind) for kind in unnamed), *named.items()))


def errors(text: str) -> tuple[str, ...]:
    """Error names in order of their index."""
    return tuple(text.split())


def by_name(pallets: Iterable[Pallet]) -> Mapping[str, Pallet]:
    return {pallet.name: pallet for pallet in pallets}
