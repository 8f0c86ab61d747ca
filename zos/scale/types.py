"""SCALE types as values that encode, decode and describe themselves. Pure.

Both sides of a chain use them: the devchain from its pallets' declarations, clients from what a runtime's metadata
describes (`registry`). Why no library does: decisions/0001.

Values: integers, bool, bytes, list, tuple, None; a struct is a dict; an enum is the variant's name, or
`{name: content}` where content is a value (one unnamed field), a tuple (several) or a dict (named fields).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.scale.plain import (
    BOOL,
    BYTES,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U128,
    Array,
    Bool,
    Bytes,
    Compact,
    Described,
    Int,
    Many,
    Register,
    Text,
    Type,
    UInt,
    Vec,
    decode,
    entry,
)
from zos.scale.reader import Reader, Undecodable

__all__ = [
    "ACCOUNT",
    "BOOL",
    "BYTES",
    "DEEPEST",
    "EMPTY",
    "H256",
    "TEXT",
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "Array",
    "Bool",
    "Bytes",
    "Compact",
    "Described",
    "Enum",
    "Int",
    "Later",
    "Many",
    "Named",
    "Option",
    "Register",
    "Struct",
    "Text",
    "Tuple",
    "Type",
    "UInt",
    "Variant",
    "Vec",
    "Wrapped",
    "decode",
    "struct",
    "words",
    "written",
]


@dataclass(frozen=True)
class Wrapped:
    """A type with a path of its own around bytes of fixed length (AccountId32, H256)."""

    path: str
    inner: Type
    generic: bool = False
    """Whether the inner type is its parameter (Cow)."""

    def encode(self, value: Any) -> bytes:
        return self.inner.encode(value)

    def read(self, reader: Reader) -> Any:
        return self.inner.read(reader)

    def describe(self, register: Register) -> Described:
        inner: Described = {"name": None, "type": register(self.inner), "typeName": None, "docs": []}
        params: list[Described] = [{"name": "T", "type": inner["type"]}] if self.generic else []
        return entry(self.path, {"composite": {"fields": [inner]}}, params)


@dataclass(frozen=True)
class Option:
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
        return entry("Option", {"variant": {"variants": variants}}, [{"name": "T", "type": inner}])


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
        return entry("", {"tuple": [register(kind) for kind in self.items]})


Named = tuple[str | None, Type]


def _describe_fields(fields: Iterable[Named], register: Register) -> list[Described]:
    return [{"name": name, "type": register(kind), "typeName": written(kind), "docs": []} for name, kind in fields]


def written(kind: Type) -> str:
    """A type as Rust writes it; some clients read calls' arguments by that."""
    match kind:
        case UInt():
            return f"u{kind.bits}"
        case Int():
            return f"i{kind.bits}"
        case Bool():
            return "bool"
        case Text():
            return "String"
        case Bytes():
            return "Vec<u8>"
        case Array():
            return f"[u8; {kind.length}]"
        case Many():
            return f"[{written(kind.inner)}; {kind.length}]"
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
        return entry(self.path, {"composite": {"fields": _describe_fields(self.fields, register)}}, params)


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
        return entry(self.path, {"variant": {"variants": listed}}, params)


def words(path: str, *names: str) -> Enum:
    """An enum of bare names, numbered from 0."""
    return Enum(path, tuple(Variant(name, index) for index, name in enumerate(names)))


DEEPEST = 16
"""Calls inside calls: more is refused while decoding, before Python's stack overflows."""


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


ACCOUNT = Wrapped("sp_core::crypto::AccountId32", Array(32))
H256 = Wrapped("primitive_types::H256", Array(32))
EMPTY = Tuple()
