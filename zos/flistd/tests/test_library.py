"""What flists may take of the cache, the refused ones too."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from zos.errors import ZosError
from zos.flist.errors import FlistBroken
from zos.flist.info import INDEX, INFO, ORIGINAL, Info
from zos.flist.layout import Route
from zos.flist.policy import StorePolicy
from zos.flistd.api.errors import CacheAway, FlistMismatch, NoRoom
from zos.flistd.host import LinuxHost, servers
from zos.flistd.host import library as library_module
from zos.flistd.host import room as room_module
from zos.flistd.host.library import Library
from zos.flistd.steps import MountTree
from zos.runtime import proc

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
        library.tidy({})
        with pytest.raises(NoRoom, match="8 MiB are missing"):
            await library.obtain(f"{url}/large.fl", "", "1")
    assert not kept(library), "what is out of use made way"
    library.close()


def put(library: Library, digit: str, tenant: str, mib: int) -> None:
    """As if a tenant had fetched a flist, which takes so much with its index."""
    library._make_room(mib * MIB // 2, "http://hub/a.fl", tenant)
    folder = library.folder(digit * 64)
    folder.mkdir(parents=True)
    (folder / "flist.fl").write_bytes(os.urandom(mib * MIB))
    library._uses(digit * 64, tenant)


def test_who_has_many_flists_leaves_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(tmp_path, StorePolicy(), 64 * MIB)
    library.prepare()
    monkeypatch.setattr(library_module, "ASKED_FOR", 0.0)
    for digit in "0123":
        put(library, digit, "evil", 4)
    with pytest.raises(NoRoom, match="yours: 20 MiB"):
        put(library, "4", "evil", 4)
    put(library, "5", "good", 4)
    library.tidy({digit * 64: {"evil"} for digit in "0123"} | {"5" * 64: {"good"}})
    with pytest.raises(NoRoom, match="yours"):
        put(library, "6", "evil", 4)
    put(library, "7", "other", 2)
    library.tidy({"5" * 64: {"good"}, "7" * 64: {"other"}})
    put(library, "8", "other", 8)
    assert {path.parent.name[0] for path in kept(library)} == {"5", "7", "8"}, "what is out of use made way"


async def test_nothing_is_written_where_the_volume_of_the_cache_is_not_mounted(tmp_path: Path) -> None:
    host = LinuxHost(tmp_path / "mnt", tmp_path / "run", tmp_path / "cache", StorePolicy(), cache_mounted=True)
    (tmp_path / "cache").mkdir()
    for _ in range(2):
        with pytest.raises(CacheAway, match="is not mounted on"):
            await host.obtain("http://127.0.0.1:1/a.fl", "", "1")
        with pytest.raises(CacheAway):
            await host.apply(MountTree(f"{'f' * 64}-1"))
        await host.tidy({})
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
    assert len(library._fetching) == len(library._compiling) == 0
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


def a_flist(library: Library, flist: str, **info: Any) -> None:
    """One that is here whole."""
    library.folder(flist).mkdir()
    for name in (INDEX, ORIGINAL):
        (library.folder(flist) / name).touch()
    (library.folder(flist) / INFO).write_text(Info(**info).to_json())


async def test_who_waits_for_his_own_places_is_waited_for_by_nobody_else(tmp_path: Path) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()
    hangs = asyncio.Event()

    async def file(request: web.Request) -> web.Response:
        if request.path.startswith("/slow"):
            await hangs.wait()
        raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{path:.*}", file)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    bad = [asyncio.create_task(library.obtain(f"{url}/slow{number}", "", "1")) for number in range(8)]
    bad += [asyncio.create_task(library.obtain(f"{url}/popular", "", "1")) for _ in range(4)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while len(library._fetching) < 4:
                await asyncio.sleep(0.01)
            with pytest.raises(ZosError):
                await library.obtain(f"{url}/popular", "", "2")
            assert not any(one.done() for one in bad)
            # And what is here needs no place at all, not even of him.
            a_flist(library, "a" * 64)
            assert (await library.obtain(f"{url}/popular", "a" * 64, "1")).flist == "a" * 64
    finally:
        for one in bad:
            one.cancel()
        await asyncio.gather(*bad, return_exceptions=True)
        await runner.cleanup()
        library.close()


async def test_a_compilation_that_takes_long_holds_up_its_own_tenant_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path, StorePolicy(("127.0.0.1",)), 100 * MIB)
    library.prepare()
    bodies = {f"/{name}": name.encode() for name in ("slow", "popular")}
    goes_on, begun = asyncio.Event(), asyncio.Event()

    async def run(words: Any, **_: Any) -> proc.Completed:
        folder = Path(words[5])
        if (folder / ORIGINAL).read_bytes() == b"slow":
            begun.set()
            await goes_on.wait()
        (folder / INFO).write_text(Info().to_json())
        (folder / INDEX).touch()
        return proc.Completed(0, b"", b"")

    monkeypatch.setattr(proc, "run", run)
    async with serving(bodies) as url:
        slow = asyncio.create_task(library.obtain(f"{url}/slow", "", "1"))
        async with asyncio.timeout(20):
            await begun.wait()
            mine = asyncio.create_task(library.obtain(f"{url}/popular", "", "1"))
            while not library._slots._waiting:
                await asyncio.sleep(0.01)
            found = await library.obtain(f"{url}/popular", "", "2")
            assert not mine.done()
            goes_on.set()
            assert (await mine) == found
            await slow
    library.close()


def test_what_is_known_of_a_flist_is_read_once_and_its_routes_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path, StorePolicy(), 100 * MIB)
    library.prepare()
    routes = tuple(Route(0, 255, f"http://h.example/{number}") for number in range(256))
    a_flist(library, "a" * 64, entrypoint="/bin/sh", routes=routes)
    first = library.known("a" * 64)
    assert first is not None
    assert (first.info.entrypoint, first.info.routes) == ("/bin/sh", ())
    read: list[Path] = []
    whole = Path.read_text

    def read_text(self: Path, *args: Any, **options: Any) -> str:
        read.append(self)
        return whole(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert library.known("a" * 64) is first
    assert not read
    (library.folder("a" * 64) / INFO).write_text(Info(entrypoint="/bin/another").to_json())
    again = library.known("a" * 64)
    assert again is not None
    assert again.info.entrypoint == "/bin/another"
    library.tidy({"a" * 64: ()})
    assert library.known("a" * 64) is again
    (library.folder("a" * 64) / INFO).unlink()
    assert library.known("a" * 64) is None
    assert not library._infos


def test_the_log_of_a_server_is_cut_while_it_writes_and_goes_after_it(tmp_path: Path) -> None:
    served, ended = tmp_path / f"{'a' * 64}.log", tmp_path / f"{'b' * 64}.log"
    with served.open("ab", buffering=0) as out:
        for number in range(40_000):
            out.write(b"%060d\n" % number)
        assert served.stat().st_size > servers.MAX_LOG
        servers.cut_logs(tmp_path, {f"{'a' * 64}-1"})
        out.write(b"the last\n")
        lines = served.read_bytes().splitlines()
        assert lines[-2:] == [b"%060d" % 39_999, b"the last"]
        assert served.stat().st_size <= servers.KEPT_LOG + 100
        assert len(lines[0]) == 60
    ended.write_bytes(b"why it ended")
    servers.cut_logs(tmp_path, ())
    assert ended.exists()
    long_ago = time.time() - 2 * servers.OLD_LOG
    os.utime(ended, (long_ago, long_ago))
    os.utime(served, (long_ago, long_ago))
    servers.cut_logs(tmp_path, {f"{'a' * 64}-1"})
    assert (served.exists(), ended.exists()) == (True, False)


@pytest.mark.parametrize(
    ("limit", "used", "room", "cramped"), [(0, 0, None, False), (1000, 950, 800, True), (1000, 800, 800, False)]
)
def test_the_cache_is_as_large_as_its_volume_and_not_as_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, used: int, room: int | None, cramped: bool
) -> None:
    for module in (library_module, room_module):
        monkeypatch.setattr(module, "volume", lambda _: (limit, used))
    library = Library(tmp_path, StorePolicy())
    seen = os.statvfs(tmp_path)
    assert library.room() == (seen.f_blocks * seen.f_frsize * 4 // 5 if room is None else room)
    assert library.is_cramped() is cramped
