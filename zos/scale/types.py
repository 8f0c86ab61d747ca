"""SCALE types as values that encode, decode and describe themselves.

The devchain must give back every byte as it came. The client libraries' codecs guess (a `Vec<u8>` that happens to
be UTF-8 becomes text, text that starts with `0x` becomes hex), so a chain cannot stand on them; they are the oracle
in the tests instead.

Values: integers, bool, bytes, list, tuple, None; a struct is a dict; an enum is the variant's name, or
`{name: content}` where content is a value (one unnamed field), a tuple (several) or a dict (named fields).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Described = dict[str, Any]
Register = Callable[["Type"], int]


class Undecodable(ValueError):
    """Bytes that are not what the type says, or a value that the type cannot hold."""


class Reader:
    """Bytes with a position."""

    __slots__ = ("data", "depth", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.depth = 0
        """How many calls deep inside calls we are."""

    def take(self, count: int) -> bytes:
        """The next so many bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise Undecodable(f"{count} bytes wanted at {self.position}, {len(self.data) - self.position} left")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self.data) - self.position


class Type(Protocol):
    """A SCALE type."""

    def encode(self, value: Any) -> bytes:
        """A value as bytes."""
        ...

    def read(self, reader: Reader) -> Any:
        """The next value."""
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


def zero(kind: Type) -> Any:
    """What a runtime reads where nothing is stored: the smallest value of a type."""
    match kind:
        case UInt() | Compact():
            return 0
        case Bool():
            return False
        case Text():
            return ""
        case Bytes():
            return b""
        case Vec():
            return []
        case Array():
            return bytes(kind.length)
        case Wrapped():
            return zero(kind.inner)
        case Tuple():
            return tuple(zero(item) for item in kind.items)
        case Struct():
            return {name: zero(inner) for name, inner in kind.fields}
        case Enum():
            first = kind.variants[0]
            inner = {name or "": zero(one) for name, one in first.fields}
            return {first.name: inner.get("", inner)} if first.fields else first.name
        case Option():
            return None
    raise Undecodable(f"{kind} has no zero")


def _bounded(inner: int, item: int) -> Described:
    # A bounded list is a type of its own around the list: clients that nest one list more see what they know.
    content: Described = {"name": None, "type": inner, "typeName": None, "docs": []}
    params: list[Described] = [{"name": "T", "type": item}, {"name": "S", "type": None}]
    return _entry("bounded_collections::bounded_vec::BoundedVec", {"composite": {"fields": [content]}}, params)


