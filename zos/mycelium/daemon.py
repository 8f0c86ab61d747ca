"""Starts mycelium: configuration, ledger, the router, the API."""

from __future__ import annotations

from dataclasses import dataclass

from zos.core0.api import Core0Client, KeyUse
from zos.mycelium.api.mycelium_pb2_grpc import add_MyceliumServicer_to_server
from zos.mycelium.api.types import Identity
from zos.mycelium.host import LinuxHost
from zos.mycelium.links import PORT, parse_endpoints
from zos.mycelium.manager import IdentityManager
from zos.mycelium.service import MyceliumService
from zos.runtime.daemon import Daemon, Runtime


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[mycelium]`."""

    on: bool = True
    """Be in the overlay and offer it."""
    peers: tuple[str, ...] = ()
    """`tcp://ADDRESS:PORT` of other routers; neighbours are found without. Others are left out, with a warning."""
    port: int = PORT
    """Where others may connect (TCP); 0: nobody may."""
    discovery: tuple[str, ...] = ("zos",)
    """Links on which the router looks for neighbours."""
    every: float = 2.0
    """Seconds between two reconciliations of the devices."""


class Mycelium(Daemon):
    """The node's router in the Mycelium overlay."""

    name = "mycelium"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        core0 = Core0Client(rt.bus)
        peers, left_out = parse_endpoints(config.peers)
        manager = IdentityManager(
            rt.ledger("identities", Identity, version=1),
            lambda: core0.derive(KeyUse.MYCELIUM),
            rt.host(LinuxHost),
            on=config.on,
            port=config.port,
            peers=peers,
            left_out=left_out,
            interfaces=config.discovery,
        )
        rt.serve(MyceliumService(manager), add_MyceliumServicer_to_server)
        rt.task("overlay", manager.run)
        rt.loop("devices", manager.reconcile, every=config.every)
