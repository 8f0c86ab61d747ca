"""Images on their way to disks: one copy per disk, which goes on when its caller goes away."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable

from zos.errors import ZosError
from zos.storaged.api.errors import DiskHasData, FillStopped
from zos.storaged.host.contract import Host
from zos.storaged.model import Fill
from zos.storaged.steps import DropPart

log = logging.getLogger("zos.storaged")

Finish = Callable[[Fill], Awaitable[None]]


class Fills:
    """The copies of images that run."""

    def __init__(self, host: Host, finish: Finish) -> None:
        self._host = host
        self._finish = finish
        self._numbers = itertools.count()
        self._running: dict[str, tuple[Fill, asyncio.Task[None]]] = {}

    def parts(self) -> frozenset[str]:
        """The part files that running copies write."""
        return frozenset(fill.part for fill, _ in self._running.values())

    async def run(self, fill: Fill) -> None:
        """Copy to the end, or wait for the same copy that runs already."""
        running = self._running.get(fill.id)
        if running is None:
            fill = dataclasses.replace(fill, part=f"{fill.id}.{next(self._numbers)}")
            task = asyncio.create_task(self._copy(fill), name=f"fill {fill.id}")
            task.add_done_callback(_retrieve)
            self._running[fill.id] = (fill, task)
        else:
            other, task = running
            if dataclasses.replace(fill, size=other.size, part=other.part) != other:
                raise DiskHasData(id=fill.id, holds=f"image {other.image}, which is being copied", image=fill.image)
        # Not awaited itself: our caller's end is not the copy's end, and the copy's is not our caller's.
        await asyncio.wait((task,))
        if task.cancelled():
            raise FillStopped(id=fill.id)
        task.result()

    async def _copy(self, fill: Fill) -> None:
        stop = threading.Event()
        log.info("image %s is copied to disk %s", fill.image, fill.id)
        try:
            await self._host.fill(fill, stop)
            await self._finish(fill)
        except ZosError:
            with contextlib.suppress(ZosError):
                await self._host.apply((DropPart(fill.pool, fill.part),))
            raise
        finally:
            stop.set()
            self._running.pop(fill.id, None)

    async def stop(self, id: str) -> None:
        """End a disk's copy, if one runs."""
        running = self._running.get(id)
        if running is not None:
            running[1].cancel()
            await asyncio.wait((running[1],))

    async def close(self) -> None:
        """End all of them; what was copied is thrown away at the next start."""
        for id in list(self._running):
            await self.stop(id)


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
