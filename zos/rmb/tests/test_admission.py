"""Who is let in, and at whose cost: relays and twins that flood, forge, repeat and invent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.errors import Status, ZosError
from zos.rmb import envelope as env
from zos.rmb.admission import (
    AT_ONCE,
    CHECKS_BURST,
    HELD_PER_TWIN,
    LOOKUPS_BURST,
    PER_TWIN,
    REFUSALS_BURST,
    UNVERIFIED,
    AdmissionControl,
    Decision,
    Verdict,
)
from zos.rmb.envelope import TwinRecord
from zos.rmb.errors import Busy, Expired, Forgotten, UnknownTwin, WrongSignature
from zos.rmb.limits import RateLimiter
from zos.rmb.replays import SEEN
from zos.rmb.testing import Chain, Twin
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import FakeClock

USER, OTHER = Twin(1), Twin(2)
DROP, LOOK, ENTER = Verdict.DROP, Verdict.LOOK, Verdict.ENTER


class Silent(ZosError):
    """The chain does not answer."""

    reason = "test.silent"
    status = Status.UNAVAILABLE
    text = "silence"


@dataclass
class World:
    clock: FakeClock = field(default_factory=FakeClock)
    chain: Chain = field(default_factory=Chain)
    is_silent: bool = False

    def __post_init__(self) -> None:
        self.chain.add(USER, OTHER)
        self.twins = TwinCache(self._look, self.clock)
        self.gate = AdmissionControl(self.twins, self.clock, RateLimiter(self.clock, 50.0, 200.0))

    async def _look(self, id: int) -> TwinRecord | None:
        if self.is_silent:
            raise Silent()
        return await self.chain.twin(id)

    async def knows(self, *twins: int) -> World:
        for twin in twins:
            await self.twins.twin(twin)
        return self

    async def asks(self, uid: str, twin: Twin = USER, relay: str = "a", size: int = 300, **more: int) -> Decision:
        """A signed request comes; with its look at the chain if there is one."""
        seen = await self.request(uid, twin, **more)
        said = self.gate.ask(seen, size, relay)
        if said.verdict is LOOK:
            await self.twins.twin(twin.id)
            self.gate.release_lookup(seen, size, relay)
            said = self.gate.ask_again(seen, size, relay)
        return said

    async def request(self, uid: str, twin: Twin = USER, ago: int = 0, expiration: int = 20) -> Envelope:
        made = env.request(uid, Address(twin=twin.id), 3, "x", self.clock.time() - ago, expiration)
        return await env.signed(made, twin.key)

    def invented(self, twin: int, uid: str = "u") -> Envelope:
        made = env.request(uid, Address(twin=twin), 3, "x", self.clock.time(), 20)
        made.signature = b"s" + bytes(64)
        return made


async def test_what_is_signed_comes_in_once_by_whichever_relay() -> None:
    w = await World().knows(1)
    assert (await w.asks("one", relay="a")).verdict is ENTER
    assert (await w.asks("one", relay="b")).verdict is DROP
    assert (await w.asks("one", relay="a")).verdict is DROP
    assert (await w.asks("two", relay="b")).verdict is ENTER
    assert (await w.asks("one", OTHER)).verdict is ENTER, "another twin's message of the same name"


async def test_one_signature_comes_in_once_wherever_its_fields_end() -> None:
    """The signed text has nothing between its fields: one signature is good for other names and addresses."""
    w = await World().knows(1)
    true = await w.request("u1")
    assert w.gate.ask(true, 300, "a").verdict is ENTER
    for uid, tags in (("u", "1"), ("", "u1")):
        other = Envelope()
        other.CopyFrom(true)
        other.uid, other.tags = uid, tags
        assert env.challenge(other) == env.challenge(true)
        assert w.gate.ask(other, 300, "b").verdict is DROP
    other.CopyFrom(true)
    other.ClearField("request")
    other.response.SetInParent()
    other.schema = true.request.command + true.schema
    assert env.challenge(other) == env.challenge(true)
    assert w.gate.ask(other, 300, "b").verdict is DROP
    assert w.gate.dropped == {"repeated": 3}


async def test_a_crowd_that_fills_the_memory_keeps_no_honest_twin_out() -> None:
    w = await World().knows(1)
    crowd = [Twin(number) for number in range(100, 120)]
    for twin in crowd:
        for number in range(SEEN // 20 + 100):
            w.gate.replays.add(twin.id, f"{number}".encode(), int(w.clock.time()), w.clock.time() + 300)
    assert len(w.gate.replays) <= SEEN
    for number in range(100):
        assert (await w.asks(str(number))).verdict is ENTER
        w.gate.held.release(1, 300)


async def test_who_is_over_a_limit_is_told_or_counted() -> None:
    w = await World().knows(1)
    said = [await w.asks(str(number)) for number in range(1000)]
    dropped = [one for one in said if one.verdict is DROP]
    told = [one for one in dropped if isinstance(one.refusal, Busy)]
    assert len(told) == REFUSALS_BURST
    assert len(dropped) == len(told) + w.gate.dropped.total()


async def test_what_is_late_forged_or_of_nobody_is_refused_with_its_reason() -> None:
    w = await World().knows(1, 50)
    assert isinstance((await w.asks("late", ago=30)).refusal, Expired)
    forged = await w.request("forged")
    forged.request.command = "other"
    assert isinstance(w.gate.ask(forged, 300, "a").refusal, WrongSignature)
    assert isinstance(w.gate.ask(w.invented(50), 300, "a").refusal, UnknownTwin)
    assert w.gate.held.messages.used == 0


async def test_what_was_sent_before_we_started_is_not_dealt_with_a_second_time() -> None:
    """A relay may keep a message and bring it again after we forgot everything."""
    w = await World().knows(1)
    assert isinstance((await w.asks("old", ago=61, expiration=300)).refusal, Forgotten)
    assert (await w.asks("waited a moment", ago=59, expiration=300)).verdict is ENTER
    w.clock.advance(100)
    assert (await w.asks("since", ago=150, expiration=300)).verdict is ENTER
    assert isinstance((await w.asks("still", ago=161, expiration=300)).refusal, Forgotten)


async def test_refusals_of_what_nobody_signed_are_few_and_counted_by_relay() -> None:
    """An attacker must not use us to send many answers to whom it names."""
    w = await World().knows(1)
    told = [w.gate.ask(w.invented(1, str(number)), 300, "a").refusal for number in range(500)]
    assert sum(one is not None for one in told) == REFUSALS_BURST
    assert w.gate.ask(w.invented(1), 300, "b").refusal is not None
    repeated = await w.request("late", ago=30)
    assert w.gate.ask(repeated, 300, "a").refusal is None, "what was signed long ago counts as well"


async def test_a_forger_uses_up_nobodys_rate() -> None:
    w = await World().knows(1)
    for number in range(500):
        w.gate.ask(w.invented(1, str(number)), 300, "a")
    entered = sum([(await w.asks(f"true {number}")).verdict is ENTER for number in range(30)])
    assert entered == 30


async def test_a_relay_that_repeats_old_messages_uses_up_nobodys_rate() -> None:
    w = await World().knows(1)
    late = await w.request("late", ago=30)
    assert (await w.asks("seen")).verdict is ENTER
    seen = await w.request("seen")
    for _ in range(300):
        w.gate.ask(late, 300, "bad")
        w.gate.ask(seen, 300, "bad")
    assert (await w.asks("good", relay="good")).verdict is ENTER


async def test_a_twin_over_its_rate_is_dropped_and_others_and_later_ones_are_not() -> None:
    w = await World().knows(1, 2)
    entered = 0
    for number in range(1000):
        said = await w.asks(str(number))
        if said.verdict is ENTER:
            entered += 1
            w.gate.held.release(1, 300)
    assert entered == 200
    assert w.gate._checks._filled("a").tokens == CHECKS_BURST - 200, "what is over the rate is not even checked"
    assert (await w.asks("polite", OTHER)).verdict is ENTER
    w.clock.advance(1)
    assert (await w.asks("later")).verdict is ENTER


async def test_signatures_are_checked_for_one_relay_no_more_than_it_may_cost() -> None:
    w = await World().knows(1)
    w.chain.add(*(Twin(number) for number in range(100, 130)))
    await w.knows(*range(100, 130))
    for number in range(int(CHECKS_BURST) + 500):
        w.gate.ask(w.invented(100 + number % 30, str(number)), 300, "bad")
    assert (await w.asks("one", relay="bad")).verdict is DROP
    assert (await w.asks("one", relay="good")).verdict is ENTER


async def test_a_relay_that_invents_twins_has_few_looked_up_and_the_other_relay_is_served() -> None:
    w = await World().knows(1)
    asked = w.chain.asked
    for number in range(10_000):
        twin = 1000 + number
        seen = w.invented(twin)
        if w.gate.ask(seen, 300, "bad").verdict is LOOK:
            await w.twins.twin(twin)
            w.gate.release_lookup(seen, 300, "bad")
            assert w.gate.ask_again(seen, 300, "bad").verdict is DROP
    assert w.chain.asked - asked == LOOKUPS_BURST
    assert (await w.asks("known", relay="bad")).verdict is ENTER
    assert (await w.asks("unknown", OTHER, relay="good")).verdict is ENTER


async def test_those_who_wait_for_a_look_are_few_by_relay_and_by_twin() -> None:
    w = World()
    same = [w.gate.ask(w.invented(77, str(number)), 300, "bad").verdict for number in range(UNVERIFIED)]
    assert same.count(LOOK) == UNVERIFIED // 2
    waiting = [w.gate.ask(w.invented(1000 + number), 1_000_000, "bad").verdict for number in range(100)]
    assert waiting.count(LOOK) == 4, "4 MiB"
    assert w.gate.ask(w.invented(2000), 300, "good").verdict is LOOK


async def test_a_known_twin_is_served_while_its_relay_has_others_looked_up() -> None:
    w = await World().knows(1)
    w.clock.advance(3600)
    for number in range(int(LOOKUPS_BURST)):
        seen = w.invented(1000 + number)
        if w.gate.ask(seen, 300, "a").verdict is LOOK:
            w.gate.release_lookup(seen, 300, "a")
    said = w.gate.ask(await w.request("mine"), 300, "a")
    assert said.verdict is ENTER, "by its last known key"


async def test_a_known_twin_is_served_while_the_chain_is_silent() -> None:
    w = await World().knows(1)
    w.clock.advance(3600)
    w.is_silent = True
    assert (await w.asks("mine")).verdict is ENTER


async def test_a_changed_key_is_found_once_and_a_forger_does_not_make_us_ask_for_each() -> None:
    w = await World().knows(1)
    w.clock.advance(60)
    new = Twin(1, relay="relay.new")
    changed = TwinRecord(1, OTHER.key.public, OTHER.record.pk, new.relay)
    w.chain.records[1] = changed
    made = env.request("new", Address(twin=1), 3, "x", w.clock.time(), 20)
    await env.signed(made, OTHER.key)
    assert w.gate.ask(made, 300, "a").verdict is LOOK
    await w.twins.twin(1)
    w.gate.release_lookup(made, 300, "a")
    assert w.gate.ask_again(made, 300, "a") == Decision(ENTER, changed)
    asked = w.chain.asked
    assert w.gate.ask(w.invented(1), 300, "a").verdict is DROP, "just looked"
    assert w.chain.asked == asked


async def test_messages_and_bytes_in_hand_are_bounded_for_one_twin_and_for_all() -> None:
    w = await World().knows(1, 2)
    large = [(await w.asks(str(number), size=2_000_000)).verdict for number in range(10)]
    assert large.count(ENTER) == HELD_PER_TWIN // 2_000_000
    for _ in range(2):
        w.gate.held.release(1, 2_000_000)
    w.clock.advance(4)
    many = [(await w.asks(f"m{number}")).verdict for number in range(PER_TWIN + 20)]
    assert many.count(ENTER) == PER_TWIN
    crowd = [Twin(number) for number in range(100, 110)]
    w.chain.add(*crowd)
    await w.knows(*(twin.id for twin in crowd))
    for twin in crowd:
        for number in range(PER_TWIN + 1):
            await w.asks(str(number), twin)
    assert AT_ONCE * 3 // 4 < w.gate.held.messages.used < AT_ONCE
    assert (await w.asks("polite", OTHER, relay="b")).verdict is ENTER, "there is room for who holds nothing"


FRAMES = st.builds(
    Envelope,
    uid=st.text(max_size=300),
    timestamp=st.integers(0, 2**64 - 1),
    expiration=st.integers(0, 2**64 - 1),
    source=st.builds(Address, twin=st.sampled_from([0, 1, 2, 50, 2**32 - 1]), connection=st.text(max_size=300)),
    destination=st.builds(Address, twin=st.integers(0, 3)),
    signature=st.binary(max_size=70),
    schema=st.text(max_size=5),
    plain=st.binary(max_size=20),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(FRAMES, st.integers(0, 3_000_000), st.sampled_from("ab")), max_size=20))
def test_whatever_comes_nothing_is_let_in_unsigned_and_nothing_is_left_behind(
    frames: list[tuple[Envelope, int, str]],
) -> None:
    async def run() -> None:
        w = await World().knows(1)
        for seen, size, relay in frames:
            said = w.gate.ask(seen, size, relay)
            if said.verdict is LOOK:
                await w.twins.twin(seen.source.twin)
                w.gate.release_lookup(seen, size, relay)
                said = w.gate.ask_again(seen, size, relay)
            assert said.verdict is DROP
        assert (w.gate.held.messages.used, w.gate.held.size.used, len(w.gate.replays)) == (0, 0, 0)
        assert (w.gate._unverified.messages.used, w.gate._alike.used) == (0, 0)

    asyncio.run(run())


def test_there_is_room_for_the_largest_message() -> None:
    assert env.LARGEST <= HELD_PER_TWIN


@pytest.mark.parametrize(
    "names", [{"uid": "u" * 257}, {"relays": ["r"] * 17}, {"source": Address(connection="c" * 257)}]
)
def test_long_names_are_no_envelope(names: dict[str, object]) -> None:
    with pytest.raises(ZosError, match="more than"):
        env.decode(Envelope(**names).SerializeToString())  # type: ignore[arg-type]


async def test_bytes_asked_and_answered_count_for_a_twins_rate_beside_messages() -> None:
    w = await World().knows(1, 2)
    for number in range(2):
        assert (await w.asks(str(number))).verdict is ENTER
        w.gate.held.release(1, 300)
        w.gate.charge(1, 4 * 1024 * 1024)
    refused = await w.asks("more")
    assert (refused.verdict, type(refused.refusal)) == (DROP, Busy)
    assert (await w.asks("polite", OTHER)).verdict is ENTER
    w.clock.advance(10)
    for number in range(7):
        assert (await w.asks(f"large {number}", size=1024 * 1024)).verdict is ENTER
        w.gate.held.release(1, 1024 * 1024)
    assert isinstance((await w.asks("large", size=1024 * 1024)).refusal, Busy)
