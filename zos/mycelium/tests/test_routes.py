import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.model import mycelium
from zos.mycelium import routerid
from zos.mycelium.costs import INFINITE, LinkCost, newer, plus
from zos.mycelium.effects import Found, Lost, Send, Unresponsive
from zos.mycelium.packet import Hello, Ihu, RouteRequest, SeqnoRequest, Subnet, Tlv, Update
from zos.mycelium.routes import Router
from zos.mycelium.sources import HOLD, Sources
from zos.mycelium.table import UNRESPONSIVE_AFTER, Peer
from zos.mycelium.tests.world import World

seqnos = st.integers(0, 0xFFFF)


def line(size: int) -> World:
    world = World(size)
    for left in range(size - 1):
        world.join(left, left + 1)
    world.settle()
    return world


# Numbers


@given(seqnos, st.integers(1, 0x7FFF))
def test_a_later_sequence_number_is_newer_and_never_the_other_way(seqno: int, more: int):
    assert newer((seqno + more) & 0xFFFF, seqno)
    assert not newer(seqno, (seqno + more) & 0xFFFF)
    assert not newer(seqno, seqno)


@given(st.integers(0, 0xFFFE), st.integers(1, 0xFFFE))
def test_a_longer_way_is_never_cheaper_and_never_becomes_infinite(metric: int, cost: int):
    assert metric <= plus(metric, cost) < INFINITE
    assert plus(INFINITE, cost) == INFINITE


def test_a_link_costs_what_was_measured_and_follows_slowly():
    cost = LinkCost(15)
    cost.measure(4)
    assert cost.value == 19
    cost.measure(104)
    assert cost.value == 29


def test_an_origin_that_was_not_announced_for_long_is_forgotten():
    sources = Sources()
    sources.announced((b"p", b"r"), 5, 10, 0.0)
    sources.forget(HOLD - 1)
    assert not sources.feasible((b"p", b"r"), 5, 10)
    sources.forget(HOLD)
    assert sources.feasible((b"p", b"r"), 5, 10)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 100)), min_size=1))
def test_a_feasible_route_is_better_than_every_announced_one(told: list[tuple[int, int]]):
    sources = Sources()
    for seqno, metric in told:
        sources.announced((b"p", b"r"), seqno, metric, 0.0)
    best = min((-seqno, metric) for seqno, metric in told)
    for seqno, metric in told:
        assert sources.feasible((b"p", b"r"), seqno, metric) is ((-seqno, metric) < best)


@given(st.binary(min_size=32, max_size=32))
def test_a_subnet_is_owned_by_the_key_that_it_follows_from_and_no_other(public: bytes):
    own = mycelium.address(public)[:8]
    assert routerid.owns(routerid.make(public), own)
    assert not routerid.owns(routerid.make(public), bytes((own[0], own[1] ^ 1)) + own[2:])


# One router


def _router() -> tuple[Router, Peer]:
    router = Router(routerid.make(bytes(32), bytes(6)), 0.0)
    router.add_peer(Peer(1), 10, 0.0)
    return router, Peer(1)


OWNER = World(2).members[1].own
ORIGIN = routerid.make(OWNER.public, bytes(6))
SUBNET = Subnet(OWNER.prefix + bytes(8), 64)


def _update(metric: int = 0, seqno: int = 0, subnet: Subnet = SUBNET, router: bytes = ORIGIN) -> Update:
    return Update(30000, seqno, metric, subnet, router)


def test_a_hello_is_answered_at_once():
    router, peer = _router()
    (answer,) = router.receive(peer, Hello(7, 2000), 1.0)
    assert isinstance(answer, Send)
    assert isinstance(answer.tlv, Ihu)


def test_a_peer_that_answers_no_hello_is_dead_and_one_that_does_is_not():
    router, peer = _router()
    for second in range(1, 200):
        effects = router.tick(float(second))
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.tlv, Hello) and second < 100:
                router.receive(peer, Ihu(10, 6000), second + 0.02)
        dead = Unresponsive(peer) in effects
        assert dead is (second > 100 + UNRESPONSIVE_AFTER), second


@pytest.mark.parametrize(
    "update",
    [
        _update(subnet=Subnet(b"\x20\x01" + bytes(14), 64)),
        _update(subnet=Subnet(SUBNET.address[:7] + bytes(9), 56)),
        _update(subnet=Subnet(bytes((SUBNET.address[0], SUBNET.address[1] ^ 1)) + SUBNET.address[2:], 64)),
        _update(router=routerid.make(bytes(32), bytes(6))),
        _update(subnet=Subnet(bytes(4), 32)),
    ],
)
def test_an_update_whose_subnet_does_not_follow_from_its_key_is_ignored(update: Update):
    router, peer = _router()
    assert router.receive(peer, update, 1.0) == []
    assert len(router.table) == 0


def test_a_peers_retraction_ends_a_route_with_any_router_id():
    router, peer = _router()
    assert Found(OWNER.prefix) in router.receive(peer, _update(), 1.0)
    router.receive(peer, _update(INFINITE, router=routerid.make(bytes(32))), 2.0)
    assert router.route(OWNER.prefix) is None


def test_a_route_lives_three_and_a_half_intervals():
    router, peer = _router()
    router.receive(peer, _update(), 0.0)
    router.tick(1049.0)
    assert router.route(OWNER.prefix) is not None
    router.tick(1051.0)
    assert router.route(OWNER.prefix) is None
    assert len(router.table) == 0


def test_a_repeated_route_lives_on():
    router, peer = _router()
    for second in range(0, 3000, 300):
        router.tick(float(second))
        router.receive(peer, _update(), float(second))
    router.tick(3600.0)
    assert router.route(OWNER.prefix) is not None


