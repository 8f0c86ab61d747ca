"""What peers send each other: control messages and data packets, to bytes and back. Pure.

A packet is `version=1, type, 0, 0` and a body. Type 0 is data: one zero byte, the length (16 bits), the hop limit,
source, destination, payload. Type 1 is control: a Babel header (42, 3, length) and TLVs, of which the reference
writes one per packet. The TLVs are Babel's (RFC 8966) with differences: an update and a seqno request carry a router
id of 40 bytes inline, a route request begins with a generation. Source: threefoldtech/mycelium, packet.rs, babel/.

A message that cannot be parsed is dropped alone; only a broken frame ends the connection.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zos.errors import Status, ZosError
from zos.mycelium import routerid

VERSION = 1
DATA, CONTROL = 0, 1
MAGIC, BABEL_VERSION = 42, 3
PAD1, HELLO, IHU, UPDATE, ROUTE_REQUEST, SEQNO_REQUEST = 0, 4, 5, 8, 9, 10
WILDCARD, IPV4, IPV6, LINK_LOCAL = 0, 1, 2, 3
UNICAST = 0x8000
HEADER = 4
DATA_HEADER = HEADER + 4 + 32
MAX_PAYLOAD = 0xFFFF

_DATA_START = struct.Struct(">2B2xI")
_IS_DATA = bytes((VERSION, DATA))
_LONGEST = {IPV4: 32, IPV6: 128}
_IHU_SIZES = {IPV4: 4, IPV6: 16, LINK_LOCAL: 8}


class BrokenFrame(ZosError):
    """The stream cannot be cut into packets: the peer speaks another protocol, or sent garbage."""

    reason = "mycelium.broken_frame"
    status = Status.INVALID_ARGUMENT
    text = "not a mycelium packet: {problem}"


class Subnet(NamedTuple):
    """A prefix: 4 or 16 bytes with nothing set behind the length, and the length in bits."""

    address: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Hello:
    """Liveness probe; the peer answers with an IHU at once."""

    seqno: int
    interval: int
    """Centiseconds to the next one."""
    flags: int = UNICAST


@dataclass(frozen=True, slots=True)
class Ihu:
    """The answer to a hello ("I heard you")."""

    cost: int
    interval: int
    address: bytes = b""
    """4 or 16 bytes, or none."""


@dataclass(frozen=True, slots=True)
class Update:
    """A route of the sender; with an infinite metric its retraction."""

    interval: int
    """Centiseconds until the next one."""
    seqno: int
    metric: int
    subnet: Subnet
    router: bytes
    """The router id of the origin."""
    flags: int = 0


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A query for a subnet; None asks for all."""

    subnet: Subnet | None
    generation: int = 0
    """How often it was forwarded."""


@dataclass(frozen=True, slots=True)
class SeqnoRequest:
    """Asks the origin to announce the subnet with this sequence number."""

    seqno: int
    router: bytes
    subnet: Subnet
    hops: int = 64
    """How often it may still be forwarded, plus one; never 0."""


Tlv = Hello | Ihu | Update | RouteRequest | SeqnoRequest


class Data(NamedTuple):
    """A data packet; the payload is sealed for its destination. With `more` it is several, one after the other."""

    source: bytes
    destination: bytes
    hop_limit: int
    payload: bytes
    more: Sequence[bytes] = ()
    """The payloads of the next packets, which have the same header."""

    def each(self) -> list[Data]:
        """This packet and those that came with it, apart."""
        return [self._replace(payload=one, more=()) for one in (self.payload, *self.more)] if self.more else [self]


# To bytes


def encode(tlv: Tlv) -> bytes:
    """A control packet with one TLV."""
    kind, body = _body(tlv)
    return struct.pack(">8B", VERSION, CONTROL, 0, 0, MAGIC, BABEL_VERSION, 0, len(body) + 2) + bytes(
        (kind, len(body))
    ) + body  # fmt: skip


def encode_data(packet: Data) -> bytes:
    hops, ends, pieces = packet.hop_limit, packet.source + packet.destination, list[bytes]()
    for payload in (packet.payload, *packet.more):
        pieces += (_DATA_START.pack(VERSION, DATA, len(payload) << 8 | hops), ends, payload)
    return b"".join(pieces)


def _body(tlv: Tlv) -> tuple[int, bytes]:
    match tlv:
        case Hello():
            return HELLO, struct.pack(">3H", tlv.flags, tlv.seqno, tlv.interval)
        case Ihu():
            kind = {0: WILDCARD, 4: IPV4, 16: IPV6}[len(tlv.address)]
            return IHU, struct.pack(">BxHH", kind, tlv.cost, tlv.interval) + tlv.address
        case Update():
            kind, prefix = _prefix(tlv.subnet)
            head = struct.pack(">BBBxHHH", kind, tlv.flags, tlv.subnet.length, tlv.interval, tlv.seqno, tlv.metric)
            return UPDATE, head + prefix + tlv.router
        case RouteRequest():
            if tlv.subnet is None:
                return ROUTE_REQUEST, bytes((tlv.generation, WILDCARD, 0))
            kind, prefix = _prefix(tlv.subnet)
            return ROUTE_REQUEST, bytes((tlv.generation, kind, tlv.subnet.length)) + prefix
        case SeqnoRequest():
            kind, prefix = _prefix(tlv.subnet)
            head = struct.pack(">BBHBx", kind, tlv.subnet.length, tlv.seqno, tlv.hops)
            return SEQNO_REQUEST, head + tlv.router + prefix


