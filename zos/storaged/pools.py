"""Owns the records of the pools: makes them out of blank devices, mounts them, adds up what is promised on them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from zos.errors import ZosError
from zos.model.units import Bytes, show
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.storaged import plan
from zos.storaged.api.errors import CacheGivesWay, PoolAway, PoolGone
from zos.storaged.api.types import Kind, Pool, PoolKind, PoolState
from zos.storaged.host.contract import Host
from zos.storaged.loss import Loss, missing
from zos.storaged.model import ObservedDevice, ObservedPool, PoolRecord, StorageRecord, TombstoneRecord, key, usable
from zos.storaged.plan import Account, DeviceRole, PoolSpace
from zos.storaged.steps import LimitCache

log = logging.getLogger("zos.storaged")

BRING_UP = 8.0
"""Seconds for which a turn waits for a pool to be made or mounted; longer work goes on beside the turns."""
ANSWER = 2.0
"""Seconds for which a list waits for a pool; what is behind a slow one is shown without its usage."""

EMPTIED = 120.0
"""Seconds that flistd has to empty the cache to its new limit, before a request is refused all the same."""
REST = 600.0
"""Seconds for which the cache does not grow after it gave way: whoever needs the room comes back for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the farmer may choose about pools."""

    ssd: tuple[str, ...] = ()
    hdd: tuple[str, ...] = ()
    on_hdd: bool = False
    cache_size: int = 0
    cache_part: int = 10
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as last observed."""

    device: ObservedDevice
    kind: PoolKind
    state: PoolState
    detail: str = ""
    observed: ObservedPool = dataclasses.field(default_factory=ObservedPool)


