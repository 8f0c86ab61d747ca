"""Wires flistd: configuration, ledger, loops, the API."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zos.flist.policy import StorePolicy
from zos.flist.store import DEFAULT
from zos.flistd.api.flistd_pb2_grpc import add_FlistdServicer_to_server
from zos.flistd.host import LinuxHost
from zos.flistd.host.contract import Host
from zos.flistd.manager import MountManager
from zos.flistd.model import MountRecord
from zos.flistd.service import FlistService
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[flistd]`."""

    mounts: Path = Path("/mnt/flist")
    """Where mounts are seen."""
    cache: Path = Path("/var/cache/zos")
    """Where flists and blocks are kept: storaged's cache volume."""
    cache_mounted: bool = True
    """Whether `cache` must be a mount of its own, as storaged makes it: until it is one, nothing is written there."""
    cache_size: int = 0
    """Bytes of blocks to keep; 0 is four fifths of the volume."""
    fill_size: int = 1 << 30
    """Flists up to this size (and a quarter of the cache) are fetched whole once they are mounted; 0 is none."""
    allowed: tuple[str, ...] = ()
    """Networks, addresses and host names, each with or without a port, that flists and their blocks may be fetched from
    although they are not public. The node's hub is one of them."""
    store: str = DEFAULT
    """Where blocks of 0-fs' archives are that name no store: a URL without a password, of a public host or an `allowed`
    one. Looked at when a flist is fetched."""
    every: float = 15.0
    """Seconds between two rounds of the loop that nothing else asked for."""
    tidy_every: float = 300.0
    """Seconds between two checks of the size of the cache."""


class Flistd(Daemon):
    """Mounts of flists, and the cache of their blocks."""

    name = "flistd"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        policy = StorePolicy.of_urls([rt.node.hub], config.allowed)
        rest = (config.cache_size, config.fill_size, config.store, config.cache_mounted)
        self._host: Host = rt.host(LinuxHost, config.mounts, rt.run_dir, config.cache, policy, *rest)
        wake = Wake()
        self._host.on_change(wake.set)
        records = rt.ledger("mounts", MountRecord, version=1)
        self._manager = manager = MountManager(self._host, records, config.mounts, rt.node.hub, wake.set)
        rt.serve(FlistService(manager), add_FlistdServicer_to_server)
        rt.loop("reconcile", manager.reconcile, every=config.every, wake=wake)
        rt.loop("tidy", manager.tidy, every=config.tidy_every)
        rt.loop("give way", manager.give_way, every=config.every)

    async def close(self) -> None:
        await self._manager.close()
        self._host.close()
