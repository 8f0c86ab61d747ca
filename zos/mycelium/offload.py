"""Segments of a TCP flow that the kernel gives and takes as one packet, with a header that says how to cut it. Pure.

A read or a write of a TUN costs as much as to encrypt a packet, and to confirm every second segment costs the way back:
so what came together is written together. Header and rules: virtio 1.2, 5.1.6 (struct virtio_net_hdr, in the machine's
byte order), and the segmentation and merging that RFC 9293's fields allow without a trace: what is merged here and cut
by the kernel are the same bytes again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

HEADER = struct.Struct("=BBHHHH")
"""Flags, kind, bytes of headers, size of a segment, where the checksum begins, where it stands from there."""
NEEDS_CHECKSUM = 1
NONE, TCP6, ECN = 0, 4, 0x80
MOST = 128
"""Segments of one packet; a machine that asks for shorter ones than 512 bytes sends the rest again."""
LARGEST = 0xFFFF
"""Bytes behind an IPv6 header."""

_IPV6, _TCP = 40, 6
_ACK, _PUSH, _FIN, _REDUCED = 0x10, 0x08, 0x01, 0x80
_PLAIN = HEADER.pack(0, NONE, 0, 0, 0, 0)
_FOLDS = tuple((width, (1 << width) - 1) for width in (6144, 3072, 1536))
_KEPT_BACK = 0xFF ^ (_FIN | _PUSH)


def cut(frame: bytes) -> list[bytes]:
    """The packets in what a TUN was read, each with its checksum; none when it is no whole IPv6 packet."""
    if len(frame) < HEADER.size + _IPV6 or frame[HEADER.size] >> 4 != 6:
        return []
    flags, kind, _, size, start, offset = HEADER.unpack_from(frame)
    packet = frame[HEADER.size :]
    if kind == NONE:
        return [packet] if not flags & NEEDS_CHECKSUM else _summed(packet, start, start + offset)
    if kind & ~ECN != TCP6 or not flags & NEEDS_CHECKSUM:
        return []
    return _segments(packet, start, size)


def _summed(packet: bytes, start: int, at: int) -> list[bytes]:
    """The packet with the checksum that it has prepared: the pseudo header's sum stands there already."""
    if at + 2 > len(packet) or start < _IPV6:
        return []
    return [packet[:at] + _checksum(_sum(packet[start:])) + packet[at + 2 :]]


def _segments(packet: bytes, tcp: int, size: int) -> list[bytes]:
    head = tcp + (packet[tcp + 12] >> 4) * 4 if _IPV6 <= tcp <= len(packet) - 20 else 0
    if not size or not tcp + 20 <= head < len(packet):
        return []
    ports, behind, options = packet[tcp : tcp + 4], packet[tcp + 8 : tcp + 13], packet[tcp + 18 : head]
    flags, window = packet[tcp + 13], packet[tcp + 14 : tcp + 16]
    before, first = packet[6:tcp] + ports, int.from_bytes(packet[tcp + 4 : tcp + 8])
    # Sums of 16-bit words are sums of longer words too: 2^16 is 1 (mod 65535).
    same = _sum(packet[8:40]) + _sum(ports) + _sum(behind + b"\0") + _sum(window) + _sum(options) + _TCP
    found = []
    for at in range(head, min(len(packet), head + MOST * size), size):
        content, number = packet[at : at + size], first + at - head & 0xFFFFFFFF
        length = head - tcp + len(content)
        mark = flags if at == head else flags & ~_REDUCED
        if at + size < len(packet):
            mark &= _KEPT_BACK
        total = same + mark + length + number + _sum(content)
        found.append(
            b"".join((
                packet[:4], (head - _IPV6 + len(content)).to_bytes(2), before, number.to_bytes(4),
                behind, bytes((mark,)), window, _checksum(total), options, content,
            ))
        )  # fmt: skip
    return found


def merged(packets: Sequence[bytes]) -> Iterator[list[bytes]]:
    """What to write into a TUN for IPv6 packets: each in pieces that go in one call. Their order stays.

    Checksums are not looked at: what comes from a peer is sealed by the router behind which its sender is.
    """
    at = 0
    while at < len(packets):
        end = _run(packets, at)
        yield [_PLAIN, packets[at]] if end == at + 1 else _whole(packets[at:end])
        at = end


def _run(packets: Sequence[bytes], at: int) -> int:
    """Where the packets end that may be merged with the first one."""
    first, end = packets[at], at + 1
    head = _mergeable(first)
    if not head or first[53] & _PUSH:
        return end
    size = len(first) - head
    total, number = len(first) - _IPV6, int.from_bytes(first[44:48]) + size
    for packet in packets[end : at + MOST]:
        more = len(packet) - head
        if (
            not 0 < more <= size
            or packet[:4] != first[:4]
            or packet[6:44] != first[6:44]
            or int.from_bytes(packet[44:48]) != number & 0xFFFFFFFF
            or packet[48:53] != first[48:53]
            or packet[54:56] != first[54:56]
            or packet[58:head] != first[58:head]
            or _mergeable(packet) != head
            or total + more > LARGEST
        ):
            break
        end, total, number = end + 1, total + more, number + more
        if more < size or packet[53] & _PUSH:
            break
    return end


def _mergeable(packet: bytes) -> int:
    """The bytes of headers of a whole TCP segment with content and nothing special; else 0."""
    if len(packet) <= _IPV6 + 20 or packet[6] != _TCP or packet[53] & ~_PUSH != _ACK or packet[52] & 0xF:
        return 0
    head = _IPV6 + (packet[52] >> 4) * 4
    is_whole = packet[4] << 8 | packet[5] == len(packet) - _IPV6
    return head if is_whole and _IPV6 + 20 <= head < len(packet) and packet[0] >> 4 == 6 else 0


def _whole(run: Sequence[bytes]) -> list[bytes]:
    first = run[0]
    head = _IPV6 + (first[52] >> 4) * 4
    length = sum(map(len, run)) - len(run) * head + head - _IPV6
    header = HEADER.pack(NEEDS_CHECKSUM, TCP6, head, len(first) - head, _IPV6, 16)
    pseudo = (_sum(first[8:40]) + length + _TCP) % 0xFFFF
    start = (header, first[:4], length.to_bytes(2), first[6:53], run[-1][53:54], first[54:56], pseudo.to_bytes(2))
    return [b"".join((*start, first[58:])), *(packet[head:] for packet in run[1:])]


def _sum(data: bytes) -> int:
    """The sum of 16-bit words (the last filled with a zero), as Internet checksums are made (RFC 1071)."""
    number = int.from_bytes(data)
    if len(data) % 2:
        number <<= 8
    if len(data) > 256:
        # A third of the time of one long division: 2^16 is 1 (mod 65535), and so is every power of it.
        for width, mask in _FOLDS:
            number = (number >> width) + (number & mask)
    return number % 0xFFFF


def _checksum(total: int) -> bytes:
    return (0xFFFF - total % 0xFFFF).to_bytes(2)
