"""Disks that are filled with an image or a file system."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zos.errors import ZosError
from zos.model.units import GiB, MiB
from zos.storaged.api import (
    BadImage,
    Disk,
    DiskHasData,
    FillStopped,
    ImageTooLarge,
    NoSuchDisk,
    PoolState,
)
from zos.storaged.fake import FakeHost
from zos.storaged.steps import (
    FormatDevice,
)
from zos.storaged.tests.world import CANCELLED, DISK, storaged, until


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
        await until(lambda: asyncio.sleep(0, host.disks["/dev/sda"].parts), bool)
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
        await until(lambda: asyncio.sleep(0, host.disks["/dev/sda"].parts), bool)
        await client.drop_disk(DISK, CANCELLED)
        with pytest.raises(FillStopped):
            await copying
        await client.ensure_disk(Disk(DISK, GiB(1)))
        copying = asyncio.create_task(client.fill_disk(DISK, tree, "image.raw", "x"))
        await until(lambda: asyncio.sleep(0, host.disks["/dev/sda"].parts), bool)
    await asyncio.wait((copying,))
    assert copying.cancelled() or isinstance(copying.exception(), ZosError)
    host.gate = None
    async with storaged(tmp_path, host) as client:
        assert host.disks["/dev/sda"].parts == {}, "cut off, so thrown away"
        assert (await client.list_disks())[0].image is None
        assert (await client.fill_disk(DISK, tree, "image.raw", "x")).image == "x"


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
