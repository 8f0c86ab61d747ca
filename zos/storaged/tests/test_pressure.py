"""Room that tombstones hold: whose go before their time, and that nobody's removals keep others from what is free."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.model.names import root_id, workload_id
from zos.model.units import GiB
from zos.runtime.clock import FakeClock
from zos.storaged.api import CacheGivesWay, DeviceRefused, Disk, DiskId, PoolFull, Volume, VolumeId
from zos.storaged.daemon import Config
from zos.storaged.fake import FakeDevice, FakeHost
from zos.storaged.model import ObservedVolume
from zos.storaged.pressure import COMMON, Kept, beyond, victims
from zos.storaged.steps import EraseTombstone
from zos.storaged.tests.world import CANCELLED, storaged

USABLE = 1000
OWNERS = ("1", "2", "3", "4")


def kept() -> st.SearchStrategy[list[Kept]]:
    one = st.tuples(st.sampled_from(OWNERS), st.integers(0, 300), st.integers(0, 9), st.booleans())
    return st.lists(one, max_size=12).map(
        lambda found: [Kept(f"t{n}", owner, size, at, over) for n, (owner, size, at, over) in enumerate(found)]
    )


def paid() -> st.SearchStrategy[Mapping[str, int]]:
    return st.dictionaries(st.sampled_from(OWNERS), st.integers(0, 400))


@given(kept(), paid(), st.integers(1, 1500))
def test_a_request_that_fits_without_what_is_beyond_the_shares_always_fits(
    found: list[Kept], shares: Mapping[str, int], need: int
):
    others = [one for one in found if one.owner != "1" and not one.is_over]
    extra = {one.name for left in beyond(others, shares).values() for one in left}
    safe = sum(one.size for one in others if one.name not in extra)
    could_go = sum(one.size for one in found) - safe - USABLE // COMMON
    chosen = victims(need, "1", found, shares, USABLE)
    if need <= could_go:
        assert chosen is not None
    if chosen is not None:
        assert sum(one.size for one in chosen) >= need


@given(kept(), paid(), st.integers(1, 1500))
def test_nobody_loses_what_is_within_his_share_to_another(found: list[Kept], shares: Mapping[str, int], need: int):
    chosen = victims(need, "1", found, shares, USABLE) or ()
    lost = [one for one in chosen if one.owner != "1" and not one.is_over]
    for owner in OWNERS[1:]:
        mine = [one for one in found if one.owner == owner and not one.is_over]
        assert all(one in beyond(mine, shares)[owner] for one in lost if one.owner == owner)
    # And nothing goes that the request fits without, or while the common part is enough for all that is beyond.
    total = sum(one.size for one in chosen)
    assert all(total - one.size < need for one in chosen if not one.is_over)
    extra = beyond([one for one in found if one.owner != "1" and not one.is_over], shares)
    if sum(one.size for left in extra.values() for one in left) <= USABLE // COMMON:
        assert lost == []


@given(kept(), paid())
def test_the_newest_of_an_owner_stay_up_to_what_he_pays(found: list[Kept], shares: Mapping[str, int]):
    extra = beyond(found, shares)
    for owner in OWNERS:
        mine = sorted((one for one in found if one.owner == owner), key=lambda one: (one.created, one.name))
        left = extra.get(owner, [])
        assert left == mine[: len(left)] or not left
        assert sum(one.size for one in mine if one not in left) <= shares.get(owner, 0)


def test_a_disk_that_was_filled_and_removed_again_and_again_takes_the_place_of_nobody():
    # Five times 200 of 1000: nobody found any room for two weeks.
    found = [Kept(f"t{n}", "26", 200, n) for n in range(5)]
    assert victims(200, "27", found, {}, USABLE) == (found[0],)
    assert victims(900, "27", found, {}, USABLE) == tuple(found)
    assert victims(200, "27", found, {"26": 1000}, USABLE) is None, "he pays for as much"
    assert victims(200, "26", found, {"26": 1000}, USABLE) == (found[0],), "they are his own"


async def test_room_is_made_for_a_request_by_what_others_removed_beyond_their_share(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(100)))
    async with storaged(tmp_path, host, config=Config(every=60, mounts=tmp_path)) as client:
        for number in range(4):
            disk = await client.ensure_disk(Disk(DiskId(f"26-7-d{number}"), GiB(20)))
            host.write(disk.pool, disk.id, GiB(20))
            await client.drop_disk(disk.id, CANCELLED)
        (pool,) = await client.list_pools()
        assert pool.kept == GiB(80)
        assert pool.usable - pool.promised < GiB(20)
        await client.ensure_disk(Disk(DiskId("27-8-mine"), GiB(20)))
        assert [one.id for one in await client.list_tombstones()] == [f"26-7-d{n}" for n in (1, 2, 3)]
        await client.ensure_disk(Disk(DiskId("27-8-mine"), GiB(40)))
        assert [one.id for one in await client.list_tombstones()] == ["26-7-d2", "26-7-d3"]
        with pytest.raises(PoolFull):
            await client.ensure_disk(Disk(DiskId("27-8-more"), GiB(90)))
        assert len(await client.list_tombstones()) == 2, "what does not fit anyway erases nothing"
        # His own go at his own request, whatever his share.
        await client.ensure_disk(Disk(DiskId("26-9-again"), GiB(30)))
        assert [one.id for one in await client.list_tombstones()] == ["26-7-d3"]
        assert len(host.pool(pool.name).tombstones) == 1


async def test_a_kill_between_the_decision_and_the_erasing_is_made_good(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(100)))
    async with storaged(tmp_path, host, config=Config(every=0.05, mounts=tmp_path)) as client:
        disk = await client.ensure_disk(Disk(DiskId("26-7-d"), GiB(80)))
        host.write(disk.pool, disk.id, GiB(80))
        await client.drop_disk(disk.id, CANCELLED)
        host.broken = EraseTombstone
        with pytest.raises(DeviceRefused, match="could not erase"):
            await client.ensure_disk(Disk(DiskId("27-8-mine"), GiB(80)))
        host.broken = None
        await client.ensure_disk(Disk(DiskId("27-8-mine"), GiB(80)))
        assert host.pool(disk.pool).tombstones == {}


async def test_a_new_root_takes_the_place_of_no_root_that_another_removed_and_still_pays_for(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(100)))
    async with storaged(tmp_path, host, config=Config(every=60, mounts=tmp_path)) as client:
        mine, other = VolumeId(root_id(workload_id(26, 7, "vm"))), VolumeId(root_id(workload_id(27, 8, "vm")))
        volume = await client.ensure_volume(Volume(mine, GiB(30)))
        device = host.pool(volume.pool)
        device.observed = dataclasses.replace(device.observed, volumes={mine: ObservedVolume(GiB(30), GiB(25))})
        await client.drop_volume(mine, CANCELLED)
        await client.ensure_disk(Disk(DiskId("26-9-data"), GiB(40)))
        with pytest.raises(PoolFull):
            await client.ensure_volume(Volume(other, GiB(30)))
        assert [one.id for one in await client.list_tombstones()] == [mine]
        # And his own new root takes it.
        await client.ensure_volume(Volume(VolumeId(root_id(workload_id(26, 9, "vm"))), GiB(30)))
        assert await client.list_tombstones() == ()


async def test_what_a_tenant_removed_is_not_protected_by_what_others_pay_for_their_roots(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(100)))
    async with storaged(tmp_path, host, config=Config(every=60, mounts=tmp_path)) as client:
        await client.ensure_volume(Volume(VolumeId(root_id(workload_id(27, 1, "vm"))), GiB(40)))
        for number in range(4):
            id = VolumeId(root_id(workload_id(66, 7, f"vm{number}")))
            volume = await client.ensure_volume(Volume(id, GiB(10)))
            device = host.pool(volume.pool)
            volumes = {**device.observed.volumes, id: ObservedVolume(GiB(10), GiB(10))}
            device.observed = dataclasses.replace(device.observed, volumes=volumes)
            await client.drop_volume(id, CANCELLED)
        await client.ensure_disk(Disk(DiskId("29-9-disk"), GiB(25)))
        assert len(await client.list_tombstones()) < 4


async def test_what_is_paid_takes_the_place_of_what_the_cache_holds(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(1000)))
    config = Config(every=60, mounts=tmp_path, cache_size=GiB(5), cache_part=2)
    async with storaged(tmp_path, host, config=config) as client:
        (pool,) = await client.list_pools()
        device = host.pool(pool.name)
        device.observed = dataclasses.replace(device.observed, cache=ObservedVolume(GiB(400), GiB(400)))
        await client.list_disks()  # which looks at the pool
        await client.ensure_disk(Disk(DiskId("7-1-a"), GiB(500)))
        # flistd has not emptied it yet: soon there is room, and the cache does not grow into it again.
        with pytest.raises(CacheGivesWay):
            await client.ensure_disk(Disk(DiskId("7-1-b"), GiB(300)))
        seen = device.observed.cache
        assert seen is not None
        assert seen.limit < GiB(175)
        with pytest.raises(CacheGivesWay):
            await client.ensure_disk(Disk(DiskId("7-1-b"), GiB(300)))
        device.observed = dataclasses.replace(device.observed, cache=ObservedVolume(seen.limit, seen.limit))
        await client.list_disks()  # which looks at the pool
        await client.ensure_disk(Disk(DiskId("7-1-b"), GiB(300)))
        # What never fits takes nothing from it.
        before = device.observed.cache
        with pytest.raises(PoolFull):
            await client.ensure_disk(Disk(DiskId("7-1-c"), GiB(900)))
        assert device.observed.cache == before
        # What it does not use is there at once.
        device.observed = dataclasses.replace(device.observed, cache=ObservedVolume(seen.limit, GiB(1)))
        await client.list_disks()  # which looks at the pool
        await client.ensure_disk(Disk(DiskId("7-1-c"), GiB(100)))


async def test_a_cache_that_cannot_be_emptied_refuses_like_a_full_pool_in_the_end(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(1000)))
    clock = FakeClock()
    config = Config(every=60, mounts=tmp_path, cache_part=2)
    async with storaged(tmp_path, host, clock=clock, config=config) as client:
        (pool,) = await client.list_pools()
        device = host.pool(pool.name)
        device.observed = dataclasses.replace(device.observed, cache=ObservedVolume(GiB(400), GiB(400)))
        await client.list_disks()  # which looks at the pool
        with pytest.raises(CacheGivesWay):
            await client.ensure_disk(Disk(DiskId("7-1-b"), GiB(800)))
        clock.advance(200)
        with pytest.raises(PoolFull):
            await client.ensure_disk(Disk(DiskId("7-1-b"), GiB(800)))
