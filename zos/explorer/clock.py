"""The clock by which nodes' reports are judged."""

from __future__ import annotations

from zos.runtime.clock import Clock

TOLERANCE = 60
"""Seconds by which the clocks of a healthy grid may differ."""


class GridClock:
    """This machine's time, or the chain's where that is ahead: a lab may move its chain into the future."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = 0

    def set_chain_time(self, chain: int) -> None:
        """A block that is final now carries this time (unix seconds)."""
        ahead = chain - int(self._clock.time())
        self._ahead = ahead if ahead > TOLERANCE else 0

    def time(self) -> int:
        return int(self._clock.time()) + self._ahead
