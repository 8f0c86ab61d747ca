"""The state of a router: routes per subnet, running route queries, pending requests for sequence numbers. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import NewType

from zos.mycelium.costs import INFINITE, LinkCost
from zos.runtime.quota import FairQuota

HELLO_EVERY = 20.0
UNRESPONSIVE_AFTER = HELLO_EVERY + 3
"""Seconds that a hello may stay unanswered. Silence alone is no proof: this process may have been suspended."""

PAUSE = 4.0
"""Seconds between two new sequence numbers of one router, and between two equal requests."""
MAX_ENTRIES = 49_152
"""Routes of all peers together; each costs about 1 kB."""

Peer = NewType("Peer", int)
"""A connection to another router; never used twice."""


@dataclass(slots=True)
class Local:
    """A subnet that this router originates."""

    router: bytes
    seqno: int = 0
    raised: float = float("-inf")
    is_asked: bool = False
    """Whether a newer number was requested before the next was due."""

    def raise_seqno(self, now: float) -> bool:
        """Raise the number, unless that was a moment ago: then it is due later, and false."""
        self.is_asked = now - self.raised < PAUSE
        if not self.is_asked:
            self.seqno, self.raised = (self.seqno + 1) & 0xFFFF, now
        return not self.is_asked


@dataclass(slots=True)
class Neighbour:
    """The state of a peer."""

    cost: LinkCost
    hello: int = 0
    hello_sent: float | None = None
    """When the first hello without answer was sent."""

    def is_unresponsive(self, now: float) -> bool:
        return self.hello_sent is not None and now - self.hello_sent > UNRESPONSIVE_AFTER


@dataclass(slots=True)
class Entry:
    """A peer's route to a subnet."""

    peer: Peer
    router: bytes
    seqno: int
    metric: int
    """As the peer announced it; infinite after a retraction."""
    expires: float
    due: int | None = None
    """The second in which its one timer is."""

    @property
    def gone(self) -> bool:
        """The peer retracted it."""
        return self.metric == INFINITE


@dataclass(slots=True)
class Routes:
    """All routes to a subnet, and the one in use."""

    entries: dict[Peer, Entry] = field(default_factory=dict)
    selected: Entry | None = None
    announced: tuple[bytes, int] | None = None
    """Router id and metric of the last announcement to all peers; None after a retraction."""


@dataclass(slots=True)
class RouteQuery:
    """A running query for a subnet, and the peers that were asked."""

    until: float
    generation: int
    asked: set[Peer]
    again: float
    """When a query of this router is repeated."""


@dataclass(slots=True)
class PendingSeqno:
    """A sequence number that was requested from an origin: by this router, or for the peers in `sources`."""

    seqno: int
    at: float
    targets: set[Peer] = field(default_factory=set)
    sources: set[Peer] = field(default_factory=set)


class Table:
    """Routes by prefix, with an expiry timer for each."""

    def __init__(self) -> None:
        self._subnets: dict[bytes, Routes] = {}
        self._timers: dict[int, dict[tuple[bytes, Peer], Entry]] = {}
        """By the second in which they expire; a hold time is at most some minutes, so there are few."""
        self._of: dict[Peer, dict[bytes, None]] = {}
        self._payers: dict[Peer, Hashable] = {}
        """At whose expense a peer's routes are, where that is not the peer's own."""
        self._closed: set[Peer] = set()
        self._quota: FairQuota[Hashable] = FairQuota(MAX_ENTRIES, MAX_ENTRIES)

    def __len__(self) -> int:
        return len(self._subnets)

    def __iter__(self) -> Iterator[tuple[bytes, Routes]]:
        return iter(self._subnets.items())

    def subnets(self) -> list[bytes]:
        """The prefixes to which there are routes now."""
        return list(self._subnets)

    def get(self, prefix: bytes) -> Routes | None:
        """The routes to a subnet, or None."""
        return self._subnets.get(prefix)

    def has_room(self, peer: Peer) -> bool:
        """Whether the peer may have one more route: its network has a share, whatever the number of its connections."""
        return self._quota.fits(self.payer(peer), 1)

    def payer(self, peer: Peer) -> Hashable:
        """At whose expense the peer is."""
        return self._payers.get(peer, peer)

    def charge(self, peer: Peer, payer: Hashable) -> None:
        """From now on the peer is at the expense of a network; it must have no routes yet."""
        self._payers[peer] = payer

    def gone(self, peer: Peer) -> None:
        """The peer's connection is closed: nothing is added to its routes any more."""
        if peer in self._of:
            self._closed.add(peer)
        else:
            self._payers.pop(peer, None)

    def prefixes(self, peer: Peer) -> list[bytes]:
        """The subnets to which the peer has a route."""
        return list(self._of.get(peer, ()))

    def put(self, prefix: bytes, entry: Entry) -> Routes:
        """Stores the route of `entry.peer` to this subnet in place of its last one, and answers all of the subnet's."""
        routes = self._subnets.setdefault(prefix, Routes())
        former = routes.entries.get(entry.peer)
        if former is None:
            self._quota.take(self.payer(entry.peer))
            self._of.setdefault(entry.peer, {})[prefix] = None
        else:
            self._disarm(prefix, former)
        routes.entries[entry.peer] = entry
        self.expire_at(prefix, entry, entry.expires)
        return routes

    def expire_at(self, prefix: bytes, entry: Entry, when: float) -> None:
        """Set a route's expiry; the former one is forgotten, so that a route has one timer however often it is told."""
        entry.expires = when
        if entry.due != int(when):
            self._disarm(prefix, entry)
            entry.due = int(when)
            self._timers.setdefault(entry.due, {})[prefix, entry.peer] = entry

    def _disarm(self, prefix: bytes, entry: Entry) -> None:
        if entry.due is None:
            return
        timers = self._timers[entry.due]
        del timers[prefix, entry.peer]
        if not timers:
            del self._timers[entry.due]
        entry.due = None

    def drop(self, prefix: bytes, peer: Peer) -> None:
        """Forget a peer's route; it must not be the one in use."""
        routes = self._subnets.get(prefix)
        if routes is None:
            return
        if (entry := routes.entries.pop(peer, None)) is not None:
            self._disarm(prefix, entry)
            mine = self._of[peer]
            del mine[prefix]
            if self._quota.holds(self.payer(peer)):
                self._quota.release(self.payer(peer))
            if not mine:
                del self._of[peer]
                if peer in self._closed:
                    self._closed.discard(peer)
                    self._payers.pop(peer, None)
        if not routes.entries:
            del self._subnets[prefix]

    def expired(self, now: float) -> Iterator[tuple[bytes, Entry]]:
        """Routes that expired, each once."""
        for second in sorted(second for second in self._timers if second <= now):
            for (prefix, peer), entry in list(self._timers.get(second, {}).items()):
                routes = self._subnets.get(prefix)
                is_there = routes is not None and routes.entries.get(peer) is entry
                if is_there and entry.due == second and entry.expires <= now:
                    self._disarm(prefix, entry)
                    yield prefix, entry
