"""Who is connected and what waits, without sockets: bounded, fair, in order, and nothing lost or given twice."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zos.relay.sessions import (
    KEEP,
    OVERHEAD,
    PER_TWIN,
    QUEUE,
    READS,
    SESSIONS,
    SWEEP,
    TOTAL,
    Address,
    Session,
    Sessions,
)
from zos.runtime.clock import FakeClock


def given(sessions: Sessions, address: Address) -> list[bytes]:
    """What a connection would be given now."""
    found = []
    while (message := sessions._take(address)) is not None:
        found.append(message.frame)
        sessions.done(address, message)
    return found


def test_a_message_waits_until_it_expires_and_an_hour_at_most() -> None:
    clock = FakeClock()
    sessions = Sessions(clock)
    for span, frame in ((10, b"short"), (1000, b"long"), (10**9, b"for ever")):
        assert sessions.put((1, ""), 2, frame, span)
    clock.advance(10)
    sessions.put((9, ""), 2, b"sweeps", 1)
    assert sessions.waiting == len(b"longfor eversweeps") + 3 * OVERHEAD + 2 * QUEUE
    clock.advance(KEEP - 10)
    assert given(sessions, (1, "")) == []
    sessions.put((9, ""), 2, b"", 1)
    assert sessions.waiting == OVERHEAD + QUEUE


def test_a_sender_fills_nobodys_queue_and_others_get_in() -> None:
    sessions = Sessions(FakeClock())
    while sessions.put((1, ""), 66, bytes(100_000), 100):
        pass
    assert PER_TWIN // 2 - 110_000 < sessions.waiting <= PER_TWIN // 2
    assert not sessions.put((1, "other session"), 66, bytes(100_000), 100), "sessions are not a way around"
    assert sessions.put((1, ""), 2, bytes(1_000_000), 100)


def test_a_sender_fills_not_the_relay_and_others_get_in() -> None:
    sessions = Sessions(FakeClock())
    for twin in range(100, 300):
        while sessions.put((twin, ""), 66, bytes(1_000_000), 100):
            pass
    assert sessions.waiting <= TOTAL // 2
    assert sum(sessions.put((twin, ""), 2, bytes(1_000_000), 100) for twin in range(10)) == 10


def test_many_small_messages_are_charged_for_what_they_really_cost() -> None:
    sessions = Sessions(FakeClock())
    count = 0
    for number in range(100_000):
        count += sessions.put((number % 50, f"{number}"), 66, b"", 100)
    assert count <= TOTAL // 2 // (OVERHEAD + QUEUE)
    assert len(sessions._queues) == count


def test_a_sender_of_small_messages_is_not_charged_for_large_ones() -> None:
    sessions = Sessions(FakeClock())
    count = 0
    while sessions.put((1, ""), 66, bytes(100), 100):
        count += 1
    assert count > 12_000


def test_who_asks_a_node_for_much_and_leaves_makes_it_mute_for_nobody_else() -> None:
    sessions = Sessions(FakeClock())
    for asker in range(100, 120):
        for size in (1_000_000, 100_000, 10_000, 1_000, 1):
            while sessions.put((asker, ""), 2, bytes(size), 3000):
                pass
    sessions.join((9, ""))
    assert sessions.put((9, ""), 2, bytes(1_000_000), 100), "who listens is answered"
    for deaf in range(100, 120):
        sessions.join((deaf, ""))
        while sessions.put((deaf, ""), 2, bytes(10_000), 3000):
            pass
    assert sessions.put((9, ""), 2, bytes(20_000), 100), "also beside those that are connected and do not read"
    assert sessions.waiting < TOTAL + READS


def test_senders_take_turns() -> None:
    sessions = Sessions(FakeClock())
    for number in range(5):
        sessions.put((1, ""), 66, b"loud %d" % number, 100)
    sessions.put((1, ""), 2, b"polite", 100)
    assert given(sessions, (1, ""))[:3] == [b"loud 0", b"polite", b"loud 1"]


async def test_what_waited_goes_to_whoever_connects_and_a_newer_connection_ends_the_older() -> None:
    sessions = Sessions(FakeClock())
    old = sessions.join((1, ""))
    waiting = asyncio.create_task(sessions.next(old))
    old.stop = waiting.cancel
    await asyncio.sleep(0)
    new = sessions.join((1, ""))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    sessions.leave(old)
    assert sessions.get((1, "")) is new, "the older one's end is not the newer one's"
    sessions.put((1, ""), 2, b"x", 100)
    message = await sessions.next(new)
    sessions.leave(new)
    sessions.again(new, message)
    sessions.put((1, ""), 2, b"y", 100)
    assert given(sessions, (1, "")) == [b"x", b"y"]
    assert (len(sessions), sessions.waiting) == (0, 0)


def test_a_twin_with_too_many_sessions_loses_its_oldest() -> None:
    sessions = Sessions(FakeClock())
    first, other = sessions.join((1, "0")), sessions.join((2, "0"))
    ended: list[str] = []
    first.stop, other.stop = lambda: ended.append("first"), lambda: ended.append("other")
    for number in range(1, SESSIONS + 5):
        sessions.join((1, f"{number}"))
    assert len(sessions) == SESSIONS + 1
    assert ended == ["first"]


class Boxes(RuleBasedStateMachine):
    """Against a model: a list of what was accepted, per address and sender."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.sessions = Sessions(self.clock, total=40 * (OVERHEAD + QUEUE), per_twin=20 * (OVERHEAD + QUEUE))
        self.model: dict[tuple[Address, int], list[tuple[bytes, float]]] = {}
        self.connected: list[Session] = []
        self.number = 0

    @rule(twin=st.integers(1, 3), name=st.sampled_from(["", "s"]), sender=st.integers(1, 3), span=st.integers(0, 30))
    def put(self, twin: int, name: str, sender: int, span: int) -> None:
        self.number += 1
        frame = b"%d" % self.number
        if self.sessions.put((twin, name), sender, frame, span):
            self.model.setdefault(((twin, name), sender), []).append((frame, self.clock.time() + span))

    @rule(twin=st.integers(1, 3), name=st.sampled_from(["", "s"]), fails=st.booleans())
    def take(self, twin: int, name: str, fails: bool) -> None:
        address = (twin, name)
        message = self.sessions._take(address)
        alive = {
            sender: [one for one in queue if one[1] > self.clock.time()]
            for (its, sender), queue in self.model.items()
            if its == address
        }
        if message is None:
            assert not any(alive.values())
            return
        assert alive[message.sender][0][0] == message.frame, "in order"
        if fails:
            self.sessions.again(Session(address), message)
        else:
            self.sessions.done(address, message)
            self.model[(address, message.sender)] = alive[message.sender][1:]

    @rule(twin=st.integers(1, 3), name=st.sampled_from(["", "s"]), leaves=st.booleans())
    def connect(self, twin: int, name: str, leaves: bool) -> None:
        session = self.sessions.join((twin, name))
        if leaves:
            self.sessions.leave(session)

    @rule(seconds=st.sampled_from([1.0, SWEEP, 20.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def is_bounded(self) -> None:
        held = [message for box in self.sessions._queues.values() for queue in box.values() for message in queue]
        assert self.sessions.waiting == sum(message.size for message in held) <= 60 * (OVERHEAD + QUEUE)
        assert self.sessions._from.used + self.sessions._reads.used == self.sessions.waiting
        assert all(self.sessions._queues.values()), "no empty box is kept"
        queues = [queue for box in self.sessions._queues.values() for queue in box.values()]
        paid = (any(message.opens or message.reads for message in queue) for queue in queues)
        assert all(paid), "each queue is paid for"

    def teardown(self) -> None:
        for twin in (1, 2, 3):
            for name in ("", "s"):
                given(self.sessions, (twin, name))
        assert (self.sessions.waiting, self.sessions._queues, self.sessions._to._of) == (0, {}, {})
        assert not self.sessions._from._of


TestBoxes = Boxes.TestCase
TestBoxes.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
