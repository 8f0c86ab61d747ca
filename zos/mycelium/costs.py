"""Arithmetic of the routing protocol: sequence numbers, metrics, the cost of a link. Pure.

Source: threefoldtech/mycelium, sequence_number.rs, metric.rs, peer.rs; RFC 8966.
"""

from __future__ import annotations

from dataclasses import dataclass

INFINITE = 0xFFFF
"""The metric of a retracted route."""
UNKNOWN_COST = 1000
"""The assumed latency, in milliseconds, of a link that is not measured yet."""
TCP_IPV6, TCP_IPV4 = 10, 15
"""The cost of a link beside its latency. Never zero (loops would cost nothing), and lower over IPv6."""


def newer(a: int, b: int) -> bool:
    """Whether sequence number `a` comes after `b`; they wrap around at 65536."""
    return 0 < (a - b) % 0x10000 < 0x8000


def plus(metric: int, cost: int) -> int:
    """The metric of a route through a link; infinity stays infinite, and nothing else becomes infinite."""
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
        """Add a measurement: the first counts alone, each later one a tenth."""
        seen = min(milliseconds, INFINITE - 1)
        self.latency = (self.latency * 9 + seen) // 10 if self.measured else seen
        self.measured = True
