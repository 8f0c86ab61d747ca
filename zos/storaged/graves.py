"""What was dropped: kept for a while, brought back on request, erased when its time has come."""

from __future__ import annotations

import dataclasses
import logging

from zos.model.evidence import Evidence
from zos.model.units import Bytes
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.storaged import plan
from zos.storaged.api.errors import AlreadyThere, NoEvidence, NoSuchTombstone
from zos.storaged.api.types import Kind, Tombstone
from zos.storaged.host.contract import Host
from zos.storaged.model import Grave, Phase, Wish, key
from zos.storaged.pools import Pools

log = logging.getLogger("zos.storaged")


class Graves:
    """The tombstones; callers hold the lock of the disk or volume.

    A record is written before anything is moved, and its phase says what is left to do, so that a kill between any
    two lines is made good by doing it again.
    """

    def __init__(
        self, host: Host, pools: Pools, graves: Ledger[Grave], wishes: Ledger[Wish], clock: Clock, ttl: float
    ) -> None:
        self._host = host
        self._pools = pools
        self._graves = graves
        self._wishes = wishes
        self._clock = clock
        self._ttl = ttl
        self._ripe: dict[str, float] = {}
        for _, grave in graves.items():
            # We were killed after the tombstone was decided and before its wish was given up.
            wish = wishes.get(key(grave.kind, grave.id))
            if grave.phase is Phase.BURYING and wish is not None and wish.pool == grave.pool:
                wishes.drop(key(grave.kind, grave.id))

    async def bury(self, kind: Kind, id: str, evidence: Evidence) -> None:
        """Drop a disk or volume for a reason that was shown; one that is unknown is fine."""
        check(kind, id, evidence)
        wish = self._wishes.get(key(kind, id))
        pool = wish.pool if wish else self._pools.stray(kind, id)
        if not pool:
            return
        now = self._clock.time()
        size = wish.size if wish else self._size(pool, kind, id)
        name = plan.grave_name(kind, id, now, self._names(pool))
        log.info("%s %s is dropped and kept as %s (%s, contract %d)", kind, id, name, evidence.kind, evidence.contract)
        grave = Grave(kind, id, size, pool, now, now + self._ttl, evidence, Phase.BURYING)
        self._graves.put(name, grave)
        self._wishes.drop(key(kind, id))
        await self.settle(kind, id)

    def _size(self, pool: str, kind: Kind, id: str) -> int:
        have = self._pools.views[pool].have
        return have.disks[id].size if kind is Kind.DISK else have.volumes[id].limit

    def _names(self, pool: str) -> set[str]:
        view = self._pools.views.get(pool)
        return {*self._graves.keys(), *(view.have.graves if view else ())}

    async def settle(self, kind: Kind, id: str) -> None:
        """Finish what was begun with the tombstones of one disk or volume."""
        for name, grave in self._graves.items():
            if (grave.kind, grave.id) == (kind, id):
                await self._advance(name, grave)

    async def _advance(self, name: str, grave: Grave) -> None:
        steps = plan.grave(name, grave)
        if not steps or not self._pools.is_ready(grave.pool):
            return
        await self._host.apply(steps)
        have = await self._pools.refresh(grave.pool)
        if grave.phase is Phase.BURYING and name in have.graves:
            self._graves.put(name, dataclasses.replace(grave, phase=Phase.KEPT, used=have.graves[name]))
            return
        if grave.phase is Phase.RETURNING:
            self._wishes.put(key(grave.kind, grave.id), Wish(grave.kind, grave.id, grave.size, grave.pool))
        self._graves.drop(name)

    async def undelete(self, name: str) -> Tombstone:
        """Bring one back, by its key."""
        grave = self._graves.get(name)
        if grave is None:
            raise NoSuchTombstone(id=name)
        self._pools.require(grave.pool, grave.kind, grave.id)
        await self.settle(grave.kind, grave.id)
        grave = self._graves.get(name)
        if grave is None or grave.phase is not Phase.KEPT:
            raise NoSuchTombstone(id=name)
        if key(grave.kind, grave.id) in self._wishes or self._pools.stray(grave.kind, grave.id):
            raise AlreadyThere(kind=grave.kind, id=grave.id)
        plan.require(grave.size - grave.used, grave.pool, self._pools.rooms())
        self._graves.put(name, dataclasses.replace(grave, phase=Phase.RETURNING))
        await self.settle(grave.kind, grave.id)
        log.info("%s is brought back", name)
        return _tombstone(name, grave)

    def find(self, id: str) -> str:
        """The key that a person means: a key, or an id's newest."""
        if id in self._graves:
            return id
        mine = [(grave.created, name) for name, grave in self._graves.items() if grave.id == id]
        if not mine:
            raise NoSuchTombstone(id=id)
        return max(mine)[1]

    def owner(self, name: str) -> tuple[Kind, str]:
        """Whose tombstone it is."""
        grave = self._graves.get(name)
        if grave is None:
            raise NoSuchTombstone(id=name)
        return grave.kind, grave.id

    def open_ends(self) -> set[tuple[Kind, str]]:
        """The disks and volumes of which a tombstone has something to be done; decides what has expired."""
        self._expire()
        return {(grave.kind, grave.id) for _, grave in self._graves.items() if grave.phase is not Phase.KEPT}

    def _expire(self) -> None:
        now, since = self._clock.time(), self._clock.monotonic()
        for name, grave in self._graves.items():
            if grave.phase is not Phase.KEPT or now < grave.expires:
                self._ripe.pop(name, None)
            elif since - self._ripe.setdefault(name, since) >= plan.patience(grave.expires - grave.created):
                log.info("%s has expired and is erased", name)
                del self._ripe[name]
                self._graves.put(name, dataclasses.replace(grave, phase=Phase.EXPIRED))

    def list(self) -> tuple[Tombstone, ...]:
        """All that are kept, oldest first."""
        kept = [(name, grave) for name, grave in self._graves.items() if grave.phase in (Phase.BURYING, Phase.KEPT)]
        return tuple(_tombstone(name, grave) for name, grave in sorted(kept, key=lambda pair: pair[1].created))


def check(kind: Kind, id: str, evidence: Evidence) -> None:
    """Refuse evidence that names no contract or no block."""
    if evidence.contract <= 0:
        raise NoEvidence(kind=kind, id=id, problem="the evidence names no contract")
    if evidence.block <= 0:
        raise NoEvidence(kind=kind, id=id, problem="the evidence names no finalized block")


def _tombstone(name: str, grave: Grave) -> Tombstone:
    return Tombstone(
        id=grave.id,
        kind=grave.kind,
        size=Bytes(grave.size),
        created=grave.created,
        expires=grave.expires,
        pool=grave.pool,
        evidence=grave.evidence,
        key=name,
        used=Bytes(grave.used),
    )
