"""Arithmetic of the routing protocol: sequence numbers, metrics, the cost of a link. Pure.

Source: threefoldtech/mycelium, sequence_number.rs, metric.rs, peer.rs; RFC 8966.
"""

from __future__ import annotations

from dataclasses import dataclass

INFINITE = 0xFFFF
"""The metric of a route that is no more."""
UNKNOWN_COST = 1000
"""Milliseconds that a link is taken for before it was measured."""
TCP_IPV6, TCP_IPV4 = 10, 15
"""What a link costs beside its latency: never nothing, and a little less over IPv6."""


def newer(a: int, b: int) -> bool:
    """Whether sequence number `a` comes after `b`; they wrap around at 65536."""
    return 0 < (a - b) % 0x10000 < 0x8000


def plus(metric: int, cost: int) -> int:
    """The metric of a route seen over a link; infinity stays, and nothing else becomes it."""
    return INFINITE if INFINITE in (metric, cost) else min(metric + cost, INFINITE - 1)


@dataclass(slots=True)
class LinkCost:
    """What it costs to use a peer: the smoothed time from hello to answer, in milliseconds, and a fixed part."""

    static: int
    latency: int = UNKNOWN_COST
    measured: bool = False

    @property
    def value(self) -> int:
        """The cost; at least 1, which is what keeps routes free of loops."""
        return max(1, min(self.latency + self.static, INFINITE - 1))

    def measure(self, milliseconds: int) -> None:
        """Take a measurement in; the first one counts alone, later ones a tenth."""
        seen = min(milliseconds, INFINITE - 1)
        self.latency = (self.latency * 9 + seen) // 10 if self.measured else seen
        self.measured = True
