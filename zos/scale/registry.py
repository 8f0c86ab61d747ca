"""Builds our types from those that a runtime's metadata describes. Pure.

A composite of one unnamed field is what is inside; `AccountId32` and `H256` are bytes so, and a bounded list a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zos.scale.reader import Undecodable
from zos.scale.types import (
    BOOL,
    BYTES,
    TEXT,
    U8,
    Array,
    Compact,
    Enum,
    Int,
    Later,
    Many,
    Named,
    Option,
    Struct,
    Tuple,
    Type,
    UInt,
    Variant,
    Vec,
)


class Described:
    """The types of one runtime, made when they are asked for."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._entries = {entry["id"]: entry["type"] for entry in entries}
        self._known: dict[int, Type] = {}

    def definition(self, id: int) -> Mapping[str, Any]:
        """What the metadata says a type is: `{"variant": {"variants": [...]}}` and the like."""
        found: Mapping[str, Any] = self._entries[id]["def"]
        return found

    def __getitem__(self, id: int) -> Type:
        if id not in self._known:
            # A type may contain itself: inside it stands for the type that is being built.
            later = self._known[id] = Later()
            try:
                later.target = self._known[id] = self._build(id)
            except BaseException:
                del self._known[id]
                raise
        return self._known[id]

    def _build(self, id: int) -> Type:
        ((kind, body),) = self.definition(id).items()
        path = self._entries[id]["path"]
        match kind:
            case "primitive":
                return _primitive(body)
            case "compact":
                return Compact(self[body["type"]])
            case "sequence":
                inner = self[body["type"]]
                return BYTES if inner == U8 else Vec(inner)
            case "array":
                inner = self[body["type"]]
                return Array(body["len"]) if inner == U8 else Many(inner, body["len"])
            case "tuple":
                return Tuple(tuple(self[part] for part in body))
            case "composite":
                return self._composite("::".join(path), body["fields"])
            case "variant" if path == ["Option"]:
                some = next(variant for variant in body["variants"] if variant["name"] == "Some")
                return Option(self[some["fields"][0]["type"]])
            case "variant":
                return Enum("::".join(path), tuple(self._variant(one) for one in body["variants"]))
        raise Undecodable(f"a {kind} cannot be read here")

    def _composite(self, path: str, fields: Sequence[Mapping[str, Any]]) -> Type:
        named = self._fields(fields)
        if fields and all(name for name, _ in named):
            return Struct(path, tuple((str(name), kind) for name, kind in named))
        return named[0][1] if len(named) == 1 else Tuple(tuple(kind for _, kind in named))

    def _variant(self, described: Mapping[str, Any]) -> Variant:
        return Variant(described["name"], described["index"], self._fields(described["fields"]))

    def _fields(self, fields: Sequence[Mapping[str, Any]]) -> tuple[Named, ...]:
        return tuple((field["name"], self[field["type"]]) for field in fields)


def _primitive(name: str) -> Type:
    match name:
        case "bool":
            return BOOL
        case "str":
            return TEXT
        case "char":
            return UInt(32)
        case _:
            return (UInt if name[0] == "u" else Int)(int(name[1:]))
