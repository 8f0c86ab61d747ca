"""The node's own part: its uplink as port of the bridge `zos`, and forwarding. Pure.

The uplink's addresses and routes move to the bridge in an order in which one of the two always has them. When the
daemon ends after any of the steps, the next plan goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_interface

from zos.networkd.api.errors import NoUplink
from zos.networkd.api.types import PublicConfig
from zos.networkd.model import (
    CONNECTIONS,
    FORWARDING,
    MOST_NETWORKS,
    OWN_CONNECTIONS,
    SHARD,
    SHARDS,
    UPLINK_BRIDGE,
    Address,
    Route,
    is_tap,
    owner,
)
from zos.networkd.steps import (
    ROOT,
    AddAddress,
    Attach,
    CreateBridge,
    DropAddress,
    PutRoute,
    SetSysctl,
    SetUp,
    Silence,
    StartDhcp,
    Step,
)

SYSCTLS = {
    **FORWARDING,
    **CONNECTIONS,
    # Bridged frames of tenants must not pass the root namespace's conntrack: equal private ranges would meet there.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
    # The stricter of `all` and the link holds, so the links' own say what is.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/all/accept_source_route": "0",
    f"net/ipv4/conf/{UPLINK_BRIDGE}/rp_filter": "2",
    # Addresses towards tenants are not answered for on the farmer's LAN.
    f"net/ipv4/conf/{UPLINK_BRIDGE}/arp_ignore": "1",
    f"net/ipv4/conf/{UPLINK_BRIDGE}/accept_redirects": "0",
    f"net/ipv6/conf/{UPLINK_BRIDGE}/accept_redirects": "0",
    # A node that forwards learns its own default route from router advertisements only at 2.
    f"net/ipv6/conf/{UPLINK_BRIDGE}/accept_ra": "2",
}

LEAST = {
    # Both families of each network, and the node.
    "net/netfilter/nf_conntrack_max": OWN_CONNECTIONS + MOST_NETWORKS * 2 * SHARDS * SHARD,
    # Neighbours of all namespaces are in one table for each family: each network has a few, each guest four at most.
    **{f"net/{ip}/neigh/default/gc_thresh1": 1024 for ip in ("ipv4", "ipv6")},
    **{f"net/{ip}/neigh/default/gc_thresh2": 8192 for ip in ("ipv4", "ipv6")},
    **{f"net/{ip}/neigh/default/gc_thresh3": 16384 for ip in ("ipv4", "ipv6")},
}
"""Limits of the whole machine that are raised to this, where they are lower and this node may."""


class NicKind(StrEnum):
    """What a link of the root namespace is, as far as the uplink is concerned."""

    CARD = "card"
    """A physical card, or the veth that stands for one in a lab or container."""
    BRIDGE = "bridge"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Nic:
    """A link that could be, or is, the uplink."""

    kind: NicKind
    mac: str = ""
    up: bool = False
    carrier: bool = False
    master: str = ""
    addresses: frozenset[str] = frozenset()
    """Permanent global ones, with prefix."""
    leased: frozenset[str] = frozenset()
    """Global ones with a lifetime, by DHCP or router advertisement."""
    routes: frozenset[Route] = frozenset()
    """Routes that were added (not the kernel's own)."""
    on_link: frozenset[str] = frozenset()
    """Prefixes whose hosts are reached without a router."""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Public:
    """The node's public addresses; they are on the uplink beside its own."""

    config: PublicConfig = field(default_factory=PublicConfig)
    former: tuple[str, ...] = ()
    """Addresses of earlier configurations, to remove where they still are."""


@dataclass(frozen=True, slots=True)
class DesiredNode:
    """The configuration of the uplink; empty fields are found out."""

    uplink: str = ""
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    public: Public = field(default_factory=Public)


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """The node's own part as the kernel shows it."""

    nics: Mapping[str, Nic] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """Only those that this kernel has, and lets be written here."""
    dhcp: bool = False
    """A DHCP client of ours runs on the bridge."""
    busy: frozenset[int] = frozenset()
    """UDP ports that are bound in the root namespace."""


def choose(desired: DesiredNode, nics: Mapping[str, Nic]) -> str | None:
    """The uplink: the configured one, else the one chosen before, else the best with a carrier."""
    if desired.uplink:
        if desired.uplink not in nics:
            raise NoUplink(problem=f"there is no link {desired.uplink}")
        return desired.uplink
    cards = _cards(nics)
    for name in cards:
        if nics[name].master == UPLINK_BRIDGE:
            return name
    live = [name for name in cards if nics[name].carrier and not nics[name].master]

    def rank(name: str) -> tuple[bool, bool, str]:
        nic = nics[name]
        return (not any(route.dest == "default" for route in nic.routes), not nic.addresses, name)

    return min(live, key=rank, default=None)


def choose_or_none(desired: DesiredNode, nics: Mapping[str, Nic]) -> str:
    """The uplink; empty when there is none."""
    try:
        return choose(desired, nics) or ""
    except NoUplink:
        return ""


def _cards(nics: Mapping[str, Nic]) -> list[str]:
    return sorted(
        name for name, nic in nics.items() if nic.kind is NicKind.CARD and owner(name) is None and not is_tap(name)
    )


def plan(desired: DesiredNode, observed: ObservedNode) -> tuple[Step, ...]:
    """The steps that make the node's own part as desired."""
    return tuple(_plan(desired, observed))


def _plan(desired: DesiredNode, observed: ObservedNode) -> Iterator[Step]:
    if "lo" in observed.nics and not observed.nics["lo"].up:
        yield SetUp(ROOT, "lo")
    name = choose(desired, observed.nics)
    if name is None:
        # A card shows its carrier only when it is up.
        asleep = [card for card in _cards(observed.nics) if not observed.nics[card].up]
        if not asleep:
            raise NoUplink(problem="no network card has a carrier")
        yield from (SetUp(ROOT, card) for card in asleep)
        return
    bridge = observed.nics.get(UPLINK_BRIDGE)
    yield from _uplink(desired, name, observed.nics[name], bridge)
    addresses = _addresses(desired, observed.nics[name], bridge)
    if not addresses and not observed.dhcp:
        yield StartDhcp(UPLINK_BRIDGE)
    for key, value in SYSCTLS.items():
        # The bridge's own parameters appear with it.
        known = key in observed.sysctls or (bridge is None and f"/{UPLINK_BRIDGE}/" in key)
        if known and observed.sysctls.get(key) != value:
            yield SetSysctl(ROOT, key, value)
    for key, least in LEAST.items():
        if key in observed.sysctls and int(observed.sysctls[key]) < least:
            yield SetSysctl(ROOT, key, str(least))


def _addresses(desired: DesiredNode, nic: Nic, bridge: Nic | None) -> frozenset[str]:
    """The node's own addresses."""
    if desired.addresses:
        return frozenset(str(ip_interface(text)) for text in desired.addresses)
    own = nic.addresses | (bridge.addresses if bridge else frozenset())
    return own - {*desired.public.config.addresses, *desired.public.former}


def _routes(desired: DesiredNode, nic: Nic) -> Iterator[Route]:
    for gateway in desired.gateways:
        yield Route("default", UPLINK_BRIDGE, gateway, ipv6=":" in gateway)
    configured = {":" in gateway for gateway in desired.gateways}
    for route in sorted(nic.routes):
        if not (route.dest == "default" and route.ipv6 in configured):
            yield replace(route, link=UPLINK_BRIDGE)


def _uplink(desired: DesiredNode, name: str, nic: Nic, bridge: Nic | None) -> Iterator[Step]:
    if bridge is None:
        yield CreateBridge(UPLINK_BRIDGE, nic.mac)
    now = bridge or Nic(NicKind.BRIDGE)
    wanted = _addresses(desired, nic, bridge) | {*desired.public.config.addresses}
    for address in sorted(wanted - now.addresses):
        yield AddAddress(ROOT, UPLINK_BRIDGE, Address(address))
    for address in sorted({*desired.public.former} & now.addresses - wanted):
        yield DropAddress(ROOT, UPLINK_BRIDGE, Address(address))
    if not now.up:
        yield SetUp(ROOT, UPLINK_BRIDGE)
    for route in _routes(desired, nic):
        if route not in now.routes:
            yield PutRoute(ROOT, route)
    if nic.master != UPLINK_BRIDGE:
        yield Attach(name, UPLINK_BRIDGE)
    if not nic.up:
        yield SetUp(ROOT, name)
    for address in sorted(nic.addresses):
        yield DropAddress(ROOT, name, Address(address))
    if not nic.silent:
        yield Silence(name)
