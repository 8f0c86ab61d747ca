"""Metadata V12 and V13 as V14, so that everything else knows one form. Pure.

Old metadata names types without describing them: the layouts come from a data file.
What still has no layout (calls and items of pallets that a grid's node never meets) is left out; the others keep
their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zos.scale import described
from zos.scale.metadata import SIGNED_EXTENSIONS, render, runtime_call, runtime_event
from zos.scale.pallet import Call, Constant, Event, Hasher, Item, Pallet
from zos.scale.reader import Undecodable
from zos.scale.types import Later, Type
from zos.substrate.compat.names import Names, UnknownType, ours
from zos.substrate.errors import NotOnThisChain, Unreadable

OLDEST, NEWEST = 12, 13


class Verbatim(Later):
    """A type whose values are already encoded (defaults and constants of the old metadata)."""

    def __init__(self, kind: Type) -> None:
        super().__init__()
        self.target = kind

    def encode(self, value: Any) -> bytes:
        return bytes(value)


def lift(metadata: bytes, spec: int) -> bytes:
    """Metadata as V14 (or as it came, when it is that or newer). Raises NotOnThisChain for what is older than V12."""
    try:
        version = described.version(metadata)
    except Undecodable as err:
        raise Unreadable(what="the metadata", spec=spec, problem=err) from err
    if version > NEWEST:
        return metadata
    if version < OLDEST:
        raise NotOnThisChain(spec=spec, what=f"metadata that we can read (it is V{version})")
    content = described.read(metadata)
    call, event = Later(), Later()
    names = Names(spec, call, event, _account_layout(content["modules"]))
    pallets = tuple(_pallet(module, names) for module in content["modules"])
    call.target, event.target = runtime_call(pallets), runtime_event(pallets)
    return render(pallets, call.target, tuple(_extensions(content["extrinsic"]["signed_extensions"], spec)))


def _account_layout(modules: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The layout of accounts, by System's storage: a migration's flag stands for its layout."""
    system = next((module for module in modules if module["name"] == "System"), None)
    entries = ((system and system["storage"]) or {"entries": ()})["entries"]
    has_three = any(entry["name"] == "UpgradedToTripleRefCount" for entry in entries)
    return {"AccountInfo": f"AccountInfoWith{'Triple' if has_three else 'Dual'}RefCount"}


def _extensions(names: Iterable[str], spec: int) -> Iterator[tuple[str, Type, Type]]:
    known = {entry[0]: entry for entry in SIGNED_EXTENSIONS}
    for name in names:
        if name not in known:
            raise NotOnThisChain(spec=spec, what=f"way to sign that we know (it wants {name})")
        yield known[name]


def _pallet(module: Mapping[str, Any], names: Names) -> Pallet:
    name = module["name"]
    storage = module["storage"] or {"prefix": "", "entries": ()}
    errors = tuple(entry["name"] for entry in module["errors"])
    return Pallet(
        name=name,
        index=module["index"],
        path=f"pallet_{name.lower()}",
        storage=tuple(_known(_item, storage["entries"], names)),
        calls=tuple(_known(_call, enumerate(module["calls"] or ()), names)),
        events=tuple(_known(_event, enumerate(module["events"] or ()), names)),
        errors=errors or tuple(ours()["errors"].get(name, ())),
        constants=tuple(_known(_constant, module["constants"], names)),
        prefix=storage["prefix"],
    )


def _known(make: Any, entries: Iterable[Any], names: Names) -> Iterator[Any]:
    for entry in entries:
        try:
            yield make(entry, names)
        except UnknownType:
            continue


def _item(entry: Mapping[str, Any], names: Names) -> Item:
    ((kind, body),) = entry["type"].items()
    optional = entry["modifier"] == "Optional"
    hashers, keys, value = _keys(kind, body)
    found = Verbatim(names.type(value))
    default = None if optional else entry["default"]
    return Item(entry["name"], found, tuple(map(names.type, keys)), hashers, optional, default)


def _keys(kind: str, body: Any) -> tuple[tuple[Hasher, ...], tuple[str, ...], str]:
    match kind:
        case "Plain":
            return (), (), body
        case "Map":
            return (Hasher(body["hasher"]),), (body["key"],), body["value"]
        case "DoubleMap":
            hashers = (Hasher(body["hasher"]), Hasher(body["key2_hasher"]))
            return hashers, (body["key1"], body["key2"]), body["value"]
        case _:
            return tuple(map(Hasher, body["hashers"])), tuple(body["keys"]), body["value"]


def _call(entry: tuple[int, Mapping[str, Any]], names: Names) -> Call:
    index, body = entry
    # An argument that the runtime does not use had an underscore before its name.
    fields = tuple((one["name"].lstrip("_"), names.type(one["type"])) for one in body["args"])
    return Call(body["name"], index, fields)


def _event(entry: tuple[int, Mapping[str, Any]], names: Names) -> Event:
    index, body = entry
    return Event(body["name"], tuple((None, names.type(kind)) for kind in body["args"]), index)


def _constant(entry: Mapping[str, Any], names: Names) -> Constant:
    return Constant(entry["name"], Verbatim(names.type(entry["type"])), entry["value"])
