"""What a guest writes, however it writes, takes no more of a pool than was promised to it."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import DISK, VOLUME, Node, node_below

from zos.model.units import Bytes, GiB, MiB
from zos.storaged.api import Disk, Volume

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

SIZE = MiB(32)
BLOCK = 4096
EXTENT = MiB(1)
PUNCH, ZERO = 0x03, 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with node_below(tmp_path) as made:
        yield made


def taken(pool: Path) -> int:
    os.sync()
    seen = os.statvfs(pool)
    return (seen.f_blocks - seen.f_bfree) * seen.f_frsize


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "buffered"])
async def test_a_disk_takes_no_more_than_its_size_however_it_is_written(node: Node, direct: bool):
    # Data disks are opened past the page cache, the disk that a whole image boots from is not.
    client = await node.up(node.disk("a"))
    disk = await client.ensure_disk(Disk(DISK, SIZE))
    pool, dice = disk.path.parent.parent, random.Random(7)
    before = taken(pool)
    with mmap.mmap(-1, MiB(4)) as data:
        data.write(os.urandom(len(data)))
        file = os.open(disk.path, os.O_RDWR | (os.O_DIRECT if direct else 0))
        try:
            for _ in range(1500):
                size = dice.choice((BLOCK, 2 * BLOCK, 16 * BLOCK, EXTENT, 4 * EXTENT))
                with memoryview(data)[:size] as part:
                    os.pwrite(file, part, dice.randrange((SIZE - size) // BLOCK + 1) * BLOCK)
                if dice.random() < 0.05:
                    os.fsync(file)
        finally:
            os.close(file)
    assert SIZE - MiB(1) <= taken(pool) - before <= SIZE + MiB(2)


def hollow(path: Path, mode: int, rounds: int) -> None:
    """Write extents, and take all of each back but a block, again and again."""
    data, file = os.urandom(EXTENT), os.open(path, os.O_RDWR)
    try:
        for number in range(1, rounds + 1):
            for start in range(0, SIZE, EXTENT):
                os.pwrite(file, data[: EXTENT - number * BLOCK], start + number * BLOCK)
            os.fsync(file)
            for start in range(0, SIZE, EXTENT):
                at = start + (number + 1) * BLOCK
                if _LIBC.fallocate(file, mode, at, start + EXTENT - at):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(file)


@pytest.mark.parametrize("mode", [PUNCH, ZERO], ids=["holes", "zeros"])
async def test_why_no_guest_makes_holes_in_a_disk(node: Node, mode: int):
    """btrfs keeps what a hole was cut out of: if this fails, `NO_HOLES` of vmd is no longer needed."""
    client = await node.up(node.disk("a"))
    disk = await client.ensure_disk(Disk(DISK, SIZE))
    before = taken(disk.path.parent.parent)
    hollow(disk.path, mode, 8)
    assert taken(disk.path.parent.parent) - before > 4 * SIZE
    assert disk.path.stat().st_blocks * 512 <= SIZE, "and says nothing of it"


@pytest.mark.parametrize("mode", [PUNCH, ZERO], ids=["holes", "zeros"])
async def test_a_volume_holds_no_more_than_its_size_whatever_holes_are_made(node: Node, mode: int):
    # A guest makes holes in files of a volume, and of its root's writable layer, through its file server.
    client = await node.up(node.disk("a"))
    volume = await client.ensure_volume(Volume(VOLUME, Bytes(SIZE + MiB(8))))
    pool = volume.path.parent.parent
    before = taken(pool)
    (volume.path / "file").touch()
    os.truncate(volume.path / "file", GiB(1))
    with pytest.raises(OSError, match=r"[Qq]uota|No space"):
        hollow(volume.path / "file", mode, 8)
    assert taken(pool) - before <= SIZE + MiB(24)
