"""Between plain Python values and what the SCALE library takes and gives, by the types of the metadata. Pure.

The library guesses: bytes come back as text when they happen to be UTF-8, a text that begins with 0x is taken as hex,
and a wrapper around a list wants one more list. Here bytes are `bytes` both ways and wrappers are transparent:

    integers, bool       int, bool
    str                  str
    bytes, [u8; n]       bytes (text is accepted on the way in)
    AccountId32          bytes of 32
    struct               dict by field name; without names a tuple; of one unnamed field: what is inside
    enum                 "Name", or {"Name": value}
    Option               None or the value
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zos.substrate import compat
from zos.substrate.errors import BadValue
from zos.substrate.keys import public_key


class Shapes:
    """Walks the portable registry of one runtime."""

    def __init__(self, types: Sequence[Mapping[str, Any]]) -> None:
        self._types = {entry["id"]: entry["type"] for entry in types}

    def give(self, id: int, value: Any, path: str) -> Any:
        """A value as the library encodes it."""
        kind, body = self._definition(id)
        match kind:
            case "primitive":
                return _primitive(body, value, path)
            case "compact":
                return self.give(body["type"], value, path)
            case "sequence" | "array":
                if self._is_byte(body["type"]):
                    return "0x" + _bytes(value, path).hex()
                return [self.give(body["type"], one, f"{path}[{index}]") for index, one in enumerate(value)]
            case "tuple":
                return tuple(self.give(part, one, path) for part, one in zip(body, value, strict=True))
            case "composite":
                return self._give_struct(body["fields"], value, path)
            case _:
                return self._give_enum(id, body["variants"], value, path)

    def _give_struct(self, fields: Sequence[Mapping[str, Any]], value: Any, path: str) -> Any:
        if fields and all(field["name"] for field in fields):
            value = compat.refit(value, [field["name"] for field in fields])
            if not isinstance(value, Mapping) or {field["name"] for field in fields} != value.keys():
                names = ", ".join(field["name"] for field in fields)
                raise BadValue(what=path, problem=f"must have the fields {names}")
            return {f["name"]: self.give(f["type"], value[f["name"]], f"{path}.{f['name']}") for f in fields}
        if len(fields) == 1:
            inner = self.give(fields[0]["type"], value, path)
            return [inner] if isinstance(inner, list) else inner
        return tuple(self.give(f["type"], one, path) for f, one in zip(fields, value, strict=True))

    def _give_enum(self, id: int, variants: Sequence[Mapping[str, Any]], value: Any, path: str) -> Any:
        if self._is_option(id):
            some = next(variant for variant in variants if variant["name"] == "Some")
            return None if value is None else self.give(some["fields"][0]["type"], value, path)
        name, inner = next(iter(value.items())) if isinstance(value, Mapping) else (value, None)
        chosen = next((variant for variant in variants if variant["name"] == name), None)
        if chosen is None:
            raise BadValue(what=path, problem=f"`{name}` is none of {', '.join(v['name'] for v in variants)}")
        if not chosen["fields"]:
            return name
        return {name: self._give_struct(chosen["fields"], inner, f"{path}.{name}")}

    def take(self, id: int, value: Any) -> Any:
        """What the library decoded, as a plain value."""
        kind, body = self._definition(id)
        match kind:
            case "primitive":
                return value
            case "compact":
                return self.take(body["type"], value)
            case "sequence" | "array":
                if self._is_byte(body["type"]):
                    return taken_bytes(value)
                return [self.take(body["type"], one) for one in value]
            case "tuple":
                # The library gives the content of a tuple of one without the tuple.
                parts = (value,) if len(body) == 1 and not isinstance(value, tuple | list) else value
                return tuple(self.take(part, one) for part, one in zip(body, parts or (), strict=True))
            case "composite":
                if self._path(id)[-1:] == ["AccountId32"]:
                    return value if isinstance(value, bytes) else public_key(value)
                return self.take_fields(body["fields"], value)
            case _:
                return self._take_enum(id, body["variants"], value)

    def take_fields(self, fields: Sequence[Mapping[str, Any]], value: Any) -> Any:
        """The fields of a struct, a variant or an event."""
        if fields and all(field["name"] for field in fields):
            return {field["name"]: self.take(field["type"], value[field["name"]]) for field in fields}
        if len(fields) == 1:
            return self.take(fields[0]["type"], value)
        return tuple(self.take(field["type"], one) for field, one in zip(fields, value or (), strict=True))

    def _take_enum(self, id: int, variants: Sequence[Mapping[str, Any]], value: Any) -> Any:
        if self._is_option(id):
            some = next(variant for variant in variants if variant["name"] == "Some")
            return None if value is None else self.take(some["fields"][0]["type"], value)
        if not isinstance(value, Mapping):
            return value
        ((name, inner),) = value.items()
        chosen = next(variant for variant in variants if variant["name"] == name)
        return {name: self.take_fields(chosen["fields"], inner)} if chosen["fields"] else name

    def is_bytes(self, id: int) -> bool:
        """Whether a type is a list of bytes."""
        kind, body = self._definition(id)
        return kind == "sequence" and self._is_byte(body["type"])

    def is_empty(self, id: int) -> bool:
        """Whether values of a type have no bytes."""
        kind, body = self._definition(id)
        match kind:
            case "composite":
                return all(self.is_empty(field["type"]) for field in body["fields"])
            case "tuple":
                return all(self.is_empty(part) for part in body)
            case _:
                return False

    def _definition(self, id: int) -> tuple[str, Any]:
        ((kind, body),) = ((k, v) for k, v in self._types[id]["def"].items() if v is not None)
        return kind, body

    def _is_byte(self, id: int) -> bool:
        return self._definition(id) == ("primitive", "u8")

    def _is_option(self, id: int) -> bool:
        return self._path(id) == ["Option"]

    def _path(self, id: int) -> list[str]:
        return list(self._types[id]["path"])


def _primitive(kind: str, value: Any, path: str) -> Any:
    if kind == "bool":
        return bool(value)
    if kind in ("str", "char"):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(what=path, problem=f"must be a whole number, not {type(value).__name__}")
    bits = int(kind[1:])
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind[0] == "i" else (0, 2**bits - 1)
    if not low <= value <= high:
        raise BadValue(what=path, problem=f"{value} is outside {low}..{high}")
    return value


def _bytes(value: Any, path: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise BadValue(what=path, problem=f"must be bytes or text, not {type(value).__name__}")


def taken_bytes(value: Any) -> bytes:
    """The bytes that the library gave as text, hex or list."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return bytes(value)
    text = str(value)
    if text.startswith("0x"):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            return text.encode()
    return text.encode()