def _entry(path: str, definition: Described, params: list[Described] | None = None) -> Described:
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
        return int.from_bytes(reader.take(self.bits // 8), "little")

    def describe(self, register: Register) -> Described:
        return _entry("", {"primitive": f"u{self.bits}"})


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
        return _entry("", {"primitive": "bool"})


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
        return _entry("", {"primitive": "str"})


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
        return _entry("", {"compact": {"type": register(self.inner)}})


def compact(value: int) -> bytes:
    """A compact integer as bytes."""
    if value < 0:
        raise Undecodable(f"{value} is negative")
    if value < 1 << 6:
        return bytes([value << 2])
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    raw = value.to_bytes((value.bit_length() + 7) // 8, "little")
    if len(raw) > 67:
        raise Undecodable("too large for a compact integer")
    return bytes([(len(raw) - 4) << 2 | 3]) + raw


def read_compact(reader: Reader) -> int:
    """The next compact integer; a longer form than needed is refused, as in the reference codec."""
    first = reader.take(1)[0]
    mode = first & 3
    if mode == 0:
        return first >> 2
    if mode == 3:
        count = (first >> 2) + 4
        value = int.from_bytes(reader.take(count), "little")
        if (count > 4 and value >> (8 * (count - 1)) == 0) or value < 1 << 30:
            raise Undecodable("compact integer in a longer form than needed")
        return value
    count, low = (1, 1 << 6) if mode == 1 else (3, 1 << 14)
    value = int.from_bytes(bytes([first]) + reader.take(count), "little") >> 2
    if value < low:
        raise Undecodable("compact integer in a longer form than needed")
    return value


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
            return _bounded(register(BYTES), register(U8))
        return _entry("", {"sequence": {"type": register(U8)}})


@dataclass(frozen=True)
class Vec:
    """A list, bounded when a limit is given."""

    inner: Type
    limit: int = 0

    def encode(self, value: Any) -> bytes:
        items = list(value)
        if self.limit and len(items) > self.limit:
            raise Undecodable(f"{len(items)} items, at most {self.limit}")
        return compact(len(items)) + b"".join(self.inner.encode(item) for item in items)

    def read(self, reader: Reader) -> list[Any]:
        count = read_compact(reader)
        # No item of ours is empty, so a count above the bytes left is a lie (and would eat memory).
        if count > reader.left or (self.limit and count > self.limit):
            raise Undecodable(f"{count} items do not fit")
        return [self.inner.read(reader) for _ in range(count)]

    def describe(self, register: Register) -> Described:
        if self.limit:
            return _bounded(register(Vec(self.inner)), register(self.inner))
        return _entry("", {"sequence": {"type": register(self.inner)}})


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
        return _entry("", {"array": {"len": self.length, "type": register(U8)}})


@dataclass(frozen=True)
class Wrapped:
    """A type with a path of its own around bytes of fixed length (AccountId32, H256)."""

    path: str
    inner: Type

    def encode(self, value: Any) -> bytes:
        return self.inner.encode(value)

    def read(self, reader: Reader) -> Any:
        return self.inner.read(reader)

    def describe(self, register: Register) -> Described:
        inner: Described = {"name": None, "type": register(self.inner), "typeName": None, "docs": []}
        return _entry(self.path, {"composite": {"fields": [inner]}})


@dataclass(frozen=True)
class Option:
    """A value or none."""

    inner: Type

    def encode(self, value: Any) -> bytes:
        return b"\x00" if value is None else b"\x01" + self.inner.encode(value)

    def read(self, reader: Reader) -> Any:
        mark = reader.take(1)[0]
        if mark > 1:
            raise Undecodable(f"{mark} is no option")
        return self.inner.read(reader) if mark else None

    def describe(self, register: Register) -> Described:
        inner = register(self.inner)
        some: Described = {"name": None, "type": inner, "typeName": None, "docs": []}
        variants = [
            {"name": "None", "fields": [], "index": 0, "docs": []},
            {"name": "Some", "fields": [some], "index": 1, "docs": []},
        ]
        return _entry("Option", {"variant": {"variants": variants}}, [{"name": "T", "type": inner}])


@dataclass(frozen=True)
class Tuple:
    """Several values in order."""

    items: tuple[Type, ...] = ()

    def encode(self, value: Any) -> bytes:
        if len(value) != len(self.items):
            raise Undecodable(f"{len(value)} values where {len(self.items)} belong")
        return b"".join(kind.encode(item) for kind, item in zip(self.items, value, strict=True))

    def read(self, reader: Reader) -> tuple[Any, ...]:
        return tuple(kind.read(reader) for kind in self.items)

    def describe(self, register: Register) -> Described:
        return _entry("", {"tuple": [register(kind) for kind in self.items]})


Named = tuple[str | None, Type]


def _describe_fields(fields: Iterable[Named], register: Register) -> list[Described]:
    return [{"name": name, "type": register(kind), "typeName": written(kind), "docs": []} for name, kind in fields]


def written(kind: Type) -> str:
    """A type as Rust writes it; some clients read calls' arguments by that."""
    match kind:
        case UInt():
            return f"u{kind.bits}"
        case Bool():
            return "bool"
        case Text():
            return "String"
        case Bytes():
            return "Vec<u8>"
        case Array():
            return f"[u8; {kind.length}]"
        case Vec():
            return f"Vec<{written(kind.inner)}>"
        case Option():
            return f"Option<{written(kind.inner)}>"
        case Compact():
            return written(kind.inner)
        case Tuple():
            return f"({', '.join(map(written, kind.items))})"
        case Struct() | Enum() | Wrapped():
            return kind.path.rpartition("::")[2]
        case Later() if kind.target is not None:
            return written(kind.target)
    return "()"


@dataclass(frozen=True)
class Struct:
    """Named fields in order."""

    path: str
    fields: tuple[tuple[str, Type], ...]
    params: tuple[tuple[str, Type], ...] = ()

    def encode(self, value: Any) -> bytes:
        try:
            return b"".join([kind.encode(value[name]) for name, kind in self.fields])
        except (KeyError, TypeError) as err:
            raise Undecodable(f"{self.path}: {err}") from err

    def read(self, reader: Reader) -> dict[str, Any]:
        return {name: kind.read(reader) for name, kind in self.fields}

    def describe(self, register: Register) -> Described:
        params = [{"name": name, "type": register(kind)} for name, kind in self.params]
        return _entry(self.path, {"composite": {"fields": _describe_fields(self.fields, register)}}, params)


def struct(path: str, **fields: Type) -> Struct:
    """A struct by keyword."""
    return Struct(path, tuple(fields.items()))


@dataclass(frozen=True)
class Variant:
    """One case of an enum."""

    name: str
    index: int
    fields: tuple[Named, ...] = ()

    def encode(self, content: Any) -> bytes:
        if len(self.fields) == 1 and self.fields[0][0] is None:
            return self.fields[0][1].encode(content)
        if isinstance(content, Mapping):
            return b"".join(kind.encode(content[name]) for name, kind in self.fields)
        return Tuple(tuple(kind for _, kind in self.fields)).encode(content)

    def read(self, reader: Reader) -> Any:
        if not self.fields:
            return self.name
        values = [kind.read(reader) for _, kind in self.fields]
        if self.fields[0][0] is not None:
            names = [name for name, _ in self.fields]
            return {self.name: dict(zip(names, values, strict=True))}
        return {self.name: values[0] if len(values) == 1 else tuple(values)}


@dataclass(frozen=True)
class Enum:
    """One of several cases; the first byte tells which."""

    path: str
    variants: tuple[Variant, ...]
    params: tuple[tuple[str, Type], ...] = ()
    _by_index: dict[int, Variant] = field(init=False, compare=False, repr=False, default_factory=dict)
    _by_name: dict[str, Variant] = field(init=False, compare=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_index.update({variant.index: variant for variant in self.variants})
        self._by_name.update({variant.name: variant for variant in self.variants})

    def encode(self, value: Any) -> bytes:
        name, content = (value, ()) if isinstance(value, str) else next(iter(value.items()))
        variant = self._by_name.get(name)
        if variant is None:
            raise Undecodable(f"{self.path} has no {name}")
        return bytes([variant.index]) + (variant.encode(content) if variant.fields else b"")

    def read(self, reader: Reader) -> Any:
        index = reader.take(1)[0]
        variant = self._by_index.get(index)
        if variant is None:
            raise Undecodable(f"{self.path} has no case {index}")
        return variant.read(reader)

    def variant(self, name: str) -> Variant:
        """A case by its name."""
        return self._by_name[name]

    def describe(self, register: Register) -> Described:
        listed = [
            {"name": v.name, "fields": _describe_fields(v.fields, register), "index": v.index, "docs": []}
            for v in self.variants
        ]
        params = [{"name": name, "type": register(kind)} for name, kind in self.params]
        return _entry(self.path, {"variant": {"variants": listed}}, params)


def words(path: str, *names: str) -> Enum:
    """An enum of bare names, numbered from 0."""
    return Enum(path, tuple(Variant(name, index) for index, name in enumerate(names)))


DEEPEST = 16
"""Calls inside calls: more is refused while decoding, before Python's own stack has an opinion."""


class Later:
    """A type that is known only once all pallets are (a call that holds calls)."""

    def __init__(self) -> None:
        self.target: Type | None = None

    def _known(self) -> Type:
        if self.target is None:
            raise Undecodable("the type is not known yet")
        return self.target

    def encode(self, value: Any) -> bytes:
        return self._known().encode(value)

    def read(self, reader: Reader) -> Any:
        if reader.depth >= DEEPEST:
            raise Undecodable(f"calls nested more than {DEEPEST} deep")
        reader.depth += 1
        try:
            return self._known().read(reader)
        finally:
            reader.depth -= 1

    def describe(self, register: Register) -> Described:
        return self._known().describe(register)


U8, U16, U32, U64, U128 = (UInt(bits) for bits in (8, 16, 32, 64, 128))
BOOL = Bool()
BYTES = Bytes()
TEXT = Text()
ACCOUNT = Wrapped("sp_core::crypto::AccountId32", Array(32))
H256 = Wrapped("primitive_types::H256", Array(32))
EMPTY = Tuple()
