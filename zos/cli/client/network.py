"""Plans a user network over several nodes: subnets, ports, keys, peers, and the user's own access. Pure.

Subnets and peers are chosen as the grid's own clients choose them. Two things differ: the port of a member stays when
the network is planned again, and the user's private key is written nowhere but in the user's own record.
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
    """No node of the network can be reached from outside."""

    reason = "cli.no_access_node"
    status = Status.FAILED_PRECONDITION
    text = "network {network}: none of its nodes has a public IPv4 address to connect to"
    hint = "put a machine on a node with a public address, or list such a node under `nodes`"


class NetworkFull(ZosError):
    """Every subnet of the network is in use."""

    reason = "cli.network_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "network {network} has no subnet left for node {node}"


class SubnetConflict(ZosError):
    """A machine has a fixed address in a subnet that belongs to another member."""

    reason = "cli.subnet_conflict"
    status = Status.INVALID_ARGUMENT
    text = "network {network}: {subnet} cannot belong to node {node}, it belongs to {owner}"
    hint = "choose the machines' addresses so that each /24 is on one node"


@dataclass(frozen=True, slots=True)
class Member:
    """A node in a network."""

    node: int
    subnet: str
    private_key: str = field(repr=False)
    port: int
    host: str
    """The public address; empty for a node that has none (a hidden node)."""

    @property
    def endpoint(self) -> str:
        """`host:port`, empty for a hidden node."""
        if not self.host:
            return ""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UserAccess:
    """The user's own WireGuard end in a network."""

    subnet: str
    private_key: str = field(repr=False)
    node: int
    """The node that it connects to."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network as planned. The user's record keeps it, with the private keys."""

    name: str
    range: str
    members: tuple[Member, ...]
    user: UserAccess | None = None
    access_node: int = 0
    """The node that the user and the hidden nodes connect to; 0: none does."""

    def member(self, node: int) -> Member:
        """The member on a node."""
        return next(member for member in self.members if member.node == node)


@dataclass(frozen=True, slots=True)
class Peer:
    """A WireGuard peer as a deployment names it."""

    subnet: str
    public_key: str
    allowed_ips: tuple[str, ...]
    endpoint: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may join: its public address (or empty) and the ports that are in use on it."""

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
    """The first address that is public by the rules of the grid's clients; empty if none is."""
    for text in addresses:
        address = ip_address(text.partition("/")[0])
        local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
        is_ula = address.version == 6 and address.packed[0] & 0xFE == 0xFC
        if not local and not is_ula and not any(address in net for net in _NOT_ROUTED):
            return str(address)
    return ""


def plan_network(
    name: str,
    range: IPv4Network,
    candidates: Iterable[Candidate],
    *,
    access: bool,
    wanted: Mapping[int, str],
    old: NetworkPlan | None = None,
    make_key: Callable[[], str] = fresh_key,
    pick: Callable[[list[int]], int],
) -> NetworkPlan:
    """Plan a network over candidates. `wanted`: the subnet that machines' fixed addresses require, by node.

    Keys, ports and subnets of the `old` plan stay.
    """
    candidates = list(candidates)
    known = {member.node: member for member in old.members} if old else {}
    taken: dict[str, str] = {member.subnet: f"node {member.node}" for member in known.values()}
    user = old.user if old else None
    if user:
        taken[user.subnet] = "the user"
    for node, subnet in wanted.items():
        holder = known[node].subnet if node in known else None
        if taken.get(subnet, f"node {node}") != f"node {node}" or (holder and holder != subnet):
            owner = taken.get(subnet, f"nobody, but that node has {holder} already")
            raise SubnetConflict(network=name, subnet=subnet, node=node, owner=owner)
        taken[subnet] = f"node {node}"
    access_node = _access_node(name, candidates, access, old)
    if access and user is None:
        subnet = _free(name, range, taken, "the user")
        taken[subnet] = "the user"
        user = UserAccess(subnet, make_key(), access_node)
    members = []
    # The grid's clients give subnets to hidden nodes first.
    for candidate in sorted(candidates, key=lambda candidate: (bool(candidate.host), candidate.node)):
        mine = known.get(candidate.node)
        subnet = mine.subnet if mine else wanted.get(candidate.node) or _free(name, range, taken, str(candidate.node))
        taken[subnet] = f"node {candidate.node}"
        private = mine.private_key if mine else make_key()
        port = mine.port if mine else pick([port for port in PORTS if port not in candidate.used_ports])
        members.append(Member(candidate.node, subnet, private, port, candidate.host))
    members.sort(key=lambda member: member.node)
    return NetworkPlan(name, str(range), tuple(members), user if access else None, access_node)


def _free(network: str, range: IPv4Network, taken: Mapping[str, str], node: str) -> str:
    for number, subnet in enumerate(range.subnets(new_prefix=24)):
        if FIRST_SUBNET <= number <= LAST_SUBNET and str(subnet) not in taken:
            return str(subnet)
    raise NetworkFull(network=network, node=node)


def _access_node(name: str, candidates: list[Candidate], access: bool, old: NetworkPlan | None) -> int:
    """The node that the user and the hidden nodes connect to; 0 when none needs one."""
    hidden = any(not candidate.host for candidate in candidates)
    if not access and not (hidden and len(candidates) > 1):
        return 0
    nodes = [candidate.node for candidate in candidates if candidate.host and ":" not in candidate.host]
    if old and old.access_node in nodes:
        return old.access_node
    if not nodes:
        raise NoAccessNode(network=name)
    return nodes[-1]


def peers(plan: NetworkPlan, node: int) -> tuple[Peer, ...]:
    """The peers of one member."""
    me = plan.member(node)
    return tuple(_peers(plan, me))


def _peers(plan: NetworkPlan, me: Member) -> Iterator[Peer]:
    others = [member for member in plan.members if member.node != me.node]
    if not me.host:
        if plan.access_node:
            access = plan.member(plan.access_node)
            # The grid's clients write the hidden node's own subnet here. It goes into the hash, so it must be the same.
            yield Peer(me.subnet, public_key(access.private_key), (plan.range, OVERLAY), access.endpoint)
        return
    behind_access = [ip for other in plan.members if not other.host for ip in _own(other.subnet)]
    if plan.user:
        behind_access += _own(plan.user.subnet)
    for other in others:
        if other.host:
            extra = behind_access if other.node == plan.access_node else []
            allowed = (*_own(other.subnet), *extra)
            yield Peer(other.subnet, public_key(other.private_key), allowed, other.endpoint)
        elif me.node == plan.access_node:
            yield Peer(other.subnet, public_key(other.private_key), tuple(_own(other.subnet)), "")
    if plan.user and me.node == plan.access_node:
        user = plan.user
        yield Peer(user.subnet, public_key(user.private_key), tuple(_own(user.subnet)), "")


def _own(subnet: str) -> list[str]:
    return [subnet, f"{wg_address(subnet)}/32"]


def wg_quick(plan: NetworkPlan) -> str:
    """The user's configuration for wg-quick, with the private key."""
    user = plan.user
    if user is None:
        raise NoAccessNode(network=plan.name)
    access = plan.member(user.node)
    return (
        f"[Interface]\nAddress = {wg_address(user.subnet)}/32\nPrivateKey = {user.private_key}\n\n"
        f"[Peer]\nPublicKey = {public_key(access.private_key)}\nAllowedIPs = {plan.range}, {OVERLAY}\n"
        f"Endpoint = {access.endpoint}\nPersistentKeepalive = {KEEPALIVE}\n"
    )
