"""Caches the chain's twins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cachetools import LRUCache

from zos.errors import ZosError
from zos.rmb.envelope import TwinRecord
from zos.runtime.clock import Clock

Look = Callable[[int], Awaitable[TwinRecord | None]]
LIMIT = 20_000
STALE = 6 * 3600.0
"""Seconds that a twin is believed to be as it was while the chain does not answer."""


@dataclass(slots=True)
class _Entry:
    record: TwinRecord | None
    at: float
    until: float


class TwinCache:
    """Twins as the chain had them up to `keep` seconds ago; one that does not exist is asked for again after `missing`.

    An expired record stays: it serves while the chain does not answer, which a cache that drops by time would lose.
    """

    def __init__(self, look: Look, clock: Clock, keep: float = 600.0, missing: float = 5.0) -> None:
        self._look = look
        self._clock = clock
        self._keep = keep
        self._missing = missing
        self._known: LRUCache[int, _Entry] = LRUCache(LIMIT)
        self._queries: dict[int, asyncio.Future[ZosError | None]] = {}
        self._changed: set[int] = set()
        """Twins that have changed while the chain was asked for them."""

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, id: int) -> bool:
        """Whether `known` is fresh, so that the chain need not be asked."""
        entry = self._known.get(id)
        return entry is not None and entry.until > self._clock.monotonic()

    def answers(self, id: int) -> bool:
        """Whether `twin` needs no query of its own: the record is fresh, or somebody is asking for it already."""
        return self.knows(id) or id in self._queries

    def known(self, id: int) -> TwinRecord | None:
        """The last record of a twin, however old; None when there is none."""
        entry = self._known.get(id)
        return entry.record if entry is not None else None

    async def twin(self, id: int) -> TwinRecord | None:
        """A twin; None when the chain has none of this number. Callers at the same time share one query."""
        while not self.knows(id):
            query = self._queries.get(id)
            if query is None:
                await self._query(id)
            elif (err := await asyncio.shield(query)) is not None:
                raise err
        return self.known(id)

    async def _query(self, id: int) -> None:
        self._queries[id] = done = asyncio.get_running_loop().create_future()
        problem: ZosError | None = None
        try:
            found = await self._look(id)
            now = self._clock.monotonic()
            keep = 0.0 if id in self._changed else self._keep if found else self._missing
            self._known[id] = _Entry(found, now, now + keep)
        except ZosError as err:
            entry, now = self._known.get(id), self._clock.monotonic()
            if entry is None or entry.record is None or now - entry.at > STALE:
                problem = err
                raise
            # The chain does not answer: the record that we have still counts.
            entry.until = now + self._missing
        finally:
            del self._queries[id]
            self._changed.discard(id)
            done.set_result(problem)

    def changed(self, id: int) -> None:
        """The chain has said that a twin is another now, or new."""
        if id in self._queries:
            self._changed.add(id)
        if (entry := self._known.get(id)) is not None:
            entry.until = 0.0

    def any_changed(self) -> None:
        """Nobody knows which twins are others now."""
        for id in (*self._known, *self._queries):
            self.changed(id)

    def may_have_changed(self, id: int) -> bool:
        """Whether a wrong signature is a reason to look the twin up again: it may have a new key.

        Only every few seconds, or a forger could make us query the chain for every message.
        """
        entry = self._known.get(id)
        return entry is not None and self._clock.monotonic() - entry.at > self._missing

    def forget(self, id: int) -> None:
        """Expire the record, if the twin may have changed."""
        if self.may_have_changed(id):
            self._known[id].until = 0.0
