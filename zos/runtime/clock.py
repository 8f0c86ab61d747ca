"""The two clocks: wall time for people and the chain, monotonic time for delays. A test hands in its own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def time(self) -> float:
        """Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        ...


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """A clock that moves only by `advance`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.set_by = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - self.set_by

    def set(self, now: float) -> None:
        """Set the wall clock, as NTP does; the monotonic one does not move."""
        self.set_by += now - self.now
        self.now = now

    def advance(self, seconds: float) -> None:
        """Move forward by so many seconds."""
        self.now += seconds
