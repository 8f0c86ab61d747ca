"""Connections over loopback: accepted and dialled, and what a hostile peer can do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.mycelium import discovery, links
from zos.mycelium.crypto import Keys
from zos.mycelium.links import BadPeer, Endpoint, Link, Links, parse_endpoint, parse_endpoints
from zos.mycelium.node import Node
from zos.mycelium.packet import Data, Hello, Tlv, encode, encode_data

DATA = Data(bytes(16), bytes(16), 9, b"payload")


class Ends:
    """One end: its connections, and the packets that came."""

    def __init__(self) -> None:
        self.received: list[Data | Tlv] = []
        self.links = Links(lambda link: None, lambda link: None, lambda peer, packet: self.received.append(packet))
        self.task: asyncio.Task[None] | None = None

    def run(self, port: int = 0, *peers: Endpoint) -> None:
        self.task = asyncio.create_task(self.links.run(port, peers))

    @property
    def one(self) -> Link:
        (link,) = self.links.all.values()
        return link


@contextlib.asynccontextmanager
async def ends(count: int) -> AsyncIterator[list[Ends]]:
    made = [Ends() for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            if one.task is not None:
                one.task.cancel()
                await asyncio.wait([one.task])
        await asyncio.sleep(0)


async def becomes(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.005)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_two_ends_connect_and_both_send_first():
    async with ends(2) as (server, client):
        port = free_port()
        server.run(port)
        client.run(0, Endpoint("127.0.0.1", port))
        await becomes(lambda: server.links.all and client.links.all)
        server.one.send_control(encode(Hello(1, 2)))
        assert client.one.send_data(encode_data(DATA))
        await becomes(lambda: server.received == [DATA] and client.received == [Hello(1, 2)])


async def test_a_peer_that_comes_later_and_one_that_comes_back_is_found():
    async with ends(3) as (server, client, again):
        port = free_port()
        client.run(0, Endpoint("127.0.0.1", port))
        await asyncio.sleep(0)
        server.run(port)
        await becomes(lambda: client.links.all)
        first = client.one.peer
        assert server.task is not None
        server.task.cancel()
        await becomes(lambda: not client.links.all)
        again.run(port)
        await becomes(lambda: client.links.all)
        assert client.one.peer != first


async def test_a_peer_of_another_protocol_is_disconnected_and_the_others_stay():
    async with ends(2) as (server, client):
        port = free_port()
        server.run(port)
        client.run(0, Endpoint("127.0.0.1", port))
        await becomes(lambda: server.links.all)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await becomes(lambda: len(server.links.all) == 1)
        assert client.one.send_data(encode_data(DATA))
        await becomes(lambda: server.received == [DATA])


async def test_a_peer_that_does_not_read_loses_data_and_is_disconnected_at_last(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(links, "CONTROL_LIMIT", 2 << 20)
    async with ends(1) as (server,):
        port = free_port()
        server.run(port)
        await becomes(lambda: server.links.is_open)
        with socket.create_connection(("127.0.0.1", port)):
            await becomes(lambda: server.links.all)
            link, big = server.one, encode_data(DATA._replace(payload=bytes(60_000)))
            sent = 0
            while link.send_data(big):
                sent += 1
                assert sent < 1000
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                while server.links.all:
                    link.send_control(encode(Hello(1, 2)) * 1000)
                    await asyncio.sleep(0)


async def test_the_number_of_connections_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """One network has no more than half; what is dialled is beside them."""
    monkeypatch.setattr(links, "MAX_LINKS", 6)
    async with ends(2) as (server, dialled):
        port = free_port()
        server.run(port)
        await becomes(lambda: server.links.is_open)
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            await becomes(lambda: len(server.links.all) == 3)
            await asyncio.sleep(0.05)
            assert len(server.links.all) == 3
            other = free_port()
            dialled.run(other)
            await becomes(lambda: dialled.links.is_open)
            assert server.links._group is not None
            keeping = server.links._group.create_task(server.links._keep(Endpoint("127.0.0.1", other), None))
            await becomes(lambda: len(server.links.all) == 4)
            keeping.cancel()
        await becomes(lambda: not server.links.all)


async def test_a_neighbour_that_is_gone_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(links, "DISCOVERED_TRIES", 1)
    async with ends(1) as (client,):
        client.run()
        await asyncio.sleep(0)
        client.links.discovered(Endpoint("127.0.0.1", free_port()))
        assert len(client.links._dialled) == 1
        await becomes(lambda: not client.links._dialled)


async def test_forged_beacons_are_dialled_a_few_at_a_time():
    async with ends(1) as (client,):
        client.run()
        await asyncio.sleep(0)
        for number in range(256):
            client.links.discovered(Endpoint("127.0.0.1", 20_000 + number))
        assert len(client.links._dialled) == links.BEACONS


async def test_a_peer_whose_control_messages_are_dear_does_not_hold_up_anothers_data():
    """One sends a megabyte of updates, each of which takes 50 µs; the event loop never waits long for it."""
    async with ends(2) as (server, polite):
        dear = Hello(1, 2)

        def received(peer: object, packet: Data | Tlv) -> None:
            server.received.append(packet)
            until = thread_time() + (50e-6 if isinstance(packet, Hello) else 0)
            while thread_time() < until:
                pass

        server.links.received = received
        port = free_port()
        server.run(port)
        await becomes(lambda: server.links.is_open)
        with socket.create_connection(("127.0.0.1", port)) as loud:
            loud.setblocking(False)
            polite.run(0, Endpoint("127.0.0.1", port))
            await becomes(lambda: polite.links.all)
            flood, waits = encode(dear) * 10_000, []
            for _ in range(50):
                with contextlib.suppress(BlockingIOError):
                    while loud.send(flood):
                        pass
                began, before = thread_time(), sum(isinstance(one, Data) for one in server.received)
                polite.one.send_data(encode_data(DATA))
                async with asyncio.timeout(10):
                    while sum(isinstance(one, Data) for one in server.received) == before:
                        await asyncio.sleep(0)
                server.received = server.received[-1:]
                waits.append(thread_time() - began)
            assert sorted(waits)[45] < 0.01, f"{1000 * max(waits):.1f} ms"
            assert len(server.links.turns) == 1, "the loud one waits for its turn"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("tcp://192.0.2.1:9651", "192.0.2.1", 9651), ("tcp://[2001:db8::1]:1", "2001:db8::1", 1)],
)
def test_peers_are_addresses_with_ports(text: str, host: str, port: int):
    assert parse_endpoint(text) == Endpoint(host, port)
    assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2.1:9651", "quic://192.0.2.1:9651", "tcp://example.org:9651", "tcp://192.0.2.1", "tcp://192.0.2.1:0"],
)
def test_other_peers_are_refused_with_the_reason(text: str):
    with pytest.raises(BadPeer):
        parse_endpoint(text)


def test_a_peer_that_is_not_spoken_to_is_left_out_with_the_reason_and_the_others_stay(caplog: pytest.LogCaptureFixture):
    asked = ("quic://192.0.2.1:9651", "tcp://192.0.2.2:9651", "tcp://example.org:9651")
    endpoints, problems = parse_endpoints(asked)
    assert endpoints == (Endpoint("192.0.2.2", 9651),)
    assert [asked[0] in problems[0], "not quic" in problems[0], asked[2] in problems[1]] == [True] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


async def test_a_router_whose_beacon_port_another_program_has_routes_and_takes_the_port_when_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
):
    """A tenant's WireGuard may hold it while the router starts anew."""
    refused, sent = asyncio.Event(), asyncio.Event()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as held:
        held.bind(("::", 0))
        monkeypatch.setattr(discovery, "PORT", held.getsockname()[1])
        monkeypatch.setattr(discovery, "AGAIN", 0.01, raising=False)
        monkeypatch.setattr(discovery, "_send_beacon", lambda *_: sent.set())
        monkeypatch.setattr(discovery.log, "warning", lambda *_: refused.set())
        node = Node(bytes(range(32)))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(node.run(0, (), ("lo",)))
            await asyncio.wait_for(refused.wait(), 5)
            assert not sent.is_set()
            held.close()
            await asyncio.wait_for(sent.wait(), 5)
            running.cancel()
    node.close()


