"""The fake host keeps the real one's promise: the same claims, asked of both through the API."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import Node

from zos.model.units import GiB, MiB
from zos.runtime.testing import running
from zos.storaged.api import (
    AlreadyThere,
    BadId,
    BadImage,
    BadSize,
    Disk,
    DiskHasData,
    DiskId,
    DiskShrink,
    Evidence,
    EvidenceKind,
    ImageTooLarge,
    NoEvidence,
    NoSuchDisk,
    NoSuchTombstone,
    PoolFull,
    PoolKind,
    PoolState,
    StoragedClient,
    Volume,
    VolumeId,
    VolumeShrink,
)
from zos.storaged.daemon import Config, Storaged
from zos.storaged.fake import FakeDevice, FakeHost

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

EVIDENCE = Evidence(EvidenceKind.SIGNED_UPDATE, 7, 1234)
DISK, VOLUME = DiskId("26-7-data"), VolumeId("26-7-shared")


@contextlib.asynccontextmanager
async def real(folder: Path) -> AsyncIterator[StoragedClient]:
    node = Node(folder)
    try:
        yield await node.up(node.disk("a"), node.disk("b"))
    except BaseException:
        sys.stderr.write(node.said())
        raise
    finally:
        await node.bus.close()
        node.end()


@contextlib.asynccontextmanager
async def fake(folder: Path) -> AsyncIterator[StoragedClient]:
    host = FakeHost(FakeDevice("/dev/a", GiB(3)), FakeDevice("/dev/b", GiB(3)))
    config = Config(mounts=folder / "mnt", cache=folder / "cache")
    async with running(Storaged, folder, host=host, config=config) as rt:
        yield StoragedClient(rt.bus)


@pytest.fixture(params=["fake", "real"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoragedClient]:
    async with fake(tmp_path) if request.param == "fake" else real(tmp_path) as client:
        yield client


async def test_two_blank_devices_are_two_pools_and_one_carries_the_cache(client: StoragedClient, tmp_path: Path):
    pools = await client.list_pools()
    assert [(pool.state, pool.detail, pool.kind) for pool in pools] == [(PoolState.READY, "", PoolKind.SSD)] * 2
    assert sorted(bool(pool.system) for pool in pools) == [False, True]
    cache = await client.cache()
    assert (cache.path, cache.size) == (tmp_path / "cache", max(pool.system for pool in pools))


async def test_a_disk_stands_as_it_was_asked_for_and_grows(client: StoragedClient, tmp_path: Path):
    info = await client.ensure_disk(Disk(DISK, MiB(10)))
    assert info.path == tmp_path / "mnt" / info.pool / "vdisks" / DISK
    assert (info.size, info.used, info.image, info.detail) == (MiB(10), 0, None, "")
    assert await client.ensure_disk(Disk(DISK, MiB(10))) == info
    assert (await client.ensure_disk(Disk(DISK, MiB(20)))).size == MiB(20)
    with pytest.raises(DiskShrink):
        await client.ensure_disk(Disk(DISK, MiB(10)))
    assert [disk.size for disk in await client.list_disks()] == [MiB(20)]


async def test_a_volume_stands_as_it_was_asked_for_and_grows(client: StoragedClient, tmp_path: Path):
    info = await client.ensure_volume(Volume(VOLUME, MiB(10)))
    assert info.path == tmp_path / "mnt" / info.pool / "volumes" / VOLUME
    assert (info.size, info.detail) == (MiB(10), "")
    assert (await client.ensure_volume(Volume(VOLUME, MiB(20)))).size == MiB(20)
    with pytest.raises(VolumeShrink):
        await client.ensure_volume(Volume(VOLUME, MiB(10)))
    assert [volume.size for volume in await client.list_volumes()] == [MiB(20)]


async def test_what_cannot_be_is_refused_and_leaves_nothing(client: StoragedClient):
    for disk, refusal in (
        (Disk(DISK, GiB(0)), BadSize),
        (Disk(DISK, GiB(4)), PoolFull),
        (Disk(DiskId("../x"), GiB(1)), BadId),
        (Disk(DiskId("zos-cache"), GiB(1)), BadId),
    ):
        with pytest.raises(refusal):
            await client.ensure_disk(disk)
    assert await client.list_disks() == ()


async def test_a_tombstone_holds_what_was_dropped_until_it_is_brought_back(client: StoragedClient):
    info = await client.ensure_disk(Disk(DISK, MiB(10)))
    await client.ensure_volume(Volume(VOLUME, MiB(10)))
    with pytest.raises(NoEvidence):
        await client.drop_disk(DISK, Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 0))
    await client.drop_disk(DISK, EVIDENCE)
    await client.drop_volume(VOLUME, EVIDENCE)
    await client.drop_disk(DiskId("26-7-never-seen"), EVIDENCE)
    assert {(t.id, t.size, t.evidence) for t in await client.list_tombstones()} == {
        (DISK, MiB(10), EVIDENCE),
        (VOLUME, MiB(10), EVIDENCE),
    }
    await client.ensure_disk(Disk(DISK, MiB(20)))
    with pytest.raises(AlreadyThere):
        await client.undelete(DISK)
    await client.undelete(VOLUME)
    with pytest.raises(NoSuchTombstone):
        await client.undelete(VOLUME)
    assert [volume.id for volume in await client.list_volumes()] == [VOLUME]
    assert info.pool in {pool.name for pool in await client.list_pools()}


async def test_an_image_fills_a_blank_disk_once(client: StoragedClient, tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "image.raw").write_bytes(b"x" * 70_000)
    (tree / "out").symlink_to("/etc/hostname")
    with pytest.raises(NoSuchDisk):
        await client.fill_disk(DISK, tree, "image.raw", "x")
    await client.ensure_disk(Disk(DISK, MiB(1)))
    with pytest.raises(BadImage):
        await client.fill_disk(DISK, tree, "out", "x")
    with (tree / "big").open("wb") as file:
        file.truncate(MiB(2))
    with pytest.raises(ImageTooLarge):
        await client.fill_disk(DISK, tree, "big", "x")
    filled = await asyncio.gather(*(client.fill_disk(DISK, tree, "image.raw", "x") for _ in range(3)))
    assert {info.image for info in filled} == {"x"}
    with pytest.raises(DiskHasData):
        await client.fill_disk(DISK, tree, "image.raw", "y")
    assert (await client.list_disks())[0].used > 0


async def test_many_requests_at_once_fill_the_pools_and_no_further(client: StoragedClient):
    records = [client.ensure_disk(Disk(DiskId(f"d{number}"), MiB(900))) for number in range(8)]
    answers = await asyncio.gather(*records, return_exceptions=True)
    assert {type(answer).__name__ for answer in answers} == {"DiskInfo", "PoolFull"}
    pools = await client.list_pools()
    assert all(pool.usable - MiB(900) < pool.promised <= pool.usable for pool in pools)
