"""A user network over several nodes: subnets, ports, keys, who is whose peer, and the user's way in. Pure.

The algorithm is that of the grid's own clients (network sheet §2.2 to 2.4), with two differences: the port of a member
stays when the network is planned again, and the user's private key is written nowhere but in the user's own record.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from zos.cli.client.spec import FIRST_SUBNET, LAST_SUBNET
from zos.errors import Status, ZosError
from zos.model.names import wg_address

OVERLAY = "100.64.0.0/16"
PORTS = range(1024, 32768)
KEEPALIVE = 25
_NOT_ROUTED = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


class NoAccessNode(ZosError):
    """Nobody outside can reach any node of the network."""

    reason = "cli.no_access_node"
    status = Status.FAILED_PRECONDITION
    text = "network {network}: no node of it can be reached from outside, so nobody can dial in"
    hint = "put a machine on a node with a public address, or list such a node under `nodes`"


class NetworkFull(ZosError):
    """All subnets are given out."""

    reason = "cli.network_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "network {network} has no subnet left for node {node}"


class SubnetConflict(ZosError):
    """An address was asked for that belongs to another member."""

    reason = "cli.subnet_conflict"
    status = Status.INVALID_ARGUMENT
    text = "network {network}: {subnet} cannot be node {node}'s, it is {owner}'s"
    hint = "choose machines' addresses so that each /24 is on one node"


@dataclass(frozen=True, slots=True)
class Member:
    """A node's share of a network."""

    node: int
    subnet: str
    private_key: str = field(repr=False)
    port: int
    host: str
    """Where others reach it; empty when nobody can (a hidden node)."""

    @property
    def endpoint(self) -> str:
        """`host:port`, empty for a hidden node."""
        if not self.host:
            return ""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class WayIn:
    """The user's own place in a network."""

    subnet: str
    private_key: str = field(repr=False)
    node: int
    """The access node that it dials."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A network as planned; kept in the user's record, private keys and all."""

    name: str
    range: str
    members: tuple[Member, ...]
    way_in: WayIn | None = None
    access_node: int = 0

    def member(self, node: int) -> Member:
        """A node's share."""
        return next(member for member in self.members if member.node == node)


@dataclass(frozen=True, slots=True)
class PeerWish:
    """A peer as the deployment names it."""

    subnet: str
    public_key: str
    allowed_ips: tuple[str, ...]
    endpoint: str


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a node that joins."""

    node: int
    host: str
    used_ports: frozenset[int] = frozenset()


def public_key(private: str) -> str:
    """The public half of a WireGuard key, both base64."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def fresh_key() -> str:
    """A new WireGuard key."""
    return base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()


def reachable(addresses: Iterable[str]) -> str:
    """The first address that others can dial: global and not private, as the grid's clients judge it; else empty."""
    for text in addresses:
        address = ip_address(text.partition("/")[0])
        local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
        is_ula = address.version == 6 and address.packed[0] & 0xFE == 0xFC
        if not local and not is_ula and not any(address in net for net in _NOT_ROUTED):
            return str(address)
    return ""


