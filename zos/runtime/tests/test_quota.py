"""Whom a limit counts for, and that nobody can keep others out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.runtime.places import Places
from zos.runtime.quota import FairQuota, PairQuota, network_of


@pytest.mark.parametrize(
    ("remote", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::9", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::7", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
    ],
)
def test_a_client_is_its_address_or_its_network_of_ipv6(remote: str | None, key: str) -> None:
    assert network_of(remote) == key


TOTAL = 1000


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, TOTAL), st.booleans()), max_size=200))
def test_many_keys_leave_a_share_for_one_more_in_whatever_order_they_come(
    steps: list[tuple[int, int, bool]],
) -> None:
    """Each takes as much as it gets of what it asks for, and some of them give things back."""
    quota: FairQuota[int] = FairQuota(TOTAL, TOTAL)
    for key, amount, gives in steps:
        if gives and quota.holds(key):
            quota.release(key, min(amount, quota.holds(key)))
        while amount and not quota.take(key, amount):
            amount //= 2
        keys = len(quota._held)
        # A key's first one is exempt: no key is without anything while there is something.
        assert (keys + 1) * (TOTAL - quota.used + keys) >= TOTAL


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers())
def test_greedy_keys_in_any_order_leave_one_more_as_much_as_is_its(count: int, seed: int) -> None:
    quota: FairQuota[object] = FairQuota(TOTAL, TOTAL)
    turns = [key for key in range(count) for _ in range(TOTAL // 2)]
    Random(seed).shuffle(turns)
    for key in turns:
        quota.take(key)
    assert TOTAL - quota.used >= TOTAL // (count + 1) - count
    honest = 0
    while quota.take("honest"):
        honest += 1
    assert honest >= max(1, TOTAL // (2 * (count + 1) * (count + 2)) - 1)


def test_small_ones_of_many_do_not_make_one_large_of_another_too_large() -> None:
    quota: FairQuota[int] = FairQuota(64 << 20, 16 << 20)
    for key in range(10_000):
        assert quota.take(key, 500)
    assert quota.take(-1, 16 << 20)


def test_what_is_held_for_one_other_costs_only_its_share_of_the_keys() -> None:
    quota: PairQuota[int] = PairQuota(1000, 500)
    for absent in range(10, 16):
        while quota.take(1, absent):
            pass
    assert quota.take(1, 9, 5), "the key has something left for another"
    assert quota.take(2, 9, 100), "and others have theirs"
    for absent in range(10, 16):
        quota.release(1, absent, quota._of[1].holds(absent))
    quota.release(1, 9, 5)
    quota.release(2, 9, 100)
    assert (quota.used, quota._of) == (0, {})


class Lent:
    """Places, and a model of them."""

    def __init__(self, total: int = 64) -> None:
        self.gone: list[str] = []
        self.places: Places[str, str] = Places(total, total // 2, self.gone.append)


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["idle", "busy", "keep"])), max_size=300))
def test_a_newcomer_gets_a_place_whoever_has_them_all(arrivals: list[tuple[int, str]]) -> None:
    """Hostile keys come in any order and do what they like: keep, work, be idle."""
    lent = Lent()
    for number, (key, what) in enumerate(arrivals):
        holder = f"{number}"
        if lent.places.enter(f"{key}", holder):
            lent.places.use(holder, is_busy=what == "busy")
            if what == "keep":
                lent.places.keep(holder, f"{key}")
        assert len(lent.places) <= 64
    assert lent.places.enter("honest", "newcomer")
    assert "newcomer" not in lent.gone


def test_one_key_for_each_place_keeps_nobody_out() -> None:
    lent = Lent()
    for key in range(64):
        assert lent.places.enter(f"{key}", f"{key}")
        lent.places.keep(f"{key}", f"{key}")
    for key in range(64, 128):
        assert lent.places.enter(f"{key}", f"{key}")
    assert len(lent.places) == 64


def test_who_has_proved_itself_stays_whatever_newcomers_do_and_works_on() -> None:
    lent = Lent()
    assert lent.places.enter("tenant", "long silent")
    assert lent.places.keep("long silent", "its namespace")
    for key in range(1000):
        assert lent.places.enter(f"{key}", f"{key}")
        lent.places.keep(f"{key}", f"{key % 7}")
    assert "long silent" in lent.places
    lent.places.leave("long silent")
    assert lent.places.holds("tenant") == 0


def test_idle_ones_make_way_first_then_those_of_who_has_many_then_the_longest_silent() -> None:
    lent = Lent()
    for number in range(30):
        lent.places.enter("many", f"many {number}")
    for number in range(34):
        lent.places.enter(f"key {number}", f"one {number}")
    for number in range(30):
        lent.places.use(f"many {number}", is_busy=number > 0)
    lent.places.enter("new", "a")
    assert lent.gone == ["many 0"], "it alone of the large key is idle, and it came first"
    lent.places.heard("one 0")
    lent.places.enter("new", "b")
    assert lent.gone[1:] == ["one 1"], "idle ones go before those that work"
    for number in range(34):
        lent.places.use(f"one {number}", is_busy=True)
    lent.places.use("a", is_busy=True)
    lent.places.use("b", is_busy=True)
    lent.places.enter("new", "c")
    assert lent.gone[2:] == ["many 1"], "who has many gives up its own"


def test_a_key_that_keeps_has_a_share_and_others_theirs() -> None:
    lent = Lent()
    kept = 0
    for number in range(32):
        lent.places.enter("greedy", f"{number}")
        kept += lent.places.keep(f"{number}", "greedy")
    assert 0 < kept <= 24
    lent.places.enter("modest", "modest")
    assert lent.places.keep("modest", "modest")
    assert lent.places.keep("modest", "another"), "it may change"
    for number in range(32):
        lent.places.leave(f"{number}")
    lent.places.leave("modest")
    lent.places.leave("modest")
    assert (len(lent.places), lent.places._kept.used, lent.places._counts) == (0, 0, {})
