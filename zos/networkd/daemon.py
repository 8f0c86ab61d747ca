"""Starts networkd: configuration, ledgers, loops, the API."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from zos.core0.api import Core0Client, KeyUse
from zos.mycelium.api import MyceliumClient
from zos.networkd import check, places
from zos.networkd.api.networkd_pb2_grpc import add_NetworkdServicer_to_server
from zos.networkd.firewall import Openings
from zos.networkd.firewall_manager import Firewall
from zos.networkd.host import LinuxHost
from zos.networkd.host.contract import Host
from zos.networkd.manager import NetworkManager
from zos.networkd.model import NetworkRecord
from zos.networkd.node import DesiredNode, Public
from zos.networkd.overlay_manager import OverlayManager
from zos.networkd.place import Node
from zos.networkd.planetary import LISTEN, listening
from zos.networkd.planetary_manager import PlanetaryManager
from zos.networkd.removals import Removal, Removals
from zos.networkd.segments import SegmentManager
from zos.networkd.service import NetworkService
from zos.networkd.sparing import SparingHost
from zos.networkd.taps import TapManager, TapStore, open_ledger
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
    """`kernel` or `wireguard-go`; empty: the kernel's if a trial link works."""
    planetary: bool = True
    """Join the planetary network and offer it, when this machine can."""
    planetary_peers: tuple[str, ...] = ()
    """`tcp://ADDRESS:PORT` or `tls://…` of others in it; neighbours on the uplink are found without configuration."""
    planetary_listen: tuple[str, ...] = LISTEN
    """Where others may connect to."""
    spare: float = 300.0
    """Seconds after a start for which networks and taps stay that are there and have no record."""
    accept: tuple[str, ...] = ()
    """Ports of the node itself that are reached from outside beside its daemons' own: `tcp/22`, `udp/6000-6010`."""
    open: tuple[str, ...] = ()
    """Prefixes that tenants reach although they are private, or the uplink is in them."""
    every: float = 15.0
    """Seconds between two reconciliations when nothing else causes one."""


class Networkd(Daemon):
    """Networks, taps, WireGuard, the firewall, and the node's uplink."""

    name = "networkd"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        removals = Removals(rt.ledger("removed", Removal, version=1))
        taps = TapStore(open_ledger(rt), removals)
        records = rt.ledger("networks", NetworkRecord, version=1)

        def ports() -> frozenset[int]:
            return frozenset(record.network.listen_port for _, record in records.items())

        made: Host = rt.host(LinuxHost, rt.run_dir, config.backend)
        host = SparingHost(made, rt.clock, config.spare, records.keys(), taps.devices, ports, removals.names())
        core0, mycelium = Core0Client(rt.bus), MyceliumClient(rt.bus)
        loops = {name: Wake() for name in ("reconcile", "yggdrasil", *(place.place for place in places.on_node()))}

        def wake() -> None:
            for one in loops.values():
                one.set()

        planetary = PlanetaryManager(
            host,
            lambda: core0.derive(KeyUse.PLANETARY),
            on=config.planetary,
            peers=config.planetary_peers,
            listen=config.planetary_listen,
        )
        own = DesiredNode(config.uplink, config.address, config.gateway)
        accept = (*check.ports("accept", config.accept), *listening(config.planetary_listen))
        firewall = Firewall(host, own, Openings(accept, check.prefixes("open", config.open)))
        networks = NetworkManager(
            host,
            records,
            taps,
            rt.ledger("public", Public, version=1),
            own,
            firewall,
            wake,
            rt.clock,
        )
        segments = SegmentManager(host, taps, Node(planetary), firewall)
        node_overlay = OverlayManager(host, lambda: _overlay_address(mycelium))
        host.on_change(wake)
        rt.serve(
            NetworkService(networks, TapManager(host, taps, networks, segments, wake), segments, planetary),
            add_NetworkdServicer_to_server,
        )
        # Loops of their own: what waits for core-0 keeps nothing else waiting.
        rt.loop("reconcile", networks.reconcile, every=config.every, wake=loops["reconcile"])
        rt.loop("yggdrasil", planetary.reconcile, every=config.every, wake=loops["yggdrasil"])
        rt.loop("overlay", node_overlay.reconcile, every=config.every)
        for place in places.on_node():
            action = functools.partial(segments.reconcile, place)
            rt.loop(place.place, action, every=config.every, wake=loops[place.place])


async def _overlay_address(mycelium: MyceliumClient) -> str:
    return (await mycelium.overlay()).address
