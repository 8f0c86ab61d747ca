"""What is dropped is kept, comes back when asked for, and is erased in its time."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from zos.errors import ZosError
from zos.model.units import GiB, MiB
from zos.runtime.clock import FakeClock
from zos.runtime.ledger import Ledger
from zos.storaged.api import (
    AlreadyThere,
    DeviceRefused,
    Disk,
    DiskShrink,
    Kind,
    NoSuchTombstone,
    PoolFull,
    Volume,
)
from zos.storaged.daemon import Config
from zos.storaged.fake import FakeDevice, FakeHost
from zos.storaged.model import StorageRecord
from zos.storaged.steps import (
    CreateDisk,
    EraseTombstone,
    MakeTombstone,
    RestoreTombstone,
)
from zos.storaged.tests.world import CANCELLED, DISK, VOLUME, storaged, until

DAY = 86400.0


async def test_what_is_dropped_is_kept_and_can_be_brought_back(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    async with storaged(tmp_path, host, clock) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        host.write(disk.pool, DISK, MiB(5))
        await client.drop_disk(DISK, CANCELLED)
        await client.drop_disk(DISK, CANCELLED)
        assert await client.list_disks() == ()
        (tombstone,) = await client.list_tombstones()
        assert (tombstone.id, tombstone.kind, tombstone.size, tombstone.used) == (DISK, Kind.DISK, GiB(1), MiB(5))
        assert (tombstone.evidence, tombstone.expires - tombstone.created) == (CANCELLED, 14 * DAY)
        (pool,) = await client.list_pools()
        assert (pool.kept, pool.promised) == (MiB(5), pool.system + MiB(5))
        assert await client.undelete(DISK) == tombstone
        assert [d.id for d in await client.list_disks()] == [DISK]
        assert await client.list_tombstones() == ()
        with pytest.raises(NoSuchTombstone):
            await client.undelete(DISK)
    (record,) = [step for step in host.steps if isinstance(step, CreateDisk)]
    assert record.size == GiB(1)


async def test_undeleting_replaces_nothing_and_promises_no_more_than_there_is(tmp_path: Path):
    async with storaged(tmp_path, FakeHost(FakeDevice("/dev/sda", GiB(20)))) as client:
        await client.ensure_volume(Volume(VOLUME, GiB(8)))
        await client.drop_volume(VOLUME, CANCELLED)
        await client.ensure_volume(Volume(VOLUME, GiB(1)))
        with pytest.raises(AlreadyThere):
            await client.undelete(VOLUME)
        await client.drop_volume(VOLUME, CANCELLED)
        await client.ensure_disk(Disk(DISK, GiB(8)))
        old, _ = await client.list_tombstones()
        with pytest.raises(PoolFull):
            await client.undelete(old.key)
        assert (await client.undelete(VOLUME)).size == GiB(1), "an id means its newest"
        assert [t.key for t in await client.list_tombstones()] == [old.key]


async def test_a_tombstone_is_erased_after_its_time_but_not_by_a_clock_that_is_set(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    config = Config(every=0.02, mounts=tmp_path)

    async def turns() -> None:
        await asyncio.sleep(0.15)

    async with storaged(tmp_path, host, clock, config) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
        await client.drop_disk(DISK, CANCELLED)
        clock.advance(13 * DAY)
        await turns()
        clock.set(clock.now + 50 * 365 * DAY)
        clock.advance(2 * 3600)
        await turns()
        assert len(await client.list_tombstones()) == 1, "the first answer of NTP is no time that went by"
    async with storaged(tmp_path, host, clock, config) as client:
        clock.set(0.0)
        await turns()
        assert len(await client.list_tombstones()) == 1
        clock.advance(DAY)
        await until(client.list_tombstones, lambda found: found == ())
    assert isinstance(host.steps[-1], EraseTombstone)


async def test_a_drop_from_a_pool_that_is_not_mounted_just_then_is_not_lost(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host, config=Config(every=0.05, mounts=tmp_path)) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        host.pool(disk.pool).observed = dataclasses.replace(host.pool(disk.pool).observed, mounted=False)
        await client.drop_disk(DISK, CANCELLED)
        assert [found.id for found in await client.list_tombstones()] == [DISK]
        await until(lambda: asyncio.sleep(0, host.pool(disk.pool).tombstones), lambda tombstones: len(tombstones) == 1)
        await client.undelete(DISK)
        assert [found.id for found in await client.list_disks()] == [DISK]


async def test_a_drop_that_cannot_be_done_now_is_done_later(tmp_path: Path):
    host = FakeHost()
    config = Config(every=0.05, mounts=tmp_path)
    async with storaged(tmp_path, host, config=config) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        host.broken = MakeTombstone
        await client.drop_disk(DISK, CANCELLED)
        assert await client.list_disks() == ()
        with pytest.raises(DeviceRefused):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert (await client.list_pools())[0].kept == GiB(1)
        host.broken = None
        await until(lambda: asyncio.sleep(0, host.pool(disk.pool).tombstones), lambda tombstones: len(tombstones) == 1)
        await client.ensure_disk(Disk(DISK, GiB(2)))


@pytest.mark.parametrize("step", [MakeTombstone, RestoreTombstone])
async def test_a_kill_between_decision_and_step_is_made_good_at_the_next_start(tmp_path: Path, step: type):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        host.write(disk.pool, DISK, 77)
        if step is RestoreTombstone:
            await client.drop_disk(DISK, CANCELLED)
        host.broken = step
        try:
            await (client.undelete(DISK) if step is RestoreTombstone else client.drop_disk(DISK, CANCELLED))
        except ZosError as err:
            assert isinstance(err, DeviceRefused)
    if step is MakeTombstone:
        # The kill may also have come before the record was dropped.
        Ledger(tmp_path / "state/storaged/wishes", StorageRecord).put(
            f"disk:{DISK}", StorageRecord(Kind.DISK, DISK, GiB(1), disk.pool)
        )
    host.broken = None
    async with storaged(tmp_path, host) as client:
        assert [t.id for t in await client.list_tombstones()] == ([DISK] if step is MakeTombstone else [])
        assert [d.used for d in await client.list_disks()] == ([] if step is MakeTombstone else [77])
    assert sum(isinstance(done, CreateDisk) for done in host.steps) == 1


async def test_strays_are_kept_counted_and_taken_over(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(10)))
        host.write(disk.pool, DISK, 77)
    for path in (tmp_path / "state/storaged/wishes").iterdir():
        path.unlink()
    async with storaged(tmp_path, host) as client:
        (pool,) = await client.list_pools()
        assert pool.detail == "1 of its disks and volumes have no record here and are kept"
        assert pool.promised - pool.system == GiB(10)
        with pytest.raises(DiskShrink):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert (await client.ensure_disk(Disk(DISK, GiB(10)))).used == 77
        assert (await client.list_pools())[0].promised == pool.promised
