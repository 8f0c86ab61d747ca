"""Owns the records of mounts and reconciles them with what is mounted: fetch, observe, plan, apply.

Fetching and mounting one flist holds up no other mount. A record keeps the content that it got first, whatever its URL
gives later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from zos.errors import Kind, ZosError
from zos.flist.info import Info
from zos.flistd import model
from zos.flistd.api.types import Mount, MountId, MountInfo, MountKind
from zos.flistd.host.contract import Content, Host
from zos.flistd.model import DesiredMount, MountRecord, ObservedMounts
from zos.flistd.plan import plan
from zos.flistd.steps import Step
from zos.flistd.underway import Underway, failed_mounts, places
from zos.model.names import owner_of
from zos.runtime.ledger import Ledger
from zos.runtime.locks import Locks

log = logging.getLogger("zos.flistd")

TURN = 1.0
"""Seconds for which a turn waits for flists and mounts; what takes longer goes on beside the turns."""

REST = 60.0
"""Seconds between two walks over a cache that has too little room: all of it may be in use."""


class MountManager:
    """All mounts of flists on the node."""

    def __init__(
        self, host: Host, records: Ledger[MountRecord], mounts: Path, hub: str, wake: Callable[[], None]
    ) -> None:
        self._host = host
        self._records = records
        self._mounts = mounts
        self._hub = hub
        self._wake = wake
        self._locks: Locks[MountId] = Locks()
        self._planning = asyncio.Lock()
        self._underway = Underway(host, self._note_end)
        self._fetching: dict[MountId, asyncio.Task[None]] = {}
        self._contents: Mapping[str, Content] = {}
        """The flists of the records that are here, as of the last turn."""
        self._problems: dict[MountId, ZosError] = {}
        self._rests = 0.0
        """Until then the cache is not tidied again for want of room, by the loop's clock."""

    async def close(self) -> None:
        """End what is going on; what is mounted stays."""
        tasks = tuple(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._underway.close()

    # Changes

    async def ensure_mount(self, desired: Mount) -> MountInfo:
        """Accept a mount, fetch its flist and mount it."""
        mount = model.canonical(desired, self._hub)
        async with self._locks.of(mount.id):
            before = self._records.get(mount.id)
            if before is None or before.mount != mount:
                self._records.put(mount.id, MountRecord(mount))
            try:
                await self._fetch(mount.id)
                await self._settle(mount.id)
                problem = self._problems.get(mount.id)
                if problem is not None:
                    raise problem
            except ZosError as err:
                if err.kind is Kind.NOT_NOW:
                    self._problems[mount.id] = err
                    self._wake()
                else:
                    self._restore_record(mount.id, before)
                raise
            return self._info(MountRecord(mount, self._flist(mount.id)))

    async def drop_mount(self, id: MountId) -> None:
        """Unmount and forget; an unknown id is fine. Raises when it is still mounted: ask again."""
        async with self._locks.of(id):
            self._records.drop(id)
            self._problems.pop(id, None)
            await self._settle(id)
            problem = self._problems.pop(id, None)
            if problem is not None:
                raise problem

    def _restore_record(self, id: MountId, before: MountRecord | None) -> None:
        """Restore the former record after a refused change."""
        self._problems.pop(id, None)
        if before is None:
            self._records.drop(id)
        else:
            self._records.put(id, before)
        self._wake()

    # Reconciling

    async def reconcile(self) -> None:
        """One round. What is fetched is mounted first, so that a node without its hub boots what it can."""
        await self._start_steps()
        await self._underway.wait_for_all(TURN)
        unknown = [MountId(id) for id, record in self._records.items() if record.flist not in self._contents]
        if unknown:
            fetching = [self._fetch_beside(id) for id in unknown]
            await asyncio.wait(fetching, timeout=TURN)
            await self._start_steps()
            await self._underway.wait_for_all(TURN)
        problems = [err for err in self._problems.values() if err.kind is Kind.NOT_NOW]
        if problems:
            raise problems[0]

    async def tidy(self) -> None:
        """Keep the cache within its bounds."""
        wanted: dict[str, set[str]] = {}
        for id, record in self._records.items():
            if record.flist:
                wanted.setdefault(record.flist, set()).add(owner_of(MountId(id)))
        await self._host.tidy(wanted)

    async def give_way(self) -> None:
        """Tidy at once when the cache's volume became smaller than what it holds."""
        now = asyncio.get_running_loop().time()
        if now >= self._rests and await self._host.is_cramped():
            self._rests = now + REST
            await self.tidy()

    def _fetch_beside(self, id: MountId) -> asyncio.Task[None]:
        """Fetch in a task of its own: a store that is slow holds up no turn for long."""
        before = self._fetching.get(id)
        if before is not None:
            return before
        loop = asyncio.get_running_loop()
        began, task = loop.time(), asyncio.create_task(self._fetch_or_note(id), name=f"fetch {id}")
        self._fetching[id] = task

        def end(_: asyncio.Task[None]) -> None:
            del self._fetching[id]
            if loop.time() - began >= TURN:
                self._wake()

        task.add_done_callback(end)
        return task

    async def _fetch_or_note(self, id: MountId) -> None:
        async with self._locks.of(id):
            try:
                await self._fetch(id)
            except ZosError as err:
                self._problems[id] = err

    async def _fetch(self, id: MountId) -> None:
        """Fetch the flist of a record unless it is here, and record its hash."""
        record = self._records.get(id)
        if record is None or await self._host.known({record.flist}):
            return
        content = await self._host.obtain(record.mount.url, record.flist or record.mount.hash, owner_of(id))
        self._records.put(id, MountRecord(record.mount, content.flist))
        self._problems.pop(id, None)

    async def _settle(self, id: MountId) -> None:
        """Take the steps for a mount as it is recorded now; returns when they are taken or have failed."""
        while True:
            was_busy = id in self._underway
            observed = await self._start_steps()
            await self._underway.wait(places(id, observed))
            if not was_busy:
                return

    async def _start_steps(self) -> ObservedMounts:
        """Mount and unmount for the records whose flist is fetched; an error stays with its mount."""
        async with self._planning:
            await self._look_for_flists()
            desired = {
                MountId(id): DesiredMount(record.flist, record.mount.upper)
                for id, record in self._records.items()
                if record.flist in self._contents
            }
            observed = self._underway.as_if_done(await self._host.observe())
            steps = plan(desired, self._without_unfetched(observed))
            waited = {id for step in steps for id in failed_mounts(step, self._wanted())}
            for id in desired.keys() - waited:
                if id not in self._underway:
                    self._problems.pop(id, None)
            self._underway.start(steps, observed)
            return observed

    async def _look_for_flists(self) -> None:
        wanted = {record.flist for _, record in self._records.items() if record.flist}
        try:
            self._contents = await self._host.known(wanted)
        except ZosError as err:
            # What stands stays as it is, and what nobody wants goes.
            log.warning("the flists that are here cannot be read: %s", err)
            self._contents = {}

    def _without_unfetched(self, observed: ObservedMounts) -> ObservedMounts:
        """Without the mounts whose flist is not here (yet, or any more): what stands there works as long as it is
        served, also under a record of something newer.
        """
        lost = {id for id, record in self._records.items() if record.flist not in self._contents}
        sources = {seen.source for id in lost for seen in observed.mounts.get(MountId(id), ())}
        return ObservedMounts(
            tuple(tree for tree in observed.trees if tree.source not in sources),
            {id: stack for id, stack in observed.mounts.items() if id not in lost},
        )

    def _note_end(self, step: Step, failure: ZosError | None) -> None:
        for id in failed_mounts(step, self._wanted()):
            if failure is not None:
                self._problems[id] = failure
            else:
                self._problems.pop(id, None)

    def _wanted(self) -> Mapping[MountId, str]:
        return {MountId(id): record.flist for id, record in self._records.items()}

    # Views

    async def mounts(self) -> tuple[MountInfo, ...]:
        """All mounts, as observed."""
        try:
            troubles = await self._host.troubles()
        except ZosError as err:
            log.warning("what cannot be read is not known: %s", err)
            troubles = {}
        return tuple(self._info(record, troubles.get(record.flist, "")) for _, record in self._records.items())

    def _flist(self, id: MountId) -> str:
        record = self._records.get(id)
        return record.flist if record else ""

    def _info(self, record: MountRecord, trouble: str = "") -> MountInfo:
        mount, content = record.mount, self._contents.get(record.flist)
        info = content.info if content else Info(detail="the flist is not here yet")
        problem = self._problems.get(mount.id)
        return MountInfo(
            id=mount.id,
            url=mount.url,
            path=self._mounts / mount.id,
            flist=record.flist,
            kind=MountKind.IMAGE if info.image else MountKind.CONTAINER,
            entrypoint=info.entrypoint,
            env=info.env,
            image=info.image,
            image_size=info.image_size,
            kernel=info.kernel,
            initrd=info.initrd,
            detail=problem.explain() if problem else trouble or info.detail,
        )
