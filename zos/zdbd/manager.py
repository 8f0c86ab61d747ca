"""Keeps the records of namespaces, and the processes that serve them: observe, plan, apply, one pool at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from zos.errors import Kind, ZosError
from zos.model.units import Bytes
from zos.runtime.ledger import Ledger
from zos.runtime.locks import Locks
from zos.zdbd import plan
from zos.zdbd.addresses import NodeAddresses
from zos.zdbd.api.check import check
from zos.zdbd.api.errors import NotServed
from zos.zdbd.api.types import Namespace, NamespaceId, NamespaceInfo
from zos.zdbd.host.contract import Host
from zos.zdbd.model import NamespaceRecord, ObservedServer, Report, SpaceReport

log = logging.getLogger("zos.zdbd")

NOT_YET = SpaceReport(problem="its disk's process is being started")


class NamespaceManager:
    """All namespaces of the node."""

    def __init__(
        self,
        host: Host,
        records: Ledger[NamespaceRecord],
        addresses: NodeAddresses,
        wake: Callable[[], None],
        sync: bool = True,
    ) -> None:
        self._host = host
        self._records = records
        self._addresses = addresses
        self._wake = wake
        self._sync = sync
        self._locks: Locks[str] = Locks()

    async def ensure(self, namespace: Namespace) -> NamespaceInfo:
        """Accept a namespace and serve it. A refused change leaves what was served before."""
        check(namespace)
        if namespace.id not in self._records:
            await self._addresses.all()
        async with self._locks.of(namespace.pool):
            before = self._records.get(namespace.id)
            record = plan.admit(namespace, dict(self._records.items()))
            self._records.put(namespace.id, record)
            try:
                report = await self._serve(namespace.pool)
                served = report.spaces.get(namespace.id, NOT_YET)
                if problem := served.problem or report.problem:
                    raise NotServed(id=namespace.id, problem=problem)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW:
                    self._put_back(namespace.id, before)
                raise
        return self._info(record, served)

    def _put_back(self, id: NamespaceId, before: NamespaceRecord | None) -> None:
        if before is None:
            self._records.drop(id)
        else:
            self._records.put(id, before)
        self._wake()

    async def drop(self, id: NamespaceId) -> None:
        """Serve a namespace no longer; returns when nothing has its files open."""
        record = self._records.get(id)
        if record is None:
            return
        pool = record.namespace.pool
        async with self._locks.of(pool):
            self._records.drop(id)
            try:
                await self._serve(pool)
            except ZosError:
                # Asked again, it is still to be made sure that its files are let go.
                self._records.put(id, record)
                raise

    async def reconcile(self) -> None:
        """Serve what is recorded, and nothing else. Raises the first error, at the end."""
        pools = {record.namespace.pool for _, record in self._records.items()} | self._host.pools()
        failures = [one for one in await asyncio.gather(*map(self._mend, sorted(pools))) if one is not None]
        if failures:
            raise failures[0]

    async def _mend(self, pool: str) -> ZosError | None:
        async with self._locks.of(pool):
            try:
                report = await self._serve(pool)
            except ZosError as err:
                return err
        for id, space in report.spaces.items():
            if space.problem:
                return NotServed(id=id, problem=space.problem)
        return NotServed(id="(all)", problem=report.problem) if report.problem else None

    async def _serve(self, pool: str) -> Report:
        """Reconcile one pool's process; its lock is held."""
        records = [record for _, record in self._records.items()]
        has_any = any(record.namespace.pool == pool for record in records)
        addresses = await self._addresses.known() if has_any else ()
        desired = plan.desired(pool, records, addresses, self._sync)
        observed = await self._host.observe(pool)
        steps = plan.plan(pool, desired, observed)
        if steps:
            await self._host.apply(steps)
            observed = await self._host.observe(pool)
        return observed.report if observed else Report()

    async def list(self) -> tuple[NamespaceInfo, ...]:
        """All namespaces, as they are served."""
        pools = sorted(self._host.pools())
        seen = dict(zip(pools, await asyncio.gather(*map(self._look, pools)), strict=True))
        infos = []
        for id, record in self._records.items():
            found = seen.get(record.namespace.pool)
            infos.append(self._info(record, found.report.spaces.get(id, NOT_YET) if found else NOT_YET))
        return tuple(infos)

    async def _look(self, pool: str) -> ObservedServer | None:
        try:
            return await self._host.observe(pool)
        except ZosError as err:
            log.warning("%s", err.explain())
            return None

    def _info(self, record: NamespaceRecord, served: SpaceReport) -> NamespaceInfo:
        namespace = record.namespace
        return NamespaceInfo(
            id=namespace.id,
            pool=namespace.pool,
            size=namespace.size,
            mode=namespace.mode,
            public=namespace.public,
            frozen=namespace.frozen,
            addresses=self._addresses.last,
            port=record.port,
            entries=served.entries,
            used=Bytes(served.used),
            detail=served.problem,
        )
