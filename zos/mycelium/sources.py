"""The feasibility condition, which keeps routes free of loops in whatever order messages arrive. Pure.

For each origin of a subnet, a router remembers the best metric that it ever announced (the feasibility distance).
A route that is no better might lead back through this router, so it is not selected. RFC 8966, 3.5.1 and 3.7.3.
"""

from __future__ import annotations

from collections import OrderedDict

from zos.mycelium.costs import INFINITE, newer

HOLD = 1800.0
"""Seconds after its last announcement until an origin is forgotten."""
MAX_SOURCES = 65536

Source = tuple[bytes, bytes]
"""A subnet's prefix and its origin's router id."""


class Sources:
    """Feasibility distances; when there are too many, the least recently announced is dropped."""

    def __init__(self) -> None:
        self._table: OrderedDict[Source, tuple[int, int, float]] = OrderedDict()
        self._origins: dict[bytes, bytes] = {}

    def feasible(self, source: Source, seqno: int, metric: int) -> bool:
        """Whether a route cannot lead through this router. A retraction always is feasible."""
        last = self._table.get(source)
        if last is None or metric == INFINITE:
            return True
        return newer(seqno, last[0]) or (seqno == last[0] and metric < last[1])

    def announced(self, source: Source, seqno: int, metric: int, now: float) -> None:
        """Record that this router announces the route now."""
        known = self._table.get(source)
        if known is not None and not newer(seqno, known[0]) and (seqno != known[0] or metric >= known[1]):
            seqno, metric = known[:2]
        self._table[source] = (seqno, metric, now)
        self._table.move_to_end(source)
        self._origins[source[0]] = source[1]
        if len(self._table) > MAX_SOURCES:
            self._drop(next(iter(self._table)))

    def _drop(self, source: Source) -> None:
        del self._table[source]
        if self._origins.get(source[0]) == source[1]:
            del self._origins[source[0]]

    def origin(self, prefix: bytes) -> bytes | None:
        """The router id of a subnet's origin, as it was announced last."""
        return self._origins.get(prefix)

    def seqno(self, source: Source) -> int:
        """The sequence number of the last announcement; 0 before the first."""
        last = self._table.get(source)
        return last[0] if last else 0

    def forget(self, now: float) -> None:
        """Drop what is too old."""
        while self._table:
            source, (_, _, at) = next(iter(self._table.items()))
            if now - at < HOLD:
                return
            self._drop(source)
