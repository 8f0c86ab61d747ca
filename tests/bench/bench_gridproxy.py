"""How long the explorer's answers take on a large grid: p50 and p95 per question over HTTP, in milliseconds.

    python tests/bench/bench_gridproxy.py [--nodes 10000] [--contracts 100000] [--database sqlite|postgresql|URL]

The goal is a p95 of at most 20 ms for every filter query. The database is a SQLite file or a PostgreSQL server in a
temporary folder (started here, with its defaults but for fsync), filled with a made-up grid. The baseline of the same
run is the database's own driver (sqlite3, psycopg), which executes the very statements of the question and fetches
their rows: the ratio is what the explorer adds. Exits with 1 when a question is slower than the goal. On a machine that
does other things as well p95 tells of these; the processor time (mean, of this process) does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Engine, event

from zos.explorer.clock import GridClock
from zos.explorer.rest.api import Api
from zos.explorer.server import serving
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.writer import Store
from zos.explorer.tests import postgres, rows
from zos.runtime.clock import FakeClock

GOAL = 20.0
QUESTIONS = (
    "/nodes",
    "/nodes?ret_count=true",
    "/nodes?total_cru=1&free_mru=1073741824&free_sru=10737418240&farm_ids=1,2,3&available_for=1&status=up"
    "&sort_by=free_cru&sort_order=desc&features=zmachine",
    "/nodes?status=up&available_for=5&healthy=true&features=zmachine,network&ret_count=true",
    "/nodes?free_mru=4294967296&free_sru=1&sort_by=free_cru&sort_order=desc&ret_count=true",
    "/nodes?country_contains=gi&city_contains=he&ret_count=true",
    "/nodes?farm_name_contains=arm-1&free_ips=1&ret_count=true",
    "/nodes?rentable=true&sort_by=price_usd&balance=100&ret_count=true",
    "/nodes?price_min=10&price_max=100&balance=1000&ret_count=true",
    "/nodes?region=europe&dedicated=true&sort_by=status&ret_count=true",
    "/nodes?has_gpu=true&gpu_vendor_name=nvidia&ret_count=true",
    "/nodes?ipv4=true&ipv6=true&page=2",
    "/nodes?page=200&size=50&sort_by=country",
    "/nodes?randomize=true",
    "/farms?ret_count=true",
    "/farms?node_free_mru=4294967296&node_status=up&node_available_for=3&ret_count=true",
    "/farms?free_ips=2&sort_by=used_ips&sort_order=desc",
    "/farms?country=Belgium&node_certified=false&ret_count=true",
    "/twins?ret_count=true&page=300",
    "/twins?relay=relay.lab&ret_count=true",
    "/contracts?ret_count=true",
    "/contracts?page=1900&ret_count=true",
    "/contracts?state=Created,GracePeriod&ret_count=true",
    "/contracts?state=Deleted&sort_by=created_at&sort_order=desc&ret_count=true",
    "/contracts?twin_id=77&state=Created&ret_count=true",
    "/contracts?type=rent&state=Created&ret_count=true",
    "/contracts?node_id=55&ret_count=true",
    "/contracts?farm_name=Farm-77&ret_count=true",
    "/contracts?farm_id=77&type=node&ret_count=true",
    "/contracts?deployment_hash=00000000000000000000000000000abc",
    "/contracts?name=name77",
    "/contracts?sort_by=twin_id&sort_order=desc",
    "/contracts/77",
    "/contracts/77/bills?ret_count=true",
    "/public_ips?free=true&ret_count=true",
    "/public_ips?farm_ids=1,2,3",
    "/stats?status=up",
    "/nodes/77",
    "/twins/77/consumption",
)


class Statements:
    """What the explorer had executed since this was last asked."""

    def __init__(self, engine: Engine) -> None:
        self._seen: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", self._hear)

    def _hear(self, db: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        self._seen.append((statement, parameters))

    def taken(self) -> list[tuple[str, Any]]:
        seen, self._seen = self._seen, []
        return seen


def milliseconds(start: float) -> float:
    return (time.perf_counter() - start) * 1000


async def asked(session: aiohttp.ClientSession, url: str, times: int) -> tuple[list[float], float]:
    """Milliseconds of each answer; and of this process's processors, on average."""
    taken = []
    busy = time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        async with session.get(url) as answer:
            body = await answer.read()
        taken.append(milliseconds(start))
        assert answer.status == 200, body
    return taken, (time.process_time() - busy) * 1000 / times


def driven(engine: Engine, statements: list[tuple[str, Any]], times: int) -> float:
    """Milliseconds (median) of the driver alone, from the statement's text to its rows."""
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            for statement, parameters in statements:
                cursor.execute(statement, parameters)
                cursor.fetchall()
            taken.append(milliseconds(start))
        cursor.close()
        return statistics.median(taken)
    finally:
        raw.close()


async def run(wanted: argparse.Namespace, database: str) -> int:
    engine = open_database(database)
    store = Store(engine)
    start = time.perf_counter()
    rows.large(store, wanted.nodes, wanted.contracts)
    print(f"{engine.dialect.name}: {wanted.nodes} nodes, {wanted.contracts} contracts, filled in", end=" ")
    print(f"{time.perf_counter() - start:.1f} s; the baseline is {engine.dialect.driver} alone")
    statements, pool = Statements(engine), QueryPool(engine)
    slow, ratios, worst = 0, [], 0.0
    print(f"{'p50':>8} {'p95':>8} {'cpu':>8} {'base':>8} {'ratio':>6}  ms")
    async with (
        serving(Api(pool, GridClock(FakeClock(rows.NOW))), "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
    ):
        for question in QUESTIONS:
            url = f"http://127.0.0.1:{port}{question}"
            await asked(session, url, 3)
            statements.taken()
            await asked(session, url, 1)
            once = statements.taken()
            taken, busy = await asked(session, url, wanted.times)
            base = driven(engine, once, wanted.times)
            p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[18]
            slow += p95 > GOAL
            worst = max(worst, p95)
            ratios.append(p50 / base)
            line = f"{p50:8.2f} {p95:8.2f} {busy:8.2f} {base:8.2f} {p50 / base:6.1f}  {question}"
            print(line + ("   SLOW" if p95 > GOAL else ""))
    pool.close()
    engine.dispose()
    print(
        f"{slow} of {len(QUESTIONS)} questions are slower than {GOAL:.0f} ms, the slowest p95 is {worst:.1f} ms;",
        end=" ",
    )
    print(f"ratio to {engine.dialect.driver} alone {statistics.median(ratios):.1f} (median), {max(ratios):.1f} at most")
    return 1 if slow else 0


@contextlib.contextmanager
def place(wanted: str) -> Iterator[str]:
    """The name of a database, gone afterwards when it was made here."""
    if wanted == "sqlite":
        with tempfile.TemporaryDirectory(prefix="bench-gridproxy-") as folder:
            yield str(Path(folder) / "bench.sqlite")
    elif wanted == "postgresql":
        with postgres.server() as server, server.database() as url:
            yield url
    else:
        yield wanted


def main() -> int:
    parser = argparse.ArgumentParser(description="the explorer's answers on a large grid")
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--contracts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or the URL of an empty one")
    wanted = parser.parse_args()
    with place(wanted.database) as database:
        return asyncio.run(run(wanted, database))


if __name__ == "__main__":
    sys.exit(main())
