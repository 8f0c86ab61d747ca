"""Which networks and addresses can be, and the canonical form of networks. Pure.

networkd checks by it, and so does whoever wants to refuse a network before it is paid for. The grid's own clients write
non-canonical subnets (10.20.2.5/24), so host bits are masked, not refused.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface

from nacl.bindings import crypto_scalarmult_base

from zos.model import ports
from zos.networkd.api.errors import (
    AddressOutsideSubnet,
    AddressReserved,
    BadNetwork,
    PortTaken,
    SubnetOutside,
)
from zos.networkd.api.types import Network, Peer

MYCELIUM_NET = "400::/7"
FORBIDDEN = tuple(map(IPv4Network, ("0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
"""Not for user networks: they mean something else to every host, or (100.64.0.0/10) to the node's own links."""
PREFIXES = range(8, 31)
MOST_PEERS = 1024
_ID = re.compile(r"[1-9A-HJ-NP-Za-km-z]{13}")


def is_id(text: str) -> bool:
    """Networks' and taps' ids become part of link and file names, so only base58 of this length is one."""
    return _ID.fullmatch(text) is not None


def public_key(private: str) -> str:
    """The public half of a WireGuard key, both base64."""
    return base64.b64encode(crypto_scalarmult_base(base64.b64decode(private))).decode()


def canonical(network: Network) -> Network:
    """The network with masked prefixes and normalised texts; raises what is wrong with it."""
    if not is_id(network.id):
        raise BadNetwork(network=network.name, field="id", problem="is not 13 characters of base58")
    ip_range = _subnet(network, "ip_range", network.ip_range)
    subnet = _subnet(network, "subnet", network.subnet)
    if not subnet.subnet_of(ip_range):
        raise SubnetOutside(network=network.name, subnet=subnet, ip_range=ip_range)
    if any(ip_range.overlaps(other) for other in FORBIDDEN):
        raise BadNetwork(network=network.name, field="ip_range", problem=f"{ip_range} is not for user networks")
    private = _key(network, "wireguard_private_key", network.private_key)
    if not 0 < network.listen_port < 65536:
        problem = f"{network.listen_port} is not a port"
        raise BadNetwork(network=network.name, field="wireguard_listen_port", problem=problem)
    if network.listen_port in ports.RESERVED or network.listen_port in ports.PRIVILEGED:
        raise PortTaken(port=network.listen_port, user="the node itself")
    return dataclasses.replace(
        network,
        ip_range=str(ip_range),
        subnet=str(subnet),
        private_key=private,
        peers=_peers(network, public_key(private)),
        mycelium=_overlay(network),
        former=(),
    )


def _subnet(network: Network, field: str, text: str) -> IPv4Network:
    try:
        found = ip_interface(text).network
    except ValueError:
        raise BadNetwork(network=network.name, field=field, problem=f"{text!r} is not a subnet") from None
    if not isinstance(found, IPv4Network):
        raise BadNetwork(network=network.name, field=field, problem=f"{text} is not IPv4")
    if "/" not in text or found.prefixlen not in PREFIXES:
        raise BadNetwork(network=network.name, field=field, problem=f"{text} needs a prefix of /8 to /30")
    return found


def _overlay(network: Network) -> str:
    if not network.mycelium:
        return ""
    try:
        found = IPv6Network(network.mycelium)
    except ValueError:
        raise BadNetwork(
            network=network.name, field="mycelium", problem=f"{network.mycelium!r} is not a subnet"
        ) from None
    if found.prefixlen != 64 or not found.subnet_of(IPv6Network(MYCELIUM_NET)):
        raise BadNetwork(network=network.name, field="mycelium", problem=f"{found} is no /64 of {MYCELIUM_NET}")
    return str(found)


def _key(network: Network, field: str, text: str) -> str:
    """A key, without its value in the error; as in Go, its base64 may have line ends."""
    try:
        raw = base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise BadNetwork(network=network.name, field=field, problem="is not a WireGuard key (32 bytes in base64)")
    return base64.b64encode(raw).decode()


def _peers(network: Network, own: str) -> tuple[Peer, ...]:
    if len(network.peers) > MOST_PEERS:
        raise BadNetwork(network=network.name, field="peers", problem=f"has more than {MOST_PEERS} entries")
    seen = {own}
    found: list[Peer] = []
    for number, peer in enumerate(network.peers):
        where = f"peers[{number}]"
        key = _key(network, f"{where}.wireguard_public_key", peer.public_key)
        if key in seen:
            problem = "is this node's own key" if key == own else "is there twice"
            raise BadNetwork(network=network.name, field=f"{where}.wireguard_public_key", problem=problem)
        seen.add(key)
        subnet = _prefix(network, f"{where}.subnet", peer.subnet)
        allowed = tuple(_prefix(network, f"{where}.allowed_ips", text) for text in peer.allowed_ips)
        if not allowed:
            raise BadNetwork(network=network.name, field=f"{where}.allowed_ips", problem="is empty")
        endpoint = _endpoint(network, f"{where}.endpoint", peer.endpoint)
        found.append(Peer(subnet, key, endpoint, tuple(dict.fromkeys(allowed))))
    return _last_wins(found)


def _last_wins(peers: list[Peer]) -> tuple[Peer, ...]:
    """A prefix belongs to one peer; WireGuard gives it to the last that names it, and so do we, but once."""
    holder = {prefix: peer.public_key for peer in peers for prefix in peer.allowed_ips}
    return tuple(
        dataclasses.replace(
            peer, allowed_ips=tuple(prefix for prefix in peer.allowed_ips if holder[prefix] == peer.public_key)
        )
        for peer in peers
    )


def _prefix(network: Network, field: str, text: str) -> str:
    try:
        return str(ip_interface(text).network)
    except ValueError:
        raise BadNetwork(network=network.name, field=field, problem=f"{text!r} is not a subnet") from None


def _endpoint(network: Network, field: str, text: str) -> str:
    """Where the node sends handshakes, so that it is one host's address.

    Private ones are taken: nodes of one farm, and labs, have each other's by them. What a WireGuard socket sends is a
    handshake of 148 bytes every 5 s and nothing that the tenant chose.
    """
    if not text:
        return ""
    host, _, port = text.rpartition(":")
    try:
        is_bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if is_bracketed else host
        address = IPv6Address(host) if is_bracketed and ":" in host else IPv4Address(host)
        host = f"[{address}]" if address.version == 6 else str(address)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError
    except (AddressValueError, ValueError):
        raise BadNetwork(network=network.name, field=field, problem=f"{text!r} is not address:port") from None
    if _is_no_host(address):
        raise BadNetwork(network=network.name, field=field, problem=f"{address} is not the address of a host")
    return f"{host}:{int(port)}"


def _is_no_host(address: IPv4Address | IPv6Address) -> bool:
    """Groups, everybody, the node itself, whoever is on a wire, and what stands for nothing or for another family's."""
    if isinstance(address, IPv6Address):
        special = address.is_site_local or address.ipv4_mapped is not None or address in IPv6Network("::/96")
    else:
        special = address in IPv4Network("0.0.0.0/8") or address.is_reserved
    return special or address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified


def check_address(ip: IPv4Address, subnet: IPv4Network) -> None:
    """Refuse an address that no machine of this subnet can have."""
    if ip not in subnet:
        raise AddressOutsideSubnet(ip=ip, subnet=subnet)
    uses = {
        subnet.network_address: "network address",
        subnet.network_address + 1: "gateway",
        subnet.broadcast_address: "broadcast address",
    }
    if ip in uses:
        raise AddressReserved(ip=ip, use=uses[ip], subnet=subnet)
