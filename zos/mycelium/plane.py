"""The data plane: packets from a TUN to a peer, from peer to peer, or decrypted into a TUN. Pure.

Packets that wait for a route are queued, few and not for long. Source: threefoldtech/mycelium, data.rs,
router.rs, packet_queue.rs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from zos.model import mycelium
from zos.mycelium import crypto, icmp, routerid
from zos.mycelium.crypto import Keys
from zos.mycelium.effects import Effect, Found, Lost
from zos.mycelium.packet import Data, encode_data
from zos.mycelium.routes import ALMOST_EXPIRED, Router
from zos.mycelium.table import Entry, Peer
from zos.runtime.quota import FairQuota

PER_SUBNET, IN_ALL = 64, 1024
"""Packets that may wait, per subnet and in all; more are dropped."""
ERRORS_PER_SECOND = 100
"""ICMP errors that this router sends at most (RFC 4443, 2.4f)."""
ERRORS_AT_ONCE = 8
"""Errors that are taken from packets that came together: each may cost a key agreement, and the first say it all."""
ROUTER_HOPS = 64
_HOPS = 7
"""Where an IPv6 header has its hop limit; the addresses follow."""
NOBODY = Peer(0)

ToPeer = Callable[[Peer, bytes], None]
ToTun = Callable[[bytes, Sequence[bytes]], None]
"""Takes an identity's prefix and IPv6 packets."""
Act = Callable[[Iterable[Effect]], None]


@dataclass(frozen=True, slots=True)
class Identity:
    """A key of this process, with the address and the /64 that follow from it."""

    public: bytes
    keys: Keys = field(repr=False)
    address: bytes
    prefix: bytes


def identity(secret: bytes) -> Identity:
    """The identity of a secret of 32 bytes."""
    public = mycelium.public_key(secret)
    own = mycelium.address(public)
    return Identity(public, Keys(secret), own, own[: mycelium.PREFIX])


@dataclass(frozen=True, slots=True)
class _Out:
    """A packet from a TUN that waits for a route."""

    owner: bytes
    packet: bytes


Waiting = _Out | tuple[Data, Peer]
"""What waits for a route, and because of whom: a machine's packet, or a peer's."""


