"""What is decided about the cache of flists: how large it is, when it gives way, and where it is."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import GiB, MiB
from zos.storaged import plan, steps
from zos.storaged.api.types import PoolKind
from zos.storaged.model import ObservedPool, ObservedVolume
from zos.storaged.plan import PoolSpace

A = "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11"
SEEN = ObservedPool(mounted=True, prepared=True, kind=PoolKind.SSD)


def space(free: int, size: int = GiB(100)) -> PoolSpace:
    return PoolSpace(PoolKind.SSD, size, size - free)


def cache(limit: int, used: int, mounted: bool = True) -> ObservedPool:
    return dataclasses.replace(SEEN, cache=ObservedVolume(limit, used), cache_mounted=mounted)


def test_the_cache_is_made_and_mounted_and_on_a_small_pool_it_is_small():
    assert tuple(plan.cache(A, SEEN, space(GiB(90)), GiB(5), 10)) == (steps.CreateCache(A, GiB(5)), steps.MountCache(A))
    assert next(plan.cache(A, SEEN, PoolSpace(PoolKind.SSD, GiB(2), 0), GiB(5), 10)) == steps.CreateCache(A, MiB(512))
    assert tuple(plan.cache(A, SEEN, space(0), GiB(5), 10)) == ()
    assert tuple(plan.cache(A, cache(GiB(5), 0, mounted=False), space(0), GiB(5), 10)) == (steps.MountCache(A),)
    assert tuple(plan.cache(A, cache(0, 0), space(GiB(50)), GiB(5), 10)) == (steps.LimitCache(A, GiB(5)),)


@pytest.mark.parametrize(
    ("limit", "used", "free", "wanted"),
    [(5, 2, 50, 5), (5, 3, 50, 10), (5, 3, 4, 5), (10, 2, 50, 10), (15, 2, 50, 5), (20, 3, 50, 10), (5, 0, 50, 5)],
)
def test_the_cache_grows_into_free_room_and_gives_back_what_it_does_not_use(
    limit: int, used: int, free: int, wanted: int
):
    assert plan.cache_limit(GiB(limit), GiB(used), GiB(5), GiB(free), GiB(100)) == GiB(wanted)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.integers(5, 500))
def test_the_cache_never_shrinks_below_what_it_holds_nor_grows_beyond_the_room(
    limit: int, used: int, free: int, most: int
):
    used = min(used, limit)
    wanted = plan.cache_limit(limit, used, 5, free, most)
    assert wanted <= most
    assert wanted >= min(used, most)
    assert wanted - limit <= max(0, free)


def test_the_cache_has_a_part_of_its_pool_at_most():
    full = space(GiB(60))
    assert tuple(plan.cache(A, cache(GiB(5), GiB(4)), full, GiB(5), 10)) == (steps.LimitCache(A, GiB(10)),)
    assert tuple(plan.cache(A, cache(GiB(10), GiB(10)), full, GiB(5), 10)) == ()
    assert tuple(plan.cache(A, cache(GiB(30), GiB(30)), full, GiB(5), 10)) == (steps.LimitCache(A, GiB(10)),)
    assert tuple(plan.cache(A, cache(GiB(5), GiB(4)), full, GiB(5), 10, may_grow=False)) == ()


@given(st.integers(1, 200), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 20))
def test_the_cache_gives_what_is_missing_and_no_more(need: int, limit: int, used: int, disks: int, kept: int):
    seen = ObservedVolume(GiB(limit), GiB(used))
    there = PoolSpace(PoolKind.SSD, GiB(100), max(seen.limit, seen.used) + GiB(disks) + GiB(kept), GiB(kept))
    given = plan.cache_gives(GiB(need), seen, there, GiB(5))
    assert given <= seen.limit
    assert given == seen.limit or given >= GiB(5)
    # What is missing when flistd has emptied it so far is what tombstones may give.
    after = max(0, there.usable - (there.promised - max(seen.limit, seen.used) + given))
    if given < seen.limit:
        assert after + there.kept >= GiB(need)
        assert after <= GiB(need) or given == GiB(5)


def test_the_cache_stays_where_it_is_else_goes_to_the_emptiest_ssd():
    spaces = {"a": space(10), "b": space(20), "c": PoolSpace(PoolKind.HDD, 100, 0)}
    assert plan.cache_home({}, spaces) == "b"
    assert plan.cache_home({"a": cache(1, 0)}, spaces) == "a"
    assert plan.cache_home({}, {"c": spaces["c"]}) == "c"
    assert plan.cache_home({}, {}) == ""
