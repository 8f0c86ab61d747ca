"""The node's pools: looked at again and again, made out of blank devices, added up."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zos.errors import ZosError
from zos.model.units import Bytes
from zos.runtime.ledger import Ledger
from zos.storaged import plan
from zos.storaged.api.errors import PoolGone
from zos.storaged.api.types import Kind, Pool, PoolKind, PoolState
from zos.storaged.host.contract import Host
from zos.storaged.model import DeviceSeen, Grave, PoolRecord, PoolSeen, Wish, key, usable
from zos.storaged.plan import Account, Place, Room

log = logging.getLogger("zos.storaged")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the farmer may choose about pools."""

    ssd: tuple[str, ...] = ()
    hdd: tuple[str, ...] = ()
    on_hdd: bool = False
    cache_size: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A pool as it was last seen."""

    device: DeviceSeen
    kind: PoolKind
    state: PoolState
    detail: str = ""
    have: PoolSeen = dataclasses.field(default_factory=PoolSeen)


class Pools:
    """All pools and devices."""

    def __init__(
        self,
        host: Host,
        records: Ledger[PoolRecord],
        wishes: Ledger[Wish],
        graves: Ledger[Grave],
        settings: Settings,
    ) -> None:
        self._host = host
        self._records = records
        self._wishes = wishes
        self._graves = graves
        self._settings = settings
        self._others: tuple[Place, ...] = ()
        self.views: dict[str, View] = {}

    # Looking, and bringing up

    async def look(self) -> list[ZosError]:
        """See every device, make pools of the blank ones, mount the others; returns what went wrong."""
        devices = await self._host.devices()
        places = plan.survey(devices, dict(self._records.items()), lambda: str(uuid.uuid4()))
        self._others = tuple(place for place in places if not place.label)
        mine = [place for place in places if place.label]
        for label in self.views.keys() - {place.label for place in mine}:
            del self.views[label]
        failures = await asyncio.gather(*(self._bring_up(place) for place in mine))
        return [failure for failure in failures if failure is not None]

    async def _bring_up(self, place: Place) -> ZosError | None:
        label, before = place.label, self.views.get(place.label)
        record = self._records.get(label)
        known = self._forced(place.device) or (record.kind if record else None)
        guess = known or (PoolKind.HDD if place.device.rotational else PoolKind.SSD)
        if place.state is PoolState.MISSING:
            last = before.have if before else PoolSeen()
            self._view(label, View(place.device, guess, PoolState.MISSING, place.detail, last))
            return None
        if before is None:
            self._view(label, View(place.device, guess, PoolState.MAKING))
        try:
            if place.format is not None:
                self._records.put(label, PoolRecord(place.device.path, place.device.size))
                log.info("%s is blank and becomes pool %s", place.device.path, label)
                await self._host.apply((place.format,))
            have = await self._set_up(label, place.device, known)
        except ZosError as err:
            last = before.have if before else PoolSeen()
            self._view(label, View(place.device, guess, PoolState.BROKEN, err.explain(), last))
            return err
        kind = self._forced(place.device) or have.kind or guess
        self._records.put(label, PoolRecord(place.device.path, place.device.size, kind, made=True))
        state = PoolState.READONLY if have.readonly else PoolState.READY
        self._view(label, View(place.device, kind, state, _health(have), have))
        return None

    async def _set_up(self, label: str, device: DeviceSeen, known: PoolKind | None) -> PoolSeen:
        have = await self._host.observe(label)
        while steps := plan.set_up(label, device, have, known):
            await self._host.apply(steps)
            before, have = have, await self._host.observe(label)
            if have == before:
                break
        return have

    def _forced(self, device: DeviceSeen) -> PoolKind | None:
        if plan.same_device(device, self._settings.ssd):
            return PoolKind.SSD
        return PoolKind.HDD if plan.same_device(device, self._settings.hdd) else None

    def _view(self, label: str, view: View) -> None:
        before = self.views.get(label)
        self.views[label] = view
        if before is None or (before.state, before.detail) != (view.state, view.detail):
            log.info("pool %s on %s is %s %s", label, view.device.path, view.state, view.detail)

    async def refresh(self, label: str) -> PoolSeen:
        """See one pool again."""
        have = await self._host.observe(label)
        self.views[label] = dataclasses.replace(self.views[label], have=have)
        return have

    def forget(self) -> None:
        """Pools that are gone and on which nobody has anything; called once, at the first look."""
        used = {wish.pool for _, wish in self._wishes.items()} | {grave.pool for _, grave in self._graves.items()}
        for label, _ in self._records.items():
            if label not in used and self._is_away(label):
                log.info("pool %s is forgotten: its device is gone and nothing was on it", label)
                self._records.drop(label)
                self.views.pop(label, None)

    def _is_away(self, label: str) -> bool:
        return label not in self.views or self.views[label].state is PoolState.MISSING

    # Asking

    def is_ready(self, label: str) -> bool:
        """Whether something can be done on a pool."""
        return label in self.views and self.views[label].state is PoolState.READY

    def require(self, label: str, kind: Kind, id: str) -> None:
        """Refuse when the pool of a disk or volume cannot be used now."""
        if self.is_ready(label):
            return
        view = self.views.get(label)
        state = view.state if view else PoolState.MISSING
        detail = f" ({view.detail})" if view and view.detail else ""
        raise PoolGone(kind=kind, id=id, pool=label, state=state, detail=detail)

    def stray(self, kind: Kind, id: str) -> str:
        """The ready pool that has a disk or volume of this id without a wish; empty when none does."""
        for label, view in self.views.items():
            if self.is_ready(label) and view.have.has(kind, id) and key(kind, id) not in self._wishes:
                return label
        return ""

    def account(self, label: str) -> Account:
        """What is promised on a pool."""
        wishes = (wish for _, wish in self._wishes.items())
        return plan.account(label, self.views[label].have, wishes, dict(self._graves.items()))

    def rooms(self) -> Mapping[str, Room]:
        """The pools on which something new can be made."""
        return dict(self._rooms())

    def _rooms(self) -> Iterator[tuple[str, Room]]:
        for label, view in self.views.items():
            if view.state is PoolState.READY:
                sums = self.account(label)
                yield label, Room(view.kind, usable(view.device.size), sums.promised, sums.kept)

    def list(self) -> tuple[Pool, ...]:
        """Pools, then devices that are none."""
        return (*(self._pool(label) for label in sorted(self.views)), *map(_other, self._others))

    def _pool(self, label: str) -> Pool:
        view, sums = self.views[label], self.account(label)
        strays = f"{len(sums.strays)} of its disks and volumes belong to nobody and are kept" if sums.strays else ""
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
            detail="; ".join(part for part in (view.detail, strays) if part),
        )

    # The cache

    async def tend_cache(self) -> None:
        """The cache volume, sized and mounted."""
        haves = {label: view.have for label, view in self.views.items()}
        rooms = self.rooms()
        home = plan.cache_home(haves, rooms)
        if not home:
            return
        have = await self.refresh(home)
        steps = tuple(plan.cache(home, have, rooms[home], self._settings.cache_size))
        if steps:
            await self._host.apply(steps)
            await self.refresh(home)

    def cache(self) -> tuple[str, PoolSeen] | None:
        """The pool that carries the mounted cache."""
        for label, view in self.views.items():
            if view.state is not PoolState.MISSING and view.have.cache is not None and view.have.cache_mounted:
                return label, view.have
        return None


def _health(have: PoolSeen) -> str:
    parts = ["the kernel made it read-only, which it does after errors"] if have.readonly else []
    parts += [f"its device had {have.errors} errors"] if have.errors else []
    return "; ".join(parts)


def _other(place: Place) -> Pool:
    device, none = place.device, Bytes(0)
    kind = PoolKind.HDD if device.rotational else PoolKind.SSD
    return Pool("", kind, device.path, Bytes(device.size), none, none, none, none, place.state, place.detail)
