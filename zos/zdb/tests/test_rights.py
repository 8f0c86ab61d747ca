"""What a session may do, while what it may do changes; and how little a namespace holds while nobody uses it."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from zos.zdb import store
from zos.zdb.store import Store, open_apart
from zos.zdb.tests.replay import Client, running

MANY = 40


async def selected(port: int, *words: bytes) -> Client:
    client = await Client.to(port)
    assert await client.command(b"SELECT", b"n", *words) == b"+OK\r\n"
    return client


async def administrator(port: int) -> Client:
    admin = await Client.to(port)
    for words in (b"AUTH root", b"NSNEW n", b"NSSET n password old", b"NSSET n public 0"):
        assert await admin.command(*words.split()) == b"+OK\r\n"
    return admin


async def test_who_knows_an_old_password_has_no_rights_by_it(tmp_path: Path) -> None:
    async with running(tmp_path, "--admin root") as port:
        admin = await administrator(port)
        client = await selected(port, b"old")
        assert await client.command(b"SET", b"key", b"value") == b"$3\r\nkey\r\n"
        await admin.command(b"NSSET", b"n", b"password", b"new")
        for words in (b"GET key", b"SET key x", b"DEL key", b"SCAN", b"DBSIZE", b"WAIT *", b"HISTORY key"):
            assert await client.command(*words.split()) == b"-Namespace protected and private\r\n"
        assert await client.command(b"FLUSH") == b"-Namespace protected and private\r\n"
        await admin.command(b"NSSET", b"n", b"public", b"1")
        assert await client.command(b"GET", b"key") == b"$5\r\nvalue\r\n"
        assert await client.command(b"SET", b"key", b"x") == b"-Namespace is in read-only mode\r\n"
        assert await client.command(b"SELECT", b"n", b"new") == b"+OK\r\n"
        assert await client.command(b"SET", b"key", b"x") == b"$3\r\nkey\r\n"
        # A reload is no change of the password.
        await admin.command(b"RELOAD", b"n")
        assert await client.command(b"SET", b"key", b"y") == b"$3\r\nkey\r\n"
        for one in (admin, client):
            await one.close()


async def test_who_came_without_a_password_reads_as_long_as_it_is_public(tmp_path: Path) -> None:
    async with running(tmp_path, "--admin root") as port:
        admin = await administrator(port)
        await admin.command(b"NSSET", b"n", b"public", b"1")
        client = await selected(port)
        assert await client.command(b"GET", b"key") == b"$-1\r\n"
        await admin.command(b"NSSET", b"n", b"public", b"0")
        assert await client.command(b"GET", b"key") == b"-Namespace protected and private\r\n"
        for one in (admin, client):
            await one.close()


@pytest.mark.parametrize("switch", [b"lock", b"freeze", b"worm"])
async def test_a_namespace_that_may_not_be_changed_is_not_flushed(tmp_path: Path, switch: bytes) -> None:
    async with running(tmp_path, "--admin root") as port:
        admin = await administrator(port)
        client = await selected(port, b"old")
        await client.command(b"SET", b"key", b"value")
        await admin.command(b"NSSET", b"n", switch, b"1")
        assert (await client.command(b"FLUSH")).startswith(b"-Namespace is ")
        assert await client.command(b"DBSIZE") == b":1\r\n"
        await admin.command(b"NSSET", b"n", switch, b"0")
        assert await client.command(b"FLUSH") == b"+OK\r\n"
        assert await client.command(b"DBSIZE") == b":0\r\n"
        for one in (admin, client):
            await one.close()


def test_many_namespaces_hold_little_memory_and_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_SHARED", 6, raising=False)
    served = Store(tmp_path / "index", tmp_path / "data")
    served.open()

    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = files()
    tracemalloc.start()
    for number in range(MANY):
        (tmp_path / str(number)).mkdir()
        served.adopt(open_apart(b"%d" % number, tmp_path / str(number), is_sequential=False))
    each = tracemalloc.get_traced_memory()[0] / MANY
    tracemalloc.stop()
    assert each < 16_000
    spaces = list(served.spaces.values())
    for turn in range(3):
        for space in spaces:
            space.set(b"key", b"%d" % turn, 1)
        # One descriptor each, which keeps other programs out.
        assert files() <= before + MANY + 6
        for space in spaces:
            space.commit()
            assert space.get(b"key") == b"%d" % turn
        assert files() <= before + MANY + 6
    served.close()
    assert files() < before
