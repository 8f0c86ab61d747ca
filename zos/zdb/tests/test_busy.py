"""Commands that need a namespace whole, while writes to it are on their way to the disk; and a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from zos.runtime import linux
from zos.zdb import commands, files
from zos.zdb import format as fmt
from zos.zdb.hooks import Hooks
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.recovery import open_namespace
from zos.zdb.server import Server
from zos.zdb.session import Session, Settings
from zos.zdb.store import Store
from zos.zdb.tests.replay import Client, running
from zos.zdb.tests.test_namespace import content, opened, reopened


async def _write(client: Client, turns: int, begun: asyncio.Event) -> bytes:
    """Write newer versions of one key until one is refused; returns the last answer."""
    answer = b""
    for turn in range(turns):
        answer = await client.command(b"SET", b"key", b"%d" % turn)
        begun.set()
        if not answer.startswith(b"$"):
            break
    return answer


@pytest.mark.parametrize("words", [b"FLUSH", b"RELOAD n", b"NSDEL n"], ids=["flush", "reload", "nsdel"])
async def test_a_namespace_is_emptied_reloaded_and_removed_while_others_write_to_it(
    tmp_path: Path, words: bytes
) -> None:
    async with running(tmp_path) as port:
        admin, *others = [await Client.to(port) for _ in range(5)]
        for made in (b"NSNEW n", b"NSSET n password pw", b"NSSET n public 0"):
            assert await admin.command(*made.split()) == b"+OK\r\n"
        for client in others if words.startswith(b"NSDEL") else (admin, *others):
            assert await client.command(b"SELECT", b"n", b"pw") == b"+OK\r\n"
        begun = [asyncio.Event() for _ in others]
        writers = [asyncio.ensure_future(_write(client, 150, one)) for client, one in zip(others, begun, strict=True)]
        await asyncio.gather(*(one.wait() for one in begun))
        for _ in range(1 if words.startswith(b"NSDEL") else 30):
            assert await admin.command(*words.split()) == b"+OK\r\n"
            await asyncio.sleep(0.003)
        answers = await asyncio.gather(*writers)
        assert all(one.startswith(b"-Your active" if words.startswith(b"NSDEL") else b"$") for one in answers)
        assert await admin.command(b"PING") == b"+PONG\r\n"
        for client in (admin, *others):
            await client.close()


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
def test_what_a_full_disk_cut_short_is_refused_and_never_seen_again(
    tmp_path: Path, sequential: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 10_000
    whole = os.pwrite

    def pwrite(descriptor: int, raw: Any, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "no space")
        written: int = whole(descriptor, raw[:room], at)
        room -= written
        return written

    space: Namespace = opened(tmp_path / "live", sequential=sequential)
    monkeypatch.setattr(os, "pwrite", pwrite)
    stored: dict[bytes, bytes] = {}
    refused = 0
    for number in range(60):
        value = b"value" * (1 + number % 50)
        if not room and number % 7 == 0:
            room = 333 * number % 400
        try:
            key = space.set(b"" if sequential else b"key%d" % (number % 20), value, 1)
        except OSError:
            refused += 1
        else:
            assert key is not None
            stored[key] = value
    assert refused > 2
    monkeypatch.undo()
    space.commit()
    assert content(space) == stored
    after = reopened(tmp_path / "live", tmp_path / "copy", sequential=sequential)
    assert content(after) == stored
    after.close()
    space.close()


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
def test_files_stay_within_a_limit_on_the_disk_however_often_a_value_is_replaced(
    tmp_path: Path, sequential: bool
) -> None:
    limit = 1 << 20
    space = opened(tmp_path, sequential=sequential, data_size=200_000)
    space.disk_limit = limit
    key = space.set(b"" if sequential else b"key", b"first", 1) or b""
    stored = 0

    def on_disk() -> int:
        return sum(path.stat().st_size for path in (*tmp_path.glob("i/i*"), *tmp_path.glob("d/d*")))

    for value in range(1000):
        try:
            space.set(key, b"%8d" % value * 512, 1)
        except Refused:
            break
        stored = value
        space.commit()
        assert space.files.size == on_disk() <= limit
    assert stored > 100
    assert space.get(key) == b"%8d" % stored * 512
    space.close()
    space = opened(tmp_path, sequential=sequential, data_size=200_000)
    space.disk_limit = limit
    assert space.files.size == on_disk()
    with pytest.raises(Refused, match="No space left"):
        space.set(key, b"x" * 4096, 1)
    assert space.delete(key, 1)
    space.flush()
    assert space.files.size < 100_000
    assert space.set(b"" if sequential else key, b"x" * 4096, 1)
    space.close()


@pytest.mark.parametrize("mode", [b"user", b"seq"])
async def test_a_namespace_whose_changes_in_place_find_no_room_hurts_no_other(
    tmp_path: Path, mode: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as port:
        full, other = [await Client.to(port) for _ in range(2)]
        for words in (b"NSNEW full", b"NSSET full mode " + mode, b"NSNEW other"):
            assert await full.command(*words.split()) == b"+OK\r\n"
        await full.command(b"SELECT", b"full")
        await other.command(b"SELECT", b"other")
        key = (await full.command(b"SET", b"key" if mode == b"user" else b"", b"old")).split(b"\r\n")[1]
        whole, is_full = os.pwrite, True

        def pwrite(descriptor: int, raw: bytes, at: int) -> int:
            # What comes behind the end of a file is an append.
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            if is_full and "/full/i" in name and at < os.fstat(descriptor).st_size:
                raise OSError(errno.EDQUOT, "no room")
            return whole(descriptor, raw, at)

        monkeypatch.setattr(os, "pwrite", pwrite)
        answer = await full.command(b"SET", key, b"new")
        # An answer says that the disk has it; where that cannot be, there is none.
        assert answer == (b"$3\r\nkey\r\n" if mode == b"user" else b"")
        assert await other.command(b"SET", b"key", b"value") == b"$3\r\nkey\r\n"
        is_full = False
        again = await Client.to(port)
        await again.command(b"SELECT", b"full")
        assert await again.command(b"GET", key) == b"$3\r\nnew\r\n"
        assert await again.command(b"SET", key, b"newer") == b"$%d\r\n%b\r\n" % (len(key), key)
        for client in (full, other, again):
            await client.close()


def test_nothing_of_a_removed_namespace_waits_for_the_disk(tmp_path: Path) -> None:
    space = opened(tmp_path)
    space.set(b"key", b"old", 1)
    under_way = space.take_batch()
    space.set(b"key", b"new", 1)
    space.destroy()
    files.sync(under_way.descriptors)
    assert not space.settle(under_way)
    assert space.take_batch().descriptors == []


async def _private(port: int, name: bytes) -> Client:
    client = await Client.to(port)
    for words in (b"NSNEW " + name, b"NSSET " + name + b" password pw", b"NSSET " + name + b" public 0"):
        assert await client.command(*words.split()) == b"+OK\r\n"
    assert await client.command(b"SELECT", name, b"pw") == b"+OK\r\n"
    return client


class _Slow:
    """A disk on which files go away only when it is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.goes_on = threading.Event(), threading.Event()
        unlink, punch = Path.unlink, linux.punch_hole

        def slow_unlink(path: Path, missing_ok: bool = False) -> None:
            self.wait()
            unlink(path, missing_ok)

        def slow_punch(descriptor: int, start: int, end: int) -> None:
            self.wait()
            punch(descriptor, start, end)

        monkeypatch.setattr(Path, "unlink", slow_unlink)
        monkeypatch.setattr(linux, "punch_hole", slow_punch)

    def wait(self) -> None:
        assert threading.current_thread() is not threading.main_thread(), "the event loop waits"
        self.asked.set()
        self.goes_on.wait(20)

    async def is_asked(self) -> None:
        async with asyncio.timeout(20):
            while not self.asked.is_set():
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("size", [500_000, 100], ids=["files", "part"])
async def test_others_are_answered_while_a_namespace_is_flushed_on_a_slow_disk(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, "--datasize 524288") as port:
        large, other = await _private(port, b"large"), await _private(port, b"other")
        await other.command(b"SET", b"key", b"value")
        for number in range(5):
            await large.command(b"SET", b"%d" % number, b"x" * size)
        disk = _Slow(monkeypatch)
        await large.send([b"FLUSH"])
        await disk.is_asked()
        assert await other.command(b"GET", b"key") == b"$5\r\nvalue\r\n"
        assert await other.command(b"SET", b"key", b"newer") == b"$3\r\nkey\r\n"
        second = await Client.to(port)
        assert await second.command(b"SELECT", b"large", b"pw") == b"+OK\r\n"
        assert await second.command(b"GET", b"1") == b"$-1\r\n"
        assert await second.command(b"SET", b"new", b"value") == b"$3\r\nnew\r\n"
        assert not disk.goes_on.is_set(), "all that while the files were still there"
        disk.goes_on.set()
        assert await large.reply() == b"+OK\r\n"
        assert await large.command(b"DBSIZE") == b":1\r\n"
        for client in (large, other, second):
            await client.close()
    monkeypatch.undo()
    space = open_namespace(
        b"large", tmp_path / "index/large", tmp_path / "data/large", is_sequential=None, data_size=524288
    )
    assert content(space) == {b"new": b"value"}
    assert len(list((tmp_path / "data/large").glob("d*"))) == 1
    space.close()


