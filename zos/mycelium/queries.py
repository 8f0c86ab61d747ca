"""Route queries under way: bounded, and shared out among those who cause them. Pure."""

from __future__ import annotations

from collections.abc import Hashable, ItemsView, Iterator
from itertools import zip_longest

from zos.mycelium.table import RouteQuery
from zos.runtime.quota import FairQuota

MAX_QUERIES = 4096
"""Anybody may cause these, so their number is bounded; each costs about 1 kB."""
REPEATED = 4096
"""Messages with which a tick is full of repeated queries, some milliseconds' work: strangers may have hundreds of idle
connections, and each is asked. What is left waits for the next tick."""


class Queries:
    """By prefix, each at the expense of a peer's network or of an own identity.

    Those for a route that is in use and about to expire have places of their own: a stranger who asks for what is not
    there takes no route from anybody. They are at the expense of whom the route leads through.
    """

    def __init__(self) -> None:
        self._all: dict[bytes, RouteQuery] = {}
        self._new: FairQuota[Hashable] = FairQuota(MAX_QUERIES, MAX_QUERIES)
        self._again: FairQuota[Hashable] = FairQuota(MAX_QUERIES, MAX_QUERIES)
        self._charged: dict[bytes, tuple[FairQuota[Hashable], Hashable]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._all)

    def __contains__(self, prefix: object) -> bool:
        return prefix in self._all

    def items(self) -> ItemsView[bytes, RouteQuery]:
        return self._all.items()

    def due(self, now: float) -> Iterator[tuple[bytes, RouteQuery]]:
        """Those to be repeated: one at each one's expense, then the next of each."""
        by_payer: dict[Hashable, list[bytes]] = {}
        for prefix, query in self._all.items():
            if query.again <= now:
                by_payer.setdefault(self._charged[prefix][1], []).append(prefix)
        for row in zip_longest(*by_payer.values()):
            yield from ((prefix, self._all[prefix]) for prefix in row if prefix is not None)

    def get(self, prefix: bytes) -> RouteQuery | None:
        return self._all.get(prefix)

    def open(self, prefix: bytes, query: RouteQuery, payer: Hashable, *, is_again: bool = False) -> bool:
        """Begin one at somebody's expense; False when that has its share."""
        quota = self._again if is_again else self._new
        if not quota.take(payer):
            return False
        self._charged[prefix] = quota, payer
        self._all[prefix] = query
        return True

    def close(self, prefix: bytes) -> None:
        """End one, if there is one."""
        if self._all.pop(prefix, None) is not None:
            quota, payer = self._charged.pop(prefix)
            quota.release(payer)
