"""Between our dataclasses and protobuf messages, by field name.

An API's types are dataclasses and its wire is protobuf; both list the same fields. This is the one place that
copies between them, so that neither `service.py` nor `client.py` spells fields out again. Pure.

    dataclass field          message field
    ---------------          -------------
    str, int, float, bool    the same scalar
    StrEnum, NewType, Path   string (or the scalar below the NewType)
    ipaddress types          string
    bytes                    bytes
    X | None                 `optional` field, or a message that is absent
    tuple[X, ...]            repeated
    Mapping[str, X]          map<string, X>
    a dataclass              a message
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
T = TypeVar("T")

_TEXTUAL = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, Path)


def encode(value: Any, message: type[M]) -> M:
    """Render a dataclass as a message of the given class; fields the message lacks are an error."""
    result = message()
    _fill(value, result)
    return result


def decode(message: Message, cls: type[T]) -> T:
    """Parse a message into a dataclass of the given class."""
    values: dict[str, Any] = {}
    for name, kind in _fields(cast(Any, cls)):
        values[name] = _parse(message, name, kind)
    return cls(**values)


def _fill(value: Any, message: Any) -> None:
    for name, _ in _fields(cast(Any, type(value))):
        item = getattr(value, name)
        if item is None:
            continue
        if dataclasses.is_dataclass(item):
            getattr(message, name).SetInParent()
            _fill(item, getattr(message, name))
        elif isinstance(item, Mapping):
            _fill_map(item, getattr(message, name))
        elif isinstance(item, tuple | list | frozenset):
            _fill_list(item, getattr(message, name))
        else:
            setattr(message, name, _scalar(item))


def _fill_map(item: Mapping[Any, Any], target: Any) -> None:
    for key, entry in item.items():
        if dataclasses.is_dataclass(entry):
            _fill(entry, target[_scalar(key)])
        else:
            target[_scalar(key)] = _scalar(entry)


def _fill_list(items: Any, target: Any) -> None:
    for entry in items:
        if dataclasses.is_dataclass(entry):
            added = target.add()
            _fill(entry, added)
        else:
            target.append(_scalar(entry))


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, _TEXTUAL):
        return str(value)
    return value


@cache
def _fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(cls) if field.init)


def _parse(message: Any, name: str, kind: Any) -> Any:
    optional, kind = _optional(kind)
    if optional and not message.HasField(name):
        return None
    raw = getattr(message, name)
    origin = typing.get_origin(kind)
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_one(entry, inner) for entry in raw)
    if origin is not None and issubclass(origin, Mapping):
        key, inner = typing.get_args(kind)
        return {_one(k, key): _one(v, inner) for k, v in raw.items()}
    return _one(raw, kind)


def _optional(kind: Any) -> tuple[bool, Any]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        if len(inner) == 1:
            return True, inner[0]
    return False, kind


def _one(raw: Any, kind: Any) -> Any:
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    if dataclasses.is_dataclass(kind):
        return decode(raw, cast(type, kind))
    if isinstance(kind, type) and (issubclass(kind, Enum) or kind in _TEXTUAL):
        return kind(raw)
    return raw
