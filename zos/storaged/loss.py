"""What a pool lacks of what it may promise, and that nothing on it occupies: for how long, and how much. Pure."""

from __future__ import annotations

from collections import deque

from zos.storaged.model import ObservedPool

WINDOW = 90.0
"""Seconds for which something must be missing. btrfs counts every 30, and frees later what was erased."""
STEP = 1.0


def missing(observed: ObservedPool, usable: int) -> int:
    """Bytes that the file system has less than it would if it held only what is known to be on it."""
    return 0 if observed.free is None else max(0, usable - observed.occupied - observed.free)


class Loss:
    """What was missing of one pool all the time of the last window."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._seen: deque[tuple[float, int]] = deque()
        """Times with rising amounts: the first is the least of the window."""

    def note(self, now: float, lost: int) -> None:
        """Note what is missing at a time (seconds, monotonic)."""
        self._began = now if self._began is None else self._began
        at = now
        if self._seen and now - self._seen[-1][0] < STEP:
            at, before = self._seen.pop()
            lost = min(lost, before)
        while self._seen and self._seen[-1][1] >= lost:
            self._seen.pop()
        self._seen.append((at, lost))
        while len(self._seen) > 1 and self._seen[0][0] <= now - WINDOW:
            self._seen.popleft()

    def least(self, now: float) -> int:
        """Bytes; 0 before a window is over."""
        return self._seen[0][1] if self._began is not None and now - self._began >= WINDOW else 0
