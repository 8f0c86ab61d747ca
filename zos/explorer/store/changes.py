"""What one step of the chain writes: entities as they are at a block, and what only events tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zos.explorer.store.schema import VERSION

Row = dict[str, Any]
WithParts = tuple[Row, list[Row]]
"""A row, and the rows that belong to it: a farm with its addresses, a node with its interfaces."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to which block of which chain the database was written."""

    genesis: str
    first: str
    """The hash of block 1: a chain that begins anew may have the same genesis, and never the same block 1."""
    number: int
    hash: str
    time: int
    """Unix seconds of that block."""
    version: int = VERSION
    """Of the tables that were written."""


@dataclass(slots=True)
class Changes:
    """Entities by id as they are at a block; None is one that is gone."""

    farms: dict[int, WithParts | None] = field(default_factory=dict)
    nodes: dict[int, WithParts | None] = field(default_factory=dict)
    twins: dict[int, Row | None] = field(default_factory=dict)
    contracts: dict[int, Row | None] = field(default_factory=dict)
    pricing: dict[int, Row | None] = field(default_factory=dict)
    farming: dict[int, Row | None] = field(default_factory=dict)
    providers: dict[int, Row | None] = field(default_factory=dict)
    price: Row | None = None
    is_whole: bool = False
    """These are all entities there are: any other in the database is gone."""


@dataclass(slots=True)
class EventFacts:
    """What only events tell; times in unix seconds."""

    uptimes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Node → its newest report: time, seconds since boot."""
    uptime_reports: dict[tuple[int, int], int] = field(default_factory=dict)
    """All reports: node and time → seconds since boot."""
    node_updates: dict[int, int] = field(default_factory=dict)
    """Node → time of the newest block in which it registered or changed."""
    bills: list[Row] = field(default_factory=list)
    created: dict[int, int] = field(default_factory=dict)
    """Contract → time of its creation."""
