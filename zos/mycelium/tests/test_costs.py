"""What an unknown peer's control messages may make the router do."""

from __future__ import annotations

from itertools import islice
from time import thread_time

from zos.mycelium import backlog, routerid
from zos.mycelium.effects import Effect, Found, Send
from zos.mycelium.packet import RouteRequest, Subnet, Update
from zos.mycelium.routes import Router
from zos.mycelium.table import MAX_ENTRIES, Entry, Peer
from zos.mycelium.tests.world import World

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
    router = router_with(MANY, OTHER)
    began = thread_time()
    effects = [effect for _ in range(260) for effect in router.receive(GREEDY, RouteRequest(None), 1.0)]
    assert thread_time() - began < 0.1
    assert len(effects) == backlog.AT_ONCE
    assert len(drained(router)) == MANY - backlog.AT_ONCE
    assert router.receive(GREEDY, RouteRequest(None), 2.0), "when it has got all it may ask again"


def test_a_lost_peers_routes_are_taken_back_in_pieces_and_one_in_use_at_once() -> None:
    router = router_with(MANY, GREEDY, OTHER)
    began = thread_time()
    router.drop_peer(GREEDY, 1.0)
    assert thread_time() - began < 0.1
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
