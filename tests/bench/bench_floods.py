"""What a flooder on the other side costs a polite client: its latency alone, and beside each kind of flood.

    python tests/bench/bench_floods.py [--only relay,explorer,devchain,hub,mycelium] [--rounds 5] [--seconds 2]

Each server is a process of its own; the flooder is another one and comes from another address (127.0.0.2). Rounds alone
and beside the flood alternate; medians are of all calls. The flooder takes a part of this machine's processors, too:
the row `spin` says what a process costs that only computes. The claim is a factor below 2 of the latency beside a
flood to that alone, or to that beside `spin` where it is higher.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from floods import ENEMY, FLOODS, NODE, POLITE, rpc, spin

from zos.devchain.genesis import Genesis
from zos.devchain.node import Node as ChainNode
from zos.devchain.server import serving as chain_serving
from zos.explorer.clock import GridClock
from zos.explorer.rest.api import Api
from zos.explorer.server import serving as explorer_serving
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.hub.server import application as hub_application
from zos.mycelium import routerid
from zos.mycelium.node import Node as Router
from zos.mycelium.packet import Data, Reader, Subnet, Update, encode, encode_data
from zos.mycelium.plane import identity
from zos.relay.server import Relay
from zos.relay.server import serving as relay_serving
from zos.relay.tests.world import Others
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.twins import TwinCache
from zos.runtime.clock import FakeClock, SystemClock
from zos.runtime.ingress import Ingress, Limits

USER = Twin(1)
Once = Callable[[], Awaitable[object]]


# Servers


@asynccontextmanager
async def relay_server() -> AsyncIterator[int]:
    chain = Chain()
    chain.add(USER, NODE, ENEMY)
    clock = SystemClock()
    async with relay_serving(Relay(TwinCache(chain.twin, clock), "relay.lab", clock, Others()), "0.0.0.0", 0) as port:
        yield port


@asynccontextmanager
async def explorer_server() -> AsyncIterator[int]:
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"{folder}/grid.sqlite")
        rows.large(Store(engine), 1000, 5000)
        pool = QueryPool(engine)
        async with explorer_serving(Api(pool, GridClock(FakeClock(rows.NOW)), None, None), "0.0.0.0", 0) as port:
            yield port


@asynccontextmanager
async def devchain_server() -> AsyncIterator[int]:
    async with chain_serving(ChainNode(Genesis()), "0.0.0.0", 0) as port:
        yield port


@asynccontextmanager
async def hub_server() -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.fl").write_bytes(bytes(1000))
        for number in range(2000):
            place = Path(folder) / "blocks" / f"{number % 256:02x}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}").write_bytes(b"")
        runner = web.AppRunner(hub_application(Path(folder)), access_log=None)
        async with Ingress(Limits(body=60.0)).serving(runner, "0.0.0.0", 0) as port:
            yield port


@asynccontextmanager
async def mycelium_server() -> AsyncIterator[int]:
    router = Router(bytes(31) + b"\1")
    server = await asyncio.get_running_loop().create_server(router.links._new, "0.0.0.0", 0)
    ticking = asyncio.create_task(router._tick())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ticking.cancel()
        server.close()


# Polite clients


@asynccontextmanager
async def relay_client(port: int) -> AsyncIterator[Once]:
    chain = Chain()
    chain.add(USER, NODE)

    async def echo(twin: int, command: str, body: bytes) -> bytes:
        return body

    url = f"ws://{POLITE}:{port}"
    async with joined(NODE, chain, url, handler=echo), joined(USER, chain, url, session="s") as me:
        yield lambda: me.call(3, "x", b"1")


@asynccontextmanager
async def web_client(port: int, path: str, body: str = "") -> AsyncIterator[Once]:
    async with aiohttp.ClientSession(f"http://{POLITE}:{port}") as http:

        async def once() -> None:
            async with http.post(path, data=body) if body else http.get(path) as answer:
                assert answer.status == 200, answer.status
                await answer.read()

        yield once


@asynccontextmanager
async def mycelium_client(port: int) -> AsyncIterator[Once]:
    """A packet by the router from one peer to another."""
    mine = identity(bytes(31) + b"\2")
    here, there = [await asyncio.open_connection(POLITE, port) for _ in range(2)]
    own = Subnet(mine.prefix + bytes(16 - len(mine.prefix)), 64)
    there[1].write(encode(Update(30_000, 1, 0, own, routerid.make(mine.public))))
    packet = encode_data(Data(own.address[:15] + b"\1", own.address[:15] + b"\2", 60, bytes(100)))
    reader = Reader()
    await asyncio.sleep(0.1)

    async def once() -> None:
        here[1].write(packet)
        async with asyncio.timeout(30):
            while not any(isinstance(one, Data) for one in list(reader.feed(await there[0].read(65536)))):
                pass

    async def drain() -> None:
        while await here[0].read(65536):
            pass

    draining = asyncio.create_task(drain())
    try:
        yield once
    finally:
        draining.cancel()
        here[1].close()
        there[1].close()


SERVERS = {
    "relay": relay_server,
    "explorer": explorer_server,
    "devchain": devchain_server,
    "hub": hub_server,
    "mycelium": mycelium_server,
}
CLIENTS: dict[str, Callable[[int], contextlib.AbstractAsyncContextManager[Once]]] = {
    "relay": relay_client,
    "explorer": lambda port: web_client(port, "/nodes?size=10"),
    "devchain": lambda port: web_client(port, "/", rpc("chain_getHeader").decode()),
    "hub": lambda port: web_client(port, "/a.fl"),
    "mycelium": mycelium_client,
}


async def serve(name: str) -> None:
    async with SERVERS[name]() as port:
        print(port, flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(sys.executable, __file__, *words, stdout=asyncio.subprocess.PIPE)
    try:
        yield running
    finally:
        running.kill()
        await running.wait()


async def calls(once: Once, seconds: float) -> list[float]:
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.005)
        began = time.perf_counter()
        await once()
        found.append(time.perf_counter() - began)
    return found


async def measured(name: str, kind: str, rounds: int, seconds: float) -> tuple[float, float, float]:
    """Medians alone and beside the flood, and the 95th percentile beside it, in milliseconds."""
    alone: list[float] = []
    beside: list[float] = []
    async with process("--serve", name) as server:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        async with CLIENTS[name](port) as once:
            await calls(once, 0.3)
            for _ in range(rounds):
                alone += await calls(once, seconds)
                async with process("--flood", name, kind, str(port)):
                    await asyncio.sleep(1.5)
                    beside += await calls(once, seconds)
                await asyncio.sleep(0.5)
    high = statistics.quantiles(beside, n=20)[-1]
    return 1000 * statistics.median(alone), 1000 * statistics.median(beside), 1000 * high


async def bench(only: list[str], rounds: int, seconds: float) -> int:
    worst = 0.0
    print(f"{'server':10}{'flood':12}{'alone':>9}{'beside':>9}{'factor':>8}{'p95':>9}  (ms)")
    for name in only:
        spinning = 0.0
        for kind in ("spin", *FLOODS[name]):
            alone, beside, high = await measured(name, kind, rounds, seconds)
            spinning = beside if kind == "spin" else spinning
            factor = beside / max(alone, spinning)
            print(f"{name:10}{kind:12}{alone:9.2f}{beside:9.2f}{factor:8.2f}{high:9.2f}", flush=True)
            worst = max(worst, factor)
    print(f"worst factor {worst:.2f}")
    return int(worst >= 2)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--serve", default="")
    parser.add_argument("--flood", nargs=3, default=None)
    wanted = parser.parse_args()
    if wanted.serve:
        asyncio.run(serve(wanted.serve))
    if wanted.flood:
        name, kind, port = wanted.flood
        asyncio.run((FLOODS[name] | {"spin": spin})[kind](int(port)))
    return asyncio.run(bench(wanted.only.split(","), wanted.rounds, wanted.seconds))


if __name__ == "__main__":
    sys.exit(main())