def _prefix(subnet: Subnet) -> tuple[int, bytes]:
    kind = IPV4 if len(subnet.address) == 4 else IPV6
    return kind, subnet.address[: (subnet.length + 7) // 8]


# From bytes


class Reader:
    """Cuts a stream of bytes into packets; buffers at most one incomplete packet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Data | Tlv]:
        """The packets that these bytes complete, data with the same header together.

        BrokenFrame when the stream cannot be cut any further.
        """
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        while end - at >= 8:
            size = _size(buffer, at)
            if end - at < size:
                break
            if buffer[at + 1] == DATA:
                same, payloads = buffer[at + 7 : at + 40], [buffer[at + 40 : at + size]]
                at += size
                while end - at >= 40 and buffer.startswith(_IS_DATA, at) and buffer.startswith(same, at + 7):
                    size = DATA_HEADER + (buffer[at + 5] << 8 | buffer[at + 6])
                    if end - at < size:
                        break
                    payloads.append(buffer[at + 40 : at + size])
                    at += size
                yield Data(same[1:17], same[17:], same[0], payloads[0], tuple(payloads[1:]))
                continue
            if buffer[at + 4] == MAGIC and buffer[at + 5] == BABEL_VERSION:
                yield from parse_tlvs(buffer[at + 8 : at + size])
            at += size
        self._rest = buffer[at:]


def _size(buffer: bytes, at: int) -> int:
    """The length of the packet that begins here, from its first eight bytes."""
    version, kind = buffer[at], buffer[at + 1]
    if version != VERSION:
        raise BrokenFrame(problem=f"version {version}")
    if kind == DATA:
        return DATA_HEADER + (buffer[at + 5] << 8 | buffer[at + 6])
    if kind == CONTROL:
        return 8 + (buffer[at + 6] << 8 | buffer[at + 7])
    raise BrokenFrame(problem=f"type {kind}")


def parse_tlvs(body: bytes) -> Iterator[Tlv]:
    """The TLVs of a Babel body, without those that cannot be parsed."""
    at = 0
    while at < len(body):
        if body[at] == PAD1:
            at += 1
            continue
        if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
            return
        tlv = _tlv(body[at], body[at + 2 : at + 2 + body[at + 1]])
        if tlv is not None:
            yield tlv
        at += 2 + body[at + 1]


def _tlv(kind: int, body: bytes) -> Tlv | None:
    try:
        match kind:
            case 4:
                flags, seqno, interval = struct.unpack_from(">3H", body)
                return Hello(seqno, interval, flags & UNICAST)
            case 5:
                return _ihu(body)
            case 8:
                return _update(body)
            case 9:
                return _route_request(body)
            case 10:
                return _seqno_request(body)
            case _:
                return None
    except (struct.error, ValueError):
        return None


def _ihu(body: bytes) -> Ihu:
    kind, cost, interval = struct.unpack_from(">BxHH", body)
    if kind == WILDCARD:
        return Ihu(cost, interval)
    if kind not in _IHU_SIZES:
        raise ValueError("no such address family")
    address = _take(body, 6, _IHU_SIZES[kind])
    return Ihu(cost, interval, b"\xfe\x80" + bytes(6) + address if kind == LINK_LOCAL else address)


def _update(body: bytes) -> Update:
    kind, flags, length, interval, seqno, metric = struct.unpack_from(">BBBxHHH", body)
    subnet, at = _subnet(body, 10, kind, length)
    return Update(interval, seqno, metric, subnet, _take(body, at, routerid.SIZE), flags & 0xC0)


def _route_request(body: bytes) -> RouteRequest:
    generation, kind, length = struct.unpack_from(">3B", body)
    if kind == WILDCARD:
        return RouteRequest(None, generation)
    return RouteRequest(_subnet(body, 3, kind, length)[0], generation)


def _seqno_request(body: bytes) -> SeqnoRequest:
    kind, length, seqno, hops = struct.unpack_from(">BBHBx", body)
    if hops == 0:
        raise ValueError("a request that may not be forwarded at all")
    router = _take(body, 6, routerid.SIZE)
    return SeqnoRequest(seqno, router, _subnet(body, 6 + routerid.SIZE, kind, length)[0], hops)


def _subnet(body: bytes, at: int, kind: int, length: int) -> tuple[Subnet, int]:
    """The prefix that stands here, and where it ends."""
    if kind == LINK_LOCAL:
        if length != 64:
            raise ValueError("a link-local prefix is /64")
        return Subnet(b"\xfe\x80" + bytes(14), 64), at + 8
    if kind == WILDCARD:
        if length:
            raise ValueError("a wildcard has no length")
        return Subnet(bytes(16), 0), at
    longest = _LONGEST.get(kind, -1)
    if length > longest:
        raise ValueError("no such address family or length")
    size = (length + 7) // 8
    address = _take(body, at, size) + bytes(longest // 8 - size)
    return Subnet(_masked(address, length), length), at + size


def _masked(address: bytes, length: int) -> bytes:
    bits = len(address) * 8
    return (int.from_bytes(address, "big") >> (bits - length) << (bits - length)).to_bytes(len(address), "big")


def _take(body: bytes, at: int, size: int) -> bytes:
    found = body[at : at + size]
    if len(found) != size:
        raise ValueError("too short")
    return found
