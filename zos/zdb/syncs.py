"""Writes are acknowledged when they are on the disk.

All writes of one turn of the event loop, whichever connections they came from, share one sync, which runs in a thread;
what arrives meanwhile shares the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from zos.zdb.files import sync
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Batch
from zos.zdb.session import World

log = logging.getLogger("zos.zdb")


class Syncs:
    """Brings what the namespaces of a server wrote to the disk, in numbered batches.

    `synced` is told the number of each batch that is there; `lost` is told each namespace of which a batch could not be
    settled, so that nothing of it may be acknowledged.
    """

    def __init__(self, world: World, *, synced: Callable[[int], None], lost: Callable[[Namespace], None]) -> None:
        self._world = world
        self._synced, self._lost = synced, lost
        self.failed = asyncio.Event()
        """A write did not reach the disk."""
        self.idle = asyncio.Event()
        """No write waits for the disk."""
        self.idle.set()
        self._filling = 1
        """The number of the batch that is being filled."""
        self._written: set[Namespace] = set()
        """Those that were written to since the last batch."""
        self._leaving: set[Namespace] = set()
        """Those that are served no longer, and of which answers may wait for a batch."""
        self._syncing = False
        self._scheduled = False
        self._again = False
        """Something was written during a sync."""
        self._under_way: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(1, "zdb-sync")

    def close(self) -> None:
        """End the thread; wait for `idle` before."""
        self._threads.shutdown()

    async def settled(self, space: Namespace) -> None:
        """Wait for the batches of what was written to a namespace that is served no longer."""
        self._leaving.add(space)
        try:
            await self._settled()
            # The batch that was being filled has begun, if there was one.
            await asyncio.sleep(0)
            await self._settled()
        finally:
            self._leaving.discard(space)

    async def _settled(self) -> None:
        if self._under_way is not None:
            await asyncio.wait((self._under_way,))

    def wrote(self, space: Namespace) -> int:
        """Something was written there: the batch whose sync makes it safe, 0 when nobody waits for that."""
        self._written.add(space)
        return self._wrote()

    def _wrote(self) -> int:
        if self._syncing:
            self._again = True
        elif not self._scheduled:
            self._scheduled = True
            self.idle.clear()
            asyncio.get_running_loop().call_soon(self._begin)
        return self._filling if self._world.settings.sync else 0

    def _begin(self) -> None:
        self._scheduled = False
        served = self._world.store.spaces
        known = (space for space in self._written if served.get(space.settings.name) is space or space in self._leaving)
        spaces = [space for space in known if space.is_unsynced]
        self._written.clear()
        if not self._world.settings.sync:
            for space in spaces:
                with contextlib.suppress(OSError):  # tried again with the next write
                    space.settle_unsynced()
                if space.is_unsynced:
                    self._written.add(space)
            self.idle.set()
            return
        batch, self._filling = self._filling, self._filling + 1
        self._syncing = True
        task = self._under_way = asyncio.get_running_loop().create_task(self._sync(batch, spaces))
        self._world.hooks.keep(task)

    async def _sync(self, batch: int, spaces: list[Namespace]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while spaces:
                taken = [(space, space.take_batch()) for space in spaces]
                descriptors = [one for _, written in taken for one in written.descriptors]
                await loop.run_in_executor(self._threads, sync, descriptors)
                # What was replaced in place in sequential mode needs a sync of its own.
                spaces = [space for space, written in taken if self._settle(space, written)]
        except OSError as err:
            log.critical("a write did not reach the disk: %s; the server ends so that nothing more is promised", err)
            self.failed.set()
            self.idle.set()
            return
        self._syncing = False
        self._synced(batch)
        # Not what is unsynced by now: a FLUSH may have brought it to the disk, and answers still wait for their batch.
        again, self._again = self._again, False
        if again:
            self._wrote()
        else:
            self.idle.set()

    def _settle(self, space: Namespace, written: Batch) -> bool:
        """See `Namespace.settle`. Where that fails, the namespace is lost to its clients, and nobody else notices."""
        try:
            must_sync = space.settle(written)
            if space.is_unsynced:
                self._written.add(space)
            return must_sync
        except OSError as err:
            log.error("%s: %s; its connections are ended", space.index_path, err.strerror)
            self._lost(space)
            self._written.add(space)
            return False
