"""Tombstones of dropped disks and volumes: kept for a while, restored on request, erased when they have expired."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Collection

from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import owner_of
from zos.model.units import Bytes
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.runtime.locks import Locks
from zos.storaged import plan
from zos.storaged.age import Age
from zos.storaged.api.errors import AlreadyThere, NoEvidence, NoSuchTombstone
from zos.storaged.api.types import Kind, Tombstone
from zos.storaged.host.contract import Host
from zos.storaged.model import Phase, StorageRecord, TombstoneRecord, key
from zos.storaged.pools import PoolManager
from zos.storaged.pressure import Kept, victims

log = logging.getLogger("zos.storaged")


class TombstoneManager:
    """Owns the records of the tombstones; its callers hold the lock of the disk or volume.

    A record is written before anything is moved, and its phase says what is left to do: after a kill between any two
    lines the same steps are taken again.
    """

    def __init__(
        self,
        host: Host,
        pools: PoolManager,
        tombstones: Ledger[TombstoneRecord],
        items: Ledger[StorageRecord],
        clock: Clock,
        age: Age,
        ttl: float,
    ) -> None:
        self._host = host
        self._pools = pools
        self._tombstones = tombstones
        self._items = items
        self._clock = clock
        self._age = age
        self._ttl = ttl
        self._turns: Locks[str] = Locks()
        """By tombstone: who needs its room may erase it beside the loop."""
        for name, record in tombstones.items():
            if record.dropped_at < 0:
                tombstones.put(name, dataclasses.replace(record, dropped_at=age.now()))
            # We were killed after the tombstone was decided and before the disk's or volume's record was dropped.
            item = items.get(key(record.kind, record.id))
            if record.phase is Phase.MAKING and item is not None and item.pool == record.pool:
                items.drop(key(record.kind, record.id))

    async def make(self, kind: Kind, id: str, evidence: Evidence) -> None:
        """Drop a disk or volume and keep it as a tombstone; an unknown one is fine."""
        check_evidence(kind, id, evidence)
        item = self._items.get(key(kind, id))
        pool = item.pool if item else self._pools.stray(kind, id)
        if not pool:
            return
        if evidence.kind is EvidenceKind.NEVER_MADE and (item is None or item.found):
            raise NoEvidence(kind=kind, id=id, problem="it was there before it was asked for")
        now = self._clock.time()
        size = item.size if item else self._size(pool, kind, id)
        name = plan.tombstone_name(kind, id, now, self._names(pool))
        log.info("%s %s is dropped and kept as %s (%s, contract %d)", kind, id, name, evidence.kind, evidence.contract)
        expires, age = now + self._ttl, self._age.now()
        record = TombstoneRecord(kind, id, size, pool, now, expires, evidence, Phase.MAKING, dropped_at=age)
        self._tombstones.put(name, record)
        self._items.drop(key(kind, id))
        await self.finish(kind, id)

    def _size(self, pool: str, kind: Kind, id: str) -> int:
        observed = self._pools.views[pool].observed
        return observed.disks[id].size if kind is Kind.DISK else observed.volumes[id].limit

    def _names(self, pool: str) -> set[str]:
        view = self._pools.views.get(pool)
        return {*self._tombstones.keys(), *(view.observed.tombstones if view else ())}

    async def finish(self, kind: Kind, id: str) -> None:
        """Take the steps that the tombstones of one disk or volume still need."""
        for name, record in self._tombstones.items():
            if (record.kind, record.id) == (kind, id):
                await self._advance(name)

    async def _advance(self, name: str) -> None:
        async with self._turns.of(name):
            if record := self._tombstones.get(name):
                await self._take_steps(name, record)

    async def _take_steps(self, name: str, record: TombstoneRecord) -> None:
        steps = plan.tombstone(name, record)
        if not steps or not self._pools.is_ready(record.pool):
            return
        await self._host.apply(steps)
        observed = await self._pools.refresh(record.pool)
        if not observed.mounted:
            return  # what was done is not known: the record stays until the pool is back
        if record.phase is Phase.MAKING and name in observed.tombstones:
            used = observed.tombstones[name]
            self._tombstones.put(name, dataclasses.replace(record, phase=Phase.KEPT, used=used))
            return
        if record.phase is Phase.RESTORING:
            item = StorageRecord(record.kind, record.id, record.size, record.pool, found=True)
            self._items.put(key(record.kind, record.id), item)
        self._tombstones.drop(name)

    async def undelete(self, name: str) -> Tombstone:
        """Restore the disk or volume of one tombstone, by its key."""
        record = self._tombstones.get(name)
        if record is None:
            raise NoSuchTombstone(id=name)
        self._pools.require(record.pool, record.kind, record.id)
        await self.finish(record.kind, record.id)
        record = self._tombstones.get(name)
        if record is None or record.phase is not Phase.KEPT:
            raise NoSuchTombstone(id=name)
        if key(record.kind, record.id) in self._items or self._pools.stray(record.kind, record.id):
            raise AlreadyThere(kind=record.kind, id=record.id)
        plan.require(record.size - record.used, record.pool, self._pools.spaces())
        self._tombstones.put(name, dataclasses.replace(record, phase=Phase.RESTORING))
        await self.finish(record.kind, record.id)
        log.info("%s is restored", name)
        return _tombstone(name, record)

    async def make_room(self, size: int, id: str, pools: Collection[str]) -> bool:
        """Erase tombstones before their time, so that `size` more bytes for a disk or volume fit on one of these pools.

        False when no pool would have the room then: nothing is erased.
        """
        found = {label: chosen for label in pools if (chosen := self._victims(label, size, owner_of(id))) is not None}
        if not found:
            return False
        label = min(found, key=lambda one: (sum(kept.size for kept in found[one]), one))
        for kept in found[label]:
            record = self._tombstones.get(kept.name)
            if record is not None and record.phase is Phase.KEPT:
                log.info("%s is erased before its time: its room is needed for %s", kept.name, id)
                self._tombstones.put(kept.name, dataclasses.replace(record, phase=Phase.EXPIRED))
        for kept in found[label]:
            await self._advance(kept.name)
        return True

    def _victims(self, label: str, size: int, requester: str) -> tuple[Kept, ...] | None:
        space, observed = self._pools.spaces()[label], self._pools.views[label].observed
        kept = [
            Kept(
                name,
                owner_of(record.id),
                plan.kept_size(name, record, observed),
                record.created,
                record.phase is Phase.EXPIRED,
            )
            for name, record in self._tombstones.items()
            if record.pool == label and record.phase in (Phase.KEPT, Phase.EXPIRED)
        ]
        paid: dict[str, int] = defaultdict(int)
        for _, item in self._items.items():
            if item.pool == label:
                paid[owner_of(item.id)] += item.size
        return victims(size - space.free, requester, kept, paid, space.usable)

    def find(self, id: str) -> str:
        """The key of a tombstone, from a key or from the id of a disk or volume (its newest)."""
        if id in self._tombstones:
            return id
        found = [(record.created, name) for name, record in self._tombstones.items() if record.id == id]
        if not found:
            raise NoSuchTombstone(id=id)
        return max(found)[1]

    def owner(self, name: str) -> tuple[Kind, str]:
        """The disk or volume that a tombstone was."""
        record = self._tombstones.get(name)
        if record is None:
            raise NoSuchTombstone(id=name)
        return record.kind, record.id

    def unfinished(self) -> set[tuple[Kind, str]]:
        """The disks and volumes whose tombstones need steps; decides first which ones have expired."""
        self._expire()
        return {(record.kind, record.id) for _, record in self._tombstones.items() if record.phase is not Phase.KEPT}

    def _expire(self) -> None:
        self._age.note()
        for name, record in self._tombstones.items():
            if record.phase is Phase.KEPT and record.is_over(self._age.now()):
                log.info("%s has expired and is erased", name)
                self._tombstones.put(name, dataclasses.replace(record, phase=Phase.EXPIRED))

    def list(self) -> tuple[Tombstone, ...]:
        """All that are kept, oldest first."""
        kept = [pair for pair in self._tombstones.items() if pair[1].phase in (Phase.MAKING, Phase.KEPT)]
        return tuple(_tombstone(name, record) for name, record in sorted(kept, key=lambda pair: pair[1].created))


def check_evidence(kind: Kind, id: str, evidence: Evidence) -> None:
    """Refuse evidence that names no contract or no block."""
    if evidence.contract <= 0:
        raise NoEvidence(kind=kind, id=id, problem="the evidence names no contract")
    if evidence.block <= 0:
        raise NoEvidence(kind=kind, id=id, problem="the evidence names no finalized block")


def _tombstone(name: str, record: TombstoneRecord) -> Tombstone:
    return Tombstone(
        id=record.id,
        kind=record.kind,
        size=Bytes(record.size),
        created=record.created,
        expires=record.expires,
        pool=record.pool,
        evidence=record.evidence,
        key=name,
        used=Bytes(record.used),
    )
