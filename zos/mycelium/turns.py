"""Whose control messages are worked on: a peer that sends more than its share waits, and everything else goes on.

Control messages are cheap to send and may be dear to work on, so what counts is the processor time that they took.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import thread_time

SLICE = 0.0005
"""Seconds of work in one turn of the event loop."""
REST = 3.0
"""Times as long as the work was, others have the loop before the next piece: control has a quarter of a core."""
BURST = 0.005
"""Seconds of work that a peer may be ahead of its share before it waits."""
SHARE = 0.25


class Account:
    """The time that one peer's messages took lately."""

    def __init__(self, now: float) -> None:
        self._ahead = 0.0
        self._at = now

    def charge(self, spent: float, now: float) -> None:
        self._ahead = max(0.0, self._ahead - (now - self._at) * SHARE) + spent
        self._at = now

    def is_over(self, now: float) -> bool:
        self.charge(0.0, now)
        return self._ahead > BURST


class Turns:
    """Pieces of work in turn. Each does at most `SLICE` when it is called, and is true while there is more to do."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, piece: Callable[[], bool]) -> None:
        """Let it wait for its turn."""
        self._waiting.append(piece)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SLICE, self._turn)

    def _turn(self) -> None:
        self._timer = None
        piece, began = self._waiting.popleft(), thread_time()
        if piece():
            self._waiting.append(piece)
        if self._waiting:
            wait = max(SLICE, (thread_time() - began) * REST)
            self._timer = asyncio.get_running_loop().call_later(wait, self._turn)