class PoolManager:
    """All pools, and the devices that are none."""

    def __init__(
        self,
        host: Host,
        pool_records: Ledger[PoolRecord],
        items: Ledger[StorageRecord],
        tombstones: Ledger[TombstoneRecord],
        settings: Settings,
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._host = host
        self._clock = clock
        self._wake = wake
        self._bringing: dict[str, tuple[str, asyncio.Task[ZosError | None]]] = {}
        """Pools that are being made or mounted, by label: the device and the work."""
        self._pool_records = pool_records
        self._items = items
        self._tombstones = tombstones
        self._settings = settings
        self._others: tuple[DeviceRole, ...] = ()
        self.views: dict[str, PoolView] = {}
        self._gave_way: float | None = None
        """When the cache was made smaller for what is paid."""
        self._losses: dict[str, Loss] = defaultdict(Loss)

    # Reconciling

    async def reconcile(self) -> list[ZosError]:
        """Observe every device, make pools of the blank ones, mount the others; returns the errors."""
        devices = await self._host.devices()
        busy = {device for device, _ in self._bringing.values()}
        records = dict(self._pool_records.items())
        free = [device for device in devices if device.path not in busy]
        roles = plan.survey(free, records, lambda: str(uuid.uuid4()), self._settings.replaced)
        self._others = tuple(role for role in roles if not role.label)
        mine = [role for role in roles if role.label and role.label not in self._bringing]
        for label in self.views.keys() - {role.label for role in mine} - self._bringing.keys():
            del self.views[label]
        tasks = [self._start(role) for role in mine]
        done = (await asyncio.wait(tasks, timeout=BRING_UP))[0] if tasks else set()
        return [failure for task in done if (failure := task.result()) is not None]

    def _start(self, role: DeviceRole) -> asyncio.Task[ZosError | None]:
        """Bring a pool up in a task of its own: a device that hangs holds up no other, and no turn for long."""
        task = asyncio.create_task(self._bring_up(role), name=f"pool {role.label}")
        self._bringing[role.label] = role.device.path, task

        def end(task: asyncio.Task[ZosError | None]) -> None:
            del self._bringing[role.label]
            if asyncio.get_running_loop().time() - began >= BRING_UP:
                self._wake()

        began = asyncio.get_running_loop().time()
        task.add_done_callback(end)
        return task

    async def close(self) -> None:
        """End what is going on at pools."""
        tasks = [task for _, task in self._bringing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring_up(self, role: DeviceRole) -> ZosError | None:
        label, before = role.label, self.views.get(role.label)
        record = self._pool_records.get(label)
        known = self._forced(role.device) or (record.kind if record else None)
        guess = known or (PoolKind.HDD if role.device.rotational else PoolKind.SSD)
        if role.state is PoolState.MISSING:
            last = before.observed if before else ObservedPool()
            self._view(label, PoolView(role.device, guess, PoolState.MISSING, role.detail, last))
            return None
        if before is None:
            self._view(label, PoolView(role.device, guess, PoolState.MAKING))
        try:
            if role.format is not None:
                self._pool_records.put(label, PoolRecord(role.device.path, role.device.size))
                log.info("%s is blank and becomes pool %s", role.device.path, label)
                await self._host.apply((role.format,))
            observed = await self._set_up(label, role.device, known)
        except ZosError as err:
            last = before.observed if before else ObservedPool()
            self._view(label, PoolView(role.device, guess, PoolState.BROKEN, err.explain(), last))
            return err
        kind = self._forced(role.device) or observed.kind or guess
        self._pool_records.put(label, PoolRecord(role.device.path, role.device.size, kind, made=True))
        state, detail = _state(observed)
        self._view(label, PoolView(role.device, kind, state, detail, observed))
        return None

    async def _set_up(self, label: str, device: ObservedDevice, known: PoolKind | None) -> ObservedPool:
        observed = await self._host.observe(label)
        while steps := plan.set_up(label, device, observed, known):
            await self._host.apply(steps)
            before, observed = observed, await self._host.observe(label)
            if observed == before:
                break
        return observed

    def _forced(self, device: ObservedDevice) -> PoolKind | None:
        if plan.same_device(device, self._settings.ssd):
            return PoolKind.SSD
        return PoolKind.HDD if plan.same_device(device, self._settings.hdd) else None

    def _view(self, label: str, view: PoolView) -> None:
        before = self.views.get(label)
        self.views[label] = view
        if view.observed.free is not None:
            self._losses[label].note(self._clock.monotonic(), missing(view.observed, usable(view.device.size)))
        if before is None or (before.state, before.detail) != (view.state, view.detail):
            log.info("pool %s on %s is %s %s", label, view.device.path, view.state, view.detail)

    async def refresh(self, label: str) -> ObservedPool:
        """Observe one pool again."""
        observed = await self._host.observe(label)
        view = self.views.get(label)
        if view is not None and view.state in (PoolState.READY, PoolState.READONLY):
            state, detail = _state(observed)
            self._view(label, PoolView(view.device, view.kind, state, detail, observed))
        return observed

    async def look(self, label: str, kind: Kind, id: str) -> ObservedPool:
        """Observe one disk or volume; raises PoolGone while its pool cannot be used."""
        self.require(label, kind, id)
        observed = await self._host.observe(label, (kind, id))
        if not observed.mounted:
            await self.refresh(label)
            self.require(label, kind, id)
        return observed

    async def answering(self) -> Mapping[str, ObservedPool]:
        """The ready pools as they are now, without those that do not answer soon."""
        labels = [label for label in self.views if self.is_ready(label)]
        found = await asyncio.gather(*(self._answer(label) for label in labels))
        return {label: observed for label, observed in zip(labels, found, strict=True) if observed is not None}

    async def _answer(self, label: str) -> ObservedPool | None:
        try:
            async with asyncio.timeout(ANSWER):
                return await self.refresh(label)
        except (ZosError, TimeoutError):
            return None

    def forget(self) -> None:
        """Drop the records of missing pools on which nothing is recorded; called once, in the first round."""
        used = {record.pool for _, record in self._items.items()} | {
            tombstone.pool for _, tombstone in self._tombstones.items()
        }
        for label, _ in self._pool_records.items():
            if label not in used and self._is_away(label):
                log.info("pool %s is forgotten: its device is gone and nothing was on it", label)
                self._pool_records.drop(label)
                self.views.pop(label, None)

    def _is_away(self, label: str) -> bool:
        return label not in self.views or self.views[label].state is PoolState.MISSING

    # Views

    def is_ready(self, label: str) -> bool:
        """Whether a pool is mounted and writable."""
        return label in self.views and self.views[label].state is PoolState.READY

    def require(self, label: str, kind: Kind, id: str) -> None:
        """Raise PoolGone when the pool of a disk or volume cannot be used now."""
        if self.is_ready(label):
            return
        view = self.views.get(label)
        state = view.state if view else PoolState.MISSING
        detail = f" ({view.detail})" if view and view.detail else ""
        raise PoolGone(kind=kind, id=id, pool=label, state=state, detail=detail)

    def require_answers(self, kind: Kind, id: str, size: int, kinds: Collection[PoolKind], refusal: ZosError) -> None:
        """Raise PoolAway when a pool that may have room cannot be used just now: `refusal` is no last word then."""
        for label, view in self.views.items():
            is_away = view.state in (PoolState.MAKING, PoolState.BROKEN)
            is_offered = view.kind in kinds
            if is_away and is_offered and usable(view.device.size) >= size:
                detail = f" ({view.detail})" if view.detail else ""
                raise PoolAway(kind=kind, id=id, pool=label, state=view.state, detail=detail) from refusal

    def stray(self, kind: Kind, id: str) -> str:
        """The ready pool that has a disk or volume of this id without a record; empty when none does."""
        for label, view in self.views.items():
            if self.is_ready(label) and view.observed.has(kind, id) and key(kind, id) not in self._items:
                return label
        return ""

    def account(self, label: str) -> Account:
        """What is promised on a pool."""
        items = (record for _, record in self._items.items())
        return plan.account(label, self.views[label].observed, items, dict(self._tombstones.items()))

    def _lost(self, label: str) -> int:
        return self._losses[label].least(self._clock.monotonic())

    def spaces(self) -> Mapping[str, PoolSpace]:
        """The free space of each pool on which something new can be made."""
        return dict(self._spaces())

    def _spaces(self) -> Iterator[tuple[str, PoolSpace]]:
        for label, view in self.views.items():
            if view.state is PoolState.READY:
                sums = self.account(label)
                usable_now = usable(view.device.size)
                yield label, PoolSpace(view.kind, usable_now, sums.promised, sums.kept, self._lost(label), sums.small)

    def list(self) -> tuple[Pool, ...]:
        """Pools, then devices that are none."""
        return (*(self._pool(label) for label in sorted(self.views)), *map(_other, self._others))

    def _pool(self, label: str) -> Pool:
        view, sums = self.views[label], self.account(label)
        strays = f"{len(sums.strays)} of its disks and volumes have no record here and are kept" if sums.strays else ""
        gone = self._lost(label)
        lost = f"{show(gone)} of it are taken by nothing that is known here" if gone else ""
        return Pool(
            name=label,
            kind=view.kind,
            device=view.device.path,
            size=Bytes(view.device.size),
            usable=Bytes(usable(view.device.size)),
            promised=Bytes(sums.promised),
            system=Bytes(sums.system),
            kept=Bytes(sums.kept),
            state=view.state,
            detail="; ".join(part for part in (view.detail, strays, lost) if part),
        )

    # The cache

    async def reconcile_cache(self) -> None:
        """Create, resize and mount the cache volume."""
        observed_pools = {label: view.observed for label, view in self.views.items()}
        spaces = self.spaces()
        home = plan.cache_home(observed_pools, spaces)
        if not home:
            return
        observed = await self.refresh(home)
        unit, part, may_grow = self._settings.cache_size, self._settings.cache_part, not self._gives_way(REST)
        steps = tuple(plan.cache(home, observed, spaces[home], unit, part, may_grow=may_grow))
        if steps:
            await self._host.apply(steps)
            await self.refresh(home)

    async def shrink_cache(self, need: int, pools: Collection[str]) -> bool:
        """Take from the cache what so much more on one of these pools needs; whether there is more room now.

        Raises CacheGivesWay while flistd, who sees the limit, has not emptied it so far yet.
        """
        observed_pools = {label: view.observed for label, view in self.views.items()}
        spaces = self.spaces()
        home = plan.cache_home(observed_pools, spaces)
        seen = observed_pools[home].cache if home else None
        if home not in pools or seen is None:
            return False
        limit = plan.cache_gives(need, seen, spaces[home], self._settings.cache_size)
        if limit < seen.limit:
            log.info("the cache gives way: its limit is %s instead of %s", show(limit), show(seen.limit))
            self._gave_way = self._clock.monotonic()
            await self._host.apply((LimitCache(home, limit),))
        elif not self._gives_way(EMPTIED):
            return False
        before = spaces[home].free
        after = (await self.refresh(home)).cache
        if self.spaces()[home].free > before:
            return True
        if after is not None and after.used > after.limit:
            raise CacheGivesWay(pool=home)
        return False

    def _gives_way(self, seconds: float) -> bool:
        return self._gave_way is not None and self._clock.monotonic() - self._gave_way < seconds

    def cache(self) -> tuple[str, ObservedPool] | None:
        """The pool that carries the mounted cache."""
        for label, view in self.views.items():
            if view.state is not PoolState.MISSING and view.observed.cache is not None and view.observed.cache_mounted:
                return label, view.observed
        return None


def _state(observed: ObservedPool) -> tuple[PoolState, str]:
    if not observed.mounted:
        return PoolState.BROKEN, "it is not mounted"
    return (PoolState.READONLY if observed.readonly else PoolState.READY), _health(observed)


def _health(observed: ObservedPool) -> str:
    parts = ["the kernel made it read-only, which it does after errors"] if observed.readonly else []
    parts += [f"its device had {observed.errors} errors"] if observed.errors else []
    return "; ".join(parts)


def _other(role: DeviceRole) -> Pool:
    device, none = role.device, Bytes(0)
    kind = PoolKind.HDD if device.rotational else PoolKind.SSD
    return Pool("", kind, device.path, Bytes(device.size), none, none, none, none, role.state, role.detail)
