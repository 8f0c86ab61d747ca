"""SCALE types without names: numbers, text, bytes, lists. Pure; `types` has the others and these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from zos.scale.reader import Reader, Undecodable, compact, read_compact

Described = dict[str, Any]
Register = Callable[["Type"], int]


class Type(Protocol):
    """How a value of one type becomes bytes, and bytes a value."""

    def encode(self, value: Any) -> bytes:
        """A value as bytes."""
        ...

    def read(self, reader: Reader) -> Any:
        """Takes the next value from the reader. Raises Undecodable."""
        ...

    def describe(self, register: Register) -> Described:
        """The type as an entry of the metadata's registry."""
        ...


def decode(kind: Type, data: bytes) -> Any:
    """All bytes as one value; bytes left over are refused."""
    reader = Reader(data)
    value = kind.read(reader)
    if reader.left:
        raise Undecodable(f"{reader.left} bytes left over")
    return value


def bounded(inner: int, item: int, weakly: bool = False) -> Described:
    # A bounded list is a type of its own around the list: clients that nest one list more see what they know.
    content: Described = {"name": None, "type": inner, "typeName": None, "docs": []}
    params: list[Described] = [{"name": "T", "type": item}, {"name": "S", "type": None}]
    path = "weak_bounded_vec::WeakBoundedVec" if weakly else "bounded_vec::BoundedVec"
    return entry(f"bounded_collections::{path}", {"composite": {"fields": [content]}}, params)


def entry(path: str, definition: Described, params: list[Described] | None = None) -> Described:
    words = path.split("::") if path else []
    return {"path": words, "params": params or [], "def": definition, "docs": []}


@dataclass(frozen=True)
class UInt:
    """A little-endian unsigned integer."""

    bits: int

    def encode(self, value: Any) -> bytes:
        try:
            return int(value).to_bytes(self.bits // 8, "little")
        except (OverflowError, TypeError) as err:
            raise Undecodable(f"{value} is no u{self.bits}") from err

    def read(self, reader: Reader) -> int:
        # Written out: most of a value's fields are integers, and a call costs as much as reading one.
        start = reader.position
        reader.position = end = start + (self.bits >> 3)
        if end > len(reader.data):
            reader.position = start
            reader.take(self.bits >> 3)
        return int.from_bytes(reader.data[start:end], "little")

    def describe(self, register: Register) -> Described:
        return entry("", {"primitive": f"u{self.bits}"})


@dataclass(frozen=True)
class Int:
    """A little-endian signed integer."""

    bits: int

    def encode(self, value: Any) -> bytes:
        try:
            return int(value).to_bytes(self.bits // 8, "little", signed=True)
        except (OverflowError, TypeError) as err:
            raise Undecodable(f"{value} is no i{self.bits}") from err

    def read(self, reader: Reader) -> int:
        return int.from_bytes(reader.take(self.bits // 8), "little", signed=True)

    def describe(self, register: Register) -> Described:
        return entry("", {"primitive": f"i{self.bits}"})


@dataclass(frozen=True)
class Bool:
    """One byte, 0 or 1."""

    def encode(self, value: Any) -> bytes:
        return b"\x01" if value else b"\x00"

    def read(self, reader: Reader) -> bool:
        byte = reader.take(1)[0]
        if byte > 1:
            raise Undecodable(f"{byte} is no bool")
        return bool(byte)

    def describe(self, register: Register) -> Described:
        return entry("", {"primitive": "bool"})


@dataclass(frozen=True)
class Text:
    """UTF-8 with a compact length (metadata constants only; pallets use bytes)."""

    def encode(self, value: Any) -> bytes:
        return Bytes().encode(str(value).encode())

    def read(self, reader: Reader) -> str:
        try:
            return Bytes().read(reader).decode()
        except UnicodeDecodeError as err:
            raise Undecodable("not UTF-8") from err

    def describe(self, register: Register) -> Described:
        return entry("", {"primitive": "str"})


@dataclass(frozen=True)
class Compact:
    """An unsigned integer in as few bytes as it needs."""

    inner: Type

    def _check(self, value: int) -> int:
        if isinstance(self.inner, UInt) and value >> self.inner.bits:
            raise Undecodable(f"{value} is no u{self.inner.bits}")
        return value

    def encode(self, value: Any) -> bytes:
        return compact(self._check(int(value)))

    def read(self, reader: Reader) -> int:
        return self._check(read_compact(reader))

    def describe(self, register: Register) -> Described:
        return entry("", {"compact": {"type": register(self.inner)}})


@dataclass(frozen=True)
class Bytes:
    """Vec<u8>, or a BoundedVec<u8> when a limit is given."""

    limit: int = 0

    def encode(self, value: Any) -> bytes:
        raw = bytes(value)
        if self.limit and len(raw) > self.limit:
            raise Undecodable(f"{len(raw)} bytes, at most {self.limit}")
        return compact(len(raw)) + raw

    def read(self, reader: Reader) -> bytes:
        count = read_compact(reader)
        if self.limit and count > self.limit:
            raise Undecodable(f"{count} bytes, at most {self.limit}")
        return reader.take(count)

    def describe(self, register: Register) -> Described:
        if self.limit:
            return bounded(register(BYTES), register(U8))
        return entry("", {"sequence": {"type": register(U8)}})


@dataclass(frozen=True)
class Vec:
    """A list, bounded when a limit is given."""

    inner: Type
    limit: int = 0
    weakly: bool = False
    """Whether the limit is one that the chain only warns of."""

    def encode(self, value: Any) -> bytes:
        items = list(value)
        if self.limit and len(items) > self.limit:
            raise Undecodable(f"{len(items)} items, at most {self.limit}")
        return compact(len(items)) + b"".join(self.inner.encode(item) for item in items)

    def read(self, reader: Reader) -> list[Any]:
        count = read_compact(reader)
        # No item of ours is empty, so a count above the bytes left is wrong, and would take memory.
        if count > reader.left or (self.limit and count > self.limit):
            raise Undecodable(f"{count} items do not fit")
        return [self.inner.read(reader) for _ in range(count)]

    def describe(self, register: Register) -> Described:
        if self.limit:
            return bounded(register(Vec(self.inner)), register(self.inner), self.weakly)
        return entry("", {"sequence": {"type": register(self.inner)}})


@dataclass(frozen=True)
class Array:
    """A fixed number of bytes."""

    length: int

    def encode(self, value: Any) -> bytes:
        raw = bytes(value)
        if len(raw) != self.length:
            raise Undecodable(f"{len(raw)} bytes where {self.length} belong")
        return raw

    def read(self, reader: Reader) -> bytes:
        return reader.take(self.length)

    def describe(self, register: Register) -> Described:
        return entry("", {"array": {"len": self.length, "type": register(U8)}})


@dataclass(frozen=True)
class Many:
    """A fixed number of values that are no bytes."""

    inner: Type
    length: int

    def encode(self, value: Any) -> bytes:
        if len(value) != self.length:
            raise Undecodable(f"{len(value)} values where {self.length} belong")
        return b"".join(self.inner.encode(item) for item in value)

    def read(self, reader: Reader) -> list[Any]:
        return [self.inner.read(reader) for _ in range(self.length)]

    def describe(self, register: Register) -> Described:
        return entry("", {"array": {"len": self.length, "type": register(self.inner)}})


U8, U16, U32, U64, U128 = (UInt(bits) for bits in (8, 16, 32, 64, 128))
BOOL = Bool()
BYTES = Bytes()
TEXT = Text()
