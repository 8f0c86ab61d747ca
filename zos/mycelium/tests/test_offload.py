import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.mycelium import offload
from zos.mycelium.offload import ECN, HEADER, LARGEST, MOST, NEEDS_CHECKSUM, NONE, TCP6, cut, merged

ENDS = bytes.fromhex("0400" + "00" * 12 + "0001" + "0500" + "00" * 12 + "0002")


def word_sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def is_right(packet: bytes) -> bool:
    """Whether the length and the checksum of an IPv6 packet hold."""
    pseudo = packet[8:40] + struct.pack(">I3xB", len(packet) - 40, packet[6])
    return int.from_bytes(packet[4:6]) == len(packet) - 40 and word_sum(pseudo + packet[40:]) == 0xFFFF


def tcp(
    content: bytes, number: int = 0, flags: int = 0x10, options: bytes = b"", window: int = 9, ends: bytes = ENDS
) -> bytes:
    head = struct.pack(">HHIIBBHHH", 80, 4000, number % 2**32, 7, (5 + len(options) // 4) << 4, flags, window, 0, 0)
    body = head + options + content
    pseudo = ends + struct.pack(">I3xB", len(body), 6)
    check = 0xFFFF - word_sum(pseudo + body)
    return struct.pack(">IHBB", 6 << 28, len(body), 6, 64) + ends + body[:16] + struct.pack(">H", check) + body[18:]


def super_packet(content: bytes, size: int, number: int, flags: int, options: bytes, kind: int = TCP6) -> bytes:
    """As the kernel hands it over: the checksum field has the pseudo header's sum."""
    packet = bytearray(tcp(content, number, flags, options))
    packet[56:58] = struct.pack(">H", word_sum(ENDS + struct.pack(">I3xB", len(packet) - 40, 6)))
    return HEADER.pack(NEEDS_CHECKSUM, kind, 60 + len(options), size, 40, 16) + bytes(packet)


def written(packets: list[bytes]) -> list[bytes]:
    return [b"".join(pieces) for pieces in merged(packets)]


contents = st.integers(1, 9000).flatmap(
    lambda size: st.binary(min_size=min(size, 50), max_size=50).map(lambda one: (one * size)[:size])
)
words = st.binary(max_size=5).map(lambda one: one * 4)
flags_of_data = st.sampled_from([0x10, 0x18, 0x11, 0x19, 0x90, 0xD8, 0x50])


@given(
    contents,
    st.integers(100, 1500),
    st.integers(0, 2**32 - 1),
    flags_of_data,
    words,
    st.sampled_from([TCP6, TCP6 | ECN]),
)
def test_what_the_kernel_hands_over_is_cut_into_right_segments(content, size, number, flags, options, kind):
    found = cut(super_packet(content, size, number, flags, options, kind))
    assert all(is_right(packet) for packet in found)
    head = 60 + len(options)
    assert b"".join(packet[head:] for packet in found) == content
    at = 0
    for index, packet in enumerate(found):
        first, last = index == 0, index == len(found) - 1
        mark = flags & (0xFF if first else ~0x80) & (0xFF if last else ~0x09)
        assert packet == tcp(packet[head:], number + at, mark, options)
        assert last or len(packet) - head == size
        at += len(packet) - head


@given(contents, st.integers(100, 1500), st.integers(0, 2**32 - 1), st.sampled_from([0x10, 0x18]), words)
def test_cutting_undoes_merging(content, size, number, flags, options):
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    packets = [tcp(one, number + at * size, 0x10, options) for at, one in enumerate(pieces[:-1])]
    packets.append(tcp(pieces[-1], number + (len(pieces) - 1) * size, flags, options))
    frames = written(packets)
    assert len(frames) == 1
    assert cut(frames[0]) == packets
    assert all(is_right(packet) for packet in packets)


segments = st.builds(
    tcp,
    st.sampled_from([b"", b"x", b"ab", b"x" * 100]),
    st.sampled_from([0, 1, 2, 3, 100, 101, 200, 2**32 - 1]),
    st.sampled_from([0x10, 0x10, 0x10, 0x18, 0x11, 0x02, 0x30, 0x90]),
    st.sampled_from([b"", b"", b"\1\1\1\1"]),
    st.sampled_from([9, 9, 10]),
    st.sampled_from([ENDS, ENDS, ENDS[16:] + ENDS[:16]]),
)
anything = st.one_of(segments, st.binary(min_size=40, max_size=90).map(lambda one: b"\x60" + one[1:]))


@given(st.lists(anything, max_size=12), st.binary(max_size=3))
def test_whatever_is_merged_comes_out_again_in_its_order(packets, rest):
    packets = [packet + rest if index % 5 == 4 else packet for index, packet in enumerate(packets)]
    assert [packet for frame in written(packets) for packet in cut(frame)] == packets


@pytest.mark.parametrize("at", [at for at in range(40 + 32) if at not in (56, 57)])
def test_what_differs_in_any_byte_of_its_headers_is_not_merged(at: int):
    first, second, third = (tcp(b"x" * 100, number, options=b"\1" * 12) for number in (0, 100, 200))
    assert len(written([first, second, third])) == 1
    for bit in range(8):
        if (at, 1 << bit) == (53, 8):
            continue  # pushed: it is the last, below
        other = bytearray(second)
        other[at] ^= 1 << bit
        found = written([first, bytes(other), third])
        assert [frame[HEADER.size :] for frame in found] == [first, bytes(other), third]


@pytest.mark.parametrize("last", [tcp(b"x" * 100, 100, 0x18), tcp(b"x" * 99, 100), tcp(b"x" * 99, 100, 0x18)])
def test_nothing_is_merged_behind_a_segment_that_is_pushed_or_shorter(last: bytes):
    behind = [tcp(b"x" * 100, len(last) - 60 + 100 + at) for at in (0, 100)]
    found = written([tcp(b"x" * 100), last, *behind])
    assert [len(cut(frame)) for frame in found] == [2, 2]


@given(st.binary(max_size=3000))
def test_a_sum_is_the_reference_s(data: bytes):
    assert offload._sum(data) == word_sum(data) % 0xFFFF


@given(st.binary(max_size=200))
def test_no_frame_breaks_the_reader(frame):
    for one in (frame, frame[:10] + b"\x60" + frame[11:], HEADER.pack(1, TCP6, 60, 1, 40, 16) + b"\x60" + frame):
        assert sum(map(len, cut(one))) <= MOST * (len(one) + 10)


def test_what_came_together_is_one_write():
    packets = [tcp(b"x" * 1000, at * 1000) for at in range(20)]
    assert len(written(packets)) == 1
    assert len(next(iter(merged(packets)))) == 20


def test_a_write_has_a_bounded_size_and_number_of_pieces():
    large = written([tcp(b"x" * 1400, at * 1400) for at in range(100)])
    assert len(large) == 3
    assert all(len(frame) <= HEADER.size + 40 + LARGEST for frame in large)
    small = list(merged([tcp(b"x", at) for at in range(1000)]))
    assert max(map(len, small)) == MOST


def test_a_machine_that_asks_for_tiny_segments_gets_a_bounded_number_of_them():
    assert len(cut(super_packet(b"x" * 60_000, 1, 0, 0x10, b""))) == MOST


def test_a_packet_that_is_no_segment_gets_its_checksum():
    body = struct.pack(">HHHH", 1, 2, 12, 0) + b"data"
    packet = struct.pack(">IHBB", 6 << 28, len(body), 17, 64) + ENDS + body
    prepared = bytearray(packet)
    prepared[46:48] = struct.pack(">H", word_sum(ENDS + struct.pack(">I3xB", len(body), 17)))
    (found,) = cut(HEADER.pack(NEEDS_CHECKSUM, NONE, 0, 0, 40, 6) + bytes(prepared))
    assert is_right(found)
    assert cut(HEADER.pack(0, NONE, 0, 0, 0, 0) + packet) == [packet]


@pytest.mark.parametrize("start", [0, 39, 47, 1000])
def test_a_header_that_points_beside_the_packet_loses_it(start: int):
    packet = tcp(b"x" * 6)[: 40 + 26]
    assert cut(HEADER.pack(NEEDS_CHECKSUM, TCP6, 60, 2, start, 16) + packet) == []
    assert start == 47 or cut(HEADER.pack(NEEDS_CHECKSUM, NONE, 0, 0, start, 60_000) + packet) == []
    assert offload.cut(b"") == []
