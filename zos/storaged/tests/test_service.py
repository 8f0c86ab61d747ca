"""The daemon on a fake host: what callers see over a real socket."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zos.bus import Bus, Unreachable, convert
from zos.chain.api import Block as ChainBlock
from zos.chain.api import ChainBehind, ContractState, NodeContract, NoSuchContract
from zos.chain.api.chain_pb2 import NodeContract as NodeContractMessage
from zos.chain.api.chain_pb2_grpc import ChainServicer, add_ChainServicer_to_server
from zos.errors import Kind as ErrorKind
from zos.errors import ZosError
from zos.model.units import Bytes, GiB, MiB
from zos.runtime.clock import FakeClock
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.ledger import Ledger
from zos.runtime.testing import running
from zos.storaged.api import (
    AlreadyThere,
    BadId,
    BadImage,
    BadSize,
    DataLost,
    DeviceRefused,
    Disk,
    DiskFull,
    DiskHasData,
    DiskId,
    DiskShrink,
    Evidence,
    EvidenceKind,
    FillStopped,
    ImageTooLarge,
    Kind,
    NoCache,
    NoEvidence,
    NoPool,
    NoSuchDisk,
    NoSuchTombstone,
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
from zos.storaged.api import storaged_pb2 as pb
from zos.storaged.daemon import Config, Storaged
from zos.storaged.fake import FakeDevice, FakeHost
from zos.storaged.model import Content, Phase, PoolRecord, StorageRecord, TombstoneRecord
from zos.storaged.steps import (
    CreateDisk,
    CreateVolume,
    EraseTombstone,
    FormatDevice,
    GrowDisk,
    MakeTombstone,
    MountPool,
    RestoreTombstone,
    Step,
)


@dataclass(frozen=True, slots=True)
class NoConfig:
    """No table in the configuration file."""


class Chain(Daemon):
    """The chain as storaged asks it: contract 7 is gone, 8 lives, 9 is out of funds; it stands at block 2000."""

    name = "chain"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Contracts(), add_ChainServicer_to_server)


class Contracts(ChainServicer):
    async def GetContract(self, request: Any, context: Any) -> Any:
        states = {8: ContractState.CREATED, 9: ContractState.DELETED_OUT_OF_FUNDS}
        if request.id not in states:
            raise NoSuchContract(contract=request.id, block=2000)
        contract = NodeContract(request.id, 26, 1, states[request.id], 0, "", b"", (), ChainBlock(2000, "0x"))
        return convert.encode(contract, NodeContractMessage)


CANCELLED = Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234, "deleted")
DISK, VOLUME = DiskId("26-7-data"), VolumeId("26-7-shared")
DAY = 86400.0


@asynccontextmanager
async def storaged(
    folder: Path, host: FakeHost, clock: FakeClock | None = None, config: Config | None = None
) -> AsyncIterator[StoragedClient]:
    given = config or Config(every=60, mounts=folder / "mnt", cache=folder / "cache")
    async with running(Chain, folder), running(Storaged, folder, host=host, config=given, clock=clock) as rt:
        yield StoragedClient(rt.bus)


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
        await _until(lambda: client.list_volumes(), lambda found: found[0].detail == "")


async def _until(ask: object, holds: object, deadline: float = 5.0) -> None:
    assert callable(ask)
    assert callable(holds)
    async with asyncio.timeout(deadline):
        while not holds(await ask()):
            await asyncio.sleep(0.01)


async def test_a_pool_that_vanishes_is_missing_and_what_is_on_it_stays_recorded(tmp_path: Path):
    host = two()
    config = Config(every=0.05, mounts=tmp_path)
    async with storaged(tmp_path, host, config=config) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        device = host.pool(disk.pool)
        device.present = False

        def state(pools: tuple[Pool, ...]) -> PoolState:
            return next(pool.state for pool in pools if pool.name == disk.pool)

        await _until(client.list_pools, lambda pools: state(pools) is PoolState.MISSING)
        with pytest.raises(PoolGone, match=r"disk 26-7-data is on pool .* which is missing"):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert (await client.list_disks())[0].detail == "its pool is missing"
        assert (await client.ensure_disk(Disk(DiskId("other"), GiB(1)))).pool != disk.pool
        device.present = True
        await _until(client.list_pools, lambda pools: state(pools) is PoolState.READY)
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
        await _until(lambda: asyncio.sleep(0, ledger.read_text()), lambda text: '"made": true' in text)
        host._pop(host.pool(disk.pool), "disks", DISK)
        with pytest.raises(DataLost):
            await client.ensure_disk(Disk(DISK, GiB(1)))
        assert "is not there any more" in (await client.list_disks())[0].detail
        await client.drop_disk(DISK, CANCELLED)
        assert await client.list_tombstones() == ()
        await client.ensure_disk(Disk(DISK, GiB(1)))


# Tombstones


@pytest.mark.parametrize(
    ("evidence", "problem"),
    [
        (pb.Evidence(kind="contract_cancelled", contract=0, block=5), "names no contract"),
        (pb.Evidence(kind="contract_cancelled", contract=7, block=0), "names no finalized block"),
        (pb.Evidence(kind="because", contract=7, block=5), "`because` is no evidence"),
        (None, "no evidence was given"),
    ],
)
async def test_nothing_goes_without_evidence(tmp_path: Path, evidence: pb.Evidence | None, problem: str):
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
        for call in ("DropDisk", "DropVolume"):
            with pytest.raises(NoEvidence, match=re.escape(problem)):
                await client.call(call, pb.DropRequest(id=DISK, evidence=evidence))
        assert len(await client.list_disks()) == 1


@pytest.mark.parametrize(
    ("id", "evidence", "problem"),
    [
        ("26-8-data", Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234), "it is not of contract 7"),
        ("26-8-data", Evidence(EvidenceKind.SIGNED_UPDATE, 7, 1234), "it is not of contract 7"),
        ("26-8-data", Evidence(EvidenceKind.CONTRACT_CANCELLED, 8, 1234), "contract 8 is created at block 2000"),
        ("rootfs-26-8-vm", Evidence(EvidenceKind.CONTRACT_CANCELLED, 8, 1234), "contract 8 is created at block 2000"),
        ("nobodys", Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234), "it is not of contract 7"),
    ],
)
async def test_no_callers_word_is_believed_about_another_contract_or_one_that_lives(
    tmp_path: Path, id: str, evidence: Evidence, problem: str
):
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DiskId(id), GiB(1)))
        with pytest.raises(NoEvidence, match=problem):
            await client.drop_disk(DiskId(id), evidence)
        assert len(await client.list_disks()) == 1


async def test_a_chain_that_stands_before_the_evidence_is_asked_again(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()) as client:
        for id, contract in (("26-7-data", 7), ("26-8-data", 8)):
            await client.ensure_disk(Disk(DiskId(id), GiB(1)))
            with pytest.raises(ChainBehind):
                await client.drop_disk(DiskId(id), Evidence(EvidenceKind.CONTRACT_CANCELLED, contract, 2001))
        assert len(await client.list_disks()) == 2


async def test_without_the_chains_word_a_cancelled_contract_keeps_its_data(tmp_path: Path):
    async with running(Storaged, tmp_path, host=FakeHost(), config=Config()) as rt:
        client = StoragedClient(rt.bus)
        await client.ensure_disk(Disk(DISK, GiB(1)))
        with pytest.raises(Unreachable) as caught:
            await client.drop_disk(DISK, CANCELLED)
        assert caught.value.kind is ErrorKind.NOT_NOW
        assert len(await client.list_disks()) == 1


async def test_the_chain_confirms_what_ran_out_of_funds(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DiskId("26-9-data"), GiB(1)))
        await client.drop_disk(DiskId("26-9-data"), Evidence(EvidenceKind.CONTRACT_CANCELLED, 9, 1234))
        assert await client.list_disks() == ()


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
        await _until(client.list_tombstones, lambda found: found == ())
    assert isinstance(host.steps[-1], EraseTombstone)


async def test_a_drop_from_a_pool_that_is_not_mounted_just_then_is_not_lost(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host, config=Config(every=0.05, mounts=tmp_path)) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(1)))
        host.pool(disk.pool).observed = dataclasses.replace(host.pool(disk.pool).observed, mounted=False)
        await client.drop_disk(DISK, CANCELLED)
        assert [found.id for found in await client.list_tombstones()] == [DISK]
        await _until(lambda: asyncio.sleep(0, host.pool(disk.pool).tombstones), lambda tombstones: len(tombstones) == 1)
        await client.undelete(DISK)
        assert [found.id for found in await client.list_disks()] == [DISK]


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
        await _until(lambda: asyncio.sleep(0, host.pool(disk.pool).tombstones), lambda tombstones: len(tombstones) == 1)
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


async def test_a_corrupt_record_is_set_aside_and_its_disk_is_kept(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(10)))
    (tmp_path / "state/storaged/wishes/disk:26-7-data.json").write_text('{"version": 1, "gener')
    async with storaged(tmp_path, host) as client:
        assert await client.list_disks() == ()
        assert DISK in host.pool(disk.pool).observed.disks
        assert (await client.ensure_disk(Disk(DISK, GiB(10)))).path == disk.path


# Images


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "image.raw").write_bytes(b"image")
    return folder


async def test_an_image_is_copied_once_and_remembered(tmp_path: Path, tree: Path):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        with pytest.raises(NoSuchDisk):
            await client.fill_disk(DISK, tree, "/image.raw", "x")
        await client.ensure_disk(Disk(DISK, GiB(1)))
        assert (await client.fill_disk(DISK, tree, "/image.raw", "x")).image == "x"
        assert (await client.fill_disk(DISK, tree, "/image.raw", "x")).image == "x"
        with pytest.raises(DiskHasData):
            await client.fill_disk(DISK, tree, "/image.raw", "y")
        assert (await client.list_disks())[0].image == "x"
    assert host.copies == 1


async def test_an_image_that_cannot_be_is_refused_and_the_disk_stays_blank(tmp_path: Path, tree: Path):
    (tree / "link").symlink_to("/etc/passwd")
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DISK, MiB(1)))
        for source in ("/nothing", "link", "../tree/image.raw/x"):
            with pytest.raises(BadImage):
                await client.fill_disk(DISK, tree, source, "x")
        (tree / "big").write_bytes(bytes(MiB(1) + 1))
        with pytest.raises(ImageTooLarge):
            await client.fill_disk(DISK, tree, "big", "x")
        assert (await client.fill_disk(DISK, tree, "image.raw", "x")).image == "x"


async def test_two_callers_wait_for_one_copy_and_another_image_is_refused(tmp_path: Path, tree: Path):
    host = FakeHost()
    host.gate = asyncio.Event()
    async with storaged(tmp_path, host) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
        first = asyncio.create_task(client.fill_disk(DISK, tree, "image.raw", "x"))
        await _until(lambda: asyncio.sleep(0, host.disks["/dev/sda"].parts), bool)
        second = asyncio.create_task(client.fill_disk(DISK, tree, "image.raw", "x"))
        with pytest.raises(DiskHasData, match="image x, which is being copied"):
            await client.fill_disk(DISK, tree, "image.raw", "y")
        first.cancel()
        await client.ensure_disk(Disk(DISK, GiB(2)))
        host.gate.set()
        filled = await second
        assert (filled.image, filled.size) == ("x", GiB(2))
    assert host.copies == 1


async def test_a_drop_ends_the_copy_and_a_stop_leaves_the_disk_blank(tmp_path: Path, tree: Path):
    host = FakeHost()
    host.gate = asyncio.Event()
    async with storaged(tmp_path, host) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
        copying = asyncio.create_task(client.fill_disk(DISK, tree, "image.raw", "x"))
        await _until(lambda: asyncio.sleep(0, host.disks["/dev/sda"].parts), bool)
        await client.drop_disk(DISK, CANCELLED)
        with pytest.raises(FillStopped):
            await copying
        await client.ensure_disk(Disk(DISK, GiB(1)))
        copying = asyncio.create_task(client.fill_disk(DISK, tree, "image.raw", "x"))
        await _until(lambda: asyncio.sleep(0, host.disks["/dev/sda"].parts), bool)
    await asyncio.wait((copying,))
    assert copying.cancelled() or isinstance(copying.exception(), ZosError)
    host.gate = None
    async with storaged(tmp_path, host) as client:
        assert host.disks["/dev/sda"].parts == {}, "cut off, so thrown away"
        assert (await client.list_disks())[0].image is None
        assert (await client.fill_disk(DISK, tree, "image.raw", "x")).image == "x"


# Formatting


async def test_a_device_is_formatted_once_and_only_when_blank(tmp_path: Path):
    host = FakeHost()
    host.broken = FormatDevice
    async with storaged(tmp_path, host) as client:
        (pool,) = await client.list_pools()
        assert (pool.state, "could not format" in pool.detail) == (PoolState.BROKEN, True)
    host.broken = None
    async with storaged(tmp_path, host) as client:
        (again,) = await client.list_pools()
        assert (again.name, again.state) == (pool.name, PoolState.READY), "under the label that was decided first"
    assert sum(isinstance(step, FormatDevice) for step in host.steps) == 1


async def test_siblings_reach_it_by_the_bus(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()), Bus(tmp_path / "run") as bus:
        assert len(await StoragedClient(bus).list_pools()) == 1


def test_ledgers_of_version_1_are_read(tmp_path: Path):
    proof = json.loads((Path(__file__).parent / "ledger/v1.json").read_text())
    for name, record in proof.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(record))
    pool = "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11"
    assert Ledger(tmp_path / "wishes", StorageRecord).get(f"disk:{DISK}") == StorageRecord(
        Kind.DISK, DISK, GiB(1), pool, True
    )
    assert Ledger(tmp_path / "tombstones", TombstoneRecord).get("volume:26-7-shared@1700000000") == TombstoneRecord(
        Kind.VOLUME, VOLUME, MiB(1), pool, 1700000000.5, 1701209600.5, CANCELLED, Phase.KEPT, 16384
    )
    assert Ledger(tmp_path / "pools", PoolRecord).get(pool) == PoolRecord("/dev/sda", GiB(100), PoolKind.SSD, True)
