"""What waits in the relay outlives it: on disk, in order, bounded, and given once to whoever confirms it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from zos.relay.federation import Outcome
from zos.relay.server import Relay, serving
from zos.relay.spool import FILE, Disk, InUse, Kept, Way
from zos.relay.tests.world import FAR, NODE, USER, Others, World, message, raw, received
from zos.rmb import envelope as env
from zos.rmb.testing import Chain
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock


def kept(number: int, until: float = 9e9) -> Kept:
    return Kept(Way.HERE, (3, "s"), (1, ""), until, b"%d" % number)


def on_disk(folder: Path) -> list[bytes]:
    with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
        return [row[0] for row in db.execute("SELECT frame FROM waiting ORDER BY id")]


async def saved(disk: Disk, count: int) -> None:
    async with asyncio.timeout(10):
        while disk.saved != count or disk._new:
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def relay(folder: Path, others: Others | None = None) -> AsyncIterator[tuple[World, Disk]]:
    chain, others = Chain(), others or Others()
    chain.add(USER, NODE, FAR)
    disk = Disk(folder)
    async with disk.running():
        made = Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), others, spool=disk)
        made.restore(disk.load())
        async with serving(made, "127.0.0.1", 0) as port:
            yield World(made, f"http://127.0.0.1:{port}", chain, others), disk


async def test_what_waits_is_on_disk_and_what_does_not_never_comes_there(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    async with disk.running():
        for number in range(100):
            ticket = disk.add(kept(number))
            if number % 10:
                disk.drop(ticket)
        await saved(disk, 10)
        assert disk.holds(1)
        assert not disk.holds(2)
        disk.drop(1)
    assert on_disk(tmp_path) == [b"%d" % number for number in range(10, 100, 10)]
    found = on_disk(tmp_path)
    again = Disk(tmp_path)
    assert [one.frame for _, one in again.load()] == found
    async with again.running():
        assert again.add(kept(0)) > max(ticket for ticket, _ in again.load())


async def test_what_the_first_release_kept_is_given(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.executescript((Path(__file__).parent / "ledger/spool-v1.sql").read_text())
    disk = Disk(tmp_path)
    async with disk.running():
        assert disk.load() == [
            (1, Kept(Way.HERE, (3, "s"), (1, ""), 9e9, b"\x01here")),
            (2, Kept(Way.POSTED, (2**32 - 1, ""), (7, "reply"), 9e9 + 0.5, b"\x00\xff")),
        ]


async def test_who_was_told_that_a_message_is_kept_was_told_the_truth(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    async with disk.running():
        tickets = [disk.add(kept(number)) for number in range(50)]
        await asyncio.gather(*map(disk.kept, tickets))
        disk._db.execute("PRAGMA locking_mode = NORMAL")
        assert len(disk.load()) == 50
        dropped = disk.add(kept(50))
        waiting = asyncio.create_task(disk.kept(dropped))
        await asyncio.sleep(0)
        disk.drop(dropped)
        await asyncio.wait_for(waiting, 5)


async def test_a_disk_that_takes_nothing_loses_nothing_while_the_relay_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zos.relay.spool.RETRY", 0.01)
    disk = Disk(tmp_path)
    pages = disk._db.execute("PRAGMA max_page_count = 1").fetchone()[0]
    async with disk.running():
        large = Kept(Way.HERE, (3, ""), (1, ""), 9e9, bytes(100_000))
        ticket = disk.add(large)
        await asyncio.wait_for(disk.kept(ticket), 5)
        assert not disk.holds(ticket)
        assert "cannot be written" in caplog.text
        disk._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
        await saved(disk, 1)
    assert on_disk(tmp_path) == [large.frame]


async def test_a_damaged_file_is_set_aside_and_a_second_relay_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    disk = Disk(tmp_path)
    assert "damaged" in caplog.text
    assert list(tmp_path.glob("*.damaged"))
    async with disk.running():
        with pytest.raises(InUse, match="locked"):
            Disk(tmp_path)


async def test_a_message_that_waits_is_given_after_a_restart_and_gone_once_it_is_confirmed(tmp_path: Path) -> None:
    async with relay(tmp_path) as (w, disk), raw(w, USER) as user:
        for number in range(200):
            made = message(USER, NODE.id)
            made.uid = f"{number}"
            await user.send_bytes(made.SerializeToString())
        await saved(disk, 200)
    async with relay(tmp_path) as (w, disk):
        async with raw(w, NODE) as node:
            assert [(await received(node)).uid for _ in range(200)] == [f"{number}" for number in range(200)]
            reading = asyncio.create_task(node.receive())  # answers its pings
            await saved(disk, 0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert w.relay.sessions.waiting == 0
    assert on_disk(tmp_path) == []


async def test_what_a_connection_has_not_confirmed_is_given_to_the_next(tmp_path: Path) -> None:
    async with relay(tmp_path) as (w, disk), raw(w, USER) as user:
        await user.send_bytes(message(USER, NODE.id).SerializeToString())
        await saved(disk, 1)
        async with raw(w, NODE) as deaf:
            async with asyncio.timeout(5):
                while not w.relay.counts["relay_message_tx"]:
                    await asyncio.sleep(0.005)
            transport = deaf._response.connection.transport  # type: ignore[union-attr]
            transport.abort()  # type: ignore[union-attr]
        async with raw(w, NODE) as node:
            assert (await received(node)).uid == "u1"


async def test_a_message_for_another_relay_is_sent_after_a_restart(tmp_path: Path) -> None:
    class Silent(Others):
        async def send(self, domains: object, frame: bytes, span: float, sender: int = 0) -> Outcome:
            await asyncio.Event().wait()
            return Outcome.REFUSED

    async with relay(tmp_path, Silent()) as (w, disk), raw(w, USER) as user:
        for _ in range(20):
            await user.send_bytes(message(USER, FAR.id).SerializeToString())
        await saved(disk, 20)
    others = Others()
    async with relay(tmp_path, others) as (w, disk):
        await saved(disk, 0)
        assert len(others.sent) == 20


async def test_what_expired_meanwhile_is_not_given(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    async with disk.running():
        disk.add(Kept(Way.HERE, (NODE.id, ""), (1, ""), SystemClock().time() - 1, message(USER, 3).SerializeToString()))
    async with relay(tmp_path) as (w, disk):
        await saved(disk, 0)
        assert w.relay.sessions.waiting == 0


async def test_another_relay_is_told_that_we_have_it_only_once_it_is_on_disk_and_may_say_it_again(
    tmp_path: Path,
) -> None:
    made = await env.signed(message(USER, NODE.id), USER.key)
    for posted in range(2):
        async with relay(tmp_path) as (w, disk), aiohttp.ClientSession() as http:
            async with http.post(w.url, data=made.SerializeToString()) as answer:
                assert answer.status == 202
            assert disk.saved == 1, posted
    assert len(on_disk(tmp_path)) == 1


async def test_no_flood_fills_the_disk(tmp_path: Path) -> None:
    async with relay(tmp_path) as (w, disk):
        count = 0
        while w.relay.sessions.put((count % 500, f"{count}"), 66, b"", 100):
            count += 1
        assert w.relay.sessions.put((1, ""), 2, bytes(1_000_000), 100), "another twin has its part"
        await saved(disk, count + 1)
        size = sum(one.stat().st_size for one in tmp_path.iterdir())
        assert size < 2 * w.relay.sessions.waiting < 128 << 20
