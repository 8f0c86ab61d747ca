"""Nobody takes all of what a router remembers: routes, queries, waiting packets, connections."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from zos.mycelium import links, routerid
from zos.mycelium.effects import Found, Lost, Send
from zos.mycelium.links import Endpoint
from zos.mycelium.messages import centi, subnet_of
from zos.mycelium.packet import Hello, RouteRequest, Update, encode
from zos.mycelium.plane import IN_ALL, identity
from zos.mycelium.queries import MAX_QUERIES
from zos.mycelium.routes import Router
from zos.mycelium.table import MAX_ENTRIES, Entry, Peer
from zos.mycelium.tests.test_links import becomes, ends, free_port
from zos.mycelium.tests.test_plane import ipv6
from zos.mycelium.tests.world import World

FAR = identity(bytes(range(32)))
HONEST = Peer(1)


def made() -> Router:
    router = Router(bytes(40), 0.0)
    router.add_peer(HONEST, 10, 0.0, "its network")
    return router


def prefix(number: int) -> bytes:
    return b"\x04" + number.to_bytes(7, "big")


def far(metric: int = 1, seconds: float = 300) -> Update:
    return Update(centi(seconds), 1, metric, subnet_of(FAR.prefix), routerid.make(FAR.public))


@pytest.mark.parametrize("networks", [1, 20, 150])
def test_connections_of_one_network_have_one_share_of_the_routes_and_many_networks_leave_one(networks: int) -> None:
    router, number = made(), 0
    for peer in range(10, 210):
        router.add_peer(Peer(peer), 10, 0.0, f"network {peer % networks}")
        while router.table.has_room(Peer(peer)):
            number += 1
            router.table.put(prefix(number), Entry(Peer(peer), bytes(40), 1, 1, 2000.0))
    assert number <= MAX_ENTRIES * networks // (networks + 1) + networks
    assert Found(FAR.prefix) in router.receive(HONEST, far(), 1.0)


def test_a_share_is_free_again_when_its_connections_are_closed() -> None:
    router = made()
    for peer in (Peer(10), Peer(11)):
        router.add_peer(peer, 10, 0.0, "network")
        for number in range(300):
            router.table.put(prefix(1000 * peer + number), Entry(peer, bytes(40), 1, 1, 2000.0))
    for peer in (Peer(10), Peer(11), HONEST):
        router.drop_peer(peer, 1.0)
    while router.backlog:
        router.backlog.work(1.0)
    assert (router.table._quota.used, router.table._payers, router.table._closed) == (0, {}, set())


@pytest.mark.parametrize("networks", [1, 50])
def test_who_asks_for_what_is_not_there_leaves_others_queries_and_the_refresh_of_routes(networks: int) -> None:
    router = made()
    for number in range(networks):
        router.add_peer(Peer(100 + number), 10, 0.0, f"network {number}")
    for number in range(2 * MAX_QUERIES):
        router.receive(Peer(100 + number % networks), RouteRequest(subnet_of(prefix(number)), 0), 1.0)
    assert Lost(FAR.prefix) not in router.request_route(FAR.prefix, 1.0, "an identity")
    router.receive(HONEST, far(), 2.0)
    for number in range(2 * MAX_QUERIES, 4 * MAX_QUERIES):
        router.request_route(prefix(number), 2.0, f"identity {number % networks}")
    asked = router.request_route(FAR.prefix, 2.0, "its network", is_again=True)
    assert any(isinstance(one, Send) and one.peer == HONEST for one in asked), "a route in use is asked for again"
    router.tick(20.0)
    assert (len(router._queries), router._queries._new.used, router._queries._again.used) == (0, 0, 0)


def test_a_machine_that_scans_leaves_the_packets_of_others_a_place_to_wait() -> None:
    world = World(2)
    scanning, other = world.members[0], identity(os.urandom(32))
    scanning.plane.identities[other.prefix] = other
    for number in range(2 * IN_ALL):
        scanning.plane.from_tun(
            scanning.own.prefix, ipv6(scanning.own.address, prefix(number) + bytes(7) + b"\1"), world.now
        )
    scanning.plane.from_tun(other.prefix, ipv6(other.address, FAR.address), world.now)
    assert len(scanning.plane._waiting[FAR.prefix]) == 1
    world.wait(30)
    assert (scanning.plane._kept.used, scanning.plane._waiting) == (0, {})


async def test_as_many_networks_as_there_are_places_keep_no_peer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 8)
    monkeypatch.setattr(links, "SETTLED", 0.0)
    async with ends(2) as (server, honest):
        port = free_port()
        server.run(port)
        await becomes(lambda: server.links.is_open)
        honest.run(0, Endpoint("127.0.0.1", port))
        await becomes(lambda: server.links.all)
        honest.one.send_control(encode(Hello(1, 2)))
        await becomes(lambda: server.received)
        peer = server.one.peer
        with contextlib.ExitStack() as stack:
            for number in range(20):
                where = (f"127.0.1.{number + 1}", 0)
                stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=where))
            await becomes(lambda: len(server.links.all) == 8)
            newest = socket.create_connection(("127.0.0.1", port), source_address=("127.0.2.1", 0))
            stack.enter_context(newest)
            await becomes(lambda: any(link.network == "127.0.2.1" for link in server.links.all.values()))
            assert peer in server.links.all, "who is a peer for long keeps its place"
        await becomes(lambda: list(server.links.all) == [peer])