def lay_out(
    name: str,
    range: IPv4Network,
    places: Iterable[Place],
    *,
    access: bool,
    wanted: Mapping[int, str],
    old: Mesh | None = None,
    make_key: Callable[[], str] = fresh_key,
    pick: Callable[[list[int]], int],
) -> Mesh:
    """Plan a network over places; `wanted` are the subnets that machines' addresses ask for, by node.

    What an earlier plan gave out stays.
    """
    places = list(places)
    known = {member.node: member for member in old.members} if old else {}
    taken: dict[str, str] = {member.subnet: f"node {member.node}" for member in known.values()}
    way_in = old.way_in if old else None
    if way_in:
        taken[way_in.subnet] = "the user"
    for node, subnet in wanted.items():
        holder = known[node].subnet if node in known else None
        if taken.get(subnet, f"node {node}") != f"node {node}" or (holder and holder != subnet):
            owner = taken.get(subnet, f"not {holder}, which that node has; nobody")
            raise SubnetConflict(network=name, subnet=subnet, node=node, owner=owner)
        taken[subnet] = f"node {node}"
    access_node = _access_node(name, places, access, old)
    if access and way_in is None:
        subnet = _free(name, range, taken, "the user")
        taken[subnet] = "the user"
        way_in = WayIn(subnet, make_key(), access_node)
    members = []
    # Hidden ones first, as the grid's clients hand subnets out.
    for place in sorted(places, key=lambda place: (bool(place.host), place.node)):
        mine = known.get(place.node)
        subnet = mine.subnet if mine else wanted.get(place.node) or _free(name, range, taken, str(place.node))
        taken[subnet] = f"node {place.node}"
        private = mine.private_key if mine else make_key()
        port = mine.port if mine else pick([port for port in PORTS if port not in place.used_ports])
        members.append(Member(place.node, subnet, private, port, place.host))
    members.sort(key=lambda member: member.node)
    return Mesh(name, str(range), tuple(members), way_in if access else None, access_node)


def _free(network: str, range: IPv4Network, taken: Mapping[str, str], node: str) -> str:
    for number, subnet in enumerate(range.subnets(new_prefix=24)):
        if FIRST_SUBNET <= number <= LAST_SUBNET and str(subnet) not in taken:
            return str(subnet)
    raise NetworkFull(network=network, node=node)


def _access_node(name: str, places: list[Place], access: bool, old: Mesh | None) -> int:
    """Who the user and the hidden nodes dial; 0 when nobody needs to."""
    hidden = any(not place.host for place in places)
    if not access and not (hidden and len(places) > 1):
        return 0
    candidates = [place.node for place in places if place.host and ":" not in place.host]
    if old and old.access_node in candidates:
        return old.access_node
    if not candidates:
        raise NoAccessNode(network=name)
    return candidates[-1]


def peers(mesh: Mesh, node: int) -> tuple[PeerWish, ...]:
    """The peers of one member."""
    me = mesh.member(node)
    return tuple(_peers(mesh, me))


def _peers(mesh: Mesh, me: Member) -> Iterator[PeerWish]:
    others = [member for member in mesh.members if member.node != me.node]
    if not me.host:
        if mesh.access_node:
            access = mesh.member(mesh.access_node)
            # The grid's clients write the hidden node's own subnet here, and so do we: hashes are made of it.
            yield PeerWish(me.subnet, public_key(access.private_key), (mesh.range, OVERLAY), access.endpoint)
        return
    behind_access = [ip for other in mesh.members if not other.host for ip in _own(other.subnet)]
    if mesh.way_in:
        behind_access += _own(mesh.way_in.subnet)
    for other in others:
        if other.host:
            extra = behind_access if other.node == mesh.access_node else []
            allowed = (*_own(other.subnet), *extra)
            yield PeerWish(other.subnet, public_key(other.private_key), allowed, other.endpoint)
        elif me.node == mesh.access_node:
            yield PeerWish(other.subnet, public_key(other.private_key), tuple(_own(other.subnet)), "")
    if mesh.way_in and me.node == mesh.access_node:
        user = mesh.way_in
        yield PeerWish(user.subnet, public_key(user.private_key), tuple(_own(user.subnet)), "")


def _own(subnet: str) -> list[str]:
    return [subnet, f"{wg_address(subnet)}/32"]


def wg_quick(mesh: Mesh) -> str:
    """The user's configuration, as wg-quick reads it. It holds the private key."""
    user = mesh.way_in
    if user is None:
        raise NoAccessNode(network=mesh.name)
    access = mesh.member(user.node)
    return (
        f"[Interface]\nAddress = {wg_address(user.subnet)}/32\nPrivateKey = {user.private_key}\n\n"
        f"[Peer]\nPublicKey = {public_key(access.private_key)}\nAllowedIPs = {mesh.range}, {OVERLAY}\n"
        f"Endpoint = {access.endpoint}\nPersistentKeepalive = {KEEPALIVE}\n"
    )
