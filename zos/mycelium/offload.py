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
_number = int.from_bytes
_PLAIN = HEADER.pack(0, NONE, 0, 0, 0, 0)
_FOLDS = tuple((width, (1 << width) - 1) for width in (2640, 1440))
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
    before, first, shape, later = packet[6:tcp] + ports, int.from_bytes(packet[tcp + 4 : tcp + 8]), (-1, 0), b""
    # Sums of 16-bit words are sums of longer words too: 2^16 is 1 (mod 65535).
    same = _sum(packet[8:40]) + _sum(ports) + _sum(behind + b"\0") + _sum(window) + _sum(options) + _TCP
    found = []
    for at in range(head, min(len(packet), head + MOST * size), size):
        content, number = packet[at : at + size], first + at - head & 0xFFFFFFFF
        mark = flags if at == head else flags & ~_REDUCED
        if at + size < len(packet):
            mark &= _KEPT_BACK
        if shape != (mark, len(content)):
            shape = mark, len(content)
            begin = packet[:4] + (head - _IPV6 + len(content)).to_bytes(2) + before
            later = behind + bytes((mark,)) + window
            fixed = same + mark + head - tcp + len(content)
        check = 0xFFFF - (fixed + number + _words(content)) % 0xFFFF
        found.append(b"".join((begin, number.to_bytes(4), later, check.to_bytes(2), options, content)))
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
    whole, size = len(first), len(first) - head
    begin, behind, window, options = first[:44], first[48:54], first[54:56], first[58:head]
    total, number = len(first) - _IPV6, int.from_bytes(first[44:48])
    for packet in packets[end : at + MOST]:
        number = number + size & 0xFFFFFFFF
        # What has the length of the first and its header, but for the number, is as whole and as plain as it.
        is_full = len(packet) == whole and packet[:54] == begin + number.to_bytes(4) + behind
        if not is_full and not _is_last(packet, first, head, number):
            break
        total += len(packet) - head
        if packet[54:56] != window or packet[58:head] != options or total > LARGEST:
            break
        end += 1
        if not is_full:
            break
    return end


def _is_last(packet: bytes, first: bytes, head: int, number: int) -> bool:
    """Whether the packet, shorter than the first or pushed, goes on with this number; with nothing behind it."""
    return (
        len(packet) <= len(first)
        and packet[:4] == first[:4]
        and packet[6:44] == first[6:44]
        and int.from_bytes(packet[44:48]) == number
        and packet[48:53] == first[48:53]
        and _mergeable(packet) == head
    )


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
    return _words(data) % 0xFFFF


def _words(data: bytes) -> int:
    """A number with the same remainder (mod 65535) as the sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    if len(data) < 256:
        return int.from_bytes(data)
    # 2^16 is 1 (mod 65535), and so is every power of it: a third of the time of one long division.
    half = len(data) // 4 * 2
    total = _number(data[:half]) + _number(data[half:])
    for width, mask in _FOLDS:
        total = (total >> width) + (total & mask)
    return total


def _checksum(total: int) -> bytes:
    return (0xFFFF - total % 0xFFFF).to_bytes(2)