@given(st.binary(max_size=60))
def test_a_beacon_is_fifty_bytes_that_begin_right_and_nothing_else_is_one(garbage: bytes):
    assert discovery.parse_beacon(discovery.beacon(9651, bytes(range(40)))) == (9651, bytes(range(40)))
    if len(garbage) != 50 or not garbage.startswith(b"mycelium"):
        assert discovery.parse_beacon(garbage) is None


async def test_a_peer_whose_packets_are_from_ever_more_senders_waits_and_others_do_not():
    """Each packet takes a key agreement when more senders take turns than are remembered."""
    async with ends(2) as (server, polite):
        senders = 0

        def received(peer: object, packet: Data | Tlv) -> None:
            nonlocal senders
            if isinstance(packet, Data) and packet.hop_limit == 1:
                senders += 1
                Keys.agreements += 1
            else:
                server.received.append(packet)

        server.links.received = received
        port = free_port()
        server.run(port)
        await becomes(lambda: server.links.is_open)
        with socket.create_connection(("127.0.0.1", port)) as loud:
            polite.run(0, Endpoint("127.0.0.1", port))
            await becomes(lambda: polite.links.all)
            packets = (DATA._replace(source=number.to_bytes(16), hop_limit=1) for number in range(500))
            loud.sendall(b"".join(map(encode_data, packets)))
            await becomes(lambda: senders)
            polite.one.send_data(encode_data(DATA))
            await becomes(lambda: server.received)
            assert senders < 400
            assert len(server.links.turns) == 1, "the loud one waits for its turn"
            await becomes(lambda: senders == 500)
