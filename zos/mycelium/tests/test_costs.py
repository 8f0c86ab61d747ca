"""What an unknown peer's control messages may make the router do."""

from __future__ import annotations

import tracemalloc
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from zos.mycelium import backlog, routerid
from zos.mycelium.effects import Effect, Found, Send
from zos.mycelium.packet import RouteRequest, Subnet, Update
from zos.mycelium.queries import REPEATED
from zos.mycelium.routes import Router
from zos.mycelium.table import MAX_ENTRIES, Entry, Peer, Table
from zos.mycelium.tests.world import World
from zos.runtime.operations import operations

GREEDY, OTHER, POLITE = Peer(1), Peer(2), Peer(3)
MANY = 20_000


def prefix(number: int) -> bytes:
    return b"\x04" + number.to_bytes(7, "big")


def router_with(count: int, *peers: Peer) -> Router:
    """One whose peers have routes to so many subnets, the first peer the best."""
    router = Router(bytes(40), 0.0)
    for cost, peer in enumerate((GREEDY, OTHER, POLITE)):
        router.add_peer(peer, cost, 0.0)
    for number in range(count):
        for metric, peer in enumerate(peers):
            entry = Entry(peer, bytes(40), 1, metric, 1000.0)
            router._select(prefix(number), router.table.put(prefix(number), entry), 0.0)
    return router


def drained(router: Router) -> list[Effect]:
    found: list[Effect] = []
    while router.backlog:
        found += router.backlog.work(1.0)
    return found


def test_requests_for_all_routes_cost_no_more_than_one() -> None:
    """3.9 kB of them took 18 seconds."""
    router, effects = router_with(MANY, OTHER), list[Effect]()

    def asked() -> None:
        effects.extend(router.receive(GREEDY, RouteRequest(None), 1.0))

    def asked_again() -> None:
        for _ in range(259):
            asked()

    one = operations(asked)
    assert operations(asked_again) < 3 * one
    assert len(effects) == backlog.AT_ONCE
    assert len(drained(router)) == MANY - backlog.AT_ONCE
    assert router.receive(GREEDY, RouteRequest(None), 2.0), "when it has got all it may ask again"


def test_many_queries_to_many_peers_are_repeated_in_pieces_and_each_ones_in_turn() -> None:
    router = router_with(0)
    for number in range(4, 196):
        router.add_peer(Peer(number), 10, 0.0)
    for number in range(2000):
        router.request_route(prefix(number), 0.5, "greedy")
    router.request_route(prefix(5000), 0.5, "polite")
    router.tick(1.0)
    effects = router.tick(5.0)
    assert len(effects) < REPEATED + 2 * 195
    told = [one.tlv for one in effects if isinstance(one, Send)]
    asked = {one.subnet.address[:8] for one in told if isinstance(one, RouteRequest) and one.subnet is not None}
    assert prefix(5000) in asked
    assert 10 < len(asked) < 30


def test_a_lost_peers_routes_are_taken_back_in_pieces_and_one_in_use_at_once() -> None:
    few = router_with(MANY // 10, GREEDY, OTHER)
    router = router_with(MANY, GREEDY, OTHER)
    assert operations(lambda: router.drop_peer(GREEDY, 1.0)) < 2 * operations(lambda: few.drop_peer(GREEDY, 1.0))
    wanted = prefix(MANY - 1)
    assert router.route(wanted) is None, "not through a peer that is gone"
    effects = router.request_route(wanted, 1.0)
    found = router.route(wanted)
    assert found is not None
    assert found.peer == OTHER
    assert any(isinstance(one, Send) for one in effects)
    drained(router)
    assert not router.table.prefixes(GREEDY)
    for number in islice(range(MANY), 0, None, 1000):
        route = router.route(prefix(number))
        assert route is not None
        assert route.peer == OTHER


def test_one_peer_leaves_the_others_places_for_their_routes() -> None:
    router = router_with(0)
    for number in range(MAX_ENTRIES):
        if not router.table.has_room(GREEDY):
            break
        router.table.put(prefix(number), Entry(GREEDY, bytes(40), 1, 1, 1000.0))
    assert len(router.table) == MAX_ENTRIES // 2
    world = World(1)
    own = world.members[0].own
    effects = router.receive(
        POLITE, Update(1000, 1, 1, Subnet(own.prefix + bytes(8), 64), routerid.make(own.public)), 1.0
    )
    assert Found(own.prefix) in effects


def test_a_route_that_is_told_again_and_again_has_one_timer() -> None:
    """Each update with an earlier end left one more for good: 20 MB of them 300,000."""
    table, known = Table(), [prefix(number) for number in range(50)]
    tracemalloc.start()
    try:
        for round_ in range(400):
            for one in known:
                entry = Entry(GREEDY, bytes(40), 1, 1, 1000.0 - round_)
                table.put(one, entry)
                table.expire_at(one, entry, 900.0 - round_)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 500_000
    assert not list(table.expired(500.9))
    assert [one for one, _ in table.expired(501.0)] == known
    assert not list(table.expired(2000.0)), "each once"


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 9)), max_size=40), st.floats(0, 12))
def test_exactly_the_routes_whose_last_told_end_has_come_expire(told: list[tuple[int, float]], now: float) -> None:
    table, last = Table(), dict[bytes, float]()
    for number, when in told:
        table.put(prefix(number), Entry(GREEDY, bytes(40), 1, 1, when))
        last[prefix(number)] = when
    assert {one for one, _ in table.expired(now)} == {one for one, when in last.items() if when <= now}
    assert not list(table.expired(now))
