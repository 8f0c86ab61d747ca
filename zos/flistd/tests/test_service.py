"""flistd through its API, over the fake host."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from zos.flist.info import Info
from zos.flistd import manager
from zos.flistd.api import (
    BadMount,
    FlistBroken,
    FlistdClient,
    FlistMismatch,
    FlistUnreachable,
    Mount,
    MountFailed,
    MountId,
    MountKind,
)
from zos.flistd.daemon import Config, Flistd
from zos.flistd.fake import FakeHost
from zos.flistd.host.contract import Content
from zos.flistd.model import MountRecord
from zos.flistd.steps import DropMount, MountTree, PutMount
from zos.runtime.config import NodeConfig
from zos.runtime.ledger import Ledger
from zos.runtime.testing import running

F, G = "f" * 64, "0" * 64
URL = "http://hub/a.fl"
CONTAINER = Content(F, Info(entrypoint="/bin/sh", env={"A": "b"}, kernel="/boot/vmlinuz-1"))
IMAGE = Content(G, Info(image="/image.raw", image_size=1 << 30))
A, B = MountId("26-7-a"), MountId("26-7-b")
MOUNT = Mount(A, URL, Path("/mnt/pool/rootfs"))


def a_host() -> FakeHost:
    return FakeHost(web={URL: CONTAINER, "http://hub/image.fl": IMAGE})


@contextlib.asynccontextmanager
async def flistd(folder: Path, host: FakeHost) -> AsyncIterator[FlistdClient]:
    config = Config(mounts=Path("/mnt/flist"), every=0.2)
    async with running(Flistd, folder, host=host, config=config, node=NodeConfig(hub="http://hub")) as rt:
        yield FlistdClient(rt.bus)


async def until(claim) -> None:
    async with asyncio.timeout(5):
        while not await claim():
            await asyncio.sleep(0.01)


async def test_a_mount_says_what_its_flist_holds(tmp_path: Path):
    async with flistd(tmp_path, a_host()) as client:
        info = await client.ensure_mount(MOUNT)
        assert (info.path, info.flist, info.kind, info.url) == (Path(f"/mnt/flist/{A}"), F, MountKind.CONTAINER, URL)
        assert (info.entrypoint, info.env, info.kernel, info.detail) == ("/bin/sh", {"A": "b"}, "/boot/vmlinuz-1", "")
        image = await client.ensure_mount(Mount(B, "image.fl"))
        assert (image.kind, image.image, image.image_size) == (MountKind.IMAGE, "/image.raw", 1 << 30)
        assert await client.list_mounts() == (info, image)


async def test_the_same_request_again_does_nothing(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        first, done = await client.ensure_mount(MOUNT), len(host.steps)
        assert await client.ensure_mount(MOUNT) == first
        assert (len(host.steps), host.fetched) == (done, [URL])


async def test_a_mount_keeps_its_content_when_the_url_gives_another_one(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        host.web[URL] = IMAGE
        assert (await client.ensure_mount(MOUNT)).flist == F
        assert (await client.ensure_mount(Mount(B, URL))).flist == G


async def test_refusals_arrive_as_the_class_that_was_raised_and_are_forgotten(tmp_path: Path):
    host = a_host()
    host.web["http://hub/bad.fl"] = FlistBroken(flist="bad.fl", problem="inode 3 cannot be called '..'")
    async with flistd(tmp_path, host) as client:
        with pytest.raises(FlistBroken, match="cannot be called"):
            await client.ensure_mount(Mount(A, "bad.fl"))
        with pytest.raises(FlistMismatch, match=f"has the hash {F}, not {G}"):
            await client.ensure_mount(Mount(A, URL, hash=G))
        with pytest.raises(BadMount):
            await client.ensure_mount(Mount(MountId("../x"), URL))
        assert await client.list_mounts() == ()


async def test_a_refused_change_leaves_the_mount_as_it_was(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        before = await client.ensure_mount(MOUNT)
        with pytest.raises(FlistMismatch):
            await client.ensure_mount(dataclasses.replace(MOUNT, hash=G))
        assert await client.list_mounts() == (before,)
        assert A in host.mounts


async def test_an_unreachable_flist_stays_accepted_and_comes(tmp_path: Path):
    host = FakeHost()
    async with flistd(tmp_path, host) as client:
        with pytest.raises(FlistUnreachable):
            await client.ensure_mount(MOUNT)
        (waiting,) = await client.list_mounts()
        assert "cannot be fetched" in waiting.detail
        host.web[URL] = CONTAINER

        async def came() -> bool:
            return (await client.list_mounts())[0].detail == ""

        await until(came)
        assert A in host.mounts


@pytest.mark.parametrize("broken", [MountTree, PutMount])
async def test_a_mount_that_fails_stays_accepted_and_comes(tmp_path: Path, broken):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        host.broken = broken
        with pytest.raises(MountFailed, match="the fake was told to"):
            await client.ensure_mount(MOUNT)
        assert "the fake was told to" in (await client.list_mounts())[0].detail
        host.broken = None
        assert (await client.ensure_mount(MOUNT)).detail == ""


async def test_a_server_that_dies_is_replaced_by_itself(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        host.kill(f"{F}-1")

        async def replaced() -> bool:
            return host.trees == {f"{F}-2": True} and host.mounts[A][0].source == f"{F}-2"

        await until(replaced)


@pytest.mark.parametrize("step", ["mount", "tree", "drop"])
async def test_a_disk_that_hangs_holds_up_no_other_mount(tmp_path: Path, step: str):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        if step == "drop":
            await client.ensure_mount(MOUNT)
        host.hung = {f"{F}-1" if step == "tree" else A}
        action = client.drop_mount(A) if step == "drop" else client.ensure_mount(MOUNT)
        hanging = asyncio.create_task(action)
        await asyncio.sleep(0.3)  # turns of the loop pass, too
        async with asyncio.timeout(15):
            other = await client.ensure_mount(Mount(B, "image.fl"))
            assert other in await client.list_mounts()
            host.kill(f"{G}-1")
            while host.trees.get(f"{G}-2") is not True or host.mounts[B][0].source != f"{G}-2":
                await asyncio.sleep(0.01)
            await client.drop_mount(B)
        assert B not in host.mounts
        assert not hanging.done()
        hanging.cancel()


async def test_a_store_that_is_slow_holds_up_no_server_that_died(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        host.silent.add("http://hub/image.fl")
        waiting = asyncio.create_task(client.ensure_mount(Mount(B, "image.fl")))
        await asyncio.sleep(0.3)  # the loop fetches it, too
        host.kill(f"{F}-1")
        async with asyncio.timeout(manager.TURN + 5):
            # It is unmounted for a moment.
            while A not in host.mounts or host.mounts[A][0].source != f"{F}-2":
                await asyncio.sleep(0.01)
        waiting.cancel()


async def test_a_mount_that_cannot_be_removed_is_not_said_to_be(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        host.broken = DropMount
        with pytest.raises(MountFailed):
            await client.drop_mount(A)
        host.broken = None
        await client.drop_mount(A)
        assert A not in host.mounts


async def test_drops_are_safe_to_repeat_and_of_the_unknown(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        for _ in range(2):
            await client.drop_mount(A)
        await client.drop_mount(MountId("nobody"))
        assert (host.mounts, host.trees, await client.list_mounts()) == ({}, {}, ())


async def test_a_restart_finds_everything_and_touches_nothing(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        before = await client.ensure_mount(MOUNT)
    done = len(host.steps)
    async with flistd(tmp_path, host) as client:
        assert await client.list_mounts() == (before,)
        assert await client.ensure_mount(MOUNT) == before
    assert len(host.steps) == done


async def test_a_node_boots_its_mounts_without_the_hub(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        before = await client.ensure_mount(MOUNT)
        await client.ensure_mount(Mount(B, "image.fl"))
    booted = FakeHost(kept={F: CONTAINER})
    async with flistd(tmp_path, booted) as client:

        async def mounted() -> bool:
            return set(booted.mounts) == {A}

        await until(mounted)
        shown = {info.id: info for info in await client.list_mounts()}
        assert shown[A] == before
        assert "nobody answers" in shown[B].detail


async def test_a_lost_flist_takes_no_mount_that_is_served(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        host.kept.clear()
        host.web.clear()
        with pytest.raises(FlistUnreachable):
            await client.ensure_mount(MOUNT)
        assert (set(host.mounts), host.trees) == ({A}, {f"{F}-1": True})


async def test_a_change_to_what_cannot_be_fetched_leaves_the_old_one_mounted(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        with pytest.raises(FlistUnreachable):
            await client.ensure_mount(dataclasses.replace(MOUNT, url="http://hub/later.fl"))
        await client.ensure_mount(Mount(B, URL))
        assert host.mounts[A][0].source == f"{F}-1"
        host.web["http://hub/later.fl"] = IMAGE

        async def changed() -> bool:
            return host.mounts[A][0].source == f"{G}-1"

        await until(changed)


async def test_what_no_record_asks_for_is_removed_at_start(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path / "one", host) as client:
        await client.ensure_mount(MOUNT)
    async with flistd(tmp_path / "two", host):

        async def gone() -> bool:
            return not host.mounts and not host.trees

        await until(gone)


def test_ledgers_of_version_1_are_read(tmp_path: Path):
    record = json.loads((Path(__file__).parent / "ledger/v1.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert Ledger(tmp_path, MountRecord).get(A) == MountRecord(dataclasses.replace(MOUNT, hash=F), F)


async def test_a_cache_whose_volume_became_smaller_is_tidied_at_once_and_then_rests(tmp_path: Path):
    host = a_host()
    async with flistd(tmp_path, host) as client:
        await client.ensure_mount(MOUNT)
        before = host.tidied
        host.cramped = True

        async def tidied() -> bool:
            return host.tidied > before

        await until(tidied)
        assert host.tidied == before + 1
