"""What only networkd knows about networks: names, layout, and the two descriptions that are compared. Pure.

A network resource is described twice, as it should be (`Desired`) and as the kernel shows it (`Observed`), over the
same parts: the root namespace (`root`) and the namespace of the network (`inner`).

    root namespace                                   n-<id>
    t-<tap> ─┐
    t-<tap> ─┴ b-<id> ── v-<id> ─────────veth─────── n-<id>   <subnet>.1, ULA, fe80::1
    t-<tap> ── m-<id> ── y-<id> ────────veth─────── br-my    <mycelium>::1
               x-<id> ──────────────────veth─────── public   100.127.a.b   (the way out)
                                                    my       a TUN, the way into the Mycelium overlay
               UDP socket of WireGuard ·············· w-<id>   100.64.a.b/16
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from zos.networkd.api.types import Backend, NetId, Network, PeerInfo, TapId
from zos.networkd.guard import Guard

UPLINK_BRIDGE = "zos"
PLANETARY_BRIDGE = "br-ygg"
"""The bridge of machines in the planetary network."""
PLANETARY_LINK = "ygg0"
"""Yggdrasil's own link."""
MYCELIUM_LAN = "br-my"
"""The network's own link to the bridge of machines in the Mycelium overlay."""
MYCELIUM_MTU = 1400
OUT = "public"
"""The network resource's end of the pair that leads out."""
EXIT_NET = IPv4Network("100.127.0.0/16")
EXIT_GATEWAY = IPv4Address("100.127.0.1")
EXIT6_NET = "fd00::/64"
LINK_LOCAL_GATEWAY = "fe80::1"
MOST_NETWORKS = 256
"""That are built on one node. Each is a namespace, five links and a tunnel that are looked at in turn, every round."""
MOST_OF_TWIN = 50
"""Networks of one twin on one node; clients make one for each deployment."""
SHARDS, SHARD = 16, 256
"""A network has at most so many times so many connections through the node, of each family. When it has, each further
try costs 0.1 ms."""
PACE, BURST = 200, 1000
"""New connections of a network a second, and at once."""
OWN_CONNECTIONS = 65536
"""What the table of connections has for the node itself beside those of all networks."""
WG_NET = IPv4Network("100.64.0.0/16")
WG_MTU = 1420
KEEPALIVE = 20
"""Seconds; every peer gets it, as on every node of the grid."""

_OURS = re.compile(r"([bmvwxy])-([1-9A-HJ-NP-Za-km-z]{13})")
_OUR_TAP = re.compile(r"t-[1-9A-HJ-NP-Za-km-z]{13}")


def namespace(id: NetId) -> str:
    """The network's namespace, and its own link to the bridge inside it."""
    return f"n-{id}"


def bridge(id: NetId) -> str:
    """The bridge that taps are ports of."""
    return f"b-{id}"


def port(id: NetId) -> str:
    """The root namespace's end of the pair between bridge and namespace."""
    return f"v-{id}"


def exit(id: NetId) -> str:
    """The root namespace's end of the pair that leads out."""
    return f"x-{id}"


def mycelium_bridge(id: NetId) -> str:
    """The bridge that taps in the Mycelium overlay are ports of."""
    return f"m-{id}"


def mycelium_port(id: NetId) -> str:
    """The root namespace's end of the pair between that bridge and the namespace."""
    return f"y-{id}"


def tunnel(id: NetId) -> str:
    """Name of the network's WireGuard interface."""
    return f"w-{id}"


def tap(id: TapId) -> str:
    return f"t-{id}"


def owner(link: str) -> NetId | None:
    """The network that a link of the root namespace belongs to by its name (a tap's follows from its bridge)."""
    found = _OURS.fullmatch(link)
    return NetId(found.group(2)) if found else None


def is_tap(link: str) -> bool:
    return _OUR_TAP.fullmatch(link) is not None


def exit_address(slot: int) -> IPv4Address:
    """The address of the slot-th network on its way out (the first is 100.127.0.2)."""
    return EXIT_NET.network_address + 2 + slot


EXIT_SLOTS = EXIT_NET.num_addresses - 3
"""Without network, gateway and broadcast address."""


def exit_address6(slot: int) -> IPv6Address:
    """Its IPv6 sibling: `fd00::` and the last two octets."""
    a, b = exit_address(slot).packed[2:]
    return IPv6Address(f"fd00::{a << 8 | b:x}")


def gateway(network: Network) -> IPv4Address:
    """`.1`: the network resource's own address in the user's network."""
    return IPv4Network(network.subnet).network_address + 1


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A network in the ledger: what the caller asked for, and what networkd allocated for it."""

    network: Network
    slot: int
    leaving: bool = False
    """Dropped while it had taps; networkd removes it with the last one."""
    parked: bool = False
    """It gave its place to another one, and is not built (`crowd.py`)."""


class LinkKind(StrEnum):
    BRIDGE = "bridge"
    VETH = "veth"
    TAP = "tap"
    TUNNEL = "tunnel"
    """WireGuard's link, or a TUN. wireguard-go's link is a TUN too, so only names tell them apart."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An address on a link; a pair of single addresses when it has a `peer`."""

    local: str
    peer: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A route; `dest` is `default` or a prefix."""

    dest: str
    link: str
    via: str = ""
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A link, desired or observed."""

    kind: LinkKind
    master: str = ""
    up: bool = True
    mtu: int = 0
    """0: any."""
    addresses: frozenset[Address] = frozenset()
    silent: bool = False
    """The node itself speaks nothing on it."""
    guard: str = ""
    """Observed only, for a tap: the digest of its guard."""
    mac: str = ""
    """Set when the link is created; empty: random."""
    rx: int = 0
    """Observed only, as `tx`."""
    tx: int = 0


