"""Types of networkd's API: networks, taps, uplinks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

NetId = NewType("NetId", str)
"""`zos.model.names.net_id(twin, name)`: 13 characters."""
TapId = NewType("TapId", str)
"""`zos.model.names.unique(workload, network name)`: 13 characters; the device is `t-` + this."""


class Backend(StrEnum):
    """The implementation of WireGuard that serves a network."""

    KERNEL = "kernel"
    WIREGUARD_GO = "wireguard-go"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another member of a user's network, as the deployment says."""

    subnet: str
    public_key: str
    endpoint: str
    """`address:port` (IPv6 in brackets); empty for a peer that connects to this node."""
    allowed_ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """This node's share of a user's network."""

    id: NetId
    twin: int
    name: str
    ip_range: str
    """The whole user network."""
    subnet: str
    """This node's part of it; host bits are masked."""
    private_key: str = field(repr=False)
    """WireGuard's, base64."""
    listen_port: int
    peers: tuple[Peer, ...] = ()
    mycelium: str = ""
    """The /64 in the Mycelium overlay that the network's key owns; empty: it has none."""
    former: tuple[str, ...] = ()
    """Set by networkd: the /64s of earlier keys in which machines still have addresses."""


MYCELIUM_DEVICE = "my"
"""The TUN in a network's namespace that leads to the overlay; the mycelium daemon attaches to it."""
MYCELIUM_NODE_DEVICE = "my0"
"""The TUN in the root namespace by which the node itself is in the overlay."""


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


SERVICE_PORTS = Ports(9900, 9931)
"""TCP ports of the node's 0-dbs, one for each disk: open on the planetary, Mycelium and public addresses."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer as WireGuard sees it now."""

    public_key: str
    endpoint: str
    last_handshake: float
    """Seconds since the epoch; 0 is never."""
    rx: int
    tx: int


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """A network resource as it stands."""

    id: NetId
    twin: int
    name: str
    ip_range: str
    subnet: str
    namespace: str
    bridge: str
    public_key: str
    listen_port: int
    """The port that answers now; 0 when the tunnel is not up."""
    backend: Backend
    peers: tuple[PeerInfo, ...] = ()
    detail: str = ""
    """Why it is not as desired; empty when it is."""
    mycelium: str = ""
    """The /64 in the Mycelium overlay in which new machines have addresses."""
    former: tuple[str, ...] = ()
    """Those of earlier keys in which machines still have theirs."""


class Place(StrEnum):
    """Which network a tap is in."""

    NETWORK = "network"
    """The user's own."""
    PLANETARY = "planetary"
    MYCELIUM = "mycelium"


@dataclass(frozen=True, slots=True)
class Tap:
    """The node's end of a machine's network interface, as a caller asks for it."""

    id: TapId
    place: Place
    mac: str
    """The guest's hardware address (the tap's own is the kernel's)."""
    network: NetId = NetId("")
    """NETWORK and MYCELIUM: the network resource that it is in."""
    ip: str = ""
    """NETWORK: the guest's IPv4 address, as the user chose it."""
    seed: bytes = b""
    """MYCELIUM: six bytes, the machine's part of its address."""
    owner: str = ""
    """Whose it is, in words that its user knows."""
    waits: bool = False
    """Set by networkd: another tap had the seed first, and has the address as long as it is there."""
    overlay: str = ""
    """Set by networkd, MYCELIUM: the network's /64 when the tap was accepted; the address stays in it."""


@dataclass(frozen=True, slots=True)
class TapRoute:
    """A prefix that the guest reaches through this tap."""

    dest: str
    via: str


@dataclass(frozen=True, slots=True)
class TapInfo:
    """A tap, and the configuration of the guest behind it."""

    id: TapId
    place: Place
    network: NetId
    """Empty in a place that is not part of a network resource."""
    device: str
    bridge: str
    mac: str
    addresses: tuple[str, ...]
    """The guest's, with prefix; IPv4 first."""
    gateway: str
    """The IPv4 default gateway; empty when this place is no way out."""
    gateway6: str
    routes: tuple[TapRoute, ...]
    rx: int
    """Bytes that the guest received."""
    tx: int
    """Bytes that the guest sent."""
    detail: str = ""
    """What it lacks; empty when nothing."""

    @property
    def ip(self) -> str:
        """The first address, without prefix."""
        return self.addresses[0].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Planetary:
    """The node in the planetary network."""

    offered: bool
    """Machines can have an address in it."""
    detail: str = ""
    """Why it is not offered, or what is wrong with it; empty when nothing is."""
    address: str = ""
    """The node's own; empty until its key is known."""
    subnet: str = ""
    """The /64 of the machines."""
    gateway: str = ""
    peers: tuple[str, ...] = ()
    """Connected peers, as `scheme://address:port`."""


@dataclass(frozen=True, slots=True)
class PublicConfig:
    """How the node is reached from the Internet, as the farmer set it on the chain; empty: it is not."""

    ip4: str = ""
    """With prefix."""
    gw4: str = ""
    ip6: str = ""
    """With prefix."""
    gw6: str = ""
    domain: str = ""
    """A name that leads to the node, for gateways."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that are set, with prefix."""
        return tuple(address for address in (self.ip4, self.ip6) if address)


@dataclass(frozen=True, slots=True)
class Uplink:
    """A way out of the node: the bridge `zos`, then the network cards behind it."""

    name: str
    mac: str
    addresses: tuple[str, ...]
    """With prefix; global ones only."""
