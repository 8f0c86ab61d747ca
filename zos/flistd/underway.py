"""The steps that are under way: of one mount or tree one after the other, of different ones side by side."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from zos.errors import ZosError
from zos.flistd.api.types import MountId
from zos.flistd.host.contract import Host
from zos.flistd.model import ObservedMounts, ObservedTree
from zos.flistd.steps import DropTree, MountTree, PutMount, Step

log = logging.getLogger("zos.flistd")


class Underway:
    """Takes steps in tasks of their own: a disk that hangs holds up the mounts on it, and no other."""

    def __init__(self, host: Host, on_end: Callable[[Step, ZosError | None], None]) -> None:
        self._host = host
        self._on_end = on_end
        self._tasks: dict[str, asyncio.Task[ZosError | None]] = {}
        self._steps: dict[str, tuple[Step, ...]] = {}

    def __contains__(self, place: str) -> bool:
        return place in self._tasks

    def start(self, steps: Iterable[Step], observed: ObservedMounts) -> None:
        """Take steps, but none at a place where others are under way."""
        lists: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            lists[_place(step)].append(step)
        fresh = {place: tuple(wanted) for place, wanted in lists.items() if place not in self._tasks}
        for place, wanted in fresh.items():
            self._steps[place] = wanted
            self._tasks[place] = asyncio.create_task(self._take(wanted, observed), name=f"mount {place}")
            self._tasks[place].add_done_callback(functools.partial(self._end, place))

    def _end(self, place: str, _: object) -> None:
        del self._tasks[place], self._steps[place]

    async def _take(self, steps: Iterable[Step], observed: ObservedMounts) -> ZosError | None:
        for step in steps:
            failure = await self._before(step, observed)
            if failure is None:
                log.info("%s", step.describe())
                try:
                    await self._host.apply(step)
                except ZosError as err:
                    log.warning("%s", err.explain())
                    failure = err
            self._on_end(step, failure)
            if failure is not None:
                return failure
        return None

    async def _before(self, step: Step, observed: ObservedMounts) -> ZosError | None:
        """Wait for what a step stands on, or for what stands on it; returns the error that makes it impossible."""
        if isinstance(step, PutMount) and step.source in self._tasks:
            return await asyncio.shield(self._tasks[step.source])
        if isinstance(step, DropTree):
            over = (id for id, stack in observed.mounts.items() if any(seen.source == step.source for seen in stack))
            await self.wait(tuple(over))
        return None

    async def wait(self, places: Collection[str], seconds: float | None = None) -> None:
        """Wait for what is under way at these places, so many seconds at most."""
        tasks = [self._tasks[place] for place in places if place in self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def wait_for_all(self, seconds: float) -> None:
        """Wait for all that is under way, so many seconds at most."""
        await self.wait(tuple(self._tasks), seconds)

    def as_if_done(self, observed: ObservedMounts) -> ObservedMounts:
        """What is observed, without the trees that are about to go."""
        going = {step.source for steps in self._steps.values() for step in steps if isinstance(step, DropTree)}
        trees = (ObservedTree(one.source, one.alive and one.source not in going) for one in observed.trees)
        return ObservedMounts(tuple(trees), observed.mounts)

    async def close(self) -> None:
        """End what is under way."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def places(id: MountId, observed: ObservedMounts) -> tuple[str, ...]:
    """Where the steps for a mount are taken: at its own place, and at the trees that it stands on."""
    return id, *(seen.source for seen in observed.mounts.get(id, ()))


def _place(step: Step) -> str:
    return step.source if isinstance(step, MountTree | DropTree) else step.id


def failed_mounts(step: Step, flists: Mapping[MountId, str]) -> tuple[MountId, ...]:
    """The mounts that wait for a step, by what `flists` they want."""
    if isinstance(step, MountTree):
        return tuple(id for id, flist in flists.items() if flist == step.flist)
    return () if isinstance(step, DropTree) else (step.id,)
