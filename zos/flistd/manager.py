"""Owns the records of mounts and reconciles them with what is mounted: fetch, observe, plan, apply.

Fetching one flist holds up no other mount; mounting is quick and done one after the other. A record keeps the content
that it got first, whatever its URL gives later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from zos.errors import Kind, ZosError
from zos.flist.info import Info
from zos.flistd import model
from zos.flistd.api.types import Mount, MountId, MountInfo, MountKind
from zos.flistd.host.contract import Host
from zos.flistd.model import DesiredMount, MountRecord, ObservedMounts
from zos.flistd.plan import plan
from zos.flistd.steps import DropMount, MountTree, PutMount, Step
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.flistd")


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
        self._locks: dict[MountId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._applying = asyncio.Lock()
        self._problems: dict[MountId, ZosError] = {}

    # Changes

    async def ensure_mount(self, requested: Mount) -> MountInfo:
        """Accept a mount, fetch its flist and mount it."""
        mount = model.canonical(requested, self._hub)
        async with self._locks[mount.id]:
            before = self._records.get(mount.id)
            if before is None or before.mount != mount:
                self._records.put(mount.id, MountRecord(mount))
            try:
                await self._fetch(mount.id)
                await self._reconcile_mounts()
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
        """Unmount and forget; an unknown id is fine."""
        async with self._locks[id]:
            self._records.drop(id)
            self._problems.pop(id, None)
            await self._reconcile_mounts()

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
        await self._reconcile_mounts()
        unknown = [MountId(id) for id, record in self._records.items() if self._host.known(record.flist) is None]
        if unknown:
            await asyncio.gather(*(self._fetch_or_note(id) for id in unknown))
            await self._reconcile_mounts()
        problems = [err for err in self._problems.values() if err.kind is Kind.NOT_NOW]
        if problems:
            raise problems[0]

    async def tidy(self) -> None:
        """Keep the cache within its bounds."""
        await self._host.tidy({record.flist for _, record in self._records.items() if record.flist})

    async def _fetch_or_note(self, id: MountId) -> None:
        async with self._locks[id]:
            try:
                await self._fetch(id)
            except ZosError as err:
                self._problems[id] = err

    async def _fetch(self, id: MountId) -> None:
        """Fetch the flist of a record unless it is here, and record its hash."""
        record = self._records.get(id)
        if record is None or self._host.known(record.flist) is not None:
            return
        # Ids begin with the twin.
        content = await self._host.obtain(record.mount.url, record.flist or record.mount.hash, id.partition("-")[0])
        self._records.put(id, MountRecord(record.mount, content.flist))
        self._problems.pop(id, None)

    async def _reconcile_mounts(self) -> None:
        """Mount and unmount for the records whose flist is fetched; an error stays with its mount."""
        async with self._applying:
            desired = {
                MountId(id): DesiredMount(record.flist, record.mount.upper)
                for id, record in self._records.items()
                if self._host.known(record.flist) is not None
            }
            observed = await self._host.observe()
            failed: dict[Step, ZosError] = {}
            for step in plan(desired, self._without_unfetched(observed)):
                if isinstance(step, PutMount) and MountTree(step.source) in failed:
                    continue
                log.info("%s", step.describe())
                try:
                    await self._host.apply(step)
                except ZosError as err:
                    log.warning("%s", err.explain())
                    failed[step] = err
            for id, desired_mount in desired.items():
                self._note_problem(id, desired_mount, failed)

    def _without_unfetched(self, observed: ObservedMounts) -> ObservedMounts:
        """Without the mounts whose flist is not here (yet, or any more): what stands there works as long as it is
        served, also under a record of something newer.
        """
        lost = {id for id, record in self._records.items() if self._host.known(record.flist) is None}
        sources = {seen.source for id in lost for seen in observed.mounts.get(MountId(id), ())}
        return ObservedMounts(
            tuple(tree for tree in observed.trees if tree.source not in sources),
            {id: stack for id, stack in observed.mounts.items() if id not in lost},
        )

    def _note_problem(self, id: MountId, desired_mount: DesiredMount, failed: dict[Step, ZosError]) -> None:
        for step, err in failed.items():
            if isinstance(step, MountTree) and step.flist == desired_mount.flist:
                self._problems[id] = err
                return
            if isinstance(step, PutMount | DropMount) and step.id == id:
                self._problems[id] = err
                return
        self._problems.pop(id, None)

    # Views

    async def mounts(self) -> tuple[MountInfo, ...]:
        """All mounts, as observed."""
        return tuple(self._info(record) for _, record in self._records.items())

    def _flist(self, id: MountId) -> str:
        record = self._records.get(id)
        return record.flist if record else ""

    def _info(self, record: MountRecord) -> MountInfo:
        mount, content = record.mount, self._host.known(record.flist)
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
            detail=problem.explain() if problem else info.detail,
        )
