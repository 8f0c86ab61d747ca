"""Keeps the wishes, and makes the node's disks and volumes so: observe, plan, apply, one at a time.

A disk or volume is worked on under its own lock, so that no tenant waits for another; a wish that is refused leaves
what was there before, both in the ledger and on the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from zos.errors import Kind as ErrorKind
from zos.errors import ZosError
from zos.model.evidence import Evidence
from zos.model.units import Bytes
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.storaged import plan
from zos.storaged.api.errors import NoCache, NoSuchDisk, Starting
from zos.storaged.api.types import (
    CACHE,
    Disk,
    DiskId,
    DiskInfo,
    Kind,
    Pool,
    Tombstone,
    Volume,
    VolumeId,
    VolumeInfo,
)
from zos.storaged.fills import Fills
from zos.storaged.graves import Graves, check
from zos.storaged.host.contract import Host
from zos.storaged.model import DiskSeen, Fill, Layout, PoolSeen, VolumeSeen, Wish, check_id, key
from zos.storaged.model import check as check_wish
from zos.storaged.pools import Pools
from zos.storaged.steps import FinishFill

log = logging.getLogger("zos.storaged")

SETTLED = 120.0
"""Seconds after which btrfs has surely written down that something was made (it does so every 30)."""
START_PATIENCE = 10.0
"""Seconds for which a call waits for the first look."""


class Keeper:
    """Everything that storaged is asked for, and the state of it."""

    def __init__(
        self,
        host: Host,
        layout: Layout,
        pools: Pools,
        graves: Graves,
        wishes: Ledger[Wish],
        clock: Clock,
        again: Callable[[], None],
        on_hdd: bool = False,
    ) -> None:
        self._host = host
        self._layout = layout
        self._pools = pools
        self._graves = graves
        self._wishes = wishes
        self._clock = clock
        self._again = again
        self._on_hdd = on_hdd
        self._fills = Fills(host, self._finish_fill)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._looked = asyncio.Event()
        self._since: dict[str, float] = {}
        self._troubles: dict[str, str] = {}

    # Wishes

    async def ensure_disk(self, disk: Disk) -> DiskInfo:
        """Accept a disk and make it so."""
        wish, have = await self._ensure(Kind.DISK, disk.id, disk.size)
        return self._disk(wish, have.disks.get(wish.id))

    async def ensure_volume(self, volume: Volume) -> VolumeInfo:
        """Accept a volume and make it so."""
        wish, have = await self._ensure(Kind.VOLUME, volume.id, volume.size)
        return self._volume(wish, have.volumes.get(wish.id))

    async def _ensure(self, kind: Kind, id: str, size: int) -> tuple[Wish, PoolSeen]:
        check_wish(kind, id, size)
        await self._started()
        name = key(kind, id)
        async with self._locks[name]:
            await self._graves.settle(kind, id)
            before = self._wishes.get(name)
            known = before or await self._adopted(kind, id)
            if known is not None:
                self._pools.require(known.pool, kind, id)
            wish = plan.admit(kind, id, size, known, self._pools.rooms(), on_hdd=self._on_hdd)
            async with self._kept(name, before):
                self._wishes.put(name, wish)
                return wish, await self._make(wish)

    async def _adopted(self, kind: Kind, id: str) -> Wish | None:
        """What is there of this id although nobody wished it (our ledger was lost, or it was brought back)."""
        pool = self._pools.stray(kind, id)
        if not pool:
            return None
        have = await self._host.observe(pool, (kind, id))
        if not have.has(kind, id):
            return None
        size = have.disks[id].size if kind is Kind.DISK else have.volumes[id].limit
        return Wish(kind, id, size, pool)

    @contextlib.asynccontextmanager
    async def _kept(self, name: str, before: Wish | None) -> AsyncIterator[None]:
        """A refused change leaves the former wish in force; one that only failed for now stays wished."""
        try:
            yield
        except ZosError as err:
            if err.kind is not ErrorKind.NOT_NOW:
                if before is None:
                    self._wishes.drop(name)
                else:
                    self._wishes.put(name, before)
            self._again()
            raise

    async def drop(self, kind: Kind, id: str, evidence: Evidence) -> None:
        """Take a disk or volume away and keep it as a tombstone."""
        check_id(kind, id)
        check(kind, id, evidence)
        await self._started()
        if kind is Kind.DISK:
            await self._fills.stop(id)
        async with self._locks[key(kind, id)]:
            try:
                await self._graves.bury(kind, id, evidence)
            except ZosError as err:
                if err.kind is not ErrorKind.NOT_NOW:
                    raise
                # It is decided and written down; the loop does the rest.
                log.warning("%s %s is dropped later: %s", kind, id, err.explain())
            self._troubles.pop(key(kind, id), None)
            self._since.pop(key(kind, id), None)
            self._again()

    async def undelete(self, id: str) -> Tombstone:
        """Bring a tombstone back."""
        await self._started()
        name = self._graves.find(id)
        kind, owner = self._graves.owner(name)
        async with self._locks[key(kind, owner)]:
            return await self._graves.undelete(name)

    # Images

    async def fill_disk(self, id: DiskId, root: Path, source: str, image: str) -> DiskInfo:
        """Copy an image onto a blank disk."""
        await self._started()
        wish = self._disk_wish(id)
        if not await self._is_filled(wish, image):
            await self._fills.run(Fill(wish.pool, id, wish.size, root, source, image))
        wish = self._disk_wish(id)
        have = await self._host.observe(wish.pool, (Kind.DISK, id))
        return self._disk(wish, have.disks.get(id))

    def _disk_wish(self, id: DiskId) -> Wish:
        wish = self._wishes.get(key(Kind.DISK, id))
        if wish is None:
            raise NoSuchDisk(id=id)
        return wish

    async def _is_filled(self, wish: Wish, image: str) -> bool:
        async with self._locks[key(wish.kind, wish.id)]:
            have = await self._make(wish)
            return plan.is_filled(wish, have.disks[wish.id], image)

    async def _finish_fill(self, fill: Fill) -> None:
        async with self._locks[key(Kind.DISK, fill.id)]:
            # It may have grown meanwhile, and it may not have been written to.
            wish = self._disk_wish(DiskId(fill.id))
            have = await self._make(wish)
            if not plan.is_filled(wish, have.disks[wish.id], fill.image):
                await self._host.apply((FinishFill(wish.pool, wish.id, fill.part, wish.size, fill.image),))

    # Making it so

    async def reconcile(self) -> None:
        """Everything once: devices, tombstones, disks and volumes, the cache."""
        failures = await self._pools.look()
        for kind, id in sorted(self._graves.open_ends()):
            async with self._locks[key(kind, id)]:
                failures += await _failure(self._graves.settle(kind, id))
        if not self._looked.is_set():
            self._pools.forget()
            self._looked.set()
        for name, _ in self._wishes.items():
            async with self._locks[name]:
                failures += await _failure(self._mend(name))
        for label in list(self._pools.views):
            if self._pools.is_ready(label):
                have = self._pools.views[label].have
                failures += await _failure(self._host.apply(plan.litter(label, have, self._fills.parts())))
        failures += await _failure(self._pools.tend_cache())
        if failures:
            raise failures[0]

    async def _mend(self, name: str) -> None:
        """One wish, when the last look says that something is to be done."""
        wish = self._wishes.get(name)
        if wish is None or not self._pools.is_ready(wish.pool):
            return
        have = self._pools.views[wish.pool].have
        with contextlib.suppress(ZosError):
            if not plan.item(wish, have):
                self._is_there(name, wish)
                return
        await self._make(wish)

    def _is_there(self, name: str, wish: Wish) -> None:
        self._troubles.pop(name, None)
        now = self._clock.monotonic()
        if not wish.made and now - self._since.setdefault(name, now) >= SETTLED:
            self._wishes.put(name, dataclasses.replace(wish, made=True))

    async def _make(self, wish: Wish) -> PoolSeen:
        """One disk or volume as wished; returns how it stands now."""
        name = key(wish.kind, wish.id)
        try:
            self._pools.require(wish.pool, wish.kind, wish.id)
            have = await self._host.observe(wish.pool, (wish.kind, wish.id))
            if steps := plan.item(wish, have):
                await self._host.apply(steps)
                have = await self._host.observe(wish.pool, (wish.kind, wish.id))
        except ZosError as err:
            self._troubles[name] = err.explain()
            raise
        self._is_there(name, wish)
        return have

    async def _started(self) -> None:
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self._looked.wait()
        except TimeoutError:
            raise Starting(detail="") from None

    async def close(self) -> None:
        """End the copies."""
        await self._fills.close()

    # Views

    async def disks(self) -> tuple[DiskInfo, ...]:
        """All disks as they stand."""
        haves = await self._haves()
        wishes = self._all(Kind.DISK)
        return tuple(self._disk(wish, haves[wish.pool].disks.get(wish.id)) for wish in wishes)

    async def volumes(self) -> tuple[VolumeInfo, ...]:
        """All volumes as they stand."""
        haves = await self._haves()
        wishes = self._all(Kind.VOLUME)
        return tuple(self._volume(wish, haves[wish.pool].volumes.get(wish.id)) for wish in wishes)

    async def _haves(self) -> defaultdict[str, PoolSeen]:
        await self._started()
        haves: defaultdict[str, PoolSeen] = defaultdict(PoolSeen)
        for label in list(self._pools.views):
            if self._pools.is_ready(label):
                with contextlib.suppress(ZosError):
                    haves[label] = await self._pools.refresh(label)
        return haves

    async def pools(self) -> tuple[Pool, ...]:
        """All pools, and devices that are none."""
        await self._started()
        return self._pools.list()

    async def tombstones(self) -> tuple[Tombstone, ...]:
        """What is kept."""
        return self._graves.list()

    async def cache(self) -> VolumeInfo:
        """The cache volume, mounted."""
        await self._started()
        found = self._pools.cache()
        if found is None or found[1].cache is None:
            problem = "its pool is not ready" if self._pools.views else "this node has no pool"
            raise NoCache(problem=problem)
        label, seen = found[0], found[1].cache
        return VolumeInfo(CACHE, Bytes(seen.limit), self._layout.cache, label, Bytes(seen.used))

    def _disk(self, wish: Wish, seen: DiskSeen | None) -> DiskInfo:
        path = self._layout.item(wish.pool, Kind.DISK, wish.id)
        size, used = (seen.size, seen.used) if seen else (wish.size, 0)
        image = seen.image if seen else None
        return DiskInfo(DiskId(wish.id), Bytes(size), path, wish.pool, image, Bytes(used), self._detail(wish, seen))

    def _volume(self, wish: Wish, seen: VolumeSeen | None) -> VolumeInfo:
        path = self._layout.item(wish.pool, Kind.VOLUME, wish.id)
        size, used = (seen.limit, seen.used) if seen else (wish.size, 0)
        return VolumeInfo(VolumeId(wish.id), Bytes(size), path, wish.pool, Bytes(used), self._detail(wish, seen))

    def _detail(self, wish: Wish, seen: object) -> str:
        if seen is not None:
            return self._troubles.get(key(wish.kind, wish.id), "")
        view = self._pools.views.get(wish.pool)
        if not self._pools.is_ready(wish.pool):
            return f"its pool is {view.state if view else 'missing'}"
        return self._troubles.get(key(wish.kind, wish.id), "it is not made yet")

    def _all(self, kind: Kind) -> tuple[Wish, ...]:
        return tuple(wish for _, wish in self._wishes.items() if wish.kind is kind)


async def _failure(work: Awaitable[None]) -> list[ZosError]:
    """What went wrong, so that the others have their turn too."""
    try:
        await work
    except ZosError as err:
        return [err]
    return []
