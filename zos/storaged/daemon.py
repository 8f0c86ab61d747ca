"""Wires storaged: configuration, ledgers, the first look, the loop, the door."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from zos.errors import ZosError
from zos.model.units import GiB
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake
from zos.storaged.api.storaged_pb2_grpc import add_StoragedServicer_to_server
from zos.storaged.graves import Graves
from zos.storaged.host import BtrfsHost
from zos.storaged.host.contract import Host
from zos.storaged.keeper import Keeper
from zos.storaged.model import Grave, Layout, PoolRecord, Wish
from zos.storaged.pools import Pools, Settings
from zos.storaged.service import StorageService

FIRST_LOOK = 15.0
"""Seconds for which READY waits for the pools; a disk that does not answer must not keep the node down."""


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[storaged]`."""

    disks: tuple[str, ...] = ()
    """The devices that may be pools, and no others: paths, links to them, or the files that loop devices show.
    Empty: every fixed disk of the machine that is blank or a pool."""
    ssd: tuple[str, ...] = ()
    """Devices that are SSDs whatever they measure."""
    hdd: tuple[str, ...] = ()
    """Devices that are hard disks whatever they measure."""
    on_hdd: bool = False
    """Put disks and volumes on hard disks when no SSD has room."""
    mounts: Path = Path("/mnt")
    """Pools are mounted below."""
    cache: Path = Path("/var/cache/zos")
    """Where the cache volume is mounted."""
    cache_size: int = GiB(5)
    """What the cache volume starts with, and grows by."""
    ttl: float = 14 * 86400.0
    """Seconds for which a dropped disk or volume is kept."""
    every: float = 30.0
    """Seconds between two looks at everything, when nothing else asks for one."""


class Storaged(Daemon):
    """The node's storage."""

    name = "storaged"
    config = Config

    def __init__(self) -> None:
        self._keeper: Keeper | None = None

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        layout = Layout(config.mounts, config.cache)
        host: Host = rt.host(BtrfsHost, layout, config.disks)
        wake = Wake()
        wishes = rt.ledger("wishes", Wish, version=1)
        tombstones = rt.ledger("tombstones", Grave, version=1)
        records = rt.ledger("pools", PoolRecord, version=1)
        settings = Settings(config.ssd, config.hdd, config.on_hdd, config.cache_size)
        pools = Pools(host, records, wishes, tombstones, settings)
        graves = Graves(host, pools, tombstones, wishes, rt.clock, config.ttl)
        keeper = Keeper(host, layout, pools, graves, wishes, rt.clock, wake.set, config.on_hdd)
        self._keeper = keeper
        rt.serve(StorageService(keeper), add_StoragedServicer_to_server)
        rt.loop("reconcile", keeper.reconcile, every=config.every, wake=wake)
        try:
            # READY means that the pools and the cache are where the siblings expect them.
            async with asyncio.timeout(FIRST_LOOK):
                await keeper.reconcile()
        except (ZosError, TimeoutError) as err:
            rt.log.warning("the first look is not complete: %s", err)

    async def close(self) -> None:
        if self._keeper is not None:
            await self._keeper.close()
