"""The feasibility condition, which keeps routes free of loops whatever order messages come in. Pure.

For every origin of a subnet it is remembered how good a route to it we ever told others (the feasibility distance).
A route that is not better than that might lead through ourselves and is not taken. Source: RFC 8966, 3.5.1 and 3.7.3.
"""

from __future__ import annotations

from collections import OrderedDict

from zos.mycelium.costs import INFINITE, newer

HOLD = 1800.0
"""Seconds after which an origin that we told nobody of any more is forgotten."""
MAX_SOURCES = 65536

Source = tuple[bytes, bytes]
"""A subnet's prefix and its origin's router id."""


class Sources:
    """Feasibility distances; the longest unused one goes when there are too many."""

    def __init__(self) -> None:
        self._table: OrderedDict[Source, tuple[int, int, float]] = OrderedDict()

    def feasible(self, source: Source, seqno: int, metric: int) -> bool:
        """Whether a route cannot lead through us. The end of a route always is."""
        told = self._table.get(source)
        if told is None or metric == INFINITE:
            return True
        return newer(seqno, told[0]) or (seqno == told[0] and metric < told[1])

    def told(self, source: Source, seqno: int, metric: int, now: float) -> None:
        """We announce this route now."""
        known = self._table.get(source)
        if known is not None and not newer(seqno, known[0]) and (seqno != known[0] or metric >= known[1]):
            seqno, metric = known[:2]
        self._table[source] = (seqno, metric, now)
        self._table.move_to_end(source)
        if len(self._table) > MAX_SOURCES:
            self._table.popitem(last=False)

    def seqno(self, source: Source) -> int:
        """The sequence number of what we told; 0 when we told nothing."""
        told = self._table.get(source)
        return told[0] if told else 0

    def forget(self, now: float) -> None:
        """Drop what is too old."""
        while self._table:
            source, (_, _, at) = next(iter(self._table.items()))
            if now - at < HOLD:
                return
            del self._table[source]