Known = Mapping[str, frozenset[str]]
"""The addresses that are looked for behind links, by the name of the nft set that has them (see `lookups.named`)."""


@dataclass(frozen=True, slots=True)
class Space:
    """The part of one network namespace that networkd manages."""

    links: Mapping[str, Link] = field(default_factory=dict)
    routes: frozenset[Route] = frozenset()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    rules: str = ""
    """The digest of our nft table; empty when there is none."""
    known: Known = field(default_factory=dict)
    """Observed are those sets that are there."""


SILENCE = {
    "net/ipv6/conf/{}/disable_ipv6": "1",
    "net/ipv4/conf/{}/arp_ignore": "8",
    "net/ipv4/conf/{}/forwarding": "0",
    "net/ipv4/conf/{}/rp_filter": "1",
    # A frame to one of the bridge's own group addresses (LLDP) enters by the port itself, past all rules for bridges.
    "net/ipv4/conf/{}/drop_unicast_in_l2_multicast": "1",
}
"""Kernel parameters of a link on which the node speaks nothing."""


def strict(link: str) -> dict[str, str]:
    """Kernel parameters of a tenant's routed link: it learns no routes, and takes only sources that it leads to."""
    return {
        f"net/ipv4/conf/{link}/rp_filter": "1",
        f"net/ipv4/conf/{link}/accept_redirects": "0",
        f"net/ipv6/conf/{link}/accept_redirects": "0",
        f"net/ipv6/conf/{link}/accept_ra": "0",
    }


def reticent(link: str) -> dict[str, str]:
    """Kernel parameters of a link that answers ARP for its own addresses alone.

    Not for a link whose address has a peer: the kernel would compare what is asked for with the peer's.
    """
    return {f"net/ipv4/conf/{link}/arp_ignore": "1"}


CONNECTIONS = {
    # The kernel's five days are for firewalls that nobody fills on purpose; RFC 5382 asks for 2 h 4 min.
    "net/netfilter/nf_conntrack_tcp_timeout_established": "7440",
    "net/netfilter/nf_conntrack_tcp_timeout_time_wait": "30",
}
"""Kernel parameters of a namespace that tenants' connections pass: how many seconds a silent one is kept."""
FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
"""A kernel never sets them for a new namespace."""


@dataclass(frozen=True, slots=True)
class DesiredPeer:
    """A peer to configure."""

    public_key: str
    endpoint: str
    allowed_ips: frozenset[str]


@dataclass(frozen=True, slots=True)
class ObservedPeer:
    """A peer as WireGuard shows it."""

    public_key: str
    endpoint: str
    allowed_ips: frozenset[str]
    keepalive: int
    alive: bool = False
    """Its last handshake is less than three minutes old."""
    configured_endpoint: str | None = None
    """The endpoint that this daemon configured last; None when it does not know."""
    last_handshake: float = 0.0
    rx: int = 0
    tx: int = 0

    def info(self) -> PeerInfo:
        """As the API shows it."""
        return PeerInfo(self.public_key, self.endpoint, self.last_handshake, self.rx, self.tx)


@dataclass(frozen=True, slots=True)
class DesiredTunnel:
    """The WireGuard link of a network."""

    private_key: str = field(repr=False)
    public_key: str
    listen_port: int
    peers: Mapping[str, DesiredPeer]


@dataclass(frozen=True, slots=True)
class ObservedTunnel:
    """What WireGuard tells of an interface."""

    backend: Backend
    public_key: str
    """Empty when it has no key yet."""
    listen_port: int
    peers: Mapping[str, ObservedPeer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """A whole network resource as it should be."""

    id: NetId
    root: Space
    inner: Space
    ruleset: str
    tunnel: DesiredTunnel
    pairs: Mapping[str, str]
    """Pairs of links: the end in the root namespace, and the inner one."""
    guards: tuple[Guard, ...] = ()
    """One per tap."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A whole network resource as the kernel shows it; the default is that nothing exists."""

    root: Space = field(default_factory=Space)
    inner: Space | None = None
    tunnel: ObservedTunnel | None = None
    served: bool = False
    """A process or a control socket of the tunnel exists, even if the tunnel does not."""
    busy: frozenset[int] = frozenset()
    """UDP ports that are bound in the root namespace."""
    asked: bool = True
    """False: its tunnel was not asked for, and stays as it is."""
    spares: bool = False
    """Taps without a record are on it and stay for now, and so do the rules that know their addresses."""
