"""Checks of what callers ask for, and its canonical form. Pure.

The grid's own clients write non-canonical subnets (10.20.2.5/24), so host bits are masked, not refused.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Collection, Iterable
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from nacl.bindings import crypto_scalarmult_base

from zos.networkd import model, places
from zos.networkd.api.errors import (
    BadNetwork,
    BadPublicConfig,
    BadTap,
    NoRoomForNetworks,
    PortTaken,
    SubnetOutside,
)
from zos.networkd.api.types import Network, Peer, PublicConfig, Tap
from zos.runtime.config import BadConfig

_FORBIDDEN = tuple(map(IPv4Network, ("0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PORTS = re.compile(r"(tcp|udp)/([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PREFIXES = range(8, 31)
_MAX_PEERS = 1024


def public_key(private: str) -> str:
    """The public half of a WireGuard key, both base64."""
    return base64.b64encode(crypto_scalarmult_base(base64.b64decode(private))).decode()


def canonical(network: Network) -> Network:
    """The network with masked prefixes and normalised texts; raises what is wrong with it."""
    if not model.is_id(network.id):
        raise BadNetwork(network=network.id, field="id", problem="is not 13 characters of base58")
    ip_range = _subnet(network, "ip_range", network.ip_range)
    subnet = _subnet(network, "subnet", network.subnet)
    if not subnet.subnet_of(ip_range):
        raise SubnetOutside(network=network.id, subnet=subnet, ip_range=ip_range)
    if any(ip_range.overlaps(other) for other in _FORBIDDEN):
        raise BadNetwork(network=network.id, field="ip_range", problem=f"{ip_range} is not for user networks")
    private = _key(network, "wireguard_private_key", network.private_key)
    if not 0 < network.listen_port < 65536:
        problem = f"{network.listen_port} is not a port"
        raise BadNetwork(network=network.id, field="wireguard_listen_port", problem=problem)
    if network.listen_port in model.RESERVED_PORTS:
        raise PortTaken(port=network.listen_port, user="the node itself")
    return dataclasses.replace(
        network,
        ip_range=str(ip_range),
        subnet=str(subnet),
        private_key=private,
        peers=_peers(network, public_key(private)),
        mycelium=_overlay(network),
    )


def _subnet(network: Network, field: str, text: str) -> IPv4Network:
    try:
        found = ip_interface(text).network
    except ValueError:
        raise BadNetwork(network=network.id, field=field, problem=f"{text!r} is not a subnet") from None
    if not isinstance(found, IPv4Network):
        raise BadNetwork(network=network.id, field=field, problem=f"{text} is not IPv4")
    if "/" not in text or found.prefixlen not in _PREFIXES:
        raise BadNetwork(network=network.id, field=field, problem=f"{text} needs a prefix of /8 to /30")
    return found


def _overlay(network: Network) -> str:
    if not network.mycelium:
        return ""
    try:
        found = IPv6Network(network.mycelium)
    except ValueError:
        raise BadNetwork(
            network=network.id, field="mycelium", problem=f"{network.mycelium!r} is not a subnet"
        ) from None
    if found.prefixlen != 64 or not found.subnet_of(IPv6Network(model.MYCELIUM_NET)):
        raise BadNetwork(network=network.id, field="mycelium", problem=f"{found} is no /64 of {model.MYCELIUM_NET}")
    return str(found)


def _key(network: Network, field: str, text: str) -> str:
    """A key, without its value in the error."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise BadNetwork(network=network.id, field=field, problem="is not a WireGuard key (32 bytes in base64)")
    return base64.b64encode(raw).decode()


def _peers(network: Network, own: str) -> tuple[Peer, ...]:
    if len(network.peers) > _MAX_PEERS:
        raise BadNetwork(network=network.id, field="peers", problem=f"has more than {_MAX_PEERS} entries")
    seen = {own}
    found: list[Peer] = []
    for number, peer in enumerate(network.peers):
        where = f"peers[{number}]"
        key = _key(network, f"{where}.wireguard_public_key", peer.public_key)
        if key in seen:
            problem = "is this node's own key" if key == own else "is there twice"
            raise BadNetwork(network=network.id, field=f"{where}.wireguard_public_key", problem=problem)
        seen.add(key)
        subnet = _prefix(network, f"{where}.subnet", peer.subnet)
        allowed = tuple(_prefix(network, f"{where}.allowed_ips", text) for text in peer.allowed_ips)
        if not allowed:
            raise BadNetwork(network=network.id, field=f"{where}.allowed_ips", problem="is empty")
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
        raise BadNetwork(network=network.id, field=field, problem=f"{text!r} is not a subnet") from None


