"""Wires storaged: configuration, ledgers, the first round, the loop, the API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from zos.errors import ZosError
from zos.model.units import GiB
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake
from zos.storaged.age import Age, AgeRecord
from zos.storaged.api.storaged_pb2_grpc import add_StoragedServicer_to_server
from zos.storaged.host import LinuxHost
from zos.storaged.host.contract import Host
from zos.storaged.manager import StorageManager
from zos.storaged.model import Layout, PoolRecord, StorageRecord, TombstoneRecord
from zos.storaged.pools import PoolManager, Settings
from zos.storaged.service import StorageService
from zos.storaged.tombstones import TombstoneManager
from zos.storaged.witness import Witness

AGE_STEP = 600.0
"""Seconds between two notes of the node's age."""
FIRST_TURN = 15.0
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
    replaced: tuple[str, ...] = ()
    """Pools, by name, whose device is no more: a blank one in its place may become a pool."""
    on_hdd: bool = False
    """Put disks and volumes on hard disks when no SSD has room."""
    mounts: Path = Path("/mnt")
    """Pools are mounted below."""
    cache: Path = Path("/var/cache/zos")
    """Where the cache volume is mounted."""
    cache_size: int = GiB(5)
    """What the cache volume starts with, and grows by."""
    cache_part: int = 10
    """It grows to one in so many bytes of its pool, or to `cache_size` if that is more. What it has beyond `cache_size`
    gives way to disks and volumes."""
    ttl: float = 14 * 86400.0
    """Seconds for which a dropped disk or volume is kept."""
    every: float = 30.0
    """Seconds between two rounds of the loop that nothing else asked for."""


class Storaged(Daemon):
    """Pools, disks, volumes and tombstones."""

    name = "storaged"
    config = Config

    def __init__(self) -> None:
        self._manager: StorageManager | None = None

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        layout = Layout(config.mounts, config.cache)
        host: Host = rt.host(LinuxHost, layout, config.disks)
        wake = Wake()
        # The folder is called what the first release called it.
        items = rt.ledger("wishes", StorageRecord, version=1)
        tombstones = rt.ledger("tombstones", TombstoneRecord, version=1)
        pool_records = rt.ledger("pools", PoolRecord, version=1)
        settings = Settings(
            config.ssd, config.hdd, config.on_hdd, config.cache_size, max(1, config.cache_part), config.replaced
        )
        pools = PoolManager(host, pool_records, items, tombstones, settings, wake.set, rt.clock)
        age = Age(rt.ledger("age", AgeRecord, version=1), rt.clock, min(AGE_STEP, config.ttl / 20))
        dropped = TombstoneManager(host, pools, tombstones, items, rt.clock, age, config.ttl)
        manager = StorageManager(host, layout, pools, dropped, items, rt.clock, wake.set, config.on_hdd)
        self._manager = manager
        rt.serve(StorageService(manager, Witness(rt.bus)), add_StoragedServicer_to_server)
        rt.loop("reconcile", manager.reconcile, every=config.every, wake=wake)
        try:
            # READY means that the pools and the cache are where the siblings expect them.
            async with asyncio.timeout(FIRST_TURN):
                await manager.reconcile()
        except (ZosError, TimeoutError) as err:
            rt.log.warning("the first round is not complete: %s", err)

    async def close(self) -> None:
        if self._manager is not None:
            await self._manager.close()
