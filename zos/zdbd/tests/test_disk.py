"""The process of a disk, as zdbd starts it: real programs, files and sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zos.zdb.tests.replay import Client
from zos.zdbd.api import ServerFailed
from zos.zdbd.fake import FakeHost
from zos.zdbd.host import LinuxHost, linux
from zos.zdbd.host.contract import Host
from zos.zdbd.model import Desired, ObservedServer, Report, Space, SpaceReport
from zos.zdbd.steps import StartServer, StopServer, Tell

pytestmark = pytest.mark.process

POOL = "pool-1"


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def host(folder: Path) -> AsyncIterator[LinuxHost]:
    made = LinuxHost(folder / "run")
    try:
        yield made
    finally:
        await made.close()


def space(folder: Path, id: str, **changes: object) -> Space:
    (folder / id).mkdir(exist_ok=True)
    plain: dict[str, object] = {"size": 1 << 20, "is_sequential": False, "is_public": False, "is_frozen": False}
    return Space(id=id, folder=str(folder / id), **{"password": f"pw-{id}", **plain, **changes})  # type: ignore[arg-type]


async def told(host: Host, port: int, *spaces: Space) -> Report:
    await host.apply((StartServer(POOL), Tell(POOL, Desired(port, ("::1",), True, spaces))))
    observed = await host.observe(POOL)
    assert observed is not None
    return observed.report


Select = Callable[..., Awaitable[tuple[Client, bytes]]]


@pytest.fixture
async def select() -> AsyncIterator[Select]:
    """Connects and selects a namespace; the answer to that comes with the client."""
    made: list[Client] = []

    async def select(port: int, id: str, password: str = "") -> tuple[Client, bytes]:
        client = Client(*await asyncio.open_connection("::1", port))
        made.append(client)
        return client, await client.command(b"SELECT", id.encode(), (password or f"pw-{id}").encode())

    yield select
    for client in made:
        await client.close()


async def test_two_tenants_of_a_disk_have_their_own_and_see_nothing_of_each_other(
    tmp_path: Path, select: Select
) -> None:
    port = free_port()
    async with host(tmp_path) as disks:
        report = await told(disks, port, space(tmp_path, "one"), space(tmp_path, "two", is_sequential=True))
        assert report.is_whole
        one, answer = await select(port, "one")
        assert answer == b"+OK\r\n"
        assert await one.command(b"SET", b"key", b"value") == b"$3\r\nkey\r\n"
        two, _ = await select(port, "two")
        assert await two.command(b"SET", b"", b"other") == b"$8\r\n" + bytes(8) + b"\r\n"
        assert await two.command(b"GET", b"key") == b"$-1\r\n"
        assert await two.command(b"NSLIST") == b"*2\r\n$7\r\ndefault\r\n$3\r\ntwo\r\n"
        assert await two.command(b"NSINFO", b"one") == b"-Permission denied\r\n"
        assert b"data_limits_bytes: 1048576\n" in await two.command(b"NSINFO", b"two")
        for refused in (
            (b"NSNEW", b"x"),
            (b"NSDEL", b"one"),
            (b"AUTH", b"admin"),
            (b"NSSET", b"two", b"maxsize", b"0"),
        ):
            assert (await two.command(*refused)).startswith(b"-")
        assert (await two.command(b"SELECT", b"one", b"wrong")).startswith(b"-Access denied")
        assert await two.command(b"SELECT", b"default") == b"+OK\r\n"
        assert (await two.command(b"SET", b"k", b"v")).startswith(b"-Namespace is in read-only mode")


async def test_settings_follow_while_clients_are_connected(tmp_path: Path, select: Select) -> None:
    port = free_port()
    async with host(tmp_path) as disks:
        await told(disks, port, space(tmp_path, "one"))
        client, _ = await select(port, "one")
        await client.command(b"SET", b"key", b"value")
        await told(disks, port, space(tmp_path, "one", is_frozen=True))
        assert await client.command(b"GET", b"key") == b"-Namespace is temporarily frozen (read-write disabled)\r\n"
        report = await told(disks, port, space(tmp_path, "one", size=3, password="new", is_public=True))
        assert (report.spaces["one"].entries, report.spaces["one"].used) == (1, 5)
        assert (await client.command(b"SET", b"more", b"value")).startswith(b"-Namespace is in read-only mode")
        assert (await client.command(b"SELECT", b"one", b"new")) == b"+OK\r\n"
        assert (await client.command(b"SET", b"more", b"value")).startswith(b"-No space left")
        assert (await select(port, "one"))[1].startswith(b"-Access denied")
        await told(disks, port)
        assert (await client.command(b"GET", b"key")).startswith(b"-Your active namespace is not available")
        # Nothing has the files open: another program may have them.
        await disks.apply((StopServer(POOL),))
        await asyncio.gather(*disks._watches)
        assert not disks.pools()


async def test_what_was_acknowledged_outlives_a_killed_process(tmp_path: Path, select: Select) -> None:
    port = free_port()
    async with host(tmp_path) as disks:
        await told(disks, port, space(tmp_path, "one"))
        client, _ = await select(port, "one")
        assert await client.command(b"SET", b"key", b"value") == b"$3\r\nkey\r\n"
        ended = asyncio.Event()
        disks.on_change(ended.set)
        os.kill(disks._servers[POOL].process.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            await ended.wait()
        assert await disks.observe(POOL) is None
        assert (await told(disks, port, space(tmp_path, "one"))).is_whole
        client, _ = await select(port, "one")
        assert await client.command(b"GET", b"key") == b"$5\r\nvalue\r\n"


async def test_a_process_that_does_not_answer_holds_nobody_up_and_is_ended(
    tmp_path: Path, select: Select, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("ANSWER", 1.5), ("SILENT_ANSWER", 0.1), ("SILENCE", 2.0)):
        monkeypatch.setattr(linux, name, seconds, raising=False)
    port, wanted = free_port(), space(tmp_path, "one")
    async with host(tmp_path) as disks:
        monkeypatch.setattr(linux, "ANSWER", 20.0)
        await told(disks, port, wanted)
        monkeypatch.setattr(linux, "ANSWER", 1.5)
        client, _ = await select(port, "one")
        await client.command(b"SET", b"key", b"value")
        ended = asyncio.Event()
        disks.on_change(ended.set)
        os.kill(disks._servers[POOL].process.pid, signal.SIGSTOP)
        asked = 0
        async with asyncio.timeout(10):
            while not ended.is_set():
                with contextlib.suppress(ServerFailed):
                    await disks.observe(POOL)
                asked += 1
                await asyncio.sleep(0)
        # Once the answer is owed, asking takes little.
        assert asked > 3
        monkeypatch.setattr(linux, "ANSWER", 20.0)
        assert (await told(disks, port, wanted)).is_whole
        client, _ = await select(port, "one")
        assert await client.command(b"GET", b"key") == b"$5\r\nvalue\r\n"


async def test_a_volume_that_is_not_there_is_told_and_hurts_no_other(tmp_path: Path) -> None:
    port = free_port()
    async with host(tmp_path) as disks:
        gone = space(tmp_path, "gone")
        Path(gone.folder).rmdir()
        broken = space(tmp_path, "broken")
        (Path(broken.folder) / "index" / "broken").mkdir(parents=True)
        (Path(broken.folder) / "index" / "broken" / "i0").write_bytes(b"something else, which is longer than a header")
        report = await told(disks, port, gone, broken, space(tmp_path, "one"))
        assert "No such file" in report.spaces["gone"].problem
        assert "no index file" in report.spaces["broken"].problem
        assert not report.spaces["one"].problem
        assert not Path(gone.folder).exists()
        Path(gone.folder).mkdir()
        assert not (await told(disks, port, gone, space(tmp_path, "one"))).spaces["gone"].problem


async def test_a_disk_is_served_on_an_address_before_the_machine_has_it(tmp_path: Path) -> None:
    async with host(tmp_path) as disks:
        desired = Desired(free_port(), ("::1", "5a1:2:3::4"), True, (space(tmp_path, "one"),))
        await disks.apply((StartServer(POOL), Tell(POOL, desired)))
        observed = await disks.observe(POOL)
        assert observed is not None
        assert observed.report.is_whole


@pytest.mark.parametrize("kind", ["real", "fake"])
async def test_both_hosts_keep_the_same_promises(tmp_path: Path, kind: str) -> None:
    async with host(tmp_path) as real:
        one: Host = real if kind == "real" else FakeHost()
        changed = asyncio.Event()
        one.on_change(changed.set)
        assert (one.pools(), await one.observe(POOL)) == (frozenset(), None)
        wanted = Desired(free_port(), ("::1",), True, (space(tmp_path, "one"),))
        with pytest.raises(ServerFailed):
            await one.apply((Tell(POOL, wanted),))
        await one.apply((StartServer(POOL), StartServer(POOL)))
        assert (one.pools(), await one.observe(POOL)) == (frozenset({POOL}), ObservedServer())
        await one.apply((Tell(POOL, wanted), Tell(POOL, wanted)))
        assert await one.observe(POOL) == ObservedServer(wanted, Report({"one": SpaceReport()}))
        await one.apply((StopServer(POOL), StopServer(POOL)))
        async with asyncio.timeout(20):
            await changed.wait()
        assert (one.pools(), await one.observe(POOL)) == (frozenset(), None)
