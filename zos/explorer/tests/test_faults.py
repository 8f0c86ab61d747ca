"""Faults of the database and of the explorer itself: it goes on, and says in the end what the chain says."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection, Engine, event, insert, literal, select, text

from zos.explorer.chain.follower import Follower
from zos.explorer.clock import GridClock
from zos.explorer.command import Settings
from zos.explorer.errors import AnotherChain, BadDatabase, Busy, NoDatabase, TooLong
from zos.explorer.graphql.endpoint import GraphqlEndpoint
from zos.explorer.service import serve
from zos.explorer.store import pool as pool_module
from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.schema import CONTRACT, COUNTRY, META, VERSION
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import NODE, USER, Grid, explorer, grid
from zos.explorer.tests.served import served
from zos.explorer.tests.test_command import follows, free_port
from zos.runtime.clock import SystemClock

FIRST = Path(__file__).parent / "database" / "v1.sql"


def rows_of(engine: Engine) -> dict[str, list[Any]]:
    """Everything in a database."""
    with engine.connect() as db:
        return {table.name: sorted(map(repr, db.execute(select(table)))) for table in META.sorted_tables}


async def much(g: Grid) -> int:
    """Something of everything happens on a farm; gives a contract that stays."""
    await g.twin(USER)
    await g.node()
    await g.uptime()
    gone = await g.contract(ips=1)
    kept = await g.contract("f" * 32, ips=1)
    await g.do(USER, "SmartContractModule", "create_name_contract", name="web")
    used = {"contract_id": kept, "used": {"hru": 0, "sru": 5, "cru": 2, "mru": 7}}
    await g.do(NODE, "SmartContractModule", "report_contract_resources", contract_resources=[used])
    await g.do(USER, "SmartContractModule", "cancel_contract", contract_id=gone)
    for _ in g.dev.node.advance(120):
        pass
    await g.uptime(200)
    return kept


# Versions


async def test_a_database_of_the_first_version_grows_and_keeps_what_the_chain_forgot(tmp_path: Path) -> None:
    async with grid() as g:
        await g.farm()
        kept = await much(g)
        with sqlite3.connect(tmp_path / "gridproxy.sqlite") as db:
            db.executescript(FIRST.read_text())
            here = (await g.chain.genesis(), await g.chain.block_hash(1), await g.chain.block_hash(1))
            db.execute("UPDATE cursor SET genesis = ?, first = ?, hash = ?, number = 1", here)
            # The devchain counts from 1 as well: an old contract that is none of today's.
            db.execute("UPDATE contract SET contract_id = 77 WHERE contract_id = 1")
        db.close()
        async with explorer(tmp_path, g.chain) as x:
            assert x.follower.cursor is not None
            assert x.follower.cursor.version == 1
            assert len(await x.web.get("/nodes")) == 5
            await x.to(g.chain)
            assert x.follower.cursor.version == VERSION
            assert [one["nodeId"] for one in await x.web.get("/nodes")] == [1]
            assert (await x.web.get("/contracts/77"))["state"] == "Deleted"
            assert (await x.web.get(f"/contracts/{kept}"))["state"] == "Created"
            assert {rows.NOW, rows.NOW - 3600} <= {one["timestamp"] for one in await x.web.get("/contracts/1/bills")}
            data = (await x.web.query("{ uptimeEvents { nodeID uptime } countries { name } }"))["data"]
            assert [one["uptime"] for one in data["uptimeEvents"]] == ["100", "200"]
            assert "Belgium" in {one["name"] for one in data["countries"]}


async def test_an_older_database_of_another_chain_stays_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "gridproxy.sqlite") as db:
        db.executescript(FIRST.read_text())
    db.close()
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        with pytest.raises(AnotherChain):
            await x.to(g.chain)
        assert len(await x.web.get("/nodes")) == 5


def test_what_a_database_lacks_is_made(empty_url: str) -> None:
    engine = open_database(empty_url)
    rows.small(Store(engine))
    with engine.begin() as db:
        db.execute(text("ALTER TABLE node DROP COLUMN gw6"))
        db.execute(text("DROP INDEX ix_node_twin_id"))
        db.execute(text("DROP TABLE uptime"))
        db.execute(text("DELETE FROM country WHERE code = 'BE'"))
        db.execute(text("UPDATE cursor SET version = 1"))
    engine.dispose()
    for _ in range(2):
        engine = open_database(empty_url)
        store = Store(engine)
        cursor = store.cursor()
        assert cursor is not None
        assert cursor.version == 1
        with engine.connect() as db:
            assert db.execute(text("SELECT DISTINCT gw6 FROM node")).scalars().all() == [""]
            assert db.execute(select(COUNTRY.c.region).where(COUNTRY.c.name == "Belgium")).scalar_one() == "Europe"
        store.apply(
            Changes(nodes={9: rows.node(9)}), EventFacts(uptime_reports={(9, 5): 6}, uptimes={9: (5, 6)}), cursor
        )
        with engine.begin() as db:
            db.execute(text("UPDATE cursor SET version = 1"))
        engine.dispose()


def test_a_newer_database_is_refused(empty_url: str) -> None:
    engine = open_database(empty_url)
    rows.small(Store(engine))
    before = rows_of(engine)
    with engine.begin() as db:
        db.execute(text(f"UPDATE cursor SET version = {VERSION + 1}"))
    with pytest.raises(BadDatabase) as caught:
        open_database(empty_url)
    assert "newer" in str(caught.value)
    after = rows_of(engine)
    assert {name: after[name] for name in before if name != "cursor"} == {n: before[n] for n in before if n != "cursor"}
    engine.dispose()


# Failures


async def test_a_failure_at_any_statement_changes_nothing_in_the_end(tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    async with grid() as g:
        await g.farm()
        async with explorer(start, g.chain) as x:
            await x.to(g.chain)
        await much(g)
        g.dev.node.faults.stalled = True
        head = await g.chain.finalized()
        wanted = await followed(g, start, tmp_path / "whole", head, None)
        assert len(wanted["contract"]) == 3
        assert len(wanted["uptime"]) == 2
        for number in count(1):
            found = await followed(g, start, tmp_path / f"failed-{number}", head, number)
            if found is None:
                break
            assert found == wanted, f"after a failure at statement {number}"
        assert number > 15


async def followed(g: Grid, start: Path, folder: Path, head: Any, failing: int | None) -> Any:
    """What a copy of the database holds at this block, after one failure; None when nothing failed."""
    shutil.copytree(start, folder)
    engine = open_database(str(folder / "gridproxy.sqlite"))
    store, seen = Store(engine), count(1)
    follower = Follower(g.chain, store, GridClock(SystemClock()))
    follower.cursor = store.cursor()

    def fail(*_: Any) -> None:
        if next(seen) == failing:
            raise OSError("the disk is gone")

    event.listen(engine, "before_cursor_execute", fail)
    try:
        await follower.advance(head)
        if failing is not None:
            return None
    except OSError:
        # Another process goes on.
        follower = Follower(g.chain, store, GridClock(SystemClock()))
        follower.cursor = store.cursor()
        await follower.advance(head)
    finally:
        event.remove(engine, "before_cursor_execute", fail)
    found = rows_of(engine)
    engine.dispose()
    shutil.rmtree(folder)
    return found


@pytest.mark.process
async def test_it_may_be_killed_at_any_time(tmp_path: Path) -> None:
    chance = random.Random(5)
    port = free_port()
    command = [sys.executable, "-m", "zos.explorer", "--listen", f"127.0.0.1:{port}"]
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    calm.mkdir()
    async with grid() as g, aiohttp.ClientSession() as session, explorer(calm, g.chain) as other:
        command += ["--chain", g.dev.url, "--database", str(killed / "gridproxy.sqlite")]
        await g.everybody()
        made = 0
        for _ in range(3):
            process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
            try:
                async with asyncio.timeout(60):
                    while not await follows(session, port):
                        await asyncio.sleep(0.05)
                g.dev.node.faults.stalled = False
                for _ in range(chance.randint(4, 14)):
                    made += 1
                    contract = await g.contract(f"{made:032x}")
                    if made % 3 == 0:
                        await g.do(USER, "SmartContractModule", "cancel_contract", contract_id=contract)
                    await g.uptime(made)
                    await other.to(g.chain)
                await asyncio.sleep(chance.uniform(0, 0.1))
            finally:
                process.kill()
                await process.wait()
            await g.contract(f"{made:x}".rjust(32, "f"))
            # The devchain forgets after 500 blocks, and to start a program takes its time.
            g.dev.node.faults.stalled = True
            await other.to(g.chain)
        await other.to(g.chain)
        async with explorer(killed, g.chain) as x:
            await x.to(g.chain)
            wanted = rows_of(other.engine)
            for table, found in rows_of(x.engine).items():
                assert found == wanted[table], table


async def test_a_database_that_somebody_holds_is_waited_for(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        other = sqlite3.connect(tmp_path / "gridproxy.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        following = asyncio.create_task(x.to(g.chain))
        await asyncio.sleep(0.3)
        assert await x.web.get("/nodes") == []
        assert not following.done()
        other.execute("COMMIT")
        other.close()
        await following
        assert len(await x.web.get("/nodes")) == 1


async def test_a_damaged_database_is_told_at_the_start_and_no_failure_of_ours_later(tmp_path: Path) -> None:
    file = tmp_path / "grid.sqlite"
    engine = open_database(str(file))
    rows.large(Store(engine), 300, 3000)
    with engine.connect() as db:
        db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    async with served(engine) as web:
        assert len(await web.get("/contracts")) == 50
        size = file.stat().st_size
        with file.open("r+b") as raw:
            raw.seek(4096)
            raw.write(b"\xa5" * (size - 4096))
        engine.dispose()
        for path in ("/contracts?size=3000", "/nodes", "/stats"):
            assert "does not answer" in (await web.get(path, 503))["error"]
        assert (await web.get("/health"))["total_state_ok"] is False
        assert "does not answer" in (await web.query("{ nodes { id } }", 503))["errors"][0]["message"]
    with pytest.raises(BadDatabase):
        await serve(Settings(["ws://127.0.0.1:1"], str(file), port=0))


# Deadlines

ENDLESS = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")


async def test_a_question_without_an_end_is_given_up(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "DEADLINE", 0.3)
    engine = open_database(empty_url)
    pool = QueryPool(engine)
    async with asyncio.timeout(10):
        with pytest.raises(TooLong):
            await pool.run(lambda db: db.execute(ENDLESS).scalar())
        # The same connection serves on.
        for _ in range(10):
            assert await pool.run(lambda db: db.execute(text("SELECT 1")).scalar()) == 1
    pool.close()
    engine.dispose()


async def test_a_crowd_of_quick_questions_is_answered(empty_url: str) -> None:
    engine = open_database(empty_url)
    pool = QueryPool(engine)
    found = await asyncio.gather(*(pool.run(lambda db: db.execute(text("SELECT 1")).scalar()) for _ in range(1000)))
    assert found == [1] * 1000
    pool.close()
    engine.dispose()


async def test_who_waited_too_long_is_told_to_come_again(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_WAIT", 0.05)
    pool, released, held = QueryPool(empty), threading.Event(), threading.Barrier(pool_module.Frontend.REST.value + 1)

    def hold(db: Connection) -> None:
        held.wait(10)
        released.wait(10)

    holding = [asyncio.create_task(pool.run(hold)) for _ in range(pool_module.Frontend.REST.value)]
    await asyncio.to_thread(held.wait, 10)
    late = asyncio.create_task(pool.run(lambda db: None))
    await asyncio.sleep(0.1)
    released.set()
    with pytest.raises(Busy):
        await late
    await asyncio.gather(*holding)
    assert await pool.run(lambda db: 5) == 5
    pool.close()


async def test_a_database_that_is_gone_is_told(tmp_path: Path) -> None:
    engine = open_database(str(tmp_path / "x.sqlite"))
    pool = QueryPool(engine)
    engine.dispose()
    (tmp_path / "x.sqlite").unlink()
    (tmp_path / "x.sqlite").mkdir()
    with pytest.raises(NoDatabase):
        await pool.run(lambda db: db.execute(text("SELECT 1")).scalar())
    async with asyncio.timeout(10):
        with pytest.raises(NoDatabase):
            await GraphqlEndpoint(pool).answer(b'{"query": "{ nodes { id } }"}')
    pool.close()


async def test_a_list_may_be_as_long_as_the_grid(empty: Engine) -> None:
    # More than the 65,535 parameters that PostgreSQL takes in a statement.
    number = 70_000
    Store(empty).apply(Changes(contracts={1: rows.contract(1)}, nodes={1: rows.node(1)}), EventFacts(), rows.CURSOR)
    names = [name for name in CONTRACT.c.keys() if name != "contract_id"]  # noqa: SIM118
    numbers = select(literal(2).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < number))
    with empty.begin() as db:
        model = numbers.join(CONTRACT, CONTRACT.c.contract_id == 1)
        copied = select(numbers.c.n, *(CONTRACT.c[name] for name in names)).select_from(model)
        db.execute(insert(CONTRACT).from_select(["contract_id", *names], copied))
    async with served(empty) as web:
        found = await web.get(f"/contracts?size={number}&sort_by=contract_id&sort_order=desc")
    assert [one["contract_id"] for one in found] == list(range(number, 0, -1))
