"""Metadata V12, as chains told it before types described themselves: modules with the names of their types. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zos.scale.pallet import Hasher
from zos.scale.reader import compact
from zos.scale.types import BYTES, TEXT

MAGIC = b"meta\x0c"
EXTRINSIC_VERSION = 4
_HASHERS = tuple(Hasher)
"""In V12's order, which is the order in which Hasher lists them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A storage item: key types with their hashers, and the bytes that an absent entry reads as."""

    name: str
    value: str
    default: bytes
    keys: tuple[str, ...] = ()
    hashers: tuple[Hasher, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Module:
    """A pallet. Calls, events and errors are numbered by their place."""

    name: str
    index: int
    storage: tuple[Entry, ...] = ()
    calls: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """Name; name and type of each argument."""
    events: tuple[tuple[str, tuple[str, ...]], ...] = ()
    constants: tuple[tuple[str, str, bytes], ...] = ()
    errors: tuple[str, ...] = ()


def render(modules: Sequence[Module], extensions: Sequence[str]) -> bytes:
    """The metadata as bytes."""
    listed = _list(_module(module) for module in modules)
    return MAGIC + listed + bytes([EXTRINSIC_VERSION]) + _list(map(TEXT.encode, extensions))


def _module(module: Module) -> bytes:
    storage = TEXT.encode(module.name) + _list(map(_entry, module.storage))
    calls = _list(TEXT.encode(name) + _list(map(_argument, args)) + _NO_DOCS for name, args in module.calls)
    events = _list(TEXT.encode(name) + _list(map(TEXT.encode, kinds)) + _NO_DOCS for name, kinds in module.events)
    constants = _list(
        TEXT.encode(name) + TEXT.encode(kind) + BYTES.encode(value) + _NO_DOCS for name, kind, value in module.constants
    )
    return b"".join(
        (
            TEXT.encode(module.name),
            _option(storage if module.storage else None),
            _option(calls if module.calls else None),
            _option(events if module.events else None),
            constants,
            _list(TEXT.encode(name) + _NO_DOCS for name in module.errors),
            bytes([module.index]),
        )
    )


def _entry(entry: Entry) -> bytes:
    hashers = [_HASHERS.index(hasher).to_bytes(1, "little") for hasher in entry.hashers]
    keys = [TEXT.encode(key) for key in entry.keys]
    value = TEXT.encode(entry.value)
    match len(keys):
        case 0:
            kind = b"\x00" + value
        case 1:
            kind = b"\x01" + hashers[0] + keys[0] + value + b"\x00"
        case 2:
            kind = b"\x02" + hashers[0] + keys[0] + keys[1] + value + hashers[1]
        case count:
            raise ValueError(f"V12 has no maps with {count} keys")
    modifier = b"\x00" if entry.optional else b"\x01"
    return TEXT.encode(entry.name) + modifier + kind + BYTES.encode(entry.default) + _NO_DOCS


def _argument(argument: tuple[str, str]) -> bytes:
    return TEXT.encode(argument[0]) + TEXT.encode(argument[1])


def _option(content: bytes | None) -> bytes:
    return b"\x00" if content is None else b"\x01" + content


def _list(items: Iterable[bytes]) -> bytes:
    listed = list(items)
    return compact(len(listed)) + b"".join(listed)


_NO_DOCS = b"\x00"
