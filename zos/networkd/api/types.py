"""What networkd's door speaks of: networks, taps, uplinks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

NetId = NewType("NetId", str)
"""`zos.model.names.net_id(twin, name)`: 13 characters."""
TapId = NewType("TapId", str)
"""`zos.model.names.unique(workload, network name)`: 13 characters; the device is `t-` + this."""


class Backend(StrEnum):
    """What moves a network's WireGuard packets."""

    KERNEL = "kernel"
    WIREGUARD_GO = "wireguard-go"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another member of a user's network, as the deployment says."""

    subnet: str
    public_key: str
    endpoint: str
    """`address:port` (IPv6 in brackets); empty for a peer that dials in."""
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


MYCELIUM_DEVICE = "my"
"""The TUN in a network's namespace that leads to the overlay; who holds the key attaches to it."""


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
    """Why it is not as wished; empty when it is."""


@dataclass(frozen=True, slots=True)
class Tap:
    """A machine's place on a network."""

    id: TapId
    network: NetId
    ip: str
    mac: str
    """The guest's hardware address (the tap's own is the kernel's)."""


@dataclass(frozen=True, slots=True)
class TapInfo:
    """A tap, and what the guest behind it must be told."""

    id: TapId
    network: NetId
    device: str
    bridge: str
    mac: str
    ip: str
    prefix: int
    gateway: str
    ip_range: str
    ipv6: str
    """The guest's address, without prefix (it is a /64)."""
    gateway6: str
    rx: int
    """Bytes that the guest received."""
    tx: int
    """Bytes that the guest sent."""


@dataclass(frozen=True, slots=True)
class PlanetaryTap:
    """A machine's place in the planetary network; its address follows from its hardware address."""

    id: TapId
    mac: str
    """The guest's hardware address."""


@dataclass(frozen=True, slots=True)
class MyceliumTap:
    """A machine's place in the Mycelium overlay, in its network's /64."""

    id: TapId
    network: NetId
    mac: str
    """The guest's hardware address."""
    seed: bytes
    """Six bytes, the machine's part of its address."""


@dataclass(frozen=True, slots=True)
class OverlayTapInfo:
    """A tap in the planetary network or the Mycelium overlay, and what the guest behind it must be told."""

    id: TapId
    device: str
    bridge: str
    mac: str
    ip: str
    """IPv6, without prefix."""
    prefix: int
    gateway: str
    range: str
    """All of that network, which the guest reaches by the gateway."""


@dataclass(frozen=True, slots=True)
class Planetary:
    """The node in the planetary network."""

    offered: bool
    """Machines can have an address in it."""
    detail: str = ""
    """Why it is not offered, or what is amiss with it; empty when all is well."""
    address: str = ""
    """The node's own; empty until its key is known."""
    subnet: str = ""
    """Of the machines, a /64."""
    gateway: str = ""
    peers: tuple[str, ...] = ()
    """Those that are connected, as `scheme://address:port`."""


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
        """Those that there are, with prefix."""
        return tuple(address for address in (self.ip4, self.ip6) if address)


@dataclass(frozen=True, slots=True)
class Uplink:
    """A way out of the node: the bridge `zos`, then the network cards behind it."""

    name: str
    mac: str
    addresses: tuple[str, ...]
    """With prefix; global ones only."""
