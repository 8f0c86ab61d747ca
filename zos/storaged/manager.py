"""Owns the records of disks and volumes and reconciles them with the pools: observe, plan, apply, one at a time.

Each disk or volume has its own lock, so that no tenant waits for another. A refused change leaves what was there
before, both in the ledger and on the pool.
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
from zos.runtime.locks import Locks
from zos.storaged import plan
from zos.storaged.api.check import check as check_item
from zos.storaged.api.check import check_id, check_owner, promised
from zos.storaged.api.errors import NoCache, NoPool, NoSuchDisk, PoolFull, Starting, TooManySmall
from zos.storaged.api.types import (
    CACHE,
    Disk,
    DiskId,
    DiskInfo,
    Kind,
    Pool,
    PoolKind,
    Tombstone,
    Volume,
    VolumeId,
    VolumeInfo,
)
from zos.storaged.fills import Fills
from zos.storaged.host.contract import Host
from zos.storaged.model import Fill, Layout, ObservedDisk, ObservedPool, ObservedVolume, StorageRecord, key
from zos.storaged.pools import PoolManager
from zos.storaged.steps import FinishFill
from zos.storaged.tombstones import TombstoneManager, check_evidence

log = logging.getLogger("zos.storaged")

SETTLED = 120.0
"""Seconds after which btrfs has surely written down that something was made (it does so every 30)."""
START_PATIENCE = 10.0
"""Seconds for which a call waits for the end of the first round."""


class StorageManager:
    """Disks, volumes, their images, and the rounds of the loop."""

    def __init__(
        self,
        host: Host,
        layout: Layout,
        pools: PoolManager,
        tombstones: TombstoneManager,
        items: Ledger[StorageRecord],
        clock: Clock,
        wake: Callable[[], None],
        on_hdd: bool = False,
    ) -> None:
        self._host = host
        self._layout = layout
        self._pools = pools
        self._tombstones = tombstones
        self._items = items
        self._clock = clock
        self._wake = wake
        self._on_hdd = on_hdd
        self._fills = Fills(host, self._finish_fill)
        self._locks: Locks[str] = Locks()
        self._first_turn = asyncio.Event()
        self._since: dict[str, float] = {}
        self._problems: dict[str, str] = {}

    # Changes

    async def ensure_disk(self, desired: Disk) -> DiskInfo:
        """Accept a disk, then create or grow it."""
        record, observed = await self._ensure(Kind.DISK, desired.id, desired.size)
        return self._disk(record, observed.disks.get(record.id))

    async def ensure_volume(self, desired: Volume) -> VolumeInfo:
        """Accept a volume, then create it or set its limit."""
        record, observed = await self._ensure(Kind.VOLUME, desired.id, desired.size, desired.kind, desired.owner)
        return self._volume(record, observed.volumes.get(record.id))

    async def _ensure(
        self, kind: Kind, id: str, size: int, pool_kind: PoolKind = PoolKind.SSD, owner: int = 0
    ) -> tuple[StorageRecord, ObservedPool]:
        check_item(kind, id, size)
        check_owner(id, owner)
        size = promised(kind, size)
        await self._started()
        name = key(kind, id)
        async with self._locks.of(name):
            await self._tombstones.finish(kind, id)
            before = self._items.get(name)
            known = before or await self._adopt(kind, id)
            if known is not None:
                self._pools.require(known.pool, kind, id)
            try:
                record = await self._admit(kind, id, size, known, self._kinds(pool_kind), owner)
            except (NoPool, PoolFull, TooManySmall) as err:
                if known is None:
                    self._pools.require_answers(kind, id, size, self._kinds(pool_kind), err)
                raise
            async with self._restoring_on_refusal(name, before):
                self._items.put(name, record)
                return record, await self._make(record)

    async def _admit(
        self, kind: Kind, id: str, size: int, known: StorageRecord | None, kinds: tuple[PoolKind, ...], owner: int
    ) -> StorageRecord:
        """Decide by the pools as they are, then without what is nobody's in the cache, then without tombstones."""
        while True:
            spaces = self._pools.spaces()
            try:
                return plan.admit(kind, id, size, known, spaces, kinds, owner)
            except PoolFull:
                fitting = [label for label, space in spaces.items() if space.kind in kinds]
                need, pools = (size - known.size, [known.pool]) if known else (size, fitting)
                if await self._pools.shrink_cache(need, pools):
                    continue
                if not await self._tombstones.make_room(need, id, pools):
                    raise

    def _kinds(self, kind: PoolKind) -> tuple[PoolKind, ...]:
        """The kinds of pools that something new may be made on, the better one first."""
        return (kind, PoolKind.HDD) if kind is PoolKind.SSD and self._on_hdd else (kind,)

    async def _adopt(self, kind: Kind, id: str) -> StorageRecord | None:
        """A record for what lies on a pool under this id without one: the ledger was lost, or the pool is older."""
        pool = self._pools.stray(kind, id)
        if not pool:
            return None
        observed = await self._pools.look(pool, kind, id)
        if not observed.has(kind, id):
            return None
        size = observed.disks[id].size if kind is Kind.DISK else observed.volumes[id].limit
        return StorageRecord(kind, id, size, pool, found=True)

    @contextlib.asynccontextmanager
    async def _restoring_on_refusal(self, name: str, before: StorageRecord | None) -> AsyncIterator[None]:
        """Restore the former record when a change is refused; one that only failed for now stays accepted."""
        try:
            yield
        except ZosError as err:
            if err.kind is not ErrorKind.NOT_NOW:
                if before is None:
                    self._items.drop(name)
                else:
                    self._items.put(name, before)
            self._wake()
            raise

    async def drop(self, kind: Kind, id: str, evidence: Evidence) -> None:
        """Drop a disk or volume; its data stays as a tombstone for a while."""
        check_id(kind, id)
        check_evidence(kind, id, evidence)
        await self._started()
        if kind is Kind.DISK:
            await self._fills.stop(id)
        async with self._locks.of(key(kind, id)):
            try:
                await self._tombstones.make(kind, id, evidence)
            except ZosError as err:
                if err.kind is not ErrorKind.NOT_NOW:
                    raise
                # It is decided and written down; the loop does the rest.
                log.warning("%s %s is dropped later: %s", kind, id, err.explain())
            self._problems.pop(key(kind, id), None)
            self._since.pop(key(kind, id), None)
            self._wake()

    async def undelete(self, id: str) -> Tombstone:
        """Restore a dropped disk or volume, by its id or its tombstone's key."""
        await self._started()
        name = self._tombstones.find(id)
        kind, owner = self._tombstones.owner(name)
        async with self._locks.of(key(kind, owner)):
            return await self._tombstones.undelete(name)

    # Images

    async def fill_disk(self, id: DiskId, root: Path, source: str, image: str) -> DiskInfo:
        """Copy an image onto a blank disk."""
        await self._started()
        record = self._disk_record(id)
        if not await self._is_filled(record, image):
            await self._fills.run(Fill(record.pool, id, record.size, root, source, image))
        record = self._disk_record(id)
        observed = await self._pools.look(record.pool, Kind.DISK, id)
        return self._disk(record, observed.disks.get(id))

    def _disk_record(self, id: DiskId) -> StorageRecord:
        record = self._items.get(key(Kind.DISK, id))
        if record is None:
            raise NoSuchDisk(id=id)
        return record

    async def _is_filled(self, record: StorageRecord, image: str) -> bool:
        async with self._locks.of(key(record.kind, record.id)):
            observed = await self._make(record)
            return plan.is_filled(record, observed.disks[record.id], image)

    async def _finish_fill(self, fill: Fill) -> None:
        async with self._locks.of(key(Kind.DISK, fill.id)):
            # It may have grown meanwhile, and it may not have been written to.
            record = self._disk_record(DiskId(fill.id))
            observed = await self._make(record)
            if not plan.is_filled(record, observed.disks[record.id], fill.image):
                await self._host.apply((FinishFill(record.pool, record.id, fill.part, record.size, fill.image),))

    # Reconciling

    async def reconcile(self) -> None:
        """One round: devices, tombstones, disks and volumes, the cache. Raises the first error, at the end."""
        failures = await self._pools.reconcile()
        for kind, id in sorted(self._tombstones.unfinished()):
            async with self._locks.of(key(kind, id)):
                failures += await _failure(self._tombstones.finish(kind, id))
        if not self._first_turn.is_set():
            self._pools.forget()
            self._first_turn.set()
        for found in await asyncio.gather(*(self._mend_pool(label) for label in list(self._pools.views))):
            failures += found
        failures += await _failure(self._pools.reconcile_cache())
        if failures:
            raise failures[0]

    async def _mend_pool(self, label: str) -> list[ZosError]:
        """Reconcile what is recorded on one pool, one thing after the other."""
        failures: list[ZosError] = []
        for name, record in self._items.items():
            if record.pool == label:
                async with self._locks.of(name):
                    failures += await _failure(self._mend(name))
        if self._pools.is_ready(label):
            observed = self._pools.views[label].observed
            failures += await _failure(self._host.apply(plan.leftovers(label, observed, self._fills.parts())))
        return failures

    async def _mend(self, name: str) -> None:
        """Reconcile one record, unless the pool's last observation shows nothing to do."""
        record = self._items.get(name)
        if record is None or not self._pools.is_ready(record.pool):
            return
        observed = self._pools.views[record.pool].observed
        with contextlib.suppress(ZosError):
            if not plan.item(record, observed):
                self._is_there(name, record)
                return
        await self._make(record)

    def _is_there(self, name: str, record: StorageRecord) -> None:
        self._problems.pop(name, None)
        now = self._clock.monotonic()
        if not record.made and now - self._since.setdefault(name, now) >= SETTLED:
            self._items.put(name, dataclasses.replace(record, made=True))

    async def _make(self, record: StorageRecord) -> ObservedPool:
        """Reconcile one disk or volume; returns what is observed then."""
        name = key(record.kind, record.id)
        try:
            observed = await self._pools.look(record.pool, record.kind, record.id)
            if steps := plan.item(record, observed):
                await self._host.apply(steps)
                observed = await self._pools.look(record.pool, record.kind, record.id)
        except ZosError as err:
            self._problems[name] = err.explain()
            raise
        self._is_there(name, record)
        return observed

    async def _started(self) -> None:
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self._first_turn.wait()
        except TimeoutError:
            raise Starting(detail="") from None

    async def close(self) -> None:
        """End the copies of images, and what is going on at pools."""
        await self._fills.close()
        await self._pools.close()

    # Views

    async def disks(self, id: str = "") -> tuple[DiskInfo, ...]:
        """All disks, or the one of an id, as observed."""
        observed_pools = await self._observed_pools(Kind.DISK, id)
        items = [record for record in self._all(Kind.DISK) if id in ("", record.id)]
        return tuple(self._disk(record, observed_pools[record.pool].disks.get(record.id)) for record in items)

    async def volumes(self, id: str = "") -> tuple[VolumeInfo, ...]:
        """All volumes, or the one of an id, as observed."""
        observed_pools = await self._observed_pools(Kind.VOLUME, id)
        items = [record for record in self._all(Kind.VOLUME) if id in ("", record.id)]
        return tuple(self._volume(record, observed_pools[record.pool].volumes.get(record.id)) for record in items)

    async def _observed_pools(self, kind: Kind, id: str) -> defaultdict[str, ObservedPool]:
        await self._started()
        # A first making asks whether there is one already: no pool is looked at for an id that nobody asked for.
        is_wanted = not id or key(kind, id) in self._items
        return defaultdict(ObservedPool, await self._pools.answering() if is_wanted else {})

    async def pools(self) -> tuple[Pool, ...]:
        """All pools, and devices that are none."""
        await self._started()
        return self._pools.list()

    async def tombstones(self) -> tuple[Tombstone, ...]:
        """The tombstones that are kept, oldest first."""
        return self._tombstones.list()

    async def cache(self) -> VolumeInfo:
        """The cache volume, mounted."""
        await self._started()
        found = self._pools.cache()
        if found is None or found[1].cache is None:
            problem = "its pool is not ready" if self._pools.views else "this node has no pool"
            raise NoCache(problem=problem)
        label, seen = found[0], found[1].cache
        return VolumeInfo(CACHE, Bytes(seen.limit), self._layout.cache, label, Bytes(seen.used))

    def _disk(self, record: StorageRecord, seen: ObservedDisk | None) -> DiskInfo:
        path = self._layout.item(record.pool, Kind.DISK, record.id)
        size, used = (seen.size, seen.used) if seen else (record.size, 0)
        image = seen.image if seen else None
        return DiskInfo(
            DiskId(record.id), Bytes(size), path, record.pool, image, Bytes(used), self._detail(record, seen)
        )

    def _volume(self, record: StorageRecord, seen: ObservedVolume | None) -> VolumeInfo:
        path = self._layout.item(record.pool, Kind.VOLUME, record.id)
        size, used = (seen.limit, seen.used) if seen else (record.size, 0)
        return VolumeInfo(VolumeId(record.id), Bytes(size), path, record.pool, Bytes(used), self._detail(record, seen))

    def _detail(self, record: StorageRecord, seen: object) -> str:
        if seen is not None:
            return self._problems.get(key(record.kind, record.id), "")
        view = self._pools.views.get(record.pool)
        if not self._pools.is_ready(record.pool):
            return f"its pool is {view.state if view else 'missing'}"
        return self._problems.get(key(record.kind, record.id), "it is not made yet")

    def _all(self, kind: Kind) -> tuple[StorageRecord, ...]:
        return tuple(record for _, record in self._items.items() if record.kind is kind)


async def _failure(work: Awaitable[None]) -> list[ZosError]:
    """The error of one piece of work, so that the others have their turn too."""
    try:
        await work
    except ZosError as err:
        return [err]
    return []
