"""The memory against replays: nothing is dealt with twice, whoever floods, and nobody is kept out by another."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.rmb import envelope as env
from zos.rmb.errors import Malformed
from zos.rmb.replays import ReplayMemory, Seen
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import FakeClock

LIFE = 300
UUID = "9b2f6c1e-0000-4000-8000-000000000001"


class Door:
    """Lets a message in when it is new, as a peer does."""

    def __init__(self, **sizes: int) -> None:
        self.clock = FakeClock()
        self.memory = ReplayMemory(self.clock, **sizes)

    def enters(self, twin: int, name: str, ago: int = 0, life: int = LIFE) -> bool:
        sent = int(self.clock.time()) - ago
        if self.memory.judge(twin, name.encode(), sent) is not Seen.NEW:
            return False
        self.memory.add(twin, name.encode(), sent, sent + life)
        return True


def test_a_message_is_new_once_until_it_has_expired() -> None:
    door = Door()
    assert door.enters(1, "a")
    assert not door.enters(1, "a")
    assert door.enters(2, "a")
    door.clock.advance(LIFE)
    for twin in (8, 9, 8, 9):
        door.enters(twin, "x")
    assert len(door.memory) == 2, "what is over is forgotten, also of twins that went away"


def test_a_twin_that_floods_pays_by_its_own_oldest_messages() -> None:
    door = Door(total=1000, each=100)
    assert door.enters(1, "precious")
    assert door.enters(2, "mine")
    door.clock.advance(1)
    assert all(door.enters(2, str(number)) for number in range(100))
    assert door.memory.judge(2, b"mine", int(door.clock.time()) - 1) is Seen.FORGOTTEN, "it is not dealt with again"
    assert not door.enters(2, "another of that second", ago=1)
    assert not door.enters(1, "precious", ago=1)
    assert door.enters(1, "next", ago=1), "the flood is nobody else's"


def test_twins_that_fill_the_memory_keep_nobody_out() -> None:
    """Seventeen of them did, for as long as they went on."""
    door, polite = Door(total=1000, each=500), 0
    for number in range(3000):
        for twin in range(2, 22):
            door.enters(twin, str(number))
        if number % 10 == 0:
            polite += door.enters(1, str(number))
            door.clock.advance(1)
        assert len(door.memory) <= 1000
    assert polite == 300
    assert not any(door.enters(1, str(number), ago=(3000 - number) // 10) for number in range(2900, 3000, 10))


def test_a_thousand_twins_of_one_message_each_are_remembered_or_refused() -> None:
    door = Door(total=100, each=50, floors=200)
    for twin in range(1000):
        assert door.enters(twin, "once")
        door.clock.advance(1)
    assert not any(door.enters(twin, "once", ago=1000 - twin) for twin in range(1000) if 1000 - twin < LIFE)
    assert door.enters(5000, "new")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 12), st.integers(0, 5), st.integers(1, 9), st.integers(0, 2)),
        max_size=120,
    )
)
def test_whatever_comes_nothing_that_is_still_good_enters_twice(calls: list[tuple[int, int, int, int, int]]) -> None:
    door = Door(total=8, each=4, floors=2)
    entered: dict[tuple[int, str], int] = {}
    for twin, number, ago, life, pause in calls:
        sent = int(door.clock.time()) - ago
        if sent + life > door.clock.time():  # expired ones are refused before
            name = f"{number} {sent} {life}"
            is_in = door.enters(twin, name, ago, life)
            assert not (is_in and (twin, name) in entered)
            if is_in:
                entered[twin, name] = sent
        door.clock.advance(pause)
        assert len(door.memory) <= 8
        assert sum(size * len(twins) for size, twins in door.memory._sizes.items()) == len(door.memory)


def test_the_memory_has_its_size_whatever_the_twins() -> None:
    door = Door(total=4096, each=4096, floors=4096)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            door.enters(number % 50 if number < 10_000 else number, f"{number:016}")
            if number % 100 == 0:
                door.clock.advance(1)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 1000 < len(door.memory) <= 4096
    assert grown < 1000 * 4096


def sent(uid: str = UUID, **fields: object) -> Envelope:
    made = env.request(uid, Address(twin=1, connection="s"), 3, "zos.system.version", 1e9, 20, ("relay.lab",))
    made.MergeFrom(Envelope(**fields))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("uid", "tags"),
    [(UUID[:-1], UUID[-1] + "fail-fast"), (UUID + "fail", "-fast"), (UUID + "fail-fast", ""), ("", UUID + "fail-fast")],
)
def test_a_name_and_its_tags_have_one_boundary(uid: str, tags: str) -> None:
    true, other = sent(tags="fail-fast"), sent(uid, tags=tags)
    assert env.challenge(true) == env.challenge(other), "the signature is the same"
    env.check_fields(true)
    with pytest.raises(Malformed):
        env.check_fields(other)


@pytest.mark.parametrize("made", [sent(), sent(tags="fail-fast"), sent(uid="u1"), sent(federation="relay.example:443")])
def test_what_clients_send_is_taken(made: Envelope) -> None:
    env.check_fields(made)


@pytest.mark.parametrize("made", [sent(federation="{}"), sent(federation="application/json"), sent(relays=['null"'])])
def test_what_is_no_relay_is_refused(made: Envelope) -> None:
    with pytest.raises(Malformed, match="no host names"):
        env.check_fields(made)


class Broken(Exception):
    """It could not be delivered."""


def test_what_is_being_dealt_with_waits_for_how_that_ends() -> None:
    memory = ReplayMemory(clock := FakeClock())
    message = (1, b"m", int(clock.time()), clock.time() + LIFE)

    def fails() -> None:
        with memory.once(*message) as first, memory.once(*message) as second:
            assert (first, second) == (Seen.NEW, Seen.PENDING)
            raise Broken

    with pytest.raises(Broken):
        fails()
    with memory.once(*message) as third:
        assert third is Seen.NEW
    assert memory.judge(*message[:3]) is Seen.KNOWN
