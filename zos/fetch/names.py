"""Names looked up beside an event loop: in a few threads, which nobody's silent name servers hold at others' cost.

A thread that waits for a name server cannot be stopped. So who asks has a share, names that answered lately have
threads of their own and their former addresses when those do not suffice, and a silent name is not asked again soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from cachetools import TTLCache

from zos.fetch.dial import Found, numeric

LOOKUPS, LOOKUPS_SHARE = 16, 2
"""Threads that look names up, and those that one tenant's silent name servers can hold."""
KNOWN = 4
"""Threads of these for names that answered lately."""
PATIENCE = 1.0
"""Seconds that the new addresses of such a name are waited for."""
LATELY, NAMES = 3600.0, 4096
SILENT, AGAIN = 3.0, 60.0
"""Seconds without an answer after which a name is silent, and seconds until it is asked again."""

Lookup = Callable[[str, int], list[Found]]


class Shares:
    """At most `total` at the same time, and at most `share` of one key."""

    def __init__(self, total: int, share: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._share = share
        self._keys: dict[str, tuple[asyncio.Semaphore, int]] = {}

    async def take(self, key: str) -> None:
        """Wait for a place. Who has all of its share waits without taking places of others."""
        turns, users = self._keys.get(key, (asyncio.Semaphore(self._share), 0))
        self._keys[key] = (turns, users + 1)
        try:
            await turns.acquire()
            try:
                await self._all.acquire()
            except BaseException:
                turns.release()
                raise
        except BaseException:
            self._leave(key)
            raise

    def release(self, key: str) -> None:
        """Give a place back."""
        self._all.release()
        self._keys[key][0].release()
        self._leave(key)

    def _leave(self, key: str) -> None:
        turns, users = self._keys[key]
        if users > 1:
            self._keys[key] = (turns, users - 1)
        else:
            del self._keys[key]

    @contextlib.asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[None]:
        """A place for the time of a block."""
        await self.take(key)
        try:
            yield
        finally:
            self.release(key)


class Names:
    """Looks names up by `lookup`, which may take long."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._new = Shares(LOOKUPS - KNOWN, LOOKUPS_SHARE)
        self._again = Shares(KNOWN, 1)
        self._threads: ThreadPoolExecutor | None = None
        self._running: set[asyncio.Future[list[Found]]] = set()
        self._answers: TTLCache[tuple[str, int], list[Found]] = TTLCache(NAMES, LATELY)
        self._silent: TTLCache[str, bool] = TTLCache(NAMES, AGAIN)

    def close(self) -> None:
        """Let go of the threads."""
        for running in tuple(self._running):
            running.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def find(self, host: str, port: int, key: str) -> list[Found]:
        """A host's addresses, at the expense of `key`. Whoever gives up still holds its thread until that ends."""
        literal = numeric(host, port)
        if literal:
            return literal
        known = self._answers.get((host, port))
        if known is None:
            if host in self._silent:
                raise OSError(f"the name server of {host} did not answer")
            return await self._look(self._new, key, host, port)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._look(self._again, host, host, port)
        except TimeoutError:
            return known
        except socket.gaierror as err:
            if err.errno != socket.EAI_AGAIN:
                raise
            return known

    async def _look(self, shares: Shares, key: str, host: str, port: int) -> list[Found]:
        await shares.take(key)
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._threads = self._threads or ThreadPoolExecutor(LOOKUPS, "lookup")
        running = loop.run_in_executor(self._threads, self._lookup, host, port)
        self._running.add(running)

        def ended(future: asyncio.Future[list[Found]]) -> None:
            self._running.discard(future)
            shares.release(key)
            if future.cancelled():
                return
            if future.exception() is None:
                self._answers[host, port] = future.result()
            elif loop.time() - began > SILENT:
                self._silent[host] = True

        running.add_done_callback(ended)
        return await asyncio.shield(running)
