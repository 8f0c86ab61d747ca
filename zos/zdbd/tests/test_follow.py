"""What a disk's process is told costs its clients nothing: it looks at what changed, and threads wait for the disk."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zos.zdb.hooks import Hooks
from zos.zdb.server import Server
from zos.zdb.session import Settings
from zos.zdb.store import Store
from zos.zdbd.disk import Disk
from zos.zdbd.model import Desired, Space


def space(folder: Path, id: str) -> Space:
    (folder / id).mkdir(exist_ok=True)
    return Space(id, str(folder / id), 1 << 20, False, "pw", False, False)


@asynccontextmanager
async def disk(folder: Path) -> AsyncIterator[tuple[Disk, Store]]:
    store = Store(folder / "run/index", folder / "run/data")
    store.open()
    server = Server(store, Settings(b"admin", is_protected=True, is_shared=True), Hooks("", 0))
    try:
        yield Disk(store, server), store
    finally:
        await server.close()
        store.close()


def told(*spaces: Space) -> Desired:
    return Desired(0, (), True, spaces)


async def test_only_what_changed_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with disk(tmp_path) as (served, store):
        spaces = [space(tmp_path, f"{number}") for number in range(600)]
        gone = space(tmp_path, "gone")
        (tmp_path / "gone").rmdir()
        await served.follow(told(*spaces, gone))
        looked: list[str] = []
        whole = served._serve

        async def serve(one: Space) -> None:
            looked.append(one.id)
            await whole(one)

        monkeypatch.setattr(served, "_serve", serve)
        spaces[7] = replace(spaces[7], size=5)
        new = space(tmp_path, "new")
        await served.follow(told(*spaces[:-1], gone, new))
        assert looked == ["7", "gone", "new"]
        assert store.spaces[b"7"].settings.max_size == 5
        report = await served.report()
        assert {id: bool(one.problem) for id, one in report.spaces.items()} == {
            **{one.id: False for one in spaces[:-1]},
            "gone": True,
            "new": False,
        }
        space(tmp_path, "gone")
        await served.follow(told(gone, new))
        assert (await served.report()).is_whole
        assert store.spaces.keys() == {b"default", b"gone", b"new"}


@pytest.mark.parametrize("change", ["ends", "has a new password"])
async def test_others_are_served_while_the_disk_takes_its_time(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = space(tmp_path, "one"), space(tmp_path, "two")
    async with disk(tmp_path) as (served, store):
        await served.follow(told(one, two))
        store.spaces[b"one"].set(b"key", b"value", 1)
        hangs, goes_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def slow(name: str) -> Any:
            whole = getattr(os, name)

            def call(descriptor: int) -> None:
                assert threading.current_thread() is not threading.main_thread(), "the event loop waits"
                loop.call_soon_threadsafe(hangs.set)
                assert goes_on.wait(20)
                whole(descriptor)

            return call

        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, slow(name))
        following = asyncio.create_task(
            served.follow(told(two) if change == "ends" else told(replace(one, password="new"), two))
        )
        async with asyncio.timeout(20):
            await hangs.wait()
        assert store.spaces[b"two"].set(b"key", b"value", 1) == b"key"
        assert not following.done()
        if change == "ends":
            assert b"one" not in store.spaces
        else:
            assert store.spaces[b"one"].settings.password == b"new"
        goes_on.set()
        await following
        monkeypatch.undo()
        if change == "ends":
            assert not [path for path in map(_target, os.listdir("/proc/self/fd")) if "/one/" in path]


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
