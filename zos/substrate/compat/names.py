"""Type names of old metadata ("Vec<types::PublicIP>", "T::Balance") as types. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from zos.scale.metadata import MULTI_ADDRESS
from zos.scale.types import (
    ACCOUNT,
    BOOL,
    BYTES,
    EMPTY,
    H256,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U128,
    Array,
    Compact,
    Enum,
    Later,
    Option,
    Struct,
    Tuple,
    Type,
    Variant,
    Vec,
)

_PLAIN: Mapping[str, Type] = {
    "bool": BOOL,
    "u8": U8,
    "u16": U16,
    "u32": U32,
    "u64": U64,
    "u128": U128,
    "Bytes": BYTES,
    "Text": TEXT,
    "Null": EMPTY,
    "PhantomData": EMPTY,
    "AccountId": ACCOUNT,
    "GenericAccountId": ACCOUNT,
    "ValidatorId": ACCOUNT,
    "H256": H256,
    "Hash": H256,
    "MultiAddress": MULTI_ADDRESS,
    "GenericMultiAddress": MULTI_ADDRESS,
    "Source": MULTI_ADDRESS,
}
_CALLS = frozenset({"Call", "GenericCall", "Proposal"})
_EVENTS = frozenset({"Event", "GenericEvent"})
_TRAIT = re.compile(r"<[\w:]+ as \w+(?:<\w+>)?>::")
_MODULE = re.compile(r"(?:\w+::)+")
_ARRAY = re.compile(r"\[u8;(\d+)\]")
_GENERIC = re.compile(r"(\w+)<(.*)>")
_MARK = re.compile(r"@(<?)(\d+)")


class UnknownType(ValueError):
    """A name whose layout is not in the data file."""


@cache
def ours() -> Mapping[str, Any]:
    """The data file beside this: `types`, `substrate` and `errors`."""
    text = resources.files(__package__).joinpath("tfchain.json").read_text(encoding="utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


class Names:
    """Finds types for one spec version; `more` are names that the metadata itself decides."""

    def __init__(self, spec: int, call: Later, event: Later, more: Mapping[str, Any]) -> None:
        self._spec = spec
        self._more = more
        self._known: dict[str, Type] = dict(_PLAIN)
        self._known |= dict.fromkeys(_CALLS, call) | dict.fromkeys(_EVENTS, event)
        self._open: set[str] = set()

    def type(self, name: str) -> Type:
        """The type of a name as the metadata writes it; raises UnknownType."""
        return self._type(plain(name))

    def _type(self, name: str) -> Type:
        if name in self._known:
            return self._known[name]
        if name.startswith("("):
            return Tuple(tuple(self._type(part) for part in _parts(name[1:-1])))
        if array := _ARRAY.fullmatch(name):
            return Array(int(array[1]))
        if generic := _GENERIC.fullmatch(name):
            return self._generic(generic[1], generic[2])
        return self._defined(name)

    def _generic(self, name: str, inner: str) -> Type:
        match name:
            case "Vec":
                return BYTES if inner == "u8" else Vec(self._type(inner))
            case "Option":
                return Option(self._type(inner))
            case "Compact":
                return Compact(self._type(inner))
            case "Box":
                return self._type(inner)
            case _:
                return self._type(name)

    def _defined(self, name: str) -> Type:
        definition = self._more.get(name) or ours()["types"].get(name) or ours()["substrate"].get(name)
        if definition is None or definition == name or name in self._open:
            raise UnknownType(name)
        self._open.add(name)
        try:
            found = self._known[name] = self._of(name, definition)
        finally:
            self._open.discard(name)
        return found

    def _of(self, name: str, definition: Any) -> Type:
        if isinstance(definition, str):
            return self.type(definition)
        path = f"legacy::{name}"
        fields = self._fields(definition)
        if "struct" in definition:
            return Struct(path, tuple((field, self.type(kind)) for field, kind in fields))
        if "enum" in definition:
            cases = ((case, () if kind == "Null" else ((None, self.type(kind)),)) for case, kind in fields)
            return Enum(path, tuple(Variant(case, index, inner) for index, (case, inner) in enumerate(cases)))
        raise UnknownType(name)

    def _fields(self, definition: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Name and type of each field or case."""
        fields: list[tuple[str, str]] = []
        for line in definition.get("struct") or definition.get("enum") or ():
            name, *rest = line.split(" ")
            mark = _MARK.fullmatch(rest[-1]) if rest else None
            if mark and (self._spec < int(mark[2])) is not bool(mark[1]):
                continue
            kind = " ".join(rest[:-1] if mark else rest)
            fields.append((name, kind or "Null"))
        return fields


def plain(name: str) -> str:
    """A name without traits, modules and spaces: `<T as Config>::Call` is Call, `types::Node` is Node."""
    return _MODULE.sub("", _TRAIT.sub("", name.replace("\n", ""))).replace(" ", "")


def _parts(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "<([") - (letter in ">)]")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part for part in (*parts, text[start:]) if part]
