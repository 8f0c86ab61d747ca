"""How long the explorer's answers take on a large grid: p50 and p95 per question, in milliseconds, and processor time.

    python tests/bench/bench_gridproxy.py [--nodes 10000] [--contracts 100000] [--database FILE|URL]

The goal is a p95 of at most 20 ms for every filter query. The database (SQLite in a temporary folder by default) is
filled with a made-up grid. Exits with 1 when a question is slower than the goal. On a machine that does other things as
well p95 tells of these; the processor time (mean) does not, as far as the database is in this process (SQLite).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from zos.explorer.api import ROUTES, Api
from zos.explorer.database import Readers, opened
from zos.explorer.liveness import Now
from zos.explorer.params import parse
from zos.explorer.store import Store
from zos.explorer.tests import rows
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


async def measured(api: Api, question: str, times: int) -> tuple[list[float], float]:
    """Milliseconds of each answer, its JSON included; and of the processor, on average."""
    path, _, query = question.partition("?")
    parts = path.strip("/").split("/")
    route = next(route for route in ROUTES if fits(route.path.strip("/").split("/"), parts))
    names = zip(route.path.strip("/").split("/"), parts, strict=True)
    given = [(name.strip("{}"), text) for name, text in names if name.startswith("{")]
    given += [(name, text) for name, _, text in (one.partition("=") for one in query.split("&") if one)]
    taken = []
    busy = time.process_time()
    for _ in range(times):
        start = time.perf_counter()
        answer = await route.act(api, parse(route.params, given))
        msgspec.json.encode(answer.body)
        taken.append((time.perf_counter() - start) * 1000)
    return taken, (time.process_time() - busy) * 1000 / times


def fits(pattern: list[str], parts: list[str]) -> bool:
    """Whether a path is of this route."""
    return len(pattern) == len(parts) and all(a.startswith("{") or a == b for a, b in zip(pattern, parts, strict=True))


async def run(wanted: argparse.Namespace, folder: str) -> int:
    engine = opened(wanted.database or str(Path(folder) / "bench.sqlite"))
    store = Store(engine)
    store.wipe()
    start = time.perf_counter()
    rows.large(store, wanted.nodes, wanted.contracts)
    print(f"{wanted.nodes} nodes and {wanted.contracts} contracts in {time.perf_counter() - start:.1f} s")
    readers = Readers(engine)
    api = Api(readers, Now(FakeClock(rows.NOW)))
    slow = 0
    print(f"{'p50':>8} {'p95':>8} {'cpu':>8}  ms")
    for question in QUESTIONS:
        taken, busy = await measured(api, question, wanted.times)
        p95 = statistics.quantiles(taken, n=20)[18]
        slow += p95 > GOAL
        print(f"{statistics.median(taken):8.2f} {p95:8.2f} {busy:8.2f}  {question}{'   SLOW' if p95 > GOAL else ''}")
    readers.close()
    engine.dispose()
    print(f"{slow} of {len(QUESTIONS)} questions are slower than {GOAL:.0f} ms")
    return 1 if slow else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="the explorer's answers on a large grid")
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--contracts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--database", default="")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-gridproxy-") as folder:
        return asyncio.run(run(wanted, folder))


if __name__ == "__main__":
    sys.exit(main())
