"""What flists may take of the cache, the refused ones too."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from zos.errors import ZosError
from zos.flist.errors import FlistBroken
from zos.flist.policy import StorePolicy
from zos.flistd.api.errors import CacheAway, FlistMismatch, NoRoom
from zos.flistd.host import LinuxHost
from zos.flistd.host import library as library_module
from zos.flistd.host.library import Library
from zos.flistd.steps import MountTree

MIB = 1 << 20


@asynccontextmanager
async def serving(files: dict[str, bytes]) -> AsyncIterator[str]:
    async def file(request: web.Request) -> web.Response:
        return web.Response(body=files[request.path])

    app = web.Application()
    app.router.add_get("/{path:.*}", file)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kept(library: Library) -> list[Path]:
    return [path for path in (library.cache / "flists").rglob("*") if path.is_file()]


@pytest.mark.process
async def test_what_is_refused_is_not_kept_and_the_event_loop_asks_the_disk_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.statvfs

    def statvfs(path: Any) -> os.statvfs_result:
        assert threading.current_thread() is not threading.main_thread(), "the event loop waits"
        return whole(path)

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(library_module, "REFUSED", -1)  # as if the process had been killed
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()
    async with serving({f"/{number}.fl": os.urandom(MIB) for number in range(3)}) as url:
        for number in range(3):
            with pytest.raises(FlistBroken):
                await library.obtain(f"{url}/{number}.fl", "", "1")
    assert not kept(library)
    library.close()


async def test_a_flist_beyond_the_limit_is_a_refusal_that_says_what_is_missing(tmp_path: Path) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 2 * MIB)
    library.prepare()
    old = library.folder("0" * 64)
    old.mkdir(parents=True)
    (old / "flist.fl").write_bytes(bytes(MIB))
    async with serving({"/large.fl": os.urandom(4 * MIB)}) as url:
        with pytest.raises(NoRoom, match="MiB are missing"):
            await library.obtain(f"{url}/large.fl", "", "1")
        assert old.exists(), "it may be in use, as nobody said yet what is"
        library.tidy(())
        with pytest.raises(NoRoom, match="8 MiB are missing"):
            await library.obtain(f"{url}/large.fl", "", "1")
    assert not kept(library), "what is out of use made way"
    library.close()


async def test_nothing_is_written_where_the_volume_of_the_cache_is_not_mounted(tmp_path: Path) -> None:
    host = LinuxHost(tmp_path / "mnt", tmp_path / "run", tmp_path / "cache", StorePolicy(), cache_mounted=True)
    (tmp_path / "cache").mkdir()
    for _ in range(2):
        with pytest.raises(CacheAway, match="is not mounted on"):
            await host.obtain("http://127.0.0.1:1/a.fl", "", "1")
        with pytest.raises(CacheAway):
            await host.apply(MountTree(f"{'f' * 64}-1"))
        await host.tidy(())
        assert await host.known({"f" * 64}) == {}
    assert not list((tmp_path / "cache").iterdir())
    host.close()


async def test_a_flist_whose_volume_goes_while_it_is_fetched_is_not_kept_below_it(tmp_path: Path) -> None:
    library = Library(tmp_path / "cache", StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").mkdir()
    async with serving({"/a.fl": b"x"}) as url:
        with pytest.raises(CacheAway):
            await library.obtain(f"{url}/a.fl", "", "1")
    assert not list((tmp_path / "cache").iterdir())
    library.close()


async def test_a_full_disk_is_a_refusal_and_no_bug_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()

    async def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(library, "_get", full)
    with pytest.raises(NoRoom, match="No space left"):
        await library.obtain("http://127.0.0.1:1/a.fl", "", "1")
    library.close()


async def test_what_strangers_ask_for_is_not_remembered(tmp_path: Path) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()
    async with serving({}) as url:
        for number in range(20):
            with pytest.raises(ZosError):
                await library.obtain(f"{url}/{number}.fl", "", "1")
    assert len(library._working) == 0
    library.close()


async def test_a_disk_that_hangs_while_a_flist_comes_stops_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()
    hangs, goes_on, ticks = asyncio.Event(), threading.Event(), 0
    loop, whole = asyncio.get_running_loop(), os.write

    def write(descriptor: int, raw: Any) -> int:
        if ".draft" in os.readlink(f"/proc/self/fd/{descriptor}"):
            loop.call_soon_threadsafe(hangs.set)
            assert goes_on.wait(20)
        return whole(descriptor, raw)

    monkeypatch.setattr(os, "write", write)
    body = os.urandom(3 * MIB)
    async with serving({"/a.fl": body}) as url:
        obtaining = asyncio.create_task(library.obtain(f"{url}/a.fl", "0" * 64, "1"))
        async with asyncio.timeout(20):
            await hangs.wait()
        for _ in range(100):
            await asyncio.sleep(0)
            ticks += 1
        assert not obtaining.done()
        goes_on.set()
        with pytest.raises(FlistMismatch, match=hashlib.blake2b(body, digest_size=32).hexdigest()):
            await obtaining
    assert ticks == 100
    assert not kept(library)
    library.close()
