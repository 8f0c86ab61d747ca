"""How much a twin may send per minute, if the operator has set a limit. Pure but for the clock."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TTLCache

from zos.runtime.clock import Clock

MINUTE = 60.0
TWINS = 10_000
"""Twins that are counted at the same time."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Per twin and minute."""

    count: int
    bytes: int


@dataclass(slots=True)
class _Window:
    count: int = 0
    bytes: int = 0


class MinuteQuota:
    """What twins have sent, in windows of a minute as the grid's relays count; no limit is None."""

    def __init__(self, limit: Limit | None, clock: Clock) -> None:
        self._limit = limit
        # A window opens with a twin's first message and closes a minute later.
        self._windows: TTLCache[int, _Window] = TTLCache(TWINS, MINUTE, clock.monotonic)

    def take(self, twin: int, size: int) -> bool:
        """Count one more message of so many bytes; False when it would exceed the limit."""
        if self._limit is None:
            return True
        window = self._windows.get(twin) or _Window()
        if window.count + 1 > self._limit.count or window.bytes + size > self._limit.bytes:
            return False
        window.count += 1
        window.bytes += size
        self._windows.setdefault(twin, window)
        return True