async def test_what_was_flushed_goes_also_when_its_client_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, "--datasize 524288") as port:
        client = await _private(port, b"n")
        for number in range(5):
            await client.command(b"SET", b"%d" % number, b"x" * 500_000)
        disk = _Slow(monkeypatch)
        await client.send([b"FLUSH"])
        await disk.is_asked()
        await client.close()
        disk.goes_on.set()
        other = await Client.to(port)
        async with asyncio.timeout(20):
            while len(list((tmp_path / "data/n").glob("d*"))) != 1:
                assert await other.command(b"PING") == b"+PONG\r\n"
        await other.close()


async def test_no_write_waits_in_the_event_loop_for_the_disk_when_a_new_file_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, "--datasize 524288") as port:
        client = await _private(port, b"n")
        here: list[str] = []
        main = threading.get_ident()

        def watched(name: str) -> Any:
            whole = getattr(os, name)

            def call(descriptor: int) -> None:
                if threading.get_ident() == main:
                    here.append(os.readlink(f"/proc/self/fd/{descriptor}"))
                whole(descriptor)

            return call

        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, watched(name))
        for number in range(5):
            assert await client.command(b"SET", b"%d" % number, b"x" * 500_000) == b"$1\r\n%d\r\n" % number
        assert await client.command(b"FLUSH") == b"+OK\r\n"
        assert here == []
        monkeypatch.undo()
        await client.close()
    assert (tmp_path / "data/n/d5").exists()


