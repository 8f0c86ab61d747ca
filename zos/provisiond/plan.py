"""Decides what is to be done for a deployment, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zos.model.deployment import ResultState
from zos.provisiond.model import Item, Phase, Record
from zos.verbs.primitive import Primitive

Types = Mapping[str, Primitive[Any]]


class Do(StrEnum):
    """What is done to a workload."""

    REMOVE = "remove"
    CLEAR = "clear"
    """It could not be made: what its making left behind is given back."""
    MAKE = "make"
    CHANGE = "change"
    KEEP = "keep"
    """It is as described: asked for again, which heals what was lost."""


@dataclass(frozen=True, slots=True)
class Op:
    """What the executor does next with one workload."""

    do: Do
    name: str
    leaving: bool = False


def plan(record: Record, types: Types) -> tuple[Op, ...]:
    """Removes and clears first, dependents before what they use; then the rest the other way round."""
    rank = {name: index for index, name in enumerate(types)}
    # A type that this release does not offer any more comes last; nothing of it is touched.
    offered = [item for item in record.items if item.type in types]
    inner = sorted(offered, key=lambda item: (rank[item.type], -_size(item)))
    is_ending = record.phase is Phase.ENDING
    removes = [Op(Do.REMOVE, item.name, item.leaving) for item in reversed(inner) if item.leaving or is_ending]
    if is_ending:
        return tuple(removes)
    clears = [Op(Do.CLEAR, item.name) for item in reversed(inner) if item.is_to_clear()]
    rest = [Op(_do(item), item.name) for item in inner if not item.leaving and item.state is not ResultState.ERROR]
    return tuple(removes + clears + rest)


def _do(item: Item) -> Do:
    if item.applied is None:
        return Do.MAKE
    return Do.KEEP if item.applied == item.data and item.state is not ResultState.INIT else Do.CHANGE


def _size(item: Item) -> int:
    """Largest disks first: they are the hardest to place."""
    size = item.data.get("size")
    return size if isinstance(size, int) else 0
