"""What is filled, dropped, left behind or cut off on real btrfs: nothing that was promised is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import DISK, UPDATED, VOLUME, Node, answers, node_below, sh, the_pool
from netns import until

from zos.bus import Unreachable
from zos.model.units import GiB, MiB
from zos.storaged.api import (
    BadImage,
    Disk,
    DiskHasData,
    DiskId,
    ImageTooLarge,
    PoolState,
    StoragedClient,
    Volume,
    VolumeId,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with node_below(tmp_path) as made:
        yield made


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
    await answers(client.list_tombstones, ())
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
