import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.mycelium import crypto, icmp
from zos.mycelium.effects import Lost
from zos.mycelium.packet import Data
from zos.mycelium.plane import ERRORS_AT_ONCE, ERRORS_PER_SECOND, IN_ALL, PER_SUBNET, identity
from zos.mycelium.table import Peer
from zos.mycelium.tests.world import World

HOST = bytes.fromhex("ff0f000000000001")


def ipv6(source: bytes, destination: bytes, body: bytes = b"body", hops: int = 64) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(body), 17, hops) + source + destination + body


def line(size: int) -> World:
    world = World(size)
    for left in range(size - 1):
        world.join(left, left + 1)
    world.settle()
    return world


def send(world: World, start: int, goal: int, **how: object) -> bytes:
    packet = ipv6(world.prefix(start) + HOST, world.prefix(goal) + HOST, **how)  # type: ignore[arg-type]
    world.members[start].plane.from_tun(world.prefix(start), packet, world.now)
    return packet


def error(packet: bytes) -> tuple[int, int, bytes]:
    """Type, code and what it quotes; its checksum must hold."""
    assert packet[6] == 58
    pseudo = packet[8:40] + struct.pack(">I3xB", len(packet) - 40, 58)
    data = pseudo + packet[40:] + b"\0" * (len(packet) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    return packet[40], packet[41], packet[48:]


def test_a_packet_crosses_a_line_and_loses_a_hop_at_each_router():
    world = line(4)
    sent = send(world, 0, 3)
    world.settle()
    ((owner, packet),) = world.members[3].arrived
    assert owner == world.prefix(3)
    assert packet == sent[:7] + bytes((64 - 4,)) + sent[8:]
    assert [member.arrived for member in world.members[:3]] == [[], [], []]


def test_the_packets_of_a_flow_that_come_together_arrive_together_and_in_order():
    world = line(3)
    ends = world.prefix(0) + HOST, world.prefix(2) + HOST
    first, *more = (ipv6(*ends, body=bytes((number,)) * 9) for number in range(20))
    world.members[0].plane.from_tun(world.prefix(0), first, world.now, more)
    world.settle()
    assert [packet[40:] for _, packet in world.members[2].arrived] == [packet[40:] for packet in (first, *more)]


def test_of_packets_that_come_together_only_the_false_ones_are_lost():
    world = line(2)
    left, right = world.members[0].own, world.members[1].own
    right.keys.open(left.public, b"")
    good = [ipv6(left.address, right.address, body=bytes((number,)) * 9) for number in range(3)]
    false = ipv6(left.prefix + HOST, right.address)
    one, two, other, three = left.keys.seal_all(right.public, crypto.L3, (*good[:2], false, good[2]))
    message = left.keys.seal(right.public, crypto.MESSAGE, good[0]) or b""
    changed = two[:-1] + bytes((two[-1] ^ 1,))
    sent = Data(left.address, right.address, 64, b"", (one, changed, two, other, message, three))
    world.members[1].plane.from_peer(sent, world.now)
    assert [packet[40:] for _, packet in world.members[1].arrived] == [packet[40:] for packet in good]


def test_packets_that_come_together_are_passed_on_and_refused_as_if_alone():
    world = line(3)
    left, right = world.members[0].own, world.members[2].own
    packets = [ipv6(left.address, right.address, body=bytes((number,)) * 9) for number in range(3)]
    sealed = left.keys.seal_all(right.public, crypto.L3, packets)
    sent = Data(left.address, right.address, 64, sealed[0], sealed[1:])
    world.members[1].plane.from_peer(sent, world.now)
    world.settle()
    assert [packet[40:] for _, packet in world.members[2].arrived] == [packet[40:] for packet in packets]
    world.members[1].plane.from_peer(sent._replace(hop_limit=1), world.now)
    world.settle()
    assert [error(packet)[:2] for _, packet in world.members[0].arrived] == [(icmp.TIME_EXCEEDED, icmp.HOPS)] * 3


def test_of_errors_that_come_together_the_first_are_taken():
    world = line(3)
    left, right = world.members[0].own, world.members[2].own
    packet = ipv6(left.address, right.address)
    quote = left.keys.seal(right.public, crypto.L3, packet) or b""
    said = right.address + icmp.packet(right.address, left.address, icmp.UNREACHABLE, icmp.NO_ROUTE, quote)
    sealed = world.members[1].own.keys.seal_all(left.public, crypto.ICMP, [said] * 100)
    sent = Data(world.members[1].own.prefix + bytes(8), left.address, 64, sealed[0], sealed[1:])
    world.members[0].plane.from_peer(sent, world.now)
    assert [error(one)[2] for _, one in world.members[0].arrived] == [packet] * ERRORS_AT_ONCE


def test_the_packets_of_a_flow_wait_for_a_route_together_and_are_refused_once():
    world = World(2)
    ends = world.prefix(0) + HOST, world.prefix(1) + HOST
    flow = [ipv6(*ends, body=bytes((number,)) * 9) for number in range(PER_SUBNET + 9)]
    plane = world.members[0].plane
    plane.from_tun(world.prefix(0), flow[0], world.now, flow[1:])
    world.join(0, 1)
    world.settle()
    assert [packet[40:] for _, packet in world.members[1].arrived] == [one[40:] for one in flow[:PER_SUBNET]]
    plane.from_tun(world.prefix(0), ipv6(bytes(16), ends[1]), world.now, [ipv6(bytes(16), ends[1])] * 9)
    assert len(world.members[0].arrived) == 1


def test_routers_between_cannot_read_a_packet():
    world = line(3)
    send(world, 0, 2, body=b"a secret word")
    seen = b"".join(data for queue in world.queues.values() for data in queue)
    assert seen
    assert b"a secret word" not in seen


def test_a_packet_waits_for_its_route():
    world = World(2)
    sent = send(world, 0, 1)
    world.join(0, 1)
    world.settle()
    assert [packet[40:] for _, packet in world.members[1].arrived] == [sent[40:]]


def test_a_packet_to_an_unknown_subnet_is_answered_with_an_error():
    world = line(2)
    unknown = identity(b"\x07" * 32)
    packet = ipv6(world.prefix(0) + HOST, unknown.prefix + HOST)
    world.members[0].plane.from_tun(world.prefix(0), packet, world.now)
    world.wait(16)
    ((_, answer),) = world.members[0].arrived
    assert error(answer) == (icmp.UNREACHABLE, icmp.NO_ROUTE, packet)
    assert Lost(unknown.prefix) in world.members[0].effects


@pytest.mark.parametrize(
    ("source", "destination", "hops", "kind", "code"),
    [
        (lambda w: w.prefix(0) + HOST, lambda w: w.prefix(0) + bytes(8), 64, icmp.UNREACHABLE, icmp.ADDRESS),
        (lambda w: w.prefix(1) + HOST, lambda w: w.prefix(1) + HOST, 64, icmp.UNREACHABLE, icmp.POLICY),
        (lambda w: b"\x20\x01" + bytes(14), lambda w: w.prefix(1) + HOST, 64, icmp.UNREACHABLE, icmp.POLICY),
        (lambda w: w.prefix(0) + HOST, lambda w: b"\x20\x01" + bytes(14), 64, icmp.UNREACHABLE, icmp.NO_ROUTE),
        (lambda w: w.prefix(0) + HOST, lambda w: w.prefix(1) + HOST, 1, icmp.TIME_EXCEEDED, icmp.HOPS),
    ],
)
def test_a_packet_that_cannot_leave_is_refused(
    source: Callable[[World], bytes], destination: Callable[[World], bytes], hops: int, kind: int, code: int
):
    world = line(2)
    packet = ipv6(source(world), destination(world), hops=hops)
    world.members[0].plane.from_tun(world.prefix(0), packet, world.now)
    world.settle()
    ((_, answer),) = world.members[0].arrived
    assert error(answer) == (kind, code, packet)
    assert answer[24:40] == packet[8:24]
    assert world.members[1].arrived == []


def test_an_error_is_never_answered_with_an_error():
    world = line(2)
    packet = icmp.packet(world.prefix(0) + HOST, world.prefix(0) + bytes(8), 1, 0, b"")
    world.members[0].plane.from_tun(world.prefix(0), packet, world.now)
    assert world.members[0].arrived == []


def test_a_router_on_the_way_says_where_the_hops_ended_and_only_the_sender_can_read_what_it_quotes():
    world = line(4)
    sent = send(world, 0, 3, hops=3)
    world.settle()
    ((_, answer),) = world.members[0].arrived
    kind, code, quote = error(answer)
    assert (kind, code) == (icmp.TIME_EXCEEDED, icmp.HOPS)
    assert quote == sent
    assert answer[8:16] == world.prefix(2)


def test_an_encrypted_packet_with_a_forged_inner_source_is_dropped():
    world = line(2)
    left, right = (member.own for member in world.members)
    inner = ipv6(b"\x04" + bytes(15), right.address)
    payload = left.keys.seal(right.public, crypto.L3, inner)
    assert payload is not None
    world.members[1].plane.from_peer(Data(left.address, right.address, 64, payload), world.now)
    assert world.members[1].arrived == []


def test_a_message_of_the_message_system_is_dropped():
    world = line(2)
    left, right = (member.own for member in world.members)
    payload = left.keys.seal(right.public, crypto.MESSAGE, ipv6(left.address, right.address))
    assert payload is not None
    world.members[1].plane.from_peer(Data(left.address, right.address, 64, payload), world.now)
    assert world.members[1].arrived == []


def test_two_identities_of_one_process_reach_each_other():
    world = line(2)
    guest = identity(b"\x09" * 32)
    world.members[0].plane.identities[guest.prefix] = guest
    world.members[0].plane.from_tun(guest.prefix, ipv6(guest.address, world.prefix(0) + HOST), world.now)
    ((owner, packet),) = world.members[0].arrived
    assert (owner, packet[7]) == (world.prefix(0), 63)


def test_an_identity_beside_the_nodes_own_is_reached_from_afar_and_answers():
    world = line(3)
    guest = identity(b"\x09" * 32)
    member = world.members[0]
    member.plane.identities[guest.prefix] = guest
    world.act(0, member.router.add_local(guest.prefix, guest.public + bytes(8)))
    world.settle()
    there = ipv6(world.prefix(2) + HOST, guest.address)
    world.members[2].plane.from_tun(world.prefix(2), there, world.now)
    world.settle()
    back = ipv6(guest.address, world.prefix(2) + HOST)
    member.plane.from_tun(guest.prefix, back, world.now)
    world.settle()
    assert [(owner, packet[8:]) for owner, packet in member.arrived] == [(guest.prefix, there[8:])]
    assert [packet[8:] for _, packet in world.members[2].arrived] == [back[8:]]


def test_waiting_packets_and_errors_are_bounded():
    world = World(1)
    plane = world.members[0].plane
    for number in range(3 * IN_ALL // PER_SUBNET):
        for _ in range(PER_SUBNET + 5):
            destination = b"\x04" + number.to_bytes(7, "big") + HOST
            plane.from_tun(world.prefix(0), ipv6(world.prefix(0) + HOST, destination), world.now)
    assert plane._kept.used == IN_ALL // 2, "one machine has half"
    world.wait(16)
    assert plane._kept.used == 0
    assert plane._waiting == {}
    assert len(world.members[0].arrived) == ERRORS_PER_SECOND


@given(st.lists(st.binary(max_size=120), max_size=10), st.booleans())
@settings(max_examples=50)
def test_garbage_from_either_side_is_harmless(pieces: list[bytes], known: bool):
    world = line(2)
    right = world.members[1]
    for piece in pieces:
        right.plane.from_tun(world.prefix(1), piece, world.now)
        source = world.members[0].own.address if known else bytes(16)
        right.plane.from_peer(Data(source, right.own.address, 5, piece), world.now)
        sealed = world.members[0].own.keys.seal(right.own.public, len(piece) % 3, piece)
        right.plane.from_peer(Data(source, right.own.address, 5, sealed or b""), world.now)
    world.settle()
    assert all(packet[6] == 58 for _, packet in right.arrived)
    assert Peer(0) not in right.ends