def _endpoint(network: Network, field: str, text: str) -> str:
    if not text:
        return ""
    host, _, port = text.rpartition(":")
    try:
        bracketed = host.startswith("[") and host.endswith("]")
        host = f"[{IPv6Address(host[1:-1])}]" if bracketed else str(IPv4Address(host))
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError
    except (AddressValueError, ValueError):
        raise BadNetwork(network=network.id, field=field, problem=f"{text!r} is not address:port") from None
    return f"{host}:{int(port)}"


def canonical_tap(tap: Tap) -> Tap:
    """The tap in canonical form; raises what is wrong with it by itself."""
    if not model.is_id(tap.id):
        raise BadTap(tap=tap.id, field="id", problem="is not 13 characters of base58")
    place = places.found()[tap.place]
    for name, unset in (("network", ""), ("ip", ""), ("seed", b"")):
        if name not in place.fields and getattr(tap, name) != unset:
            raise BadTap(tap=tap.id, field=name, problem=f"has no meaning for a tap in place {tap.place}")
    mac = tap.mac.lower()
    if not _MAC.fullmatch(mac) or int(mac[1], 16) & 1:
        raise BadTap(tap=tap.id, field="mac", problem=f"{tap.mac!r} is not a station's hardware address")
    return dataclasses.replace(place.canonical(tap), mac=mac)


def admit(network: Network, records: Collection[model.NetworkRecord], taps: Iterable[Tap]) -> None:
    """Raise when a canonical network conflicts with others, or with the taps that it has."""
    for record in records:
        if record.network.id != network.id and record.network.listen_port == network.listen_port:
            raise PortTaken(port=network.listen_port, user="another network")
    before = next((record.network for record in records if record.network.id == network.id), None)
    inside = [tap for tap in taps if tap.network == network.id]
    for place in places.in_network():
        place.admit_change(before, network, [tap for tap in inside if tap.place is place.place])


def free_slot(records: Iterable[model.NetworkRecord]) -> int:
    """The lowest exit address that is free."""
    used = {record.slot for record in records}
    for slot in range(model.EXIT_SLOTS):
        if slot not in used:
            return slot
    raise NoRoomForNetworks(used=len(used))


def ports(key: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Ports as `[networkd] accept` names them; raises BadConfig."""
    found = []
    for text in texts:
        match = _PORTS.fullmatch(text)
        numbers = [int(number) for number in match.groups()[1:] if number] if match else []
        if not numbers or not 0 < numbers[0] <= numbers[-1] < 65536:
            raise BadConfig(where=f"[networkd] {key}", problem=f"`{text}` is no tcp/PORT, udp/PORT or tcp/FIRST-LAST")
        found.append(text)
    return tuple(found)


def prefixes(key: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Prefixes of a configuration key; raises BadConfig."""
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError as err:
        raise BadConfig(where=f"[networkd] {key}", problem=err) from None


def canonical_public(config: PublicConfig) -> PublicConfig:
    """The configuration with its addresses as the kernel shows them; refuses what cannot be one."""
    return PublicConfig(
        ip4=_public_address("ip4", config.ip4, 4),
        gw4=_public_gateway("gw4", config.gw4, 4),
        ip6=_public_address("ip6", config.ip6, 6),
        gw6=_public_gateway("gw6", config.gw6, 6),
        domain=config.domain,
    )


def _public_address(field: str, value: str, version: int) -> str:
    if not value:
        return ""
    try:
        address = ip_interface(value)
    except ValueError:
        raise BadPublicConfig(field=field, value=value, problem="is no address") from None
    local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if address.version != version or "/" not in value or local:
        raise BadPublicConfig(field=field, value=value, problem=f"must be an IPv{version} address with its prefix")
    return str(address)


def _public_gateway(field: str, value: str, version: int) -> str:
    if not value:
        return ""
    try:
        gateway = ip_address(value)
    except ValueError:
        raise BadPublicConfig(field=field, value=value, problem="is no address") from None
    if gateway.version != version:
        raise BadPublicConfig(field=field, value=value, problem=f"must be an IPv{version} address")
    return str(gateway)
