"""Messages between two twins through a relay, all on loopback: round trips, and a polite twin beside a flood.

    python tests/bench/bench_rmb.py [--calls 2000]

Baselines of the same run: what an exchange must compute (two signatures made and checked, two bodies sealed and opened,
with all keys at hand), and bare frames of the same size there and back through a server that only forwards them. For
the flood: the polite twin's own latency when nobody floods. CPU is of this one thread, in which all of it runs, so it
says more than the clock when the machine has other work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from nacl.signing import SigningKey
from websockets.asyncio.client import connect

from zos.bus.client import Bus
from zos.bus.server import Health, listening
from zos.core0.api import Core0Client, Purpose
from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.service import Core0Service
from zos.relay.federation import Outcome
from zos.relay.server import Relay, serving
from zos.relay.spool import Disk
from zos.rmb import envelope as env
from zos.rmb.cipher import seal, unseal
from zos.rmb.limits import RateLimiter
from zos.rmb.peer import Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address
from zos.runtime.clock import SystemClock
from zos.substrate.keys import KeyKind

USER, NODE, LOUD = Twin(1), Twin(3, KeyKind.ED25519), Twin(7)
BODY = json.dumps({"contract_id": 1}).encode()
FRAME = bytes(280)


async def handler(twin: int, command: str, body: bytes) -> bytes:
    return body


class Nowhere:
    """The one relay of a grid: there is no other to which it could pass a message on."""

    counts: Mapping[str, Counter[str]] = {}

    async def send(self, domains: Sequence[str], frame: bytes, span: float, sender: int = 0) -> Outcome:
        return Outcome.REFUSED


class Core0Twin:
    """The node's keys where a node has them: in core-0, behind its socket."""

    kind = KeyKind.ED25519

    def __init__(self, bus: Bus) -> None:
        self._core0 = Core0Client(bus)

    async def sign(self, payload: bytes) -> bytes:
        return await self._core0.sign(Purpose.RMB, payload)

    async def shared(self, pk: bytes) -> bytes:
        return await self._core0.agree(pk)


async def in_process(count: int = 500) -> float:
    """Seconds of CPU for what an exchange must compute."""
    key = await USER.secret.shared(NODE.secret.public)
    user, node, theirs, ours = USER.key, NODE.key, USER.record, NODE.record
    began = time.thread_time()
    for number in range(count):
        made = env.request(str(number), Address(twin=1), 3, "x", time.time(), 20)
        made.cipher = seal(key, BODY)
        await env.signed(made, user)
        env.check_signature(made, theirs)
        back = env.answer(made, Address(twin=3), time.time())
        back.response.SetInParent()
        back.cipher = seal(key, unseal(key, made.cipher))
        await env.signed(back, node)
        env.check_signature(back, ours)
        unseal(key, back.cipher)
    return (time.thread_time() - began) / count


@asynccontextmanager
async def forwarding() -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A server that forwards frames between its two clients; gives what sends one there and back."""
    there: dict[str, web.WebSocketResponse] = {}

    async def join(request: web.Request) -> web.WebSocketResponse:
        socket = there[request.path] = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            await there["/b" if request.path == "/a" else "/a"].send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/{name}", join)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with connect(f"{url}/a", compression=None) as one, connect(f"{url}/b", compression=None) as other:

            async def once() -> None:
                await one.send(FRAME)
                await other.send(await other.recv(decode=False))
                await one.recv(decode=False)

            yield once
    finally:
        await runner.cleanup()


async def latencies(call: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    """Milliseconds of one call after the other."""
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        found.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.02)  # a polite twin stays below its rate
    return found


async def abreast(call: Callable[[], Awaitable[object]], calls: int, destinations: int = 8) -> tuple[float, float]:
    """Calls per second with several under way, and milliseconds of CPU for one."""

    async def destination() -> None:
        for _ in range(calls // destinations):
            await call()

    began, spent = time.perf_counter(), time.thread_time()
    await asyncio.gather(*(destination() for _ in range(destinations)))
    return calls / (time.perf_counter() - began), 1000 * (time.thread_time() - spent) / calls


@asynccontextmanager
async def kept_on_disk() -> AsyncIterator[Disk]:
    """Where a relay keeps what waits."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder))
        async with disk.running():
            yield disk


