"""How long a way is dark after a router of a ring is gone, on a virtual clock: packets leave five times a second."""

import random
import socket
from collections import OrderedDict
from collections.abc import Sequence

import pytest

from zos.mycelium.costs import INFINITE
from zos.mycelium.effects import Effect, Send
from zos.mycelium.links import KEEPALIVE, SILENCE
from zos.mycelium.messages import subnet_of
from zos.mycelium.packet import RouteRequest, SeqnoRequest, Update
from zos.mycelium.routes import Router
from zos.mycelium.table import Entry, Peer
from zos.mycelium.tests.test_plane import HOST, ipv6
from zos.mycelium.tests.world import World

STEP = 0.2


class Real(Router):
    """As the Rust router (0.7) answers: it takes no infeasible route, keeps still where it holds entries that it cannot
    use, and a request for a number that it passed on or made is dead to it for a minute, whoever repeats it."""

    passed: dict[tuple[bytes, bytes, int], float]

    @classmethod
    def of(cls, router: Router) -> None:
        router.__class__ = cls
        assert isinstance(router, Real)
        router.passed = {}

    def _route_request(self, peer: Peer, request: RouteRequest, now: float) -> list[Effect]:
        prefix = request.subnet.address[:8] if request.subnet else b""
        if self.table.get(prefix) is not None and self.route(prefix) is None:
            return []
        return super()._route_request(peer, request, now)

    def _updated(self, peer: Peer, update: Update, now: float) -> list[Effect]:
        prefix = update.subnet.address[:8]
        routes = self.table.get(prefix)
        feasible = self._sources.feasible((prefix, update.router), update.seqno, update.metric)
        if feasible or prefix in self.locals or (routes is not None and peer in routes.entries):
            return super()._updated(peer, update, now)
        if routes is None or routes.selected is None:
            return self._request_seqno(prefix, update.router, now, to=peer)
        return []

    def _request_seqno(self, prefix: bytes, router: bytes, now: float, to: Peer | None = None) -> list[Effect]:
        seqno = (self._sources.seqno((prefix, router)) + 1) & 0xFFFF
        self.passed.setdefault((prefix, router, seqno), now)
        routes = self.table.get(prefix)
        peers = [to] if to is not None else [*routes.entries] if routes else [*self.peers]
        return [Send(one, SeqnoRequest(seqno, router, subnet_of(prefix))) for one in peers if one in self.peers]

    def _seqno_request(self, peer: Peer, request: SeqnoRequest, now: float) -> list[Effect]:
        prefix = request.subnet.address[:8]
        key = (prefix, request.router, request.seqno)
        if prefix not in self.locals and now - self.passed.get(key, -99.0) <= 60:
            return []
        effects = super()._seqno_request(peer, request, now)
        if any(isinstance(one, Send) and isinstance(one.tlv, SeqnoRequest) for one in effects):
            self.passed[key] = now
        return effects


def ring(size: int, real: frozenset[int] = frozenset(), costs: Sequence[int] = ()) -> World:
    world = World(size)
    for number in real:
        Real.of(world.members[number].router)
    for number in range(size):
        world.join(number, (number + 1) % size, *costs[number : number + 1])
    world.settle()
    return world


def dark(world: World, start: int, goal: int, most: float) -> float:
    """Seconds until packets arrive again both ways."""
    began = world.now
    there, back = world.members[goal].arrived, world.members[start].arrived
    there.clear()
    back.clear()
    while not (there and back):
        assert world.now - began < most, f"dark for {most} s"
        for one, other in ((start, goal), (goal, start)):
            packet = ipv6(world.prefix(one) + HOST, world.prefix(other) + HOST)
            world.members[one].plane.from_tun(world.prefix(one), packet, world.now)
        world.settle()
        world.wait(STEP, STEP)
    return world.now - began


@pytest.mark.parametrize("size", [3, 4, 6, 9])
@pytest.mark.parametrize("goal", [2, 3])
def test_a_ring_heals_within_a_second_after_a_router_is_killed(size: int, goal: int) -> None:
    world = ring(size)
    goal %= size
    dark(world, 0, goal, 5.0)
    world.wait(40)
    dark(world, 0, goal, 5.0)
    world.cut(0, 1)
    world.cut(1, 2)
    assert dark(world, 0, goal, 30.0) < 1.0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["ours", "mixed", "a row of real ones"])
def test_whatever_ways_cost_and_whoever_stands_between_a_ring_heals_soon_each_time(share: float) -> None:
    longest = 0.0
    for seed in range(60):
        chance = random.Random(seed)
        size = chance.randint(4, 9)
        real = frozenset(number for number in range(3, size) if chance.random() < share)
        costs = [chance.choice([1, 5, 20, 60, 200]) for _ in range(size)]
        world = ring(size, real, costs)
        world.wait(chance.choice([1, 40]))
        for _ in range(3):
            dark(world, 0, 2, 30.0)
            world.cut(0, 1)
            world.cut(1, 2)
            longest = max(longest, dark(world, 0, 2, 70.0))
            world.join(0, 1, costs[0])
            world.join(1, 2, costs[1])
            world.settle()
            # Numbers that were asked for are not passed on again for a minute.
            world.wait(chance.choice([1, 5, 30]))
    assert longest < (12.0 if share else 1.0)


def test_a_question_is_passed_on_by_who_holds_only_a_retracted_route() -> None:
    world = World(4)
    world.join(0, 1)
    world.join(1, 2)
    world.join(1, 3)
    world.settle()
    middle, prefix = world.members[1].router, world.prefix(2)
    world.cut(1, 2)
    middle.table.put(prefix, Entry(Peer(99), bytes(40), 0, INFINITE, world.now + 100))
    (asker,) = [peer for peer, end in world.members[1].ends.items() if end[0] == 0]
    effects = middle.receive(asker, RouteRequest(subnet_of(prefix)), world.now)
    assert [world.members[1].ends[one.peer][0] for one in effects if isinstance(one, Send)] == [3]


def test_the_numbers_that_are_asked_for_stay_near_the_known_one() -> None:
    world = ring(4)
    asked: OrderedDict[int, None] = OrderedDict()
    member = world.members[0]
    world.cut(0, 1)
    world.cut(0, 3)
    world.settle()
    peer, _ = world.join(0, 1)
    router = world.members[2].router.locals[world.prefix(2)].router
    for second in range(60):
        for effect in member.router._request_seqno(world.prefix(2), router, world.now + second, to=peer):
            assert isinstance(effect.tlv, SeqnoRequest)  # type: ignore[union-attr]
            asked[effect.tlv.seqno] = None  # type: ignore[union-attr]
    assert len(asked) == 4
    assert max(asked) - min(asked) == 3


def test_a_silent_cut_shows_before_twenty_seconds_are_over() -> None:
    idle, between, count = KEEPALIVE.values()
    assert list(KEEPALIVE) == [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
    assert max(idle + between * count, SILENCE / 1000) + between < 20
