"""Rates and shares: bounded, and nobody's at the cost of another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.rmb.limits import KEYS, MessageQuota, RateLimiter
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
    assert taken == 66
    assert share.take("modest", 8)
    share.release("greedy", 50)
    assert (share.used, share.holds("greedy"), share.holds("second")) == (24, 0, 16)


def test_a_place_that_is_not_there_is_not_half_taken() -> None:
    room: MessageQuota[int] = MessageQuota(FairQuota(4, 1), FairQuota(100, 60))
    assert room.take(1, 50)
    assert not room.take(1, 1), "it has one message already"
    assert not room.take(2, 51), "no message is that large"
    assert room.take(2, 16)
    room.release(1, 50)
    assert (room.messages.used, room.size.used) == (1, 16)


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
