"""Blocks and indexes that flistd keeps: fetched, checked, bounded, and read without a hub."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flnode import A, B, a_source, fl_node, spoil
from netns import eventually

from zos.flist.fl import read
from zos.flist.layout import BLOCK_SIZE
from zos.flistd.api import CacheAway, Mount, MountFailed, MountKind

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


async def test_a_node_boots_its_mounts_with_the_hub_gone(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a", A, here.upper)
        here.node.sh(f"cat {info.path}/big {info.path}/etc/* > /dev/null 2>&1; echo written > {info.path}/mine")
        here.reboot()
        assert here.mounts() == []
        here.stop_hub()
        await here.start()
        await eventually(lambda: len(here.mounts()) == 2)
        root = here.inside(info.path)
        assert (root / "big").read_bytes() == (source / "big").read_bytes()
        assert (root / "mine").read_bytes() == b"written\n"
        assert await here.client.list_mounts() == (info,)
        assert (await here.ensure("a", B)).flist == info.flist, "a new mount of a known URL, too"


async def test_a_bad_block_is_an_error_for_its_reader_only_and_heals(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        built = here.make("a", source)
        flist = read(built.path)
        big = next(node for node in flist.nodes if node.name == b"big")
        bad = flist.blocks[(big.first + 3) * 64 : (big.first + 3) * 64 + 32].hex()
        block = here.folder / "hub/blocks" / bad[:2] / bad
        good = block.read_bytes()
        spoil(block)
        info = await here.ensure("a")
        file = here.inside(info.path) / "big"
        with file.open("rb", buffering=0) as opened:
            assert os.pread(opened.fileno(), 100, 0) == (source / "big").read_bytes()[:100]
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                os.pread(opened.fileno(), 100, BLOCK_SIZE * 3 + 5)
            assert (here.inside(info.path) / "etc/hosts").read_bytes() == b"127.0.0.1 localhost\n"
            assert f"block {bad} is not what the flist says: it was changed" in here.log()
            block.write_bytes(good)
            assert (
                os.pread(opened.fileno(), BLOCK_SIZE, BLOCK_SIZE * 3)
                == ((source / "big").read_bytes()[BLOCK_SIZE * 3 : BLOCK_SIZE * 4])
            )


async def test_a_damaged_copy_of_a_block_is_fetched_again(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a")
        here.node.sh(f"cat {info.path}/big > /dev/null")
        await here.client.drop_mount(A)
        for path in (here.folder / "cache/blocks").glob("??/*"):
            spoil(path)
        info = await here.ensure("a")
        assert (here.inside(info.path) / "big").read_bytes() == (source / "big").read_bytes()
        assert "a damaged block was in the cache" in here.log()


async def test_a_read_waits_for_a_hub_that_comes_back(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a")
        here.stop_hub()
        file = here.inside(info.path) / "big"
        reading = asyncio.create_task(asyncio.to_thread(file.read_bytes))
        await eventually(lambda: "Connection refused" in here.log())
        assert (here.inside(info.path) / "etc/deep").is_dir(), "others are not held up"
        here.start_hub()
        assert await reading == (source / "big").read_bytes()


async def test_a_reader_that_waits_for_a_silent_store_can_be_killed_and_what_is_silent_is_told(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a")
        here.stop_hub()
        # Past the kernel's pages: it lets nobody go who waits for an answer itself.
        reads = f"dd if={info.path}/big of=/dev/null bs=4096 count=1 iflag=direct"
        reading = asyncio.create_task(asyncio.to_thread(here.node.sh, f"timeout -s KILL 3 {reads}", check=False))
        await eventually(lambda: "Connection refused" in here.log())
        (mount,) = await here.client.list_mounts()
        assert "Connection refused" in mount.detail
        async with asyncio.timeout(20):
            await reading
        assert not here.node.ok("pgrep -x dd")
        here.start_hub()
        assert (here.inside(info.path) / "big").read_bytes() == (source / "big").read_bytes()
        assert await here.client.list_mounts() == (info,)


async def test_a_block_that_the_hub_has_not_is_an_error_at_once_and_is_told(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        info = await here.ensure("a")
        for block in (here.folder / "hub/blocks").glob("??/*"):
            block.unlink()
        here.node.sh(f"! timeout 10 cat {info.path}/big")
        (mount,) = await here.client.list_mounts()
        assert "no block store of the flist has block" in mount.detail


async def test_an_image_says_its_size_and_a_pinned_hash_is_enough_without_the_hub(tmp_path: Path):
    source = tmp_path / "image"
    source.mkdir()
    (source / "image.raw").write_bytes(bytes(3 << 20))
    async with fl_node() as here:
        built = here.make("image", source)
        info = await here.ensure("image", A, hash=built.hash)
        assert (info.kind, info.image, info.image_size) == (MountKind.IMAGE, "/image.raw", 3 << 20)
        await here.client.drop_mount(A)
        here.stop_hub()
        assert (await here.client.ensure_mount(Mount(B, "http://nowhere.invalid/x.fl", hash=built.hash))).image_size


async def test_a_torn_index_is_made_again(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        built = here.make("a", source)
        await here.ensure("a")
        await here.client.drop_mount(A)
        spoil(here.folder / "cache/flists" / built.hash / "index")
        with pytest.raises(MountFailed, match="torn"):
            await here.ensure("a")
        await eventually(lambda: len(here.mounts()) == 2)
        assert (await here.ensure("a")).detail == ""


async def test_a_volume_that_is_not_there_is_waited_for(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        late = here.folder / "volume/late"
        with pytest.raises(MountFailed, match="is not there"):
            await here.ensure("a", A, late)
        here.inside(late).mkdir()
        await eventually(lambda: any(" - overlay " in line for line in here.mounts()))


async def test_the_cache_stays_within_its_size(tmp_path: Path):
    source = tmp_path / "many"
    source.mkdir()
    for number in range(8):
        (source / str(number)).write_bytes(os.urandom(1 << 20))
    async with fl_node("cache_size = 3000000\ntidy_every = 0.2") as here:
        here.make("a", source)
        info = await here.ensure("a")
        here.node.sh(f"cat {info.path}/* > /dev/null")
        blocks = here.folder / "cache/blocks"
        await eventually(lambda: sum(path.stat().st_size for path in blocks.glob("??/*")) <= 3_000_000)
        here.node.sh(f"diff -r {source} {info.path}")


async def test_a_small_flist_is_fetched_whole_and_then_needs_no_hub(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node("") as here:
        built = here.make("a", source)
        info = await here.ensure("a")
        flist = read(built.path)
        want = {flist.blocks[at + 32 : at + 64].hex() for at in range(0, len(flist.blocks), 64)}
        blocks = here.folder / "cache/blocks"
        await eventually(lambda: {path.name for path in blocks.glob("??/[0-9a-f]*")} == want)
        here.stop_hub()
        here.node.sh(f"diff -r --no-dereference -x pipe {source} {info.path}")
        # The process that fetched made room for a smaller one.
        await eventually(lambda: len(here.servers()) == 2)
        assert "the server ended" not in here.log()


async def test_filling_waits_for_a_hub_that_is_away(tmp_path: Path):
    source = tmp_path / "many"
    source.mkdir()
    for number in range(50):
        (source / str(number)).write_bytes(os.urandom(600_000))
    async with fl_node("") as here:
        here.make("a", source)
        (here.folder / "hub/blocks").rename(here.folder / "hub/away")
        info = await here.ensure("a")
        await eventually(lambda: "no block store of the flist has block" in here.log())
        (here.folder / "hub/away").rename(here.folder / "hub/blocks")
        here.node.sh(f"diff -r {source} {info.path}", deadline=30)


async def test_nothing_is_written_below_a_cache_whose_volume_is_away(tmp_path: Path):
    source = a_source(tmp_path)
    async with fl_node() as here:
        here.make("a", source)
        here.make("b", source / "etc")
        cache = here.folder / "cache"
        # Until now the cache was the folder itself, and flistd may have written there already.
        here.node.sh(f"umount {cache} && find {cache} -mindepth 1 -delete && mount -t tmpfs tmpfs {cache}")
        info = await here.ensure("a", A)
        here.node.sh(f"umount -l {cache}")
        # What is mounted serves on, from the hub; its blocks are not kept on the system's disk.
        here.node.sh(f"cat {info.path}/big > /dev/null")
        with pytest.raises(CacheAway, match="is not mounted"):
            await here.ensure("b", B)
        assert list(cache.iterdir()) == []
        here.node.sh(f"mount -t tmpfs tmpfs {cache}")
        assert (await here.ensure("b", B)).flist
