"""What a router remembers: routes per subnet, questions that run, requests for newer sequence numbers. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NewType

from zos.mycelium.costs import INFINITE

Peer = NewType("Peer", int)
"""A connection to another router; never used twice."""


@dataclass(slots=True)
class Entry:
    """A peer's route to a subnet."""

    peer: Peer
    router: bytes
    seqno: int
    metric: int
    """As the peer announced it; infinite after it took it back."""
    expires: float
    timer: float = -1.0
    """When the table looks at it next."""

    @property
    def gone(self) -> bool:
        """The peer took it back."""
        return self.metric == INFINITE


@dataclass(slots=True)
class Routes:
    """All routes to a subnet, and the one in use."""

    entries: dict[Peer, Entry] = field(default_factory=dict)
    selected: Entry | None = None
    told: tuple[bytes, int] | None = None
    """Router id and metric that everybody was told last; None after a retraction."""


@dataclass(slots=True)
class Query:
    """A question for a subnet that runs, and who was asked."""

    until: float
    generation: int
    asked: set[Peer]


@dataclass(slots=True)
class Asked:
    """A sequence number that origin and subnet were asked for: by us, or for `sources`."""

    seqno: int
    at: float
    targets: set[Peer] = field(default_factory=set)
    sources: set[Peer] = field(default_factory=set)


class Table:
    """Routes by prefix, with a clock for each of them."""

    def __init__(self) -> None:
        self._subnets: dict[bytes, Routes] = {}
        self._timers: list[tuple[float, bytes, Peer]] = []

    def __len__(self) -> int:
        return len(self._subnets)

    def __iter__(self) -> Iterator[tuple[bytes, Routes]]:
        return iter(self._subnets.items())

    def get(self, prefix: bytes) -> Routes | None:
        """The routes to a subnet, or None."""
        return self._subnets.get(prefix)

    def put(self, prefix: bytes, entry: Entry) -> Routes:
        """Take a new route in."""
        routes = self._subnets.setdefault(prefix, Routes())
        routes.entries[entry.peer] = entry
        self.expire_at(prefix, entry, entry.expires)
        return routes

    def expire_at(self, prefix: bytes, entry: Entry, when: float) -> None:
        """Set a route's clock; a later time only moves the look, an earlier one adds another."""
        entry.expires = when
        if entry.timer < 0 or when < entry.timer:
            entry.timer = when
            heapq.heappush(self._timers, (when, prefix, entry.peer))

    def drop(self, prefix: bytes, peer: Peer) -> None:
        """Forget a peer's route; it must not be the one in use."""
        routes = self._subnets.get(prefix)
        if routes is None:
            return
        routes.entries.pop(peer, None)
        if not routes.entries:
            del self._subnets[prefix]

    def expired(self, now: float) -> Iterator[tuple[bytes, Entry]]:
        """Routes whose time is over, each once."""
        while self._timers and self._timers[0][0] <= now:
            at, prefix, peer = heapq.heappop(self._timers)
            routes = self._subnets.get(prefix)
            entry = routes.entries.get(peer) if routes else None
            if entry is None or entry.timer != at:
                continue  # gone, or looked at by another clock
            entry.timer = -1.0
            if entry.expires > now:
                self.expire_at(prefix, entry, entry.expires)
            else:
                yield prefix, entry
