"""Sequence numbers that were requested from origins, and which to ask for next. Pure."""

from __future__ import annotations

from collections import OrderedDict

from zos.mycelium.costs import newer
from zos.mycelium.sources import Source, Sources
from zos.mycelium.table import PAUSE, PendingSeqno

BEYOND = 3
"""Other routers pass a request for one number on once a minute, so the next ones are asked for in turn, this far."""
HOLD = 60.0
MAX_PENDING = 4096
"""Any peer may cause these, so their number is bounded; each costs about 1 kB."""


class PendingSeqnos:
    """Requests that may still be answered, by the subnet and its origin."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._pending: OrderedDict[Source, PendingSeqno] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def get(self, source: Source) -> PendingSeqno | None:
        """What was asked of an origin."""
        return self._pending.get(source)

    def remember(self, source: Source, seqno: int, now: float) -> PendingSeqno:
        """The request for a number; a new one when it is newer, or the last was a while ago."""
        asked = self._pending.get(source)
        if asked is None or newer(seqno, asked.seqno) or now - asked.at >= PAUSE:
            asked = self._pending[source] = PendingSeqno(seqno, now, sources=asked.sources if asked else set())
            self._pending.move_to_end(source)
            if len(self._pending) > MAX_PENDING:
                self._pending.popitem(last=False)
        return asked

    def next(self, source: Source, now: float) -> int:
        """The number that would make a route feasible, or one of the next when that was asked for in vain."""
        first = (self._sources.seqno(source) + 1) & 0xFFFF
        asked = self._pending.get(source)
        ahead = (asked.seqno - first) & 0xFFFF if asked else BEYOND + 1
        if asked is None or ahead > BEYOND:
            return first
        return asked.seqno if now - asked.at < PAUSE else (first + (ahead + 1) % (BEYOND + 1)) & 0xFFFF

    def forget(self, now: float) -> None:
        """Drop what is not answered any more."""
        while self._pending and next(iter(self._pending.values())).at + HOLD <= now:
            self._pending.popitem(last=False)
