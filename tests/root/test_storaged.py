"""storaged on real btrfs, on loop files that nobody else has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import DISK, UPDATED, VOLUME, Node, answers, node_below, sh, the_pool

from zos.flist.policy import StorePolicy
from zos.flistd.host.library import Library
from zos.flistd.host.room import volume
from zos.model.units import Bytes, GiB, MiB
from zos.storaged.api import (
    Disk,
    DiskFull,
    DiskId,
    DiskShrink,
    PoolFull,
    PoolGone,
    PoolKind,
    PoolState,
    StoragedClient,
    Volume,
    VolumeId,
    VolumeShrink,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with node_below(tmp_path) as made:
        yield made


def world(pool: Path) -> dict[str, tuple[int, int]]:
    """Inode and size of all that a pool holds."""
    found = {}
    for path in sorted(pool.rglob("*")):
        seen = path.lstat()
        found[str(path.relative_to(pool))] = (seen.st_ino, seen.st_size if path.is_file() else 0)
    return found


async def test_a_blank_disk_becomes_a_pool_with_the_cache_on_it(node: Node):
    client = await node.up(node.disk("a"))
    pool = await the_pool(client)
    assert (pool.state, pool.detail, pool.size, pool.device) == (
        PoolState.READY,
        "",
        GiB(3),
        node.loops[node.folder / "a"],
    )
    assert 0 < pool.promised == pool.system < pool.usable < pool.size
    cache = await client.cache()
    assert (cache.path, cache.size, cache.pool) == (node.folder / "cache", pool.system, pool.name)
    (cache.path / "block").write_bytes(b"x")
    assert (node.folder / "mnt" / pool.name / "zos-cache/block").exists()
    # flistd, who fills it, sees its limit and not the disk.
    assert volume(cache.path)[0] == cache.size
    assert Library(cache.path, StorePolicy()).room() == cache.size * 4 // 5
    options = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/mnt/{pool.name} " in line]
    assert all(word in options[0] for word in ("noatime", "nosuid", "nodev"))


async def test_the_first_disk_is_there_within_50_ms(node: Node):
    client = await node.up(node.disk("a"))
    took = []
    for number in range(5):
        before = time.monotonic()
        await client.ensure_disk(Disk(DiskId(f"d{number}"), MiB(10)))
        await client.ensure_volume(Volume(VolumeId(f"v{number}"), MiB(10)))
        took.append((time.monotonic() - before) / 2)
    print(f"ensure: best {min(took) * 1000:.1f} ms, worst {max(took) * 1000:.1f} ms")
    assert min(took) < 0.05


async def test_a_disk_is_raw_sparse_and_not_copied_on_write(node: Node):
    client = await node.up(node.disk("a"))
    info = await client.ensure_disk(Disk(DISK, GiB(1)))
    seen = info.path.stat()
    assert (seen.st_size, seen.st_blocks, stat.S_IMODE(seen.st_mode)) == (GiB(1), 0, 0o600)
    assert "C" in sh("lsattr", info.path).split()[0]
    assert (info.image, info.used, info.detail) == (None, 0, "")
    assert await client.ensure_disk(Disk(DISK, GiB(1))) == info
    assert (await the_pool(client)).promised - (await the_pool(client)).system == GiB(1)


async def test_a_disk_grows_in_place_and_never_shrinks(node: Node):
    client = await node.up(node.disk("a"))
    info = await client.ensure_disk(Disk(DISK, MiB(100)))
    with info.path.open("r+b") as guest:
        guest.write(b"data")
        grown = await client.ensure_disk(Disk(DISK, MiB(200)))
        assert os.fstat(guest.fileno()).st_size == grown.size == MiB(200)
    assert grown.path.read_bytes()[:4] == b"data"
    with pytest.raises(DiskShrink, match="has 200 MiB and cannot shrink to 100 MiB"):
        await client.ensure_disk(Disk(DISK, MiB(100)))
    assert [disk.size for disk in await client.list_disks()] == [MiB(200)]


async def test_a_volume_holds_no_more_than_its_size_and_its_neighbour_still_writes(node: Node):
    client = await node.up(node.disk("a"))
    info = await client.ensure_volume(Volume(VOLUME, MiB(8)))
    other = await client.ensure_volume(Volume(VolumeId("other"), MiB(32)))
    assert stat.S_IMODE(info.path.stat().st_mode) == 0o755
    with pytest.raises(OSError, match="quota"):
        _write(info.path / "f", MiB(16))
    _write(other.path / "f", MiB(16))
    assert (await client.ensure_volume(Volume(VOLUME, MiB(24)))).size == MiB(24)
    _write(info.path / "f", MiB(16))
    (first, second) = await client.list_volumes()
    # Usage follows with the next commit of the file system.
    assert MiB(8) < first.used <= MiB(24)
    assert MiB(8) < second.used <= MiB(32)
    with pytest.raises(VolumeShrink):
        await client.ensure_volume(Volume(VOLUME, MiB(8)))


def _write(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MiB(1)):
            file.write(os.urandom(MiB(1)))
            file.flush()
            os.fsync(file.fileno())


async def test_more_than_the_pool_can_promise_is_refused_although_nothing_is_used(node: Node):
    client = await node.up(node.disk("a"))
    pool = await the_pool(client)
    free = pool.usable - pool.promised
    await client.ensure_disk(Disk(DISK, MiB(free // MiB(1) - 1)))
    with pytest.raises(PoolFull, match="no ssd pool has 100 MiB left; the most that one pool has left is"):
        await client.ensure_disk(Disk(DiskId("more"), MiB(100)))
    with pytest.raises(PoolFull):
        await client.ensure_volume(Volume(VOLUME, MiB(100)))
    with pytest.raises(PoolFull):
        await client.ensure_disk(Disk(DISK, Bytes(free * 2)))
    assert [disk.id for disk in await client.list_disks()] == [DISK]


async def test_a_full_file_system_is_an_error_of_one_and_others_live(node: Node):
    # The cache gets no volume here, so that the pool can be filled behind storaged's back.
    client = await node.up(node.disk("a", MiB(512)))
    volume = await client.ensure_volume(Volume(VOLUME, MiB(10)))
    disk = await client.ensure_disk(Disk(DISK, MiB(60)))
    pool = await the_pool(client)
    stuffing = node.folder / "mnt" / pool.name / "stuffing"
    with contextlib.suppress(OSError):
        _write(stuffing, GiB(1))
    tree = node.folder / "tree"
    tree.mkdir()
    _write(tree / "image.raw", MiB(50))
    with pytest.raises(DiskFull, match="has no space left to copy image"):
        await client.fill_disk(DISK, tree, "/image.raw", "abc")
    assert [v.id for v in await client.list_volumes()] == [VOLUME]
    assert [p.name for p in disk.path.parent.iterdir()] == [DISK]
    stuffing.unlink()
    os.sync()
    assert (await client.fill_disk(DISK, tree, "/image.raw", "abc")).image == "abc"
    assert volume.path.is_dir()


async def test_a_restart_touches_nothing_and_a_reboot_finds_everything_by_its_label(node: Node):
    files = [node.disk("a"), node.disk("b")]
    client = await node.up(*files)
    disk = await client.ensure_disk(Disk(DISK, MiB(50)))
    volume = await client.ensure_volume(Volume(VOLUME, MiB(50)))
    disk.path.write_bytes(b"tenant" + bytes(MiB(50) - 6))
    (volume.path / "f").write_text("tenant")
    pools = {pool.name: pool for pool in await client.list_pools()}
    held = (node.folder / "cache").stat().st_ino, world(node.folder / "mnt")
    node.kill()
    client = await node.up(*files)
    assert held == ((node.folder / "cache").stat().st_ino, world(node.folder / "mnt"))
    assert [d.path for d in await client.list_disks()] == [disk.path]

    node.kill(signal.SIGTERM)
    node.unmount()
    for file in files:
        node.detach(file)
    for file in reversed(files):
        node.attach(file)  # so that the numbers are exchanged
    client = await node.up(*files)
    assert {pool.name for pool in await client.list_pools()} == set(pools)
    assert disk.path.read_bytes()[:6] == b"tenant"
    assert (volume.path / "f").read_text() == "tenant"
    assert (await client.list_disks())[0].detail == ""
    assert (await client.list_volumes())[0].size == MiB(50)
    assert "ERROR" not in node.said()


async def test_a_kill_at_any_moment_of_the_first_start_leaves_one_working_pool(node: Node):
    file = node.disk("a")
    for delay in (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7):
        node.start(file)
        await asyncio.sleep(delay)
        node.kill()
    client = await node.up(file)
    pool = await the_pool(client)
    assert (pool.state, pool.detail) == (PoolState.READY, "")
    assert (await client.ensure_disk(Disk(DISK, MiB(10)))).detail == ""


async def test_a_file_system_whose_making_was_cut_off_is_made_again_only_when_it_was_ours(node: Node):
    ours, theirs = node.disk("a"), node.disk("b")
    client = await node.up(ours)
    label = (await the_pool(client)).name
    node.kill()
    node.unmount()
    sh("mkfs.btrfs", "-q", "-L", "11111111-1111-4111-8111-111111111111", node.loops[theirs])
    for device in (node.loops[ours], node.loops[theirs]):
        # mkfs writes this magic first and the real one at its very end.
        with open(device, "r+b") as raw:
            raw.seek(64 * 1024 + 0x40)
            raw.write(b"!BHRfS_M")
            raw.flush()
            os.fsync(raw.fileno())
    record = node.folder / "state/storaged/pools" / f"{label}.json"
    record.write_text(record.read_text().replace('"made": true', '"made": false'))
    client = await node.up(ours, theirs)
    states = {pool.device: (pool.name, pool.state) for pool in await client.list_pools()}
    assert states == {
        node.loops[ours]: (label, PoolState.READY),
        node.loops[theirs]: ("", PoolState.FOREIGN),
    }


@pytest.mark.parametrize("content", ["ext4", "btrfs", "start", "end", "partitions", "mounted"])
async def test_a_device_that_holds_anything_is_left_as_it_is(node: Node, content: str):
    file = node.disk("a", MiB(300))
    device = node.loops[file]
    match content:
        case "ext4":
            sh("mkfs.ext4", "-q", device)
        case "btrfs":
            sh("mkfs.btrfs", "-q", "-L", "family-photos", device)
        case "partitions":
            with open(device, "r+b") as raw:
                raw.seek(446)
                raw.write(bytes((0, 0, 0, 0, 0x83, 0, 0, 0)) + struct.pack("<II", 2048, 4096) + bytes(48) + b"\x55\xaa")
        case "mounted":
            sh("mkfs.ext4", "-q", device)
            (node.folder / "elsewhere").mkdir()
            sh("mount", device, node.folder / "elsewhere")
        case _:
            with open(device, "r+b") as raw:
                raw.seek(MiB(1) - 1 if content == "start" else MiB(300) - 1)
                raw.write(b"x")
    os.sync()
    before = sh("sha256sum", device)
    client = await node.up(file)
    pool = await the_pool(client)
    assert (pool.name, pool.state, pool.usable, bool(pool.detail)) == ("", PoolState.FOREIGN, 0, True)
    if content != "mounted":
        assert sh("sha256sum", device) == before
    with pytest.raises(Exception, match="this node has no usable ssd pool"):
        await client.ensure_disk(Disk(DISK, MiB(10)))


async def test_a_pool_that_vanishes_says_so_and_its_records_stay_until_it_is_back(node: Node):
    node.config = "every = 0.2"
    gone, stays = node.disk("a"), node.disk("b")
    client = await node.up(gone, stays)
    first = await client.ensure_disk(Disk(DiskId("26-7-d1"), MiB(900)))
    second = await client.ensure_disk(Disk(DiskId("26-7-d2"), MiB(50)))
    assert {first.pool, second.pool} == {pool.name for pool in await client.list_pools()}, "the load spreads"
    devices = {pool.name: pool.device for pool in await client.list_pools()}
    (lost,) = [disk for disk in (first, second) if devices[disk.pool] == node.loops[gone]]
    cache = await client.cache()
    if cache.pool == lost.pool:
        sh("umount", cache.path)
    sh("umount", node.folder / "mnt" / lost.pool)
    node.detach(gone)

    async def state() -> PoolState:
        return next(pool.state for pool in await client.list_pools() if pool.name == lost.pool)

    await answers(state, PoolState.MISSING)
    with pytest.raises(PoolGone, match=f"disk {lost.id} is on pool {lost.pool}, which is missing"):
        await client.ensure_disk(Disk(lost.id, lost.size))
    listed = {disk.id: disk.detail for disk in await client.list_disks()}
    assert listed[lost.id] == "its pool is missing"
    assert sorted(listed.values())[0] == ""
    assert (await client.ensure_disk(Disk(DiskId("26-7-d3"), MiB(50)))).pool != lost.pool
    await client.drop_disk(lost.id, UPDATED)
    node.attach(gone)
    await answers(state, PoolState.READY)
    await answers(lambda: _used(client), {lost.id})


async def _used(client: StoragedClient) -> set[str]:
    pools = {tombstone.pool for tombstone in await client.list_tombstones()}
    tombstones = {tombstone.id for tombstone in await client.list_tombstones()}
    folders = [Path(disk.path).parents[2] for disk in await client.list_disks()]
    on_disk = {path.name for pool in pools for path in (folders[0] / pool / "tombstones").iterdir()}
    return {id for id in tombstones if any(f"disk:{id}@" in name for name in on_disk)}


async def test_a_configured_kind_wins_over_what_is_measured(node: Node):
    file = node.disk("a")
    node.config = f'hdd = ["{file}"]'
    client = await node.up(file)
    pool = await the_pool(client)
    assert pool.kind is PoolKind.HDD
    with pytest.raises(Exception, match="this node has no usable ssd pool; it has only hard disks"):
        await client.ensure_disk(Disk(DISK, MiB(10)))


async def test_only_the_configured_devices_are_looked_at(node: Node):
    mine, other = node.disk("a"), node.disk("b")
    client = await node.up(node.loops[mine])
    assert [pool.device for pool in await client.list_pools()] == [node.loops[mine]]
    assert other.stat().st_blocks == 0


async def test_a_hundred_volumes_later_one_more_takes_as_long(node: Node):
    client = await node.up(node.disk("a"))
    await asyncio.gather(*(client.ensure_volume(Volume(VolumeId(f"v{n}"), MiB(1))) for n in range(100)))
    took = []
    for number in range(5):
        before = time.monotonic()
        await client.ensure_volume(Volume(VolumeId(f"w{number}"), MiB(1)))
        took.append(time.monotonic() - before)
    before = time.monotonic()
    assert len(await client.list_volumes()) == 105
    print(f"the 101st volume: {min(took) * 1000:.1f} ms; listing: {(time.monotonic() - before) * 1000:.1f} ms")
    assert min(took) < 0.05
