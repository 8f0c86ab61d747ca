"""What a runtime reads where nothing is stored. Pure."""

from __future__ import annotations

from typing import Any

from zos.scale.reader import Undecodable
from zos.scale.types import (
    Array,
    Bool,
    Bytes,
    Compact,
    Enum,
    Int,
    Option,
    Struct,
    Text,
    Tuple,
    Type,
    UInt,
    Vec,
    Wrapped,
)


def zero(kind: Type) -> Any:
    """The smallest value of a type."""
    match kind:
        case UInt() | Int() | Compact():
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
