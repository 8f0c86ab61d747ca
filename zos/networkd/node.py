"""The node's own part: its uplink as port of the bridge `zos`, forwarding, the firewall around tenants. Pure.

The uplink's addresses and routes move to the bridge without a moment in which neither has them, and every prefix of
the steps is a state from which the rest is planned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_interface

from zos.networkd import nft, places
from zos.networkd.api.errors import NoUplink
from zos.networkd.api.types import PublicConfig
from zos.networkd.model import FORWARDING, UPLINK_BRIDGE, Address, Route, is_tap, owner
from zos.networkd.steps import (
    ROOT,
    AddAddress,
    Attach,
    CreateBridge,
    DisableIPv6,
    DropAddress,
    LoadRules,
    PutRoute,
    SetSysctl,
    SetUp,
    StartDhcp,
    Step,
)

SYSCTLS = {
    **FORWARDING,
    # Bridged frames of tenants must not pass the host's conntrack: equal private ranges would meet there.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
    # A node that forwards learns its own default route from router advertisements only at 2.
    f"net/ipv6/conf/{UPLINK_BRIDGE}/accept_ra": "2",
}


class NicKind(StrEnum):
    """What a link of the host namespace is, as far as the uplink is concerned."""

    CARD = "card"
    """Physical, or as good as (a veth stands for one in a lab or container)."""
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
    """Global ones that end some day, by DHCP or router advertisement."""
    routes: frozenset[Route] = frozenset()
    """Those that somebody set (not the kernel's own)."""
    ipv6: bool = True


@dataclass(frozen=True, slots=True)
class Public:
    """The node's public addresses; they are on the uplink beside its own."""

    config: PublicConfig = field(default_factory=PublicConfig)
    former: tuple[str, ...] = ()
    """Addresses of earlier configurations, to be taken away where they still are."""


@dataclass(frozen=True, slots=True)
class DesiredNode:
    """What the configuration says of the uplink; empty fields mean: find out."""

    uplink: str = ""
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    public: Public = field(default_factory=Public)


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """The node's own part as seen."""

    nics: Mapping[str, Nic] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """Only those that this kernel has."""
    rules: str = ""
    dhcp: bool = False
    """A DHCP client of ours runs on the bridge."""
    busy: frozenset[int] = frozenset()
    """UDP ports that are bound in the node's own namespace."""


def choose(wish: DesiredNode, nics: Mapping[str, Nic]) -> str | None:
    """The uplink: the configured one, else the one chosen before, else the best with a carrier."""
    if wish.uplink:
        if wish.uplink not in nics:
            raise NoUplink(problem=f"there is no link {wish.uplink}")
        return wish.uplink
    cards = _cards(nics)
    for name in cards:
        if nics[name].master == UPLINK_BRIDGE:
            return name
    live = [name for name in cards if nics[name].carrier and not nics[name].master]

    def rank(name: str) -> tuple[bool, bool, str]:
        nic = nics[name]
        return (not any(route.dest == "default" for route in nic.routes), not nic.addresses, name)

    return min(live, key=rank, default=None)


def _cards(nics: Mapping[str, Nic]) -> list[str]:
    return sorted(
        name for name, nic in nics.items() if nic.kind is NicKind.CARD and owner(name) is None and not is_tap(name)
    )


def plan(wish: DesiredNode, seen: ObservedNode) -> tuple[Step, ...]:
    """The steps to the node's own part as wished."""
    return tuple(_plan(wish, seen))


def _plan(wish: DesiredNode, seen: ObservedNode) -> Iterator[Step]:
    if "lo" in seen.nics and not seen.nics["lo"].up:
        yield SetUp(ROOT, "lo")
    name = choose(wish, seen.nics)
    if name is None:
        # A card shows its carrier only when it is up.
        asleep = [card for card in _cards(seen.nics) if not seen.nics[card].up]
        if not asleep:
            raise NoUplink(problem="no network card has a carrier")
        yield from (SetUp(ROOT, card) for card in asleep)
        return
    bridge = seen.nics.get(UPLINK_BRIDGE)
    yield from _uplink(wish, name, seen.nics[name], bridge)
    addresses = _addresses(wish, seen.nics[name], bridge)
    if not addresses and not seen.dhcp:
        yield StartDhcp(UPLINK_BRIDGE)
    for key, value in SYSCTLS.items():
        # The bridge's own parameters appear with it.
        known = key in seen.sysctls or (bridge is None and f"/{UPLINK_BRIDGE}/" in key)
        if known and seen.sysctls.get(key) != value:
            yield SetSysctl(ROOT, key, value)
    ruleset = rules(addresses | (bridge.leased if bridge else frozenset()))
    if nft.digest(ruleset) != seen.rules:
        yield LoadRules(ROOT, nft.replacing(ruleset) if seen.rules else ruleset)


def rules(uplink_prefixes: Iterable[str]) -> str:
    """The firewall of the root namespace."""
    lines = [place.root_rules() for place in places.on_node()]
    return nft.root(uplink_prefixes, "".join(one for one, _ in lines), "".join(one for _, one in lines))


def _addresses(wish: DesiredNode, nic: Nic, bridge: Nic | None) -> frozenset[str]:
    """The node's own addresses."""
    if wish.addresses:
        return frozenset(str(ip_interface(text)) for text in wish.addresses)
    own = nic.addresses | (bridge.addresses if bridge else frozenset())
    return own - {*wish.public.config.addresses, *wish.public.former}


def _routes(wish: DesiredNode, nic: Nic) -> Iterator[Route]:
    for gateway in wish.gateways:
        yield Route("default", UPLINK_BRIDGE, gateway, ipv6=":" in gateway)
    configured = {":" in gateway for gateway in wish.gateways}
    for route in sorted(nic.routes):
        if not (route.dest == "default" and route.ipv6 in configured):
            yield replace(route, link=UPLINK_BRIDGE)


def _uplink(wish: DesiredNode, name: str, nic: Nic, bridge: Nic | None) -> Iterator[Step]:
    if bridge is None:
        yield CreateBridge(UPLINK_BRIDGE, nic.mac)
    have = bridge or Nic(NicKind.BRIDGE)
    wanted = _addresses(wish, nic, bridge) | {*wish.public.config.addresses}
    for address in sorted(wanted - have.addresses):
        yield AddAddress(ROOT, UPLINK_BRIDGE, Address(address))
    for address in sorted({*wish.public.former} & have.addresses - wanted):
        yield DropAddress(ROOT, UPLINK_BRIDGE, Address(address))
    if not have.up:
        yield SetUp(ROOT, UPLINK_BRIDGE)
    for route in _routes(wish, nic):
        if route not in have.routes:
            yield PutRoute(ROOT, route)
    if nic.master != UPLINK_BRIDGE:
        yield Attach(name, UPLINK_BRIDGE)
    if not nic.up:
        yield SetUp(ROOT, name)
    for address in sorted(nic.addresses):
        yield DropAddress(ROOT, name, Address(address))
    if nic.ipv6:
        yield DisableIPv6(name)