class Plane:
    """The data plane of one router; `node` is the identity that signs its ICMP errors."""

    def __init__(self, router: Router, node: Identity, to_peer: ToPeer, to_tun: ToTun, act: Act) -> None:
        self.identities: dict[bytes, Identity] = {node.prefix: node}
        self._router = router
        self._node = node
        self._to_peer = to_peer
        self._to_tun = to_tun
        self._act = act
        self._waiting: dict[bytes, deque[tuple[Hashable, Waiting]]] = {}
        self._kept: FairQuota[Hashable] = FairQuota(IN_ALL, IN_ALL)
        """Packets that wait, by whom they are for or from: an identity, or a peer's network."""
        self._errors = (0, 0)

    def from_tun(self, owner: bytes, packet: bytes, now: float, more: Sequence[bytes] = ()) -> None:
        """An IPv6 packet that left the machine or namespace behind an identity's TUN.

        `more` are the next of its flow, with the same addresses and hop limit.
        """
        mine = self.identities.get(owner)
        if mine is None or len(packet) < icmp.IPV6 or packet[0] >> 4 != 6:
            return
        source, destination = packet[8:24], packet[24:40]
        if destination[0] == 0xFF or source[0] in (0xFF, 0xFE):
            return  # neighbour discovery and the like: a TUN has no neighbours
        fault = _fault(owner, packet)
        if fault is not None:
            self._answer_error(mine, packet, *fault, now)
            return
        prefix, hops = destination[: mycelium.PREFIX], packet[7] - 1
        if prefix in self.identities:
            left = bytes((hops,))
            self._to_tun(prefix, [one[:7] + left + one[8:] for one in (packet, *more)])
            return
        route = self._router.route(prefix)
        if route is None:
            for one in (packet, *more):
                self._wait(prefix, _Out(owner, one), now)
            return
        self._refresh(prefix, route, now)
        sealed = mine.keys.seal_all(routerid.key(route.router), crypto.L3, (packet, *more))
        if sealed:
            self._to_peer(route.peer, encode_data(Data(source, destination, hops, sealed[0], sealed[1:])))

    def from_peer(self, data: Data, now: float, peer: Peer = NOBODY) -> None:
        """Data packets from a peer, with one header."""
        hops = data.hop_limit - 1
        prefix = data.destination[: mycelium.PREFIX]
        mine = self.identities.get(prefix)
        if hops < 1:
            for one in data.each():
                self._send_error(one, icmp.TIME_EXCEEDED, icmp.HOPS, now)
        elif mine is not None:
            self._arrived(mine, data, hops, now, peer)
        elif data.destination[0] & 0xFE == 4:
            self._pass_on(prefix, data, hops, now, peer)

    def _pass_on(self, prefix: bytes, data: Data, hops: int, now: float, peer: Peer) -> None:
        route = self._router.route(prefix)
        if route is None:
            for one in data.each():
                self._wait(prefix, (one, peer), now)
            return
        self._refresh(prefix, route, now)
        self._to_peer(route.peer, encode_data(data._replace(hop_limit=hops)))

    def _refresh(self, prefix: bytes, route: Entry, now: float) -> None:
        # Only the origin repeats an update, to its own peers: beyond them a route in use must be requested again
        # before it expires.
        if route.expires - now < ALMOST_EXPIRED:
            payer = self._router.table.payer(route.peer)
            self._act(self._router.request_route(prefix, now, payer, is_again=True))

    def resolved(self, effect: Found | Lost, now: float) -> None:
        """A query for a subnet that packets wait for ended."""
        packets = self._waiting.pop(effect.prefix, deque())
        for payer, _ in packets:
            self._kept.release(payer)
        for _, packet in packets:
            if isinstance(effect, Found):
                self._again(packet, now)
            elif isinstance(packet, tuple):
                if packet[0].destination[: mycelium.PREFIX] == effect.prefix:
                    self._send_error(packet[0], icmp.UNREACHABLE, icmp.NO_ROUTE, now)
            elif packet.owner in self.identities:
                mine = self.identities[packet.owner]
                self._answer_error(mine, packet.packet, icmp.UNREACHABLE, icmp.NO_ROUTE, now)

    def _again(self, packet: Waiting, now: float) -> None:
        if isinstance(packet, tuple):
            self.from_peer(packet[0], now, packet[1])
        else:
            self.from_tun(packet.owner, packet.packet, now)

    def _wait(self, prefix: bytes, packet: Waiting, now: float) -> None:
        queue = self._waiting.setdefault(prefix, deque())
        payer = self._router.table.payer(packet[1]) if isinstance(packet, tuple) else packet.owner
        if len(queue) < PER_SUBNET and self._kept.take(payer):
            queue.append((payer, packet))
        elif not queue:
            del self._waiting[prefix]
        # Last: the request may resolve at once, and send what has just been queued.
        self._act(self._router.request_route(prefix, now, payer))

    # Packets for this node

    def _arrived(self, mine: Identity, data: Data, hops: int, now: float, peer: Peer) -> None:
        public = self._router.public(data.source[: mycelium.PREFIX])
        if public is None:
            if data.source[0] & 0xFE == 4 and data.source[: mycelium.PREFIX] not in self.identities:
                for one in data.each():
                    self._wait(data.source[: mycelium.PREFIX], (one, peer), now)
            return
        errors = 0
        ends, left, packets = data.source + data.destination, bytes((hops,)), list[bytes]()
        begin, limit, after = crypto.HEADER, crypto.HEADER + _HOPS, crypto.HEADER + _HOPS + 1
        for plain in mine.keys.open_all(public, (data.payload, *data.more)):
            if plain[1] == crypto.L3:
                # The key proves the /64 of the outer source; the inner addresses must be the same ones.
                if plain[after : after + 32] == ends and plain[begin] >> 4 == 6:
                    packets.append(plain[begin:limit] + left + plain[after:])
            elif plain[1] == crypto.ICMP and errors < ERRORS_AT_ONCE:
                errors += 1
                self._error_arrived(mine, data, hops, plain[begin:])
        if packets:
            self._to_tun(mine.prefix, packets)

    def _error_arrived(self, mine: Identity, data: Data, hops: int, content: bytes) -> None:
        """A router on the way quotes an encrypted packet that it could not deliver; only its sender can decrypt it."""
        destination, header, quote = content[:16], content[56:64], content[64:]
        if len(header) != icmp.HEADER or content[16] >> 4 != 6 or header[0] not in (1, 2, 3, 4):
            return
        public = self._router.public(destination[: mycelium.PREFIX])
        opened = mine.keys.open(public, quote) if public else None
        if opened is None or opened[0] != crypto.L3:
            return
        packet = icmp.rebuilt(data.source, data.destination, header, opened[1][: icmp.QUOTE], hops)
        self._to_tun(mine.prefix, (packet,))

    # Errors

    def _answer_error(self, mine: Identity, packet: bytes, kind: int, code: int, now: float) -> None:
        """Answer a packet of an own guest with an ICMP error."""
        if not icmp.is_error(packet) and self._may_send_error(now):
            self._to_tun(mine.prefix, (icmp.packet(mine.address, packet[8:24], kind, code, packet),))

    def _send_error(self, data: Data, kind: int, code: int, now: float) -> None:
        """Answer a packet of another node with an ICMP error that quotes it as it is, encrypted."""
        public = self._router.public(data.source[: mycelium.PREFIX])
        if public is None or not self._may_send_error(now):
            return
        source = self._node.prefix + bytes(8)
        quote = data.payload if len(data.payload) <= icmp.QUOTE else b""
        error = data.destination + icmp.packet(source, data.source, kind, code, quote)
        payload = self._node.keys.seal(public, crypto.ICMP, error)
        route = self._router.route(data.source[: mycelium.PREFIX])
        if payload is not None and route is not None:
            self._to_peer(route.peer, encode_data(Data(source, data.source, ROUTER_HOPS - 1, payload)))

    def _may_send_error(self, now: float) -> bool:
        second, count = self._errors
        self._errors = (int(now), count + 1 if second == int(now) else 1)
        return self._errors[1] <= ERRORS_PER_SECOND


def _fault(owner: bytes, packet: bytes) -> tuple[int, int] | None:
    """Why a packet from a TUN cannot be sent: ICMP type and code."""
    if packet[8 : 8 + mycelium.PREFIX] != owner:
        return icmp.UNREACHABLE, icmp.POLICY
    if packet[24 : 24 + mycelium.PREFIX] == owner:
        return icmp.UNREACHABLE, icmp.ADDRESS
    if packet[24] & 0xFE != 4:
        return icmp.UNREACHABLE, icmp.NO_ROUTE
    if packet[7] < 2:
        return icmp.TIME_EXCEEDED, icmp.HOPS
    return None
