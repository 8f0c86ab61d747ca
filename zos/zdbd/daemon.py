"""Wires zdbd: configuration, ledger, the loop, the API."""

from __future__ import annotations

from dataclasses import dataclass

from zos.core0.api import Core0Client
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake
from zos.zdbd.addresses import NodeAddresses
from zos.zdbd.api.zdbd_pb2_grpc import add_ZdbdServicer_to_server
from zos.zdbd.host import LinuxHost
from zos.zdbd.host.contract import Host
from zos.zdbd.manager import NamespaceManager
from zos.zdbd.model import NamespaceRecord
from zos.zdbd.service import ZdbService


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[zdbd]`."""

    sync: bool = True
    """Acknowledge a write when it is on the disk; without, a cut of power may lose the last ones."""
    patience: float = 120.0
    """Seconds after the start for which a new namespace waits for the node's planetary and Mycelium addresses, so that
    its result has both; then one is enough."""
    every: float = 15.0
    """Seconds between two rounds of the loop that nothing else asked for."""


class Zdbd(Daemon):
    """Namespaces of 0-db, one server for each pool."""

    name = "zdbd"
    config = Config

    def __init__(self) -> None:
        self._host: Host | None = None

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        self._host = rt.host(LinuxHost, rt.run_dir / "zdbd", Core0Client(rt.bus).confine)
        wake = Wake()
        self._host.on_change(wake.set)
        addresses = NodeAddresses(rt.bus, rt.clock, config.patience)
        records = rt.ledger("namespaces", NamespaceRecord, version=1)
        manager = NamespaceManager(self._host, records, addresses, wake.set, config.sync)
        rt.serve(ZdbService(manager), add_ZdbdServicer_to_server)
        rt.loop("reconcile", manager.reconcile, every=config.every, wake=wake)

    async def close(self) -> None:
        if self._host is not None:
            await self._host.close()
