import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zos.mycelium.packet import (
    MAX_PAYLOAD,
    BrokenFrame,
    Data,
    Hello,
    Ihu,
    Reader,
    RouteRequest,
    SeqnoRequest,
    Subnet,
    Update,
    encode,
    encode_data,
    parse_tlvs,
)

short = st.integers(0, 0xFFFF)
router = st.binary(min_size=40, max_size=40)


@st.composite
def subnets(draw: st.DrawFn) -> Subnet:
    size = draw(st.sampled_from([4, 16]))
    length = draw(st.integers(0, size * 8))
    number = draw(st.integers(0, (1 << size * 8) - 1)) >> (size * 8 - length) << (size * 8 - length)
    return Subnet(number.to_bytes(size, "big"), length)


tlvs = st.one_of(
    st.builds(Hello, short, short, st.sampled_from([0, 0x8000])),
    st.builds(Ihu, short, short, st.sampled_from([b"", bytes(4), b"\xfe\x80" + bytes(14)])),
    st.builds(Update, short, short, short, subnets(), router, st.sampled_from([0, 0x40, 0x80, 0xC0])),
    st.builds(RouteRequest, st.none() | subnets(), st.integers(0, 255)),
    st.builds(SeqnoRequest, short, router, subnets(), st.integers(1, 255)),
)
address = st.binary(min_size=16, max_size=16)
alone = st.just(tuple[bytes, ...]())
data = st.builds(Data, address, address, st.integers(0, 255), st.binary(max_size=2000), alone)


def _bytes(packet: object) -> bytes:
    return encode_data(packet) if isinstance(packet, Data) else encode(packet)  # type: ignore[arg-type]


def test_an_update_stands_on_the_wire_as_the_reference_writes_it():
    update = Update(30000, 16, 25, Subnet(bytes.fromhex("0400000100020003") + bytes(8), 64), bytes(range(1, 41)))
    assert encode(update).hex() == (
        "01010000"  # packet: version, control
        "2a03003c"  # Babel: magic, version, length
        "083a"  # update, length
        "02004000"  # IPv6, no flags, /64, nothing omitted
        "753000100019"  # interval, sequence number, metric
        "0400000100020003" + bytes(range(1, 41)).hex()
    )


def test_a_hello_an_answer_and_a_request_stand_on_the_wire_as_the_reference_writes_them():
    assert encode(Hello(15, 2000)).hex() == "010100002a0300080406" + "8000" + "000f" + "07d0"
    assert encode(Ihu(27, 6000)).hex() == "010100002a0300080506" + "0000" + "001b" + "1770"
    prefix = Subnet(bytes.fromhex("0400000100020003") + bytes(8), 64)
    assert encode(RouteRequest(prefix, 13)).hex() == "010100002a03000d090b" + "0d0240" + "0400000100020003"
    request = encode(SeqnoRequest(16, bytes(40), prefix))
    assert request.hex() == "010100002a0300380a36" + "0240" + "0010" + "4000" + "00" * 40 + "0400000100020003"


def test_a_data_packet_stands_on_the_wire_as_the_document_draws_it():
    packet = encode_data(Data(bytes(16), b"\x04" + bytes(15), 63, b"sealed"))
    assert packet.hex() == "01000000" + "00" + "0006" + "3f" + "00" * 16 + "04" + "00" * 15 + b"sealed".hex()


@given(st.lists(st.one_of(tlvs, data), max_size=8), st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_packets_survive_the_wire_however_the_stream_is_cut(packets: list[object], cuts: list[int]):
    stream, reader, seen, at = b"".join(map(_bytes, packets)), Reader(), list[object](), 0
    for turn in range(len(stream)):
        if at >= len(stream):
            break
        piece = stream[at : at + cuts[turn % len(cuts)]]
        at += len(piece)
        for packet in reader.feed(piece):
            seen += packet.each() if isinstance(packet, Data) else [packet]
    assert seen == packets


def test_packets_with_one_header_that_came_in_one_read_are_read_together():
    one = Data(bytes(16), bytes(16), 9, b"1", (b"", b"three"))
    others = [
        one._replace(source=b"\1" * 16),
        one._replace(destination=b"\1" * 16),
        one._replace(hop_limit=8, more=()),
        one,
        Hello(1, 2),
        one,
    ]
    assert encode_data(one) == b"".join(map(encode_data, one.each()))
    assert list(Reader().feed(b"".join(map(_bytes, [one, *others])))) == [one, *others]


def test_the_longest_payload_fits():
    packet = Data(bytes(16), bytes(16), 1, bytes(MAX_PAYLOAD))
    assert list(Reader().feed(encode_data(packet))) == [packet]


@given(st.lists(st.binary(max_size=100), max_size=20))
@example([b"\x01\x01\0\0\x2a\x03\0\x02\x08\xff"])
@example([b"\x01\x01\0\0\x2a\x03\0\x0c\x08\x0a\x02\0\x81" + bytes(7)])
def test_garbage_never_does_more_than_break_the_frame(pieces: list[bytes]):
    reader = Reader()
    try:
        for piece in pieces:
            list(reader.feed(piece))
    except BrokenFrame:
        pass


@given(st.binary(max_size=300))
def test_garbage_in_a_frame_is_dropped_and_the_next_packet_is_read(body: bytes):
    frame = b"\x01\x01\0\0\x2a\x03" + len(body).to_bytes(2, "big") + body
    assert list(Reader().feed(frame + encode(Hello(1, 2))))[-1] == Hello(1, 2)


@given(tlvs, st.data())
def test_a_truncated_tlv_is_nothing(tlv: object, draw: st.DataObject):
    body = encode(tlv)[8:]  # type: ignore[arg-type]
    cut = draw.draw(st.integers(0, len(body) - 1))
    assert list(parse_tlvs(body[:cut])) == []


def test_another_magic_is_skipped_and_another_version_ends_it():
    other = bytearray(encode(Hello(1, 2)))
    other[4] = 43
    assert list(Reader().feed(bytes(other) + encode(Hello(3, 4)))) == [Hello(3, 4)]
    with pytest.raises(BrokenFrame):
        list(Reader().feed(b"\x02" + encode(Hello(1, 2))[1:]))
    with pytest.raises(BrokenFrame):
        list(Reader().feed(b"\x01\x02" + encode(Hello(1, 2))[2:]))


def test_a_request_that_may_not_be_forwarded_at_all_is_none():
    body = bytearray(encode(SeqnoRequest(1, bytes(40), Subnet(bytes(16), 64)))[8:])
    body[6] = 0
    assert list(parse_tlvs(bytes(body))) == []
