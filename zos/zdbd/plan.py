"""Decides: which port a disk's process has, what it is told, which one starts and which one ends. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from zos.networkd.api.types import SERVICE_PORTS
from zos.zdbd.api.errors import ModeChange, NoPort, TooManyNamespaces
from zos.zdbd.api.types import Namespace
from zos.zdbd.model import Desired, NamespaceRecord, ObservedServer, space
from zos.zdbd.steps import StartServer, Step, StopServer, Tell

MOST_NAMESPACES = 8192
"""On one disk."""


def admit(namespace: Namespace, records: Mapping[str, NamespaceRecord]) -> NamespaceRecord:
    """The record of an accepted namespace; refuses another mode than the one that its files have."""
    before = records.get(namespace.id)
    if before is not None and before.namespace.mode is not namespace.mode:
        raise ModeChange(id=namespace.id, have=before.namespace.mode)
    beside = sum(one.namespace.pool == namespace.pool for one in records.values())
    if before is None and beside >= MOST_NAMESPACES:
        raise TooManyNamespaces(pool=namespace.pool, most=MOST_NAMESPACES)
    return NamespaceRecord(namespace, _port(namespace.pool, records))


def _port(pool: str, records: Mapping[str, NamespaceRecord]) -> int:
    """The port of a pool's process, which its clients know: it stays as long as the pool has a namespace."""
    taken = {record.namespace.pool: record.port for record in records.values()}
    if pool in taken:
        return taken[pool]
    for port in range(SERVICE_PORTS.first, SERVICE_PORTS.last + 1):
        if port not in taken.values():
            return port
    raise NoPort


def desired(pool: str, records: Iterable[NamespaceRecord], addresses: tuple[str, ...], sync: bool) -> Desired | None:
    """What a pool's process is to serve; None: there is to be none."""
    mine = sorted((one for one in records if one.namespace.pool == pool), key=lambda one: one.namespace.id)
    if not mine:
        return None
    return Desired(mine[0].port, addresses, sync, tuple(space(one.namespace) for one in mine))


def plan(pool: str, desired: Desired | None, observed: ObservedServer | None) -> tuple[Step, ...]:
    """The steps from the process that runs to the one that is to run."""
    return tuple(_plan(pool, desired, observed))


def _plan(pool: str, desired: Desired | None, observed: ObservedServer | None) -> Iterator[Step]:
    if desired is None:
        if observed is not None:
            yield StopServer(pool)
        return
    if observed is None:
        yield StartServer(pool)
    if observed is None or observed.told != desired or not observed.report.is_whole:
        yield Tell(pool, desired)
