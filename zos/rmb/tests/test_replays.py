"""The memory against replays: nothing is processed twice, whoever floods, and nobody is kept out by another."""

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


class Receiver:
    """Lets a message in when it is new, as a peer does."""

    def __init__(self, **sizes: int) -> None:
        self.clock = FakeClock()
        self.memory = ReplayMemory(self.clock, **sizes)

    def takes(self, twin: int, name: str, ago: int = 0, life: int = LIFE) -> bool:
        sent = int(self.clock.time()) - ago
        if self.memory.judge(twin, name.encode(), sent) is not Seen.NEW:
            return False
        self.memory.add(twin, name.encode(), sent, sent + life)
        return True


def test_a_message_is_new_once_until_it_has_expired() -> None:
    receiver = Receiver()
    assert receiver.takes(1, "a")
    assert not receiver.takes(1, "a")
    assert receiver.takes(2, "a")
    receiver.clock.advance(LIFE)
    for twin in (8, 9, 8, 9):
        receiver.takes(twin, "x")
    assert len(receiver.memory) == 2, "what is over is forgotten, also of twins that went away"


def test_a_twin_that_floods_pays_by_its_own_oldest_messages() -> None:
    receiver = Receiver(total=1000, each=100)
    assert receiver.takes(1, "precious")
    assert receiver.takes(2, "mine")
    receiver.clock.advance(1)
    assert all(receiver.takes(2, str(number)) for number in range(100))
    assert receiver.memory.judge(2, b"mine", int(receiver.clock.time()) - 1) is Seen.FORGOTTEN, (
        "it is not dealt with again"
    )
    assert not receiver.takes(2, "another of that second", ago=1)
    assert not receiver.takes(1, "precious", ago=1)
    assert receiver.takes(1, "next", ago=1), "the flood is nobody else's"


def test_twins_that_fill_the_memory_keep_nobody_out() -> None:
    """Seventeen of them did, for as long as they went on."""
    receiver, polite = Receiver(total=1000, each=500), 0
    for number in range(3000):
        for twin in range(2, 22):
            receiver.takes(twin, str(number))
        if number % 10 == 0:
            polite += receiver.takes(1, str(number))
            receiver.clock.advance(1)
        assert len(receiver.memory) <= 1000
    assert polite == 300
    assert not any(receiver.takes(1, str(number), ago=(3000 - number) // 10) for number in range(2900, 3000, 10))


def test_a_thousand_twins_of_one_message_each_are_remembered_or_refused() -> None:
    receiver = Receiver(total=100, each=50, floors=200)
    for twin in range(1000):
        assert receiver.takes(twin, "once")
        receiver.clock.advance(1)
    assert not any(receiver.takes(twin, "once", ago=1000 - twin) for twin in range(1000) if 1000 - twin < LIFE)
    assert receiver.takes(5000, "new")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 12), st.integers(0, 5), st.integers(1, 9), st.integers(0, 2)),
        max_size=120,
    )
)
def test_whatever_comes_nothing_that_is_still_good_enters_twice(calls: list[tuple[int, int, int, int, int]]) -> None:
    receiver = Receiver(total=8, each=4, floors=2)
    entered: dict[tuple[int, str], int] = {}
    for twin, number, ago, life, pause in calls:
        sent = int(receiver.clock.time()) - ago
        if sent + life > receiver.clock.time():  # expired ones are refused before
            name = f"{number} {sent} {life}"
            is_in = receiver.takes(twin, name, ago, life)
            assert not (is_in and (twin, name) in entered)
            if is_in:
                entered[twin, name] = sent
        receiver.clock.advance(pause)
        assert len(receiver.memory) <= 8
        assert sum(size * len(twins) for size, twins in receiver.memory._sizes.items()) == len(receiver.memory)


def test_the_memory_has_its_size_whatever_the_twins() -> None:
    receiver = Receiver(total=4096, each=4096, floors=4096)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            receiver.takes(number % 50 if number < 10_000 else number, f"{number:016}")
            if number % 100 == 0:
                receiver.clock.advance(1)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 1000 < len(receiver.memory) <= 4096
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