def test_a_route_that_is_hardly_better_does_not_replace_the_one_in_use():
    router, peer = _router()
    other = Peer(2)
    router.add_peer(other, 10, 0.0)
    router.receive(peer, _update(100), 1.0)
    router.receive(other, _update(95), 1.0)
    assert router.route(OWNER.prefix).peer == peer  # type: ignore[union-attr]
    router.receive(other, _update(50), 2.0)
    assert router.route(OWNER.prefix).peer == other  # type: ignore[union-attr]


def test_a_query_without_answer_ends():
    router, peer = _router()
    (asked,) = router.request_route(OWNER.prefix, 0.0)
    assert asked == Send(peer, RouteRequest(SUBNET, 0))
    assert router.request_route(OWNER.prefix, 1.0) == []
    assert Lost(OWNER.prefix) in router.tick(15.0)


def test_a_new_peer_is_asked_what_we_are_looking_for():
    router, _ = _router()
    router.request_route(OWNER.prefix, 0.0)
    assert Send(Peer(2), RouteRequest(SUBNET, 0)) in router.add_peer(Peer(2), 10, 1.0)


def test_a_question_is_not_passed_on_for_ever():
    router, peer = _router()
    router.add_peer(Peer(2), 10, 0.0)
    assert router.receive(peer, RouteRequest(SUBNET, 15), 0.0) == []
    assert router.receive(peer, RouteRequest(SUBNET, 3), 0.0) == [Send(Peer(2), RouteRequest(SUBNET, 4))]


def test_a_sequence_number_is_raised_by_one_and_not_in_a_hurry():
    router, peer = _router()
    own = routerid.make(OWNER.public, bytes(6))
    router.add_local(OWNER.prefix, own)

    def ask(now: float) -> list[int]:
        effects = router.receive(peer, SeqnoRequest(40, own, SUBNET), now)
        return [effect.tlv.seqno for effect in effects if isinstance(effect, Send) and isinstance(effect.tlv, Update)]

    assert ask(0.0) == [1]
    assert ask(1.0) == []
    assert ask(5.0) == [2]


def test_a_withdrawn_subnet_is_taken_back():
    world = line(3)
    assert world.path(2, 0) == [2, 1, 0]
    world.act(0, world.members[0].router.drop_local(world.prefix(0)))
    world.settle()
    assert world.members[2].router.route(world.prefix(0)) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.booleans())))
def test_a_router_takes_whatever_a_peer_says(said: list[tuple[int, int, int, bool]]):
    router, peer = _router()
    for now, (kind, a, b, own) in enumerate(said):
        source = ORIGIN if own else bytes(40)
        tlvs: list[Tlv] = [
            _update(a, b, router=source),
            SeqnoRequest(a, source, SUBNET, 1 + b % 64),
            RouteRequest(SUBNET if own else None, b % 256),
            Ihu(a, b),
        ]
        router.receive(peer, tlvs[kind], float(now))
        router.tick(float(now))


# Many


def test_every_member_of_a_line_reaches_every_other():
    world = line(6)
    for start in range(6):
        for goal in range(6):
            step = 1 if goal >= start else -1
            assert world.path(start, goal) == list(range(start, goal + step, step))


def test_another_way_takes_over_and_the_former_comes_back():
    world = World(4)
    world.join(0, 1, 1)
    world.join(1, 3, 1)
    world.join(0, 2, 30)
    world.join(2, 3, 30)
    world.settle()
    world.wait(30)
    assert world.path(0, 3) == [0, 1, 3]
    world.cut(1, 3)
    world.cut(0, 1)
    world.settle()
    world.act(0, world.members[0].router.request_route(world.prefix(3), world.now))
    world.settle()
    assert world.path(0, 3) == [0, 2, 3]
    world.join(0, 1, 1)
    world.join(1, 3, 1)
    world.settle()
    world.wait(620)
    assert world.path(0, 3) == [0, 1, 3]


@st.composite
def stories(draw: st.DrawFn) -> tuple[int, int]:
    return draw(st.integers(3, 7)), draw(st.integers(0, 1 << 32))


@given(stories())
@settings(max_examples=40, deadline=None)
def test_there_is_never_a_loop_and_in_the_end_everybody_finds_everybody(story: tuple[int, int]):
    size, seed = story
    chance = random.Random(seed)
    world = World(size)
    for left, right in combinations(range(size), 2):
        if right == left + 1 or chance.random() < 0.3:
            world.join(left, right, chance.randint(1, 60))

    def no_loops() -> None:
        for start in range(size):
            for goal in range(size):
                world.path(start, goal)

    for _ in range(chance.randint(10, 150)):
        what = chance.random()
        if what < 0.8 and world.busy():
            for _ in range(chance.randint(1, 5)):
                if world.busy():
                    world.deliver(chance.choice(world.busy()))
                    no_loops()
        elif what < 0.88:
            left, right = chance.sample(range(size), 2)
            world.cut(left, right)
        elif what < 0.95:
            left, right = chance.sample(range(size), 2)
            world.join(left, right, chance.randint(1, 60))
        else:
            world.now += chance.choice([0.2, 1.0, 10.0])
            number = chance.randrange(size)
            world.act(number, world.members[number].router.tick(world.now))
        no_loops()
    for left in range(size - 1):
        world.join(left, left + 1, 5)
    world.settle(no_loops)
    for _ in range(4):  # what is not known is asked for, as traffic would
        for start in range(size):
            for goal in range(size):
                member = world.members[start]
                if start != goal and member.router.route(world.prefix(goal)) is None:
                    world.act(start, member.router.request_route(world.prefix(goal), world.now))
        world.settle(no_loops)
        world.wait(6, 1.0, no_loops)
    for start in range(size):
        for goal in range(size):
            assert world.path(start, goal)[-1] == goal
