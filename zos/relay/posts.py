"""Bodies that other relays post: read a few at a time, and a slow one makes way for the next."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from zos.rmb.limits import MessageQuota
from zos.runtime.places import Places
from zos.runtime.quota import FairQuota

READING = 64
"""Posts that are read at the same time; what came whole with its request needs no place."""
READ = 10.0
"""Seconds that one may take."""
WORK, WORK_EACH, WORK_BYTES = 1024, 512, 64 << 20
"""Posts that are read and worked on, and their bytes; of one network at most half."""


class TooMany(Exception):
    """It is told to come again."""


class Posts:
    """By network. Whose bytes do not come makes way for whose do: the longest silent, of who has many first."""

    def __init__(self) -> None:
        self._reading: Places[str, asyncio.Timeout] = Places(READING, READING // 2, _hurry)
        self._work: MessageQuota[str] = MessageQuota(FairQuota(WORK, WORK_EACH), FairQuota(WORK_BYTES, WORK_BYTES))

    @property
    def reading(self) -> int:
        """Posts of which the body did not come with the request."""
        return len(self._reading)

    @contextlib.asynccontextmanager
    async def body(self, request: web.Request, network: str) -> AsyncIterator[bytes]:
        """A post's body, for the time of a block. Raises TooMany, and TimeoutError for what does not come."""
        data = await request.read() if request.content.is_eof() else await self._read(request, network)
        if not self._work.take(network, len(data)):
            raise TooMany
        try:
            yield data
        finally:
            self._work.release(network, len(data))

    async def _read(self, request: web.Request, network: str) -> bytes:
        reading = asyncio.timeout(READ)
        if not self._reading.enter(network, reading):
            raise TooMany
        try:
            async with reading:
                return await request.read()
        except TimeoutError:
            if reading not in self._reading:
                raise TooMany from None
            raise
        finally:
            self._reading.leave(reading)


def _hurry(reading: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # its time was over just now, or it did not begin
        reading.reschedule(asyncio.get_running_loop().time())
