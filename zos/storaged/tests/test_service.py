"""Storaged as a daemon on a fake machine: pools, disks and volumes, and what stays when a device goes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from zos.bus import Bus
from zos.errors import Kind as ErrorKind
from zos.model.units import Bytes, GiB, MiB
from zos.runtime.clock import FakeClock
from zos.runtime.ledger import Ledger
from zos.storaged.age import Age, AgeRecord
from zos.storaged.api import (
    BadId,
    BadSize,
    DataLost,
    DeviceRefused,
    Disk,
    DiskFull,
    DiskId,
    DiskShrink,
    Kind,
    NoCache,
    NoPool,
    Pool,
    PoolAway,
    PoolFull,
    PoolGone,
    PoolKind,
    PoolState,
    StoragedClient,
    Volume,
    VolumeId,
)
from zos.storaged.daemon import Config
from zos.storaged.fake import FakeDevice, FakeHost
from zos.storaged.host.files import Measured
from zos.storaged.model import Content, Phase, PoolRecord, StorageRecord, TombstoneRecord
from zos.storaged.steps import (
    CreateDisk,
    CreateVolume,
    FormatDevice,
    GrowDisk,
    MountPool,
    Step,
)
from zos.storaged.tests.world import CANCELLED, DISK, VOLUME, storaged, until


def two() -> FakeHost:
    return FakeHost(FakeDevice("/dev/sda"), FakeDevice("/dev/sdb", GiB(50)))


async def test_blank_devices_become_pools_and_carry_the_cache(tmp_path: Path):
    host = two()
    async with storaged(tmp_path, host) as client:
        pools = await client.list_pools()
        assert {pool.state for pool in pools} == {PoolState.READY}
        assert {(pool.device, pool.size) for pool in pools} == {("/dev/sda", GiB(100)), ("/dev/sdb", GiB(50))}
        assert all(0 <= pool.system <= pool.promised <= pool.usable < pool.size for pool in pools)
        cache = await client.cache()
        assert (cache.path, cache.size) == (tmp_path / "cache", GiB(5))
        (home,) = [pool for pool in pools if pool.system]
        assert (home.device, home.name) == ("/dev/sda", cache.pool)


async def test_a_restart_takes_no_step(tmp_path: Path):
    host = two()
    async with storaged(tmp_path, host) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        volume = await client.ensure_volume(Volume(VOLUME, GiB(1)))
    host.steps.clear()
    async with storaged(tmp_path, host) as client:
        assert await client.list_disks() == (disk,)
        assert await client.list_volumes() == (volume,)
        assert await client.ensure_disk(Disk(DISK, GiB(1))) == disk
    assert host.steps == []


async def test_a_reboot_mounts_and_makes_nothing_new(tmp_path: Path):
    host = two()
    async with storaged(tmp_path, host) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
    host.reboot()
    host.steps.clear()
    async with storaged(tmp_path, host) as client:
        assert [disk.detail for disk in await client.list_disks()] == [""]
    assert {type(step).__name__ for step in host.steps} == {"MountPool", "MountCache"}


async def test_disks_and_volumes_have_separate_names(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        volume = await client.ensure_volume(Volume(VolumeId(DISK), GiB(2)))
        assert disk.path == tmp_path / "mnt" / disk.pool / "vdisks" / DISK
        assert volume.path == tmp_path / "mnt" / disk.pool / "volumes" / DISK
        await client.drop_disk(DISK, CANCELLED)
        assert await client.list_volumes() == (volume,)


async def test_a_refused_change_leaves_what_was_there(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(10)))
        for size, refusal in ((GiB(5), DiskShrink), (GiB(500), PoolFull), (0, BadSize), (-1, BadSize)):
            with pytest.raises(refusal):
                await client.ensure_disk(Disk(DISK, Bytes(size)))
        with pytest.raises(BadId):
            await client.ensure_volume(Volume(VolumeId("../x"), GiB(1)))
        assert await client.list_disks() == (disk,)
        assert (await client.ensure_disk(Disk(DISK, GiB(20)))).size == GiB(20)


async def test_a_disk_that_does_not_fit_when_it_is_made_is_no_longer_recorded(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        host.full = CreateDisk
        with pytest.raises(DiskFull, match="has no space left to create disk 26-7-data of 1 GiB"):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert await client.list_disks() == ()
        assert (await client.ensure_volume(Volume(VOLUME, GiB(1)))).detail == ""
        host.full = None
        await client.ensure_disk(Disk(DISK, GiB(1)))
        host.full = GrowDisk
        with pytest.raises(DiskFull):
            await client.ensure_disk(Disk(DISK, GiB(2)))
        assert [disk.size for disk in await client.list_disks()] == [GiB(1)]


async def test_a_failure_that_may_pass_keeps_the_record_and_the_loop_makes_the_disk(tmp_path: Path):
    host = FakeHost()
    config = Config(every=0.05, mounts=tmp_path)
    async with storaged(tmp_path, host, config=config) as client:
        host.broken = CreateVolume
        with pytest.raises(DeviceRefused, match="could not create volume"):
            await client.ensure_volume(Volume(VOLUME, GiB(1)))
        (volume,) = await client.list_volumes()
        assert "could not create volume" in volume.detail
        assert (await client.ensure_disk(Disk(DISK, GiB(1)))).detail == "", "others live"
        host.broken = None
        await until(lambda: client.list_volumes(), lambda found: found[0].detail == "")


async def test_a_pool_that_vanishes_is_missing_and_what_is_on_it_stays_recorded(tmp_path: Path):
    host = two()
    config = Config(every=0.05, mounts=tmp_path)
    async with storaged(tmp_path, host, config=config) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        device = host.pool(disk.pool)
        device.present = False

        def state(pools: tuple[Pool, ...]) -> PoolState:
            return next(pool.state for pool in pools if pool.name == disk.pool)

        await until(client.list_pools, lambda pools: state(pools) is PoolState.MISSING)
        with pytest.raises(PoolGone, match=r"disk 26-7-data is on pool .* which is missing"):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert (await client.list_disks())[0].detail == "its pool is missing"
        assert (await client.ensure_disk(Disk(DiskId("other"), GiB(1)))).pool != disk.pool
        device.present = True
        await until(client.list_pools, lambda pools: state(pools) is PoolState.READY)
        assert await client.ensure_disk(Disk(DISK, GiB(1))) == disk
    assert sum(isinstance(step, CreateDisk) for step in host.steps) == 2


async def test_a_pool_that_is_gone_at_a_start_is_remembered_while_something_is_on_it(tmp_path: Path):
    host = two()
    async with storaged(tmp_path, host) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        (empty,) = [pool.name for pool in await client.list_pools() if pool.name != disk.pool]
    for device in host.disks.values():
        device.present = False
    async with storaged(tmp_path, host) as client:
        pools = [pool for pool in await client.list_pools() if pool.name]
        assert [(pool.name, pool.state) for pool in pools] == [(disk.pool, PoolState.MISSING)]
        assert empty != disk.pool
        with pytest.raises(NoCache):
            await client.cache()
        with pytest.raises(NoPool):
            await client.ensure_disk(Disk(DiskId("other"), GiB(1)))


async def test_something_new_waits_for_a_pool_that_is_out_of_order_and_is_refused_only_when_none_will_have_room(
    tmp_path: Path,
):
    host = FakeHost(FakeDevice("/dev/sda", broken="Input/output error"))
    async with storaged(tmp_path, host) as client:
        with pytest.raises(PoolAway) as refusal:
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert refusal.value.kind is ErrorKind.NOT_NOW
        assert isinstance(refusal.value.__cause__, NoPool)
        with pytest.raises(NoPool):
            await client.ensure_disk(Disk(DISK, GiB(200)))


async def test_a_broken_pool_holds_up_nobody_else(tmp_path: Path):
    host = two()
    host.disks["/dev/sda"].content, host.disks["/dev/sda"].label = Content.POOL, "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11"
    host.disks["/dev/sda"].broken = "Input/output error"
    async with storaged(tmp_path, host) as client:
        states = {pool.device: (pool.state, pool.detail) for pool in await client.list_pools()}
        assert states["/dev/sda"][0] is PoolState.BROKEN
        assert "Input/output error" in states["/dev/sda"][1]
        assert states["/dev/sdb"] == (PoolState.READY, "")
        assert (await client.ensure_disk(Disk(DISK, GiB(1)))).detail == ""


async def test_a_foreign_device_is_reported_and_left_alone(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", content=Content.OTHER))
    async with storaged(tmp_path, host) as client:
        (pool,) = await client.list_pools()
        assert (pool.name, pool.state, pool.usable) == ("", PoolState.FOREIGN, 0)
    assert host.steps == []


async def test_hard_disks_take_disks_only_when_that_is_configured(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", kind=PoolKind.HDD))
    async with storaged(tmp_path, host) as client:
        with pytest.raises(NoPool, match="only hard disks"):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert (await client.cache()).size == GiB(5), "better than none"
    config = Config(every=60, mounts=tmp_path / "mnt", ssd=("/dev/sda",))
    async with storaged(tmp_path, host, config=config) as client:
        assert [pool.kind for pool in await client.list_pools()] == [PoolKind.SSD]
        await client.ensure_disk(Disk(DISK, GiB(1)))


async def test_concurrent_requests_never_promise_more_than_there_is(tmp_path: Path):
    host = FakeHost(FakeDevice("/dev/sda", GiB(20)))
    async with storaged(tmp_path, host) as client:
        records = [client.ensure_disk(Disk(DiskId(f"d{number}"), GiB(3))) for number in range(12)]
        answers = await asyncio.gather(*records, return_exceptions=True)
        assert {type(answer).__name__ for answer in answers} == {"DiskInfo", "PoolFull"}
        (pool,) = await client.list_pools()
        assert pool.usable - GiB(3) < pool.promised <= pool.usable


async def test_what_was_made_once_and_is_gone_is_lost_and_not_replaced_by_an_empty_one(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    config = Config(every=0.02, mounts=tmp_path)
    async with storaged(tmp_path, host, clock, config) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        clock.advance(121)
        ledger = tmp_path / "state/storaged/wishes" / "disk:26-7-data.json"
        await until(lambda: asyncio.sleep(0, ledger.read_text()), lambda text: '"made": true' in text)
        host._pop(host.pool(disk.pool), "disks", DISK)
        with pytest.raises(DataLost):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert "is not there any more" in (await client.list_disks())[0].detail
        await client.drop_disk(DISK, CANCELLED)
        assert await client.list_tombstones() == ()
        await client.ensure_disk(Disk(DISK, GiB(1)))


async def test_a_pool_that_does_not_get_mounted_is_not_ready(tmp_path: Path):
    class Unmountable(FakeHost):
        def _apply_step(self, step: Step) -> None:
            if not isinstance(step, MountPool):
                super()._apply_step(step)

    async with storaged(tmp_path, Unmountable()) as client:
        (pool,) = await client.list_pools()
        assert (pool.state, pool.detail) == (PoolState.BROKEN, "it is not mounted")
        with pytest.raises(PoolAway):
            await client.ensure_disk(Disk(DISK, GiB(1)))


async def test_a_device_that_hangs_while_it_is_formatted_holds_up_no_other(tmp_path: Path):
    class Hanging(FakeHost):
        async def apply(self, steps: Sequence[Step]) -> None:
            if any(isinstance(step, FormatDevice) and step.device == "/dev/sdb" for step in steps):
                await asyncio.Event().wait()
            await super().apply(steps)

    host = Hanging(FakeDevice("/dev/sda"), FakeDevice("/dev/sdb"))
    async with storaged(tmp_path, host, config=Config(every=0.05, mounts=tmp_path)) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        assert host.pool(disk.pool).path == "/dev/sda"
        await client.drop_disk(DISK, CANCELLED)
        assert {pool.device: pool.state for pool in await client.list_pools()} == {
            "/dev/sda": PoolState.READY,
            "/dev/sdb": PoolState.MAKING,
        }


async def test_a_corrupt_record_is_set_aside_and_its_disk_is_kept(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(10)))
    (tmp_path / "state/storaged/wishes/disk:26-7-data.json").write_text('{"version": 1, "gener')
    async with storaged(tmp_path, host) as client:
        assert await client.list_disks() == ()
        assert DISK in host.pool(disk.pool).observed.disks
        assert (await client.ensure_disk(Disk(DISK, GiB(10)))).path == disk.path


async def test_siblings_reach_it_by_the_bus(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()), Bus(tmp_path / "run") as bus:
        assert len(await StoragedClient(bus).list_pools()) == 1


def test_ledgers_of_version_1_are_read(tmp_path: Path):
    proof = json.loads((Path(__file__).parent / "ledger/v1.json").read_text())
    for name, record in proof.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(record))
    (tmp_path / "age").mkdir()
    shutil.copy(Path(__file__).parent / "ledger/age-v1.json", tmp_path / "age/record.json")
    pool = "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11"
    assert Ledger(tmp_path / "wishes", StorageRecord).get(f"disk:{DISK}") == StorageRecord(
        Kind.DISK, DISK, GiB(1), pool, True
    )
    assert Ledger(tmp_path / "tombstones", TombstoneRecord).get("volume:26-7-shared@1700000000") == TombstoneRecord(
        Kind.VOLUME, VOLUME, MiB(1), pool, 1700000000.5, 1701209600.5, CANCELLED, Phase.KEPT, 16384
    )
    assert Ledger(tmp_path / "pools", PoolRecord).get(pool) == PoolRecord("/dev/sda", GiB(100), PoolKind.SSD, True)
    age = Age(Ledger(tmp_path / "age", AgeRecord), FakeClock(1260.25), 60)
    assert age.now() == 86460.5


def test_a_pool_of_the_first_release_keeps_its_kind():
    kept = (Path(__file__).parent / "ledger/device-v1.json").read_bytes()
    assert msgspec.json.decode(kept, type=Measured) == Measured(PoolKind.HDD, 0.0042, 0.0125, True)
