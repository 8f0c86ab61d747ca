"""What a disk's process is told costs its clients nothing: it looks at what changed, and threads wait for the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zos.zdb import format as fmt
from zos.zdb.hooks import Hooks
from zos.zdb.memory import Memory
from zos.zdb.namespace import Namespace
from zos.zdb.parts import RECORD
from zos.zdb.server import Server
from zos.zdb.session import Settings
from zos.zdb.store import Store, open_apart
from zos.zdbd.disk import OPENING, Disk
from zos.zdbd.model import Desired, Space
from zos.zdbd.tests.test_disk import free_port


def space(folder: Path, id: str) -> Space:
    (folder / id).mkdir(exist_ok=True)
    return Space(id, str(folder / id), 1 << 20, False, "pw", False, False)


@asynccontextmanager
async def disk(folder: Path, keys: Memory | None = None) -> AsyncIterator[tuple[Disk, Store]]:
    store = Store(folder / "run/index", folder / "run/data")
    store.open()
    server = Server(store, Settings(b"admin", is_protected=True, is_shared=True), Hooks("", 0))
    try:
        yield Disk(store, server, keys), store
    finally:
        await server.close()
        store.close()


def told(*spaces: Space) -> Desired:
    return Desired(0, (), True, spaces)


async def test_only_what_changed_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zos.zdbd.disk.OPENED_WITHIN", 60.0)
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


def filled(folder: Path, id: str, count: int) -> Space:
    """A namespace with so many keys."""
    one = space(folder, id)
    made = open_apart(id.encode(), Path(one.folder), is_sequential=False)
    for number in range(count):
        made.set(number.to_bytes(4, "big"), b"", 1)
    made.close()
    return replace(one, size=16 << 20)


async def test_keys_beyond_the_memory_keep_their_own_namespace_away_and_no_other(tmp_path: Path) -> None:
    many = filled(tmp_path, "26-1-many", 60_000)
    async with disk(tmp_path, Memory(1 << 20, 1 << 20)) as (served, store):
        served._size = 1 << 40
        await served.follow(told(many, space(tmp_path, "27-1-few")))
        report = await served.report()
        assert "more memory" in report.spaces["26-1-many"].problem
        assert not report.spaces["27-1-few"].problem
        assert store.spaces[b"27-1-few"].set(b"key", b"value", 1) == b"key"
        # It is not read anew each round.
        await served.follow(told(many, space(tmp_path, "27-1-few")))
        assert not served._opening
        # Nor is it in the way when it goes.
        await served.follow(told())
    async with disk(tmp_path, Memory(64 << 20, 64 << 20)) as (served, store):
        await served.follow(told(many))
        assert store.spaces[b"26-1-many"].entries == 60_000


async def test_each_namespace_has_its_part_of_the_memory_by_its_size(tmp_path: Path) -> None:
    async with disk(tmp_path, Memory(8 << 20, 8 << 20)) as (served, _):
        served._size = 1 << 60  # of a file system that is shared with everything else here
        one, two = space(tmp_path, "26-1-a"), replace(space(tmp_path, "27-1-b"), size=3 << 60)
        await served.follow(told(one, two))
        assert served._shares["27-1-b"].assured == (4 << 20) - 1 or served._shares["27-1-b"].assured == 4 << 20
        await served.follow(told(one, replace(two, size=1 << 59)))
        assert served._shares["27-1-b"].assured == 2 << 20
        assert sum(share.assured for share in served._shares.values()) <= 4 << 20


async def test_a_namespace_that_takes_long_to_read_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = filled(tmp_path, "26-1-slow", 3000), space(tmp_path, "27-1-quick")
    hangs, goes_on = threading.Event(), threading.Event()
    whole = Namespace.hold

    def hold(self: Namespace) -> None:
        if self.settings.name == b"26-1-slow" and not goes_on.is_set():
            hangs.set()
            assert goes_on.wait(20)
        whole(self)

    monkeypatch.setattr(Namespace, "hold", hold)
    monkeypatch.setattr("zos.zdbd.disk.OPENED_WITHIN", 0.2)
    async with disk(tmp_path) as (served, store):
        port = free_port()
        desired = Desired(port, ("::1",), True, (slow, quick))
        await served.follow(desired)
        assert hangs.is_set()
        (await asyncio.open_connection("::1", port))[1].close()
        assert store.spaces.keys() == {b"default", b"27-1-quick"}
        assert (await served.report()).spaces["26-1-slow"].problem == OPENING
        # What is changed meanwhile is changed, also of the one that is on its way.
        newer = replace(slow, password="new")
        await served.follow(Desired(port, ("::1",), True, (newer, replace(quick, password="other"))))
        assert store.spaces[b"27-1-quick"].settings.password == b"other"
        goes_on.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*served._opening.values())
        assert store.spaces[b"26-1-slow"].settings.password == b"new"
        assert (await served.report()).is_whole


async def test_a_namespace_that_is_dropped_while_it_is_read_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = filled(tmp_path, "26-1-one", 3000)
    loop, read = asyncio.get_running_loop(), 0
    begun = asyncio.Event()
    whole = Namespace.hold

    def hold(self: Namespace) -> None:
        nonlocal read
        read += 1
        if read == 5:
            loop.call_soon_threadsafe(begun.set)
            while self.share is not None and not self.share.is_over:
                threading.Event().wait(0.005)
        whole(self)

    monkeypatch.setattr(Namespace, "hold", hold)
    async with disk(tmp_path) as (served, store):
        following = asyncio.create_task(served.follow(told(one)))
        async with asyncio.timeout(20):
            await begun.wait()
            monkeypatch.setattr("zos.zdbd.disk.OPENED_WITHIN", 0.0)
            await served.follow(told())
            await following
        assert read < 3000
        assert store.spaces.keys() == {b"default"}
        assert not [path for path in map(_target, os.listdir("/proc/self/fd")) if "/26-1-one/" in path]


async def test_settings_that_the_disk_did_not_take_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = space(tmp_path, "one")
    async with disk(tmp_path) as (served, _):
        await served.follow(told(one))
        newer = replace(one, password="new", is_frozen=True)
        with monkeypatch.context() as broken:

            def refuse(*_: object) -> None:
                raise OSError(errno.EIO, "Input/output error")

            broken.setattr("zos.zdb.namespace.write_settings", refuse)
            await served.follow(told(newer))
        assert not (await served.report()).is_whole
        await served.follow(told(newer))
        assert (await served.report()).is_whole
    record = tmp_path / "one/index/one" / RECORD
    kept = fmt.read_settings(record.read_bytes(), record)
    assert (kept.password, kept.is_frozen) == (b"new", True)