def test_what_was_erased_counts_until_it_is_gone(tmp_path: Path) -> None:
    space = opened(tmp_path)
    for number in range(5):
        space.set(b"%d" % number, b"x" * 500_000, 1)
    space.erase()
    assert space.files.size > 2_000_000
    assert (space.entries, space.live_bytes, content(space)) == (0, 0, {})
    space.clear()
    assert space.files.size < 1000
    space.set(b"key", b"x" * 1000, 1)
    space.commit()
    assert space.files.size == sum(path.stat().st_size for path in (*tmp_path.glob("i/i*"), *tmp_path.glob("d/d*")))
    space.close()


async def test_info_costs_the_same_however_many_namespaces_there_are(tmp_path: Path) -> None:
    class Counted(dict[bytes, Namespace]):
        def __iter__(self) -> Any:
            raise AssertionError("all namespaces are looked at")

        values = items = keys = __iter__

    store = Store(tmp_path / "index", tmp_path / "data")
    store.open()
    space = store.create(b"n")
    space.set(b"key", b"value", 1)
    at = space.find(b"key")
    assert at is not None
    with pytest.raises(Refused):
        space.payload(at._replace(item=at.item._replace(crc=1, length=fmt.MAX_VALUE + 1)))
    store.remove(b"n")
    server = Server(store, Settings(), Hooks("", 0))
    store.spaces, spaces = Counted(store.spaces), store.spaces
    session = Session(dict.__getitem__(store.spaces, b"default"), True, True)
    answer = commands.COMMANDS[[one.name for one in commands.COMMANDS].index("INFO")].handler(
        server.world, session, [b"INFO"]
    )
    assert isinstance(answer, bytes)
    assert b"data_disk_read_failed: 1\n" in answer
    store.spaces = spaces
    await server.close()
    store.close()


async def test_what_was_written_to_a_namespace_that_goes_is_acknowledged_when_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "i", tmp_path / "d")
    store.open()
    server = Server(store, Settings(b"", is_protected=False, is_shared=True), Hooks("", 0))
    order: list[str] = []
    try:
        space = store.create(b"n")
        server.syncs._synced = lambda batch: order.append("acknowledged")
        whole = os.fdatasync

        def fdatasync(descriptor: int) -> None:
            # Whatever had to be synced of the namespace so far.
            order.append("synced" if "/n/" in os.readlink(f"/proc/self/fd/{descriptor}") else "other")
            whole(descriptor)

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        store.spaces[b"default"].set(b"key", b"value", 1)
        server.syncs.wrote(store.spaces[b"default"])
        space.set(b"key", b"value", 1)
        server.syncs.wrote(space)
        await server.release(b"n")
        await server.syncs.idle.wait()
        assert "synced" in order[: order.index("acknowledged")]
    finally:
        await server.close()
        store.close()
