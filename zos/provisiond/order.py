"""Decides what is to be done for a deployment, and in which order. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zos.model.deployment import Deployment, ResultState
from zos.provisiond.model import Item, Record, item_of, moved
from zos.verbs.primitive import Primitive

Types = Mapping[str, Primitive[Any]]


class Do(StrEnum):
    """What is done to a workload."""

    REMOVE = "remove"
    MAKE = "make"
    CHANGE = "change"
    KEEP = "keep"
    """It is there as wished: asked for again, which heals what was lost."""


@dataclass(frozen=True, slots=True)
class Op:
    """One workload's turn."""

    do: Do
    name: str


def operations(record: Record, types: Types) -> tuple[Op, ...]:
    """Removes first, dependents before what they use; then the rest the other way round."""
    rank = {name: index for index, name in enumerate(types)}
    # A type that this release does not offer any more comes last; nothing of it is touched.
    offered = [item for item in record.items if item.type in types]
    inner = sorted(offered, key=lambda item: (rank[item.type], -_size(item)))
    if record.ending is not None:
        return tuple(Op(Do.REMOVE, item.name) for item in reversed(inner))
    removes = [Op(Do.REMOVE, item.name) for item in reversed(inner) if item.leaving]
    rest = [Op(_do(item), item.name) for item in inner if not item.leaving and item.state is not ResultState.ERROR]
    return tuple(removes + rest)


def _do(item: Item) -> Do:
    if item.applied is None:
        return Do.MAKE
    return Do.KEEP if item.applied == item.data and item.state is not ResultState.INIT else Do.CHANGE


def _size(item: Item) -> int:
    """Largest disks first: they are the hardest to place."""
    size = item.data.get("size")
    return size if isinstance(size, int) else 0


def merged(record: Record, deployment: Deployment, now: int) -> Record:
    """The record with a newer version's wishes; untouched workloads stay as they are stored."""
    names = {workload.name for workload in deployment.workloads}
    result = record
    for item in record.items:
        if item.name not in names and not item.leaving:
            result = result.with_item(_leaving(item))
    for workload in deployment.workloads:
        old = record.item(workload.name)
        if old is None or old.leaving or old.type != workload.type:
            result = result.with_item(item_of(workload, now))
        elif workload.version == deployment.version:
            result = result.with_item(_waiting(moved(old, workload)))
    order = {workload.name: index for index, workload in enumerate(deployment.workloads)}
    return _in_order(result, order)


def _leaving(item: Item) -> Item:
    return dataclasses.replace(item, leaving=True)


def _waiting(item: Item) -> Item:
    return dataclasses.replace(item, state=ResultState.INIT, message="")


def _in_order(record: Record, order: Mapping[str, int]) -> Record:
    items = sorted(record.items, key=lambda item: order.get(item.name, len(order)))
    return dataclasses.replace(record, items=tuple(items))
