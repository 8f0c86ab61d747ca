"""Keeps the wishes, and makes the mounts so: fetch, observe, plan, apply.

Fetching one flist holds up no other mount; mounting is quick and done one after the other. A wish keeps the content
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
from zos.flistd.model import Have, Kept, Want
from zos.flistd.plan import plan
from zos.flistd.steps import DropMount, MountTree, PutMount, Step, describe
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.flistd")


class Keeper:
    """Everything that flistd is asked for, and the state of it."""

    def __init__(self, host: Host, wishes: Ledger[Kept], mounts: Path, hub: str, again: Callable[[], None]) -> None:
        self._host = host
        self._wishes = wishes
        self._mounts = mounts
        self._hub = hub
        self._again = again
        self._locks: dict[MountId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._applying = asyncio.Lock()
        self._troubles: dict[MountId, ZosError] = {}

    # Wishes

    async def ensure_mount(self, asked: Mount) -> MountInfo:
        """Accept a mount and make it so."""
        mount = model.canonical(asked, self._hub)
        async with self._locks[mount.id]:
            before = self._wishes.get(mount.id)
            if before is None or before.mount != mount:
                self._wishes.put(mount.id, Kept(mount))
            try:
                await self._fetch(mount.id)
                await self._make()
                trouble = self._troubles.get(mount.id)
                if trouble is not None:
                    raise trouble
            except ZosError as err:
                if err.kind is Kind.NOT_NOW:
                    self._troubles[mount.id] = err
                    self._again()
                else:
                    self._put_back(mount.id, before)
                raise
            return self._info(Kept(mount, self._flist(mount.id)))

    async def drop_mount(self, id: MountId) -> None:
        """Unmount it, for good."""
        async with self._locks[id]:
            self._wishes.drop(id)
            self._troubles.pop(id, None)
            await self._make()

    def _put_back(self, id: MountId, before: Kept | None) -> None:
        """A refused wish leaves the former one in force."""
        self._troubles.pop(id, None)
        if before is None:
            self._wishes.drop(id)
        else:
            self._wishes.put(id, before)
        self._again()

    # Making it so

    async def reconcile(self) -> None:
        """Everything once: what is fetched already first, so that a node without its hub boots what it can."""
        await self._make()
        unknown = [MountId(id) for id, kept in self._wishes.items() if self._host.known(kept.flist) is None]
        if unknown:
            await asyncio.gather(*(self._fetch_quietly(id) for id in unknown))
            await self._make()
        troubles = [err for err in self._troubles.values() if err.kind is Kind.NOT_NOW]
        if troubles:
            raise troubles[0]

    async def tidy(self) -> None:
        """Keep the cache within its bounds."""
        await self._host.tidy({kept.flist for _, kept in self._wishes.items() if kept.flist})

    async def _fetch_quietly(self, id: MountId) -> None:
        async with self._locks[id]:
            try:
                await self._fetch(id)
            except ZosError as err:
                self._troubles[id] = err

    async def _fetch(self, id: MountId) -> None:
        """Have the flist of a wish here, and write down which one it is."""
        kept = self._wishes.get(id)
        if kept is None or self._host.known(kept.flist) is not None:
            return
        # Ids begin with the twin.
        content = await self._host.obtain(kept.mount.url, kept.flist or kept.mount.hash, id.partition("-")[0])
        self._wishes.put(id, Kept(kept.mount, content.flist))
        self._troubles.pop(id, None)

    async def _make(self) -> None:
        """Mount and unmount what the wishes that are fetched take; failures stay with their mounts."""
        async with self._applying:
            want = {
                MountId(id): Want(kept.flist, kept.mount.upper)
                for id, kept in self._wishes.items()
                if self._host.known(kept.flist) is not None
            }
            have = await self._host.observe()
            failed: dict[Step, ZosError] = {}
            for step in plan(want, self._spared(have)):
                if isinstance(step, PutMount) and MountTree(step.source) in failed:
                    continue
                log.info("%s", describe(step))
                try:
                    await self._host.apply(step)
                except ZosError as err:
                    log.warning("%s", err.explain())
                    failed[step] = err
            for id, wish in want.items():
                self._judge(id, wish, failed)

    def _spared(self, have: Have) -> Have:
        """Without the mounts whose flist is not here (yet, or any more): what stands there works as long as it is
        served, also under a wish for something newer.
        """
        lost = {id for id, kept in self._wishes.items() if self._host.known(kept.flist) is None}
        sources = {seen.source for id in lost for seen in have.mounts.get(MountId(id), ())}
        return Have(
            tuple(tree for tree in have.trees if tree.source not in sources),
            {id: stack for id, stack in have.mounts.items() if id not in lost},
        )

    def _judge(self, id: MountId, wish: Want, failed: dict[Step, ZosError]) -> None:
        for step, err in failed.items():
            if isinstance(step, MountTree) and step.flist == wish.flist:
                self._troubles[id] = err
                return
            if isinstance(step, PutMount | DropMount) and step.id == id:
                self._troubles[id] = err
                return
        self._troubles.pop(id, None)

    # Views

    async def mounts(self) -> tuple[MountInfo, ...]:
        """All mounts as they stand."""
        return tuple(self._info(kept) for _, kept in self._wishes.items())

    def _flist(self, id: MountId) -> str:
        kept = self._wishes.get(id)
        return kept.flist if kept else ""

    def _info(self, kept: Kept) -> MountInfo:
        mount, content = kept.mount, self._host.known(kept.flist)
        info = content.info if content else Info(detail="the flist is not here yet")
        trouble = self._troubles.get(mount.id)
        return MountInfo(
            id=mount.id,
            url=mount.url,
            path=self._mounts / mount.id,
            flist=kept.flist,
            kind=MountKind.IMAGE if info.image else MountKind.CONTAINER,
            entrypoint=info.entrypoint,
            env=info.env,
            image=info.image,
            image_size=info.image_size,
            kernel=info.kernel,
            initrd=info.initrd,
            detail=trouble.explain() if trouble else info.detail,
        )
