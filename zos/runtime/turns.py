"""Whose turn it is in one event loop: of those who wait, the network that used the least processor time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from time import thread_time


class Turns:
    """One piece of work at a time. A network that asks for much waits for itself, not others for it."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._used: dict[str, float] = {}
        self._busy = False

    async def begin(self, network: str) -> None:
        """Wait for a turn; `working` must follow."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._used.setdefault(network, min(self._used.values(), default=0.0))
        self._waiting.setdefault(network, deque()).append(turn)
        if not self._busy:
            # Whoever is ready in this round of the loop waits before one is chosen.
            self._busy = True
            asyncio.get_running_loop().call_soon(self._next)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            raise

    @contextlib.contextmanager
    def working(self, network: str) -> Iterator[None]:
        """A turn: charge its time, then give it on."""
        began = thread_time()
        try:
            yield
        finally:
            self._used[network] = self._used.get(network, 0.0) + thread_time() - began
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            network = min(self._waiting, key=lambda one: self._used.get(one, 0.0))
            turn = self._waiting[network].popleft()
            if not self._waiting[network]:
                del self._waiting[network]
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
        # Nobody is behind: what was used is history.
        self._used.clear()
