"""The places of taps, one module each; a module is found by being here, and names its place `PLACE`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from zos.networkd.api.types import Place
from zos.networkd.place import InNetwork, OnNode, TapPlace


@cache
def found() -> Mapping[Place, TapPlace]:
    """Every place, in the order of `Place`."""
    modules = (importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__))
    places: dict[Place, TapPlace] = {module.PLACE.place: module.PLACE for module in modules if hasattr(module, "PLACE")}
    return {place: places[place] for place in Place}


def in_network() -> tuple[InNetwork, ...]:
    """The places that are a part of each network resource."""
    return tuple(place for place in found().values() if isinstance(place, InNetwork))


def on_node() -> tuple[OnNode[Any], ...]:
    """The places that are a bridge of the node."""
    return tuple(place for place in found().values() if isinstance(place, OnNode))
