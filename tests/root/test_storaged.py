"""storaged on real btrfs, on loop files that nobody else has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import stat
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import Node, sh
from netns import until

from zos.bus import Unreachable
from zos.model.units import GiB, MiB
from zos.storaged.api import (
    BadImage,
    Disk,
    DiskFull,
    DiskHasData,
    DiskId,
    DiskShrink,
    Evidence,
    EvidenceKind,
    ImageTooLarge,
    Pool,
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

UPDATED = Evidence(EvidenceKind.SIGNED_UPDATE, 7, 1234, "version 1 has none of it")
DISK, VOLUME = DiskId("26-7-data"), VolumeId("26-7-shared")


@pytest.fixture
async def node(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    made = Node(tmp_path)
    try:
        yield made
    except BaseException:
        sys.stderr.write(made.said())
        raise
    finally:
        await made.bus.close()
        made.end()


def world(pool: Path) -> dict[str, tuple[int, int]]:
    """Inode and size of all that a pool holds."""
    found = {}
    for path in sorted(pool.rglob("*")):
        seen = path.lstat()
        found[str(path.relative_to(pool))] = (seen.st_ino, seen.st_size if path.is_file() else 0)
    return found


async def the_pool(client: StoragedClient) -> Pool:
    (pool,) = await client.list_pools()
    return pool


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
        await client.ensure_disk(Disk(DISK, free * 2))
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

    await _until(state, PoolState.MISSING)
    with pytest.raises(PoolGone, match=f"disk {lost.id} is on pool {lost.pool}, which is missing"):
        await client.ensure_disk(Disk(lost.id, lost.size))
    listed = {disk.id: disk.detail for disk in await client.list_disks()}
    assert listed[lost.id] == "its pool is missing"
    assert sorted(listed.values())[0] == ""
    assert (await client.ensure_disk(Disk(DiskId("26-7-d3"), MiB(50)))).pool != lost.pool
    await client.drop_disk(lost.id, UPDATED)
    node.attach(gone)
    await _until(state, PoolState.READY)
    await _until(lambda: _used(client), {lost.id})


async def _used(client: StoragedClient) -> set[str]:
    pools = {tombstone.pool for tombstone in await client.list_tombstones()}
    tombstones = {tombstone.id for tombstone in await client.list_tombstones()}
    folders = [Path(disk.path).parents[2] for disk in await client.list_disks()]
    on_disk = {path.name for pool in pools for path in (folders[0] / pool / "tombstones").iterdir()}
    return {id for id in tombstones if any(f"disk:{id}@" in name for name in on_disk)}


async def _until(ask: object, answer: object, deadline: float = 30.0) -> None:
    assert callable(ask)
    async with asyncio.timeout(deadline):
        while await ask() != answer:
            await asyncio.sleep(0.05)


async def test_an_image_is_copied_sparse_out_of_a_strangers_tree(node: Node):
    client = await node.up(node.disk("a"))
    tree = node.folder / "tree"
    (tree / "boot").mkdir(parents=True)
    content = os.urandom(MiB(1)) + bytes(MiB(20)) + os.urandom(100_001)
    (tree / "boot/real.img").write_bytes(content)
    (tree / "image.raw").symlink_to("/boot/real.img")
    disk = await client.ensure_disk(Disk(DISK, MiB(100)))
    filled = await client.fill_disk(DISK, tree, "/image.raw", "blake2b-1")
    assert (filled.path, filled.size, filled.image) == (disk.path, MiB(100), "blake2b-1")
    assert filled.path.read_bytes() == content + bytes(MiB(100) - len(content))
    assert MiB(1) < filled.used < MiB(2)
    assert "C" in sh("lsattr", filled.path).split()[0]
    inode = filled.path.stat().st_ino
    with filled.path.open("r+b") as guest:
        guest.write(b"written by the guest")
    again = await client.fill_disk(DISK, tree, "/image.raw", "blake2b-1")
    assert again.path.stat().st_ino == inode
    assert filled.path.read_bytes()[:20] == b"written by the guest"
    with pytest.raises(DiskHasData, match="holds image blake2b-1"):
        await client.fill_disk(DISK, tree, "/image.raw", "blake2b-2")


async def test_no_image_leads_to_a_file_of_the_host_or_does_not_fit(node: Node):
    client = await node.up(node.disk("a"))
    disk = await client.ensure_disk(Disk(DISK, MiB(10)))
    tree = node.folder / "tree"
    tree.mkdir()
    (node.folder / "secret").write_text("the host's")
    (tree / "image.raw").symlink_to(node.folder / "secret")
    (tree / "up").symlink_to("../secret")
    os.mkfifo(tree / "pipe")
    os.mknod(tree / "device", 0o600 | stat.S_IFBLK, os.stat(node.loops[node.folder / "a"]).st_rdev)
    (tree / "empty").touch()
    (tree / "big").touch()
    os.truncate(tree / "big", MiB(11))
    for source in ("/image.raw", "up", "pipe", "device", "empty", "nothing", "../secret"):
        with pytest.raises(BadImage):
            await client.fill_disk(DISK, tree, source, "x")
    with pytest.raises(ImageTooLarge, match="the image has 11 MiB, disk 26-7-data only 10 MiB"):
        await client.fill_disk(DISK, tree, "big", "x")
    assert disk.path.stat().st_blocks == 0
    disk.path.write_bytes(b"a guest formatted it")
    os.truncate(disk.path, MiB(10))
    (tree / "small").write_bytes(b"x")
    with pytest.raises(DiskHasData, match="holds data"):
        await client.fill_disk(DISK, tree, "small", "x")


async def test_a_copy_that_is_killed_leaves_the_disk_blank_and_is_done_again(node: Node):
    file = node.disk("a", GiB(4))
    client = await node.up(file)
    disk = await client.ensure_disk(Disk(DISK, MiB(700)))
    tree = node.folder / "tree"
    tree.mkdir()
    block = os.urandom(MiB(1))
    with (tree / "image.raw").open("wb") as image:
        for _ in range(400):
            image.write(block)
    asking = asyncio.create_task(client.fill_disk(DISK, tree, "image.raw", "x"))
    part = disk.path.with_name(f".part-{DISK}.0")
    async with asyncio.timeout(20):
        while not (part.exists() and part.stat().st_blocks):
            await asyncio.sleep(0.001)
    node.kill()
    with pytest.raises(Unreachable):
        await asking
    assert disk.path.stat().st_blocks == 0
    client = await node.up(file)
    assert not part.exists()
    assert (await client.list_disks())[0].image is None
    filled = await client.fill_disk(DISK, tree, "image.raw", "x")
    assert filled.image == "x"
    assert filled.path.read_bytes() == (tree / "image.raw").read_bytes() + bytes(MiB(300))


async def test_what_is_dropped_is_kept_read_only_and_comes_back_whole(node: Node):
    client = await node.up(node.disk("a"))
    disk = await client.ensure_disk(Disk(DISK, MiB(50)))
    volume = await client.ensure_volume(Volume(VOLUME, MiB(50)))
    disk.path.write_bytes(b"tenant" + bytes(MiB(50) - 6))
    (volume.path / "f").write_text("tenant")
    await client.drop_disk(DISK, UPDATED)
    await client.drop_volume(VOLUME, UPDATED)
    await client.drop_volume(VOLUME, UPDATED)
    assert (await client.list_disks(), await client.list_volumes()) == ((), ())
    assert not disk.path.exists()
    assert not volume.path.exists()
    tombstones = node.folder / "mnt" / disk.pool / "tombstones"
    first, second = await client.list_tombstones()
    assert (first.evidence, first.size, second.size) == (UPDATED, MiB(50), MiB(50))
    with pytest.raises(OSError, match="Read-only"):
        (tombstones / second.key / "f").write_text("changed")
    assert stat.S_IMODE((tombstones / first.key).stat().st_mode) == 0o400
    # The same name may live again meanwhile; both are kept in the end.
    again = await client.ensure_volume(Volume(VOLUME, MiB(20)))
    assert list(again.path.iterdir()) == []
    with pytest.raises(Exception, match="there is a volume 26-7-shared already"):
        await client.undelete(VOLUME)
    await client.drop_volume(VOLUME, UPDATED)
    assert len(await client.list_tombstones()) == 3
    await client.undelete(DISK)
    await client.undelete(second.key)
    assert disk.path.read_bytes()[:6] == b"tenant"
    assert (volume.path / "f").read_text() == "tenant"
    (volume.path / "f").write_text("writable again")
    assert (await client.ensure_disk(Disk(DISK, MiB(50)))).path == disk.path
    assert (await client.ensure_volume(Volume(VOLUME, MiB(50)))).size == MiB(50)


async def test_a_tombstone_is_erased_when_its_time_has_come(node: Node):
    node.config = "every = 0.1\nttl = 1.0"
    client = await node.up(node.disk("a"))
    disk = await client.ensure_disk(Disk(DISK, MiB(50)))
    await client.ensure_volume(Volume(VOLUME, MiB(50)))
    await client.drop_disk(DISK, UPDATED)
    await client.drop_volume(VOLUME, UPDATED)
    tombstones = node.folder / "mnt" / disk.pool / "tombstones"
    assert len(list(tombstones.iterdir())) == 2
    await _until(client.list_tombstones, ())
    await asyncio.to_thread(until, lambda: list(tombstones.iterdir()) == [])


async def test_an_unknown_disk_on_a_pool_is_kept_counted_and_taken_over_when_asked_for(node: Node):
    file = node.disk("a")
    client = await node.up(file)
    disk = await client.ensure_disk(Disk(DISK, MiB(50)))
    disk.path.write_bytes(b"tenant" + bytes(MiB(50) - 6))
    promised = (await the_pool(client)).promised
    node.kill()
    shutil.rmtree(node.folder / "state")
    client = await node.up(file)
    pool = await the_pool(client)
    assert (pool.promised, pool.detail) == (promised, "1 of its disks and volumes have no record here and are kept")
    assert await client.list_disks() == ()
    adopted = await client.ensure_disk(Disk(DISK, MiB(60)))
    assert (adopted.path, adopted.path.read_bytes()[:6]) == (disk.path, b"tenant")


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


async def test_kills_in_the_middle_of_everything_lose_nothing_that_was_promised(node: Node):
    node.config = "every = 0.1"
    file = node.disk("a")
    living: dict[str, int] = {}
    dropped: set[str] = set()
    chance = random.Random(4711)

    async def work(client: StoragedClient, number: int) -> None:
        id = DiskId(f"26-7-d{number}")
        volume = VolumeId(f"26-7-v{number}")
        with contextlib.suppress(Unreachable):
            disk = await client.ensure_disk(Disk(id, MiB(1)))
            with disk.path.open("r+b") as guest:
                guest.write(id.encode())
            living[id] = MiB(1)
            await client.ensure_volume(Volume(volume, MiB(1)))
            living[id] = (await client.ensure_disk(Disk(id, MiB(2)))).size
            if number % 2:
                living.pop(id)
                dropped.add(id)
                await client.drop_disk(id, UPDATED)
                await client.drop_volume(volume, UPDATED)
                if number % 4 == 1:
                    await client.undelete(id)
                    dropped.discard(id)
                    living[id] = MiB(2)

    for turn in range(6):
        client = await node.up(file)
        tasks = [asyncio.create_task(work(client, 100 * turn + number)) for number in range(12)]
        await asyncio.sleep(chance.uniform(0.02, 0.15))
        node.kill()
        await asyncio.gather(*tasks)
    client = await node.up(file)
    disks = {disk.id: disk for disk in await client.list_disks()}
    tombstones = {tombstone.id: tombstone for tombstone in await client.list_tombstones()}
    pool = await the_pool(client)
    assert (pool.state, pool.detail) == (PoolState.READY, ""), "no strays, no errors"
    assert [disk.detail for disk in disks.values() if disk.detail] == []
    for id, size in living.items():
        assert disks[DiskId(id)].size >= size
        assert disks[DiskId(id)].path.read_bytes()[: len(id)] == id.encode()
    for id in dropped:
        # The kill may have come before the drop or after the undelete was written down; never is it nowhere.
        if id in tombstones:
            path = node.folder / "mnt" / pool.name / "tombstones" / tombstones[id].key
        else:
            path = disks[DiskId(id)].path
        assert path.read_bytes()[: len(id)] == id.encode()


@pytest.fixture(autouse=True)
def _leaves_no_loop_behind(tmp_path: Path) -> Iterator[None]:
    yield
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    # The kernel lets a loop device go when the file system above it has written its last.
    until(lambda: str(tmp_path) not in sh("losetup", "--list", "--noheadings", "--output", "BACK-FILE"))
