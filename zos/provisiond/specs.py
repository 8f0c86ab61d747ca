"""Parsed specs: what a user wrote is parsed once, when its document comes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from cachetools import LRUCache

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.units import MiB
from zos.provisiond.lifecycle import weight
from zos.provisiond.model import Item
from zos.verbs.primitive import Primitive

SPEC = 2048
"""Bytes of a small one, about."""
LIMIT = int(MiB(32))
"""Bytes of memory, about, that the specs take with their data; the least recently used one is parsed again. Data of
documents that were refused is among them, and costs its user nothing."""


class Specs:
    """The workload types that are offered here, and the specs parsed by them."""

    def __init__(self, types: Mapping[str, Primitive[Any]], processors: int = 0) -> None:
        self.types = types
        self.processors = processors or os.cpu_count() or 1
        """Of the node: what vmd can give to one machine."""
        # By the identity of the data, which records hand on unchanged; holding the data keeps its identity from reuse.
        self._parsed: LRUCache[int, tuple[Mapping[str, Any], Any]] = LRUCache(LIMIT, lambda one: _weight(one[0]))

    def of(self, type: str, data: Mapping[str, Any], path: str = "") -> Any:
        """The spec of a workload's data."""
        known = self._parsed.get(id(data))
        if known is not None:
            return known[1]
        spec = self.types[type].parse(Fields(data, path))
        with contextlib.suppress(ValueError):  # larger than all of it
            self._parsed[id(data)] = data, spec
        return spec

    def in_force(self, item: Item) -> Any:
        """The spec that is in force, or that is to be made when none is."""
        return self.of(item.type, item.data if item.applied is None else item.applied, f"{item.name}.data")

    def capacity(self, item: Item) -> Capacity:
        """What a workload takes of the node; nothing when this release does not offer its type."""
        one = self.types.get(item.type)
        return one.capacity(self.in_force(item)) if one else Capacity()


def _weight(data: Mapping[str, Any]) -> int:
    # Twice: the spec is about as large as what it was parsed from.
    return SPEC + 2 * weight(json.dumps(data))
