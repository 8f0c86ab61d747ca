"""Slots for costly work, given fairly: a tenant has one at a time, and tenants take turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class FairSlots:
    """So many pieces of work at once; one who asks for much, or whose work is slow, waits for himself."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._busy: set[str] = set()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By tenant, who has waited longest since his last turn first."""

    @contextlib.asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Have a slot for the time of the block."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        self._give()
        try:
            await mine
            yield
        finally:
            if mine.done() and not mine.cancelled():
                self._free += 1
                self._busy.discard(tenant)
                if rest := self._waiting.pop(tenant, None):
                    self._waiting[tenant] = rest  # behind the others
            self._give()

    def _give(self) -> None:
        for tenant in tuple(self._waiting):
            waiting = self._waiting[tenant]
            while waiting and waiting[0].done():
                waiting.popleft()  # whoever waited has gone away
            if waiting and (tenant in self._busy or not self._free):
                continue
            if waiting:
                self._free -= 1
                self._busy.add(tenant)
                waiting.popleft().set_result(None)
            if not waiting:
                del self._waiting[tenant]
