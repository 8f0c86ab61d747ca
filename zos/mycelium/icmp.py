"""ICMPv6 errors, as bytes ready for a guest. Pure."""

from __future__ import annotations

import struct

UNREACHABLE, TIME_EXCEEDED = 1, 3
NO_ROUTE, ADDRESS, POLICY, HOPS = 0, 3, 5, 0
"""Codes: no route, no such address, a source that may not send here; hop limit exceeded."""
MINIMUM_MTU = 1280
"""An error must fit into it (RFC 4443, 2.4)."""
IPV6 = 40
HEADER = 8
QUOTE = MINIMUM_MTU - IPV6 - HEADER

_ICMPV6 = 58


def packet(source: bytes, destination: bytes, kind: int, code: int, quote: bytes, hop_limit: int = 64) -> bytes:
    """An IPv6 packet with an ICMPv6 error that quotes (the beginning of) what could not be delivered."""
    return rebuilt(source, destination, struct.pack(">BB6x", kind, code), quote[:QUOTE], hop_limit)


def rebuilt(source: bytes, destination: bytes, header: bytes, quote: bytes, hop_limit: int) -> bytes:
    """The same from an ICMPv6 header of eight bytes, whose checksum is recomputed."""
    body = header[:2] + b"\0\0" + header[4:8] + quote
    pseudo = source + destination + struct.pack(">I3xB", len(body), _ICMPV6)
    body = header[:2] + _checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    return struct.pack(">IHBB", 6 << 28, len(body), _ICMPV6, hop_limit) + source + destination + body


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_error(content: bytes) -> bool:
    """Whether an IPv6 packet is an ICMPv6 error: never answered with another (RFC 4443, 2.4)."""
    return len(content) > IPV6 and content[6] == _ICMPV6 and content[40] < 128
