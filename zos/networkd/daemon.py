"""Wires networkd: configuration, ledgers, the loop, the door."""

from __future__ import annotations

from dataclasses import dataclass

from zos.core0.api import Core0Client, KeyUse
from zos.networkd.api.networkd_pb2_grpc import add_NetworkdServicer_to_server
from zos.networkd.api.types import MyceliumTap, PlanetaryTap, Tap
from zos.networkd.host import LinuxHost
from zos.networkd.host.contract import Host
from zos.networkd.keeper import Keeper
from zos.networkd.model import Wish
from zos.networkd.node import NodeWish, Public
from zos.networkd.planetary import LISTEN
from zos.networkd.planetary_keeper import PlanetaryKeeper
from zos.networkd.service import NetworkService
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[networkd]`."""

    uplink: str = ""
    """The network card; empty: the first with a carrier, those with a default route before others."""
    address: tuple[str, ...] = ()
    """The node's addresses with prefix; empty: what the card has, else DHCP."""
    gateway: tuple[str, ...] = ()
    """Default gateways, one per family; empty: what the card has."""
    backend: str = ""
    """`kernel` or `wireguard-go`; empty: the kernel's when a trial link works."""
    planetary: bool = True
    """Be in the planetary network and offer it, when this machine can."""
    planetary_peers: tuple[str, ...] = ()
    """`tcp://ADDRESS:PORT` or `tls://…` of others in it; neighbours on the uplink are found without."""
    planetary_listen: tuple[str, ...] = LISTEN
    """Where others may connect to."""
    every: float = 15.0
    """Seconds between two looks at everything, when nothing else asks for one."""


class Networkd(Daemon):
    """The node's network."""

    name = "networkd"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        host: Host = rt.host(LinuxHost, rt.run_dir, config.backend)
        wake = Wake()
        wishes = rt.ledger("networks", Wish, version=1)
        taps = rt.ledger("taps", Tap, version=1)
        overlay = rt.ledger("mycelium", MyceliumTap, version=1)
        own = NodeWish(config.uplink, config.address, config.gateway)
        publics = rt.ledger("public", Public, version=1)
        core0, planetary_wake = Core0Client(rt.bus), Wake()
        planetary = PlanetaryKeeper(
            host,
            rt.ledger("planetary", PlanetaryTap, version=1),
            lambda: core0.derive(KeyUse.PLANETARY),
            on=config.planetary,
            peers=config.planetary_peers,
            listen=config.planetary_listen,
        )
        keeper = Keeper(host, wishes, taps, publics, own, wake.set, overlay, planetary.devices)

        def bell() -> None:
            wake.set()
            planetary_wake.set()

        host.listen(bell)
        rt.serve(NetworkService(keeper, planetary), add_NetworkdServicer_to_server)
        rt.loop("reconcile", keeper.reconcile, every=config.every, wake=wake)
        rt.loop("planetary", planetary.reconcile, every=config.every, wake=planetary_wake)