async def queued(chain: Chain, count: int = 4000) -> dict[str, float]:
    """Messages for a twin that is away, until all are on disk."""
    fast: RateLimiter[int] = RateLimiter(SystemClock(), 1e6, 1e6)
    async with kept_on_disk() as disk:
        relay = Relay(
            TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Nowhere(), pace=fast, spool=disk
        )
        async with serving(relay, "127.0.0.1", 0) as port, joined(USER, chain, f"ws://127.0.0.1:{port}") as me:
            made = env.request("x", Address(twin=1), 3, "x", time.time(), 60)
            made.plain = BODY
            frame = (await env.signed(made, USER.key)).SerializeToString()
            began = time.perf_counter()
            for _ in range(count):
                await me.connections[0].send(frame)
            while disk.saved < count:
                await asyncio.sleep(0.001)
            return {"messages/s to disk": count / (time.perf_counter() - began)}


def asking(me: Peer) -> Callable[[], Awaitable[object]]:
    return lambda: me.call(3, "x", BODY)


async def throughput(chain: Chain, calls: int) -> dict[str, float]:
    """Round trips, with the node's keys in this process and in core-0; what waits is kept on disk."""
    fast: RateLimiter[int] = RateLimiter(SystemClock(), 1e6, 1e6)
    result: dict[str, float] = {}
    async with kept_on_disk() as disk, AsyncExitStack() as stack:
        relay = Relay(
            TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Nowhere(), pace=fast, spool=disk
        )
        port = await stack.enter_async_context(serving(relay, "127.0.0.1", 0))
        url = f"ws://127.0.0.1:{port}"
        async with joined(USER, chain, url, session="bench") as me:
            async with joined(NODE, chain, url, handler=handler, rate=fast.times(1)):
                result["round trips/s"], result["CPU ms of one"] = await abreast(asking(me), calls)
                quiet = statistics.quantiles(await latencies(asking(me), 200), n=100)
                result |= {"p50 ms": quiet[49], "p99 ms": quiet[98]}
            with tempfile.TemporaryDirectory() as folder:
                services = [(Core0Service(SigningKey(NODE.seed), tuple), add_Core0Servicer_to_server)]
                async with listening(Path(folder) / "core0/bus.sock", services, Health()), Bus(Path(folder)) as bus:
                    keys = Core0Twin(bus)
                    async with joined(NODE, chain, url, handler=handler, rate=fast.times(1), signer=keys, secret=keys):
                        result["round trips/s, signed by core-0"], _ = await abreast(asking(me), calls)
                        its = statistics.median(await latencies(asking(me), 200))
                        result["p50 ms, signed by core-0"] = its
    return result


async def flooded(chain: Chain) -> dict[str, float]:
    """A polite twin beside one that sends as many messages as it can."""
    relay = Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Nowhere())
    async with serving(relay, "127.0.0.1", 0) as port:
        url = f"ws://127.0.0.1:{port}"
        async with joined(NODE, chain, url, handler=handler), joined(USER, chain, url, session="polite") as me:
            alone = statistics.median(await latencies(asking(me), 200))
            async with joined(LOUD, chain, url, session="loud") as loud:
                taken, began = relay.counts["relay_message_rx"], time.perf_counter()
                flooding = asyncio.create_task(flood(loud))
                beside = statistics.median(await latencies(asking(me), 200))
                taken = relay.counts["relay_message_rx"] - taken
                rate = taken / (time.perf_counter() - began)
                assert not flooding.done(), "it stopped by itself"
                flooding.cancel()
                await asyncio.gather(flooding, return_exceptions=True)
    return {
        "polite alone p50 ms": alone,
        "polite beside a flood p50 ms": beside,
        "flood against alone": beside / alone,
        "messages/s that the relay took of the flood": rate,
    }


async def flood(loud: Peer) -> None:
    """10,000 messages a second from one twin, until it is stopped; nobody waits for answers."""
    made = env.request("flood", Address(twin=7, connection="loud"), 3, "x", time.time(), 20)
    made.plain = BODY
    await env.signed(made, LOUD.key)
    frame = made.SerializeToString()
    (line,) = loud.connections
    while True:
        began = time.perf_counter()
        for _ in range(100):
            await line.send(frame)
        await asyncio.sleep(max(0.0, 0.01 - (time.perf_counter() - began)))


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    calls = parser.parse_args().calls
    chain = Chain()
    chain.add(USER, NODE, LOUD)
    result = {"in process CPU ms": 1000 * await in_process()}
    async with forwarding() as once:
        bare = statistics.median(await latencies(once, 200))
    result["bare frames p50 ms"] = bare
    result |= await throughput(chain, calls)
    floor = bare + result["in process CPU ms"]
    result["p50 against bare and in process"] = result["p50 ms"] / floor
    result |= await queued(chain)
    result |= await flooded(chain)
    print(json.dumps({name: round(value, 2) for name, value in result.items()}, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
