"""Converts callers' values to what the types encode; refuses others with their path (`node.resources.cru`). Pure.

integers, bool       int, bool
str                  str
bytes, [u8; n]       bytes or text
AccountId32          bytes of 32
struct               dict by field name; without names a tuple; of one unnamed field: what is inside
enum                 "Name", or {"Name": value}
Option               None or the value
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zos.scale.types import (
    Array,
    Bool,
    Bytes,
    Compact,
    Enum,
    Int,
    Later,
    Many,
    Named,
    Option,
    Struct,
    Text,
    Tuple,
    Type,
    UInt,
    Vec,
)
from zos.substrate import compat
from zos.substrate.errors import BadValue


def coerce(kind: Type, value: Any, path: str) -> Any:
    """A value that `kind` encodes; raises BadValue."""
    match kind:
        case UInt() | Int():
            return _integer(kind, value, path)
        case Compact():
            return coerce(kind.inner, value, path)
        case Bool():
            return bool(value)
        case Text():
            return str(value)
        case Bytes() | Array():
            return _bytes(value, path)
        case Vec() | Many():
            return [coerce(kind.inner, one, f"{path}[{index}]") for index, one in enumerate(value)]
        case Tuple():
            return _several([(None, item) for item in kind.items], value, path)
        case Struct():
            return _struct(kind.fields, value, path)
        case Option():
            return None if value is None else coerce(kind.inner, value, path)
        case Enum():
            return _enum(kind, value, path)
        case Later() if kind.target is not None:
            return coerce(kind.target, value, path)
    raise BadValue(what=path, problem=f"{type(kind).__name__} cannot be given here")


def _struct(fields: Sequence[tuple[str, Type]], value: Any, path: str) -> dict[str, Any]:
    names = [name for name, _ in fields]
    value = compat.refit(value, names)
    if not isinstance(value, Mapping) or set(names) != value.keys():
        raise BadValue(what=path, problem=f"must have the fields {', '.join(names)}")
    return {name: coerce(kind, value[name], f"{path}.{name}") for name, kind in fields}


def _several(fields: Sequence[Named], value: Any, path: str) -> tuple[Any, ...]:
    try:
        return tuple(coerce(kind, one, path) for (_, kind), one in zip(fields, value, strict=True))
    except (TypeError, ValueError) as err:
        raise BadValue(what=path, problem=f"must be {len(fields)} values") from err


def _enum(kind: Enum, value: Any, path: str) -> Any:
    name, inner = next(iter(value.items())) if isinstance(value, Mapping) else (value, None)
    chosen = next((variant for variant in kind.variants if variant.name == name), None)
    if chosen is None:
        raise BadValue(what=path, problem=f"`{name}` is none of {', '.join(v.name for v in kind.variants)}")
    fields, place = chosen.fields, f"{path}.{name}"
    if not fields:
        return name
    if all(field for field, _ in fields):
        return {name: _struct([(str(field), inner_kind) for field, inner_kind in fields], inner, place)}
    return {name: coerce(fields[0][1], inner, place) if len(fields) == 1 else _several(fields, inner, place)}


def _integer(kind: UInt | Int, value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(what=path, problem=f"must be a whole number, not {type(value).__name__}")
    half = 2 ** (kind.bits - 1)
    low, high = (0, 2 * half - 1) if isinstance(kind, UInt) else (-half, half - 1)
    if not low <= value <= high:
        raise BadValue(what=path, problem=f"{value} is outside {low}..{high}")
    return value


def _bytes(value: Any, path: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise BadValue(what=path, problem=f"must be bytes or text, not {type(value).__name__}")
