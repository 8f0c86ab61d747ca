"""What the user writes for a network."""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.model.decode import Fields

MOST_PREFIXES = 2048
"""Of all peers: a /16 has 254 of them with a few each, and every prefix costs some microseconds at each round."""


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """Another node or user of the network, as WireGuard needs it."""

    subnet: str
    public_key: str
    endpoint: str
    allowed_ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One node's share; the workload's name is the network's."""

    ip_range: str
    subnet: str
    private_key: str = field(repr=False)
    listen_port: int
    peers: tuple[PeerSpec, ...] = ()
    mycelium_key: bytes = field(default=b"", repr=False)
    """32 bytes: the network is in the Mycelium overlay by it."""


def parse(data: Fields) -> NetworkSpec:
    """The user's words, checked."""
    for name in ("ip_range", "subnet", "wireguard_private_key"):
        if not data.text(name):
            data.refuse(name, "must be given")
    if sum(len(peer.list("allowed_ips")) for peer in data.objects("peers")) > MOST_PREFIXES:
        data.refuse("peers", f"have more than {MOST_PREFIXES} allowed_ips in all")
    return NetworkSpec(
        ip_range=data.cidr("ip_range"),
        subnet=data.cidr("subnet"),
        private_key=data.text("wireguard_private_key"),
        listen_port=data.uint("wireguard_listen_port", 16),
        peers=tuple(_peer(peer) for peer in data.objects("peers")),
        mycelium_key=_mycelium_key(data),
    )


def _mycelium_key(data: Fields) -> bytes:
    mycelium = data.optional("mycelium")
    if mycelium is None:
        return b""
    key = mycelium.hex("hex_key")
    if len(key) != 32:
        mycelium.refuse("hex_key", "must be 32 bytes in hexadecimal")
    if mycelium.texts("peers"):
        mycelium.refuse("peers", "must be empty")
    return key


def _peer(data: Fields) -> PeerSpec:
    for name in ("subnet", "wireguard_public_key"):
        if not data.text(name):
            data.refuse(name, "must be given")
    allowed = data.cidrs("allowed_ips")
    if not allowed:
        data.refuse("allowed_ips", "must not be empty")
    return PeerSpec(data.cidr("subnet"), data.text("wireguard_public_key"), data.text("endpoint"), allowed)
