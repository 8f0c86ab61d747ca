"""Wires networkd: configuration, ledgers, the loop, the door."""

from __future__ import annotations

from dataclasses import dataclass

from zos.networkd.api.networkd_pb2_grpc import add_NetworkdServicer_to_server
from zos.networkd.api.types import Tap
from zos.networkd.host import LinuxHost
from zos.networkd.host.contract import Host
from zos.networkd.keeper import Keeper
from zos.networkd.model import Wish
from zos.networkd.node import NodeWish, Public
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
        host.listen(wake.set)
        wishes = rt.ledger("networks", Wish, version=1)
        taps = rt.ledger("taps", Tap, version=1)
        own = NodeWish(config.uplink, config.address, config.gateway)
        publics = rt.ledger("public", Public, version=1)
        keeper = Keeper(host, wishes, taps, publics, own, wake.set)
        rt.serve(NetworkService(keeper), add_NetworkdServicer_to_server)
        rt.loop("reconcile", keeper.reconcile, every=config.every, wake=wake)
