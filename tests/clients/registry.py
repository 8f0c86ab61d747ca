"""The types of TFChain before V14, in the forms that polkadot.js and the Python libraries want them."""

from __future__ import annotations

from typing import Any

from zos.scale.types import Later
from zos.substrate.compat.names import Names, ours


def _lines(spec: int) -> dict[str, list[tuple[str, str]] | str]:
    """Each type of ours: a list of names and types, or another name for a type."""
    names = Names(spec, Later(), Later(), {})
    found: dict[str, list[tuple[str, str]] | str] = {}
    for name, definition in ours()["types"].items():
        found[name] = definition if isinstance(definition, str) else names._fields(definition)
    return found


def _is_struct(name: str) -> bool:
    return "struct" in ours()["types"][name]


def for_polkadot_js(spec: int) -> dict[str, Any]:
    """The types in the form that `ApiPromise.create({types})` takes."""
    types: dict[str, Any] = {
        "AccountInfo": "AccountInfoWithDualRefCount",
        "LookupSource": "MultiAddress",
        "DispatchErrorModule": "DispatchErrorModuleU8",
    }
    for name, lines in _lines(spec).items():
        if isinstance(lines, str):
            types[name] = lines
        elif _is_struct(name):
            types[name] = {_camel(field): kind for field, kind in lines}
        else:
            types[name] = {"_enum": dict(lines)}
    return types


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


def for_python(spec: int) -> dict[str, Any]:
    """The types in the form that `SubstrateInterface(type_registry=…)` takes."""
    types: dict[str, Any] = {"AccountInfo": "AccountInfoWithDualRefCount", "LookupSource": "MultiAddress"}
    for name, lines in _lines(spec).items():
        if isinstance(lines, str):
            types[name] = lines
        elif _is_struct(name):
            types[name] = {"type": "struct", "type_mapping": [list(line) for line in lines]}
        else:
            types[name] = {"type": "enum", "type_mapping": [list(line) for line in lines]}
    # The library knows names with their module in front as names of their own.
    types |= {f"types::{name}": name for name in tuple(types)}
    for name in ("Entity", "Twin", "PricingPolicy", "TermsAndConditions"):
        types[f"types::{name}<AccountId>"] = types[f"types::{name}<T::AccountId>"] = name
    return {"types": types}
