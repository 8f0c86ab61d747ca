"""Rates, shares, and the memory against replays: bounded, and nobody's at the cost of another."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.rmb.limits import KEYS, MessageQuota, RateLimiter, ReplayMemory
from zos.runtime.clock import FakeClock
from zos.runtime.quota import FairQuota


def test_a_rate_is_per_twin_and_fills_up_again() -> None:
    clock = FakeClock()
    rate: RateLimiter[int] = RateLimiter(clock, rate=2.0, burst=3.0)
    assert [rate.take(1) for _ in range(4)] == [True, True, True, False]
    assert rate.take(2)
    clock.advance(1)
    assert [rate.take(1) for _ in range(3)] == [True, True, False]


def test_who_is_slowed_down_waits_for_what_it_took_too_much() -> None:
    clock = FakeClock()
    rate: RateLimiter[int] = RateLimiter(clock, rate=10.0, burst=2.0)
    assert [rate.wait(1) for _ in range(2)] == [0.0, 0.0]
    assert rate.wait(1) == pytest.approx(0.1)
    assert rate.wait(1, 5.0) == pytest.approx(0.6)
    clock.advance(0.6)
    assert rate.wait(1) == pytest.approx(0.1)


def test_the_rates_of_no_more_twins_than_there_is_room_for_are_remembered() -> None:
    rate: RateLimiter[int] = RateLimiter(FakeClock())
    for twin in range(KEYS + 100):
        rate.take(twin)
    assert len(rate._buckets) == KEYS


def test_no_key_has_more_than_half_of_what_the_others_leave() -> None:
    share: FairQuota[str] = FairQuota(100, 80)
    taken = 0
    while share.take("greedy"):
        taken += 1
    assert taken == 50
    while share.take("second"):
        taken += 1
    assert taken == 75
    assert share.take("modest", 10)
    share.release("greedy", 50)
    assert (share.used, share.holds("greedy"), share.holds("second")) == (35, 0, 25)


def test_a_place_that_is_not_there_is_not_half_taken() -> None:
    room: MessageQuota[int] = MessageQuota(FairQuota(4, 1), FairQuota(100, 60))
    assert room.take(1, 60)
    assert not room.take(1, 1), "it has one message already"
    assert not room.take(2, 61), "no message is that large"
    assert room.take(2, 40)
    room.release(1, 60)
    assert (room.messages.used, room.size.used) == (1, 40)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 40), st.booleans()), max_size=200))
def test_a_share_is_never_overdrawn_and_ends_empty(steps: list[tuple[int, int, bool]]) -> None:
    share: FairQuota[int] = FairQuota(100, 50)
    held: list[tuple[int, int]] = []
    for key, amount, gives in steps:
        if gives and held:
            share.release(*held.pop())
        elif share.take(key, amount):
            held.append((key, amount))
        assert share.used == sum(amount for _, amount in held) <= 100
        assert all(share.holds(one) <= 50 for one in range(5))
    for one in held:
        share.release(*one)
    assert share.used == 0
    assert not share._held


def test_a_message_is_new_once_until_it_has_expired() -> None:
    clock = FakeClock()
    once = ReplayMemory(clock)
    assert once.is_new(1, "", "a", clock.time() + 10)
    assert not once.is_new(1, "", "a", clock.time() + 10)
    assert once.has(1, "", "a")
    assert once.is_new(2, "", "a", clock.time() + 10)
    assert once.is_new(1, "a", "", clock.time() + 10), "a session's name and a message's do not run together"
    clock.advance(10)
    assert once.is_new(1, "", "a", clock.time() + 10)
    clock.advance(11)
    for twin in (8, 9, 8, 9):
        once.is_new(twin, "", "x", clock.time() + 10)
    assert len(once) == 2, "what is over is forgotten, also of twins that went away"


def test_a_flood_forgets_nothing_and_gets_no_more_in() -> None:
    """The replay that an older design allowed: fill the memory with new names, then send an old message again."""
    clock = FakeClock()
    once = ReplayMemory(clock, total=1000, each=100)
    assert once.is_new(1, "", "precious", clock.time() + 300)
    assert once.is_new(2, "", "mine", clock.time() + 300)
    let_in = sum(once.is_new(2, "", str(number), clock.time() + 300) for number in range(5000))
    assert let_in == 99
    assert not once.is_new(2, "", "mine", clock.time() + 300)
    assert not once.is_new(1, "", "precious", clock.time() + 300)
    assert once.is_new(1, "", "next", clock.time() + 300), "the flood is nobody else's"


def test_a_message_with_a_long_life_does_not_keep_others_in_memory() -> None:
    clock = FakeClock()
    once = ReplayMemory(clock, total=100, each=20)
    assert once.is_new(1, "", "long", clock.time() + 1800)
    for number in range(200):
        assert once.is_new(1, "", str(number), clock.time() + 20)
        clock.advance(2)
    assert not once.is_new(1, "", "long", clock.time() + 1800)


def test_many_flooding_twins_leave_room_for_one_that_comes_later() -> None:
    clock = FakeClock()
    once = ReplayMemory(clock, total=1000, each=500)
    for number in range(300):
        for twin in range(2, 22):
            once.is_new(twin, "", str(number), clock.time() + 300)
    assert len(once) <= 1000
    assert all(once.is_new(1, "", str(number), clock.time() + 300) for number in range(10))


def test_the_memory_against_replays_has_its_size_whatever_the_names() -> None:
    clock = FakeClock()
    once = ReplayMemory(clock, total=4096, each=4096)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            once.is_new(number % 50, "s" * 200, f"{number}" * 30, clock.time() + 300)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 1000 < len(once) <= 4096
    assert grown < 400 * 4096
