"""Messages between two twins through a relay, all on loopback: round trips, and a polite twin beside a flood.

    python tests/bench/bench_rmb.py [--calls 2000]

The baseline of the same run is the same handler called in this process, signed, sealed and checked but not sent; and
for the flood, the polite twin's own latency when nobody floods.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

from zos.relay.server import Relay, serving
from zos.rmb import envelope as env
from zos.rmb.cipher import seal, unseal
from zos.rmb.limits import Rate
from zos.rmb.peer import Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.wire_pb2 import Address
from zos.runtime.clock import SystemClock
from zos.substrate.keys import KeyKind

USER, NODE, LOUD = Twin(1), Twin(3, KeyKind.ED25519), Twin(7)
BODY = json.dumps({"contract_id": 1}).encode()


async def handler(twin: int, command: str, body: bytes) -> bytes:
    return body


class Nowhere:
    async def send(self, domains: list[str], frame: bytes) -> bool:
        return False


async def in_process() -> float:
    """Seconds for signing, sealing, checking and opening a request and its answer."""
    key = await USER.secret.shared(NODE.secret.public)
    began = time.perf_counter()
    for number in range(200):
        made = env.request(str(number), Address(twin=1), 3, "x", time.time(), 20)
        made.cipher = seal(key, BODY)
        await env.signed(made, USER.key)
        env.check_signature(made, USER.record)
        back = env.answer(made, Address(twin=3), time.time())
        back.response.SetInParent()
        back.cipher = seal(key, unseal(key, made.cipher))
        await env.signed(back, NODE.key)
        env.check_signature(back, NODE.record)
        unseal(key, back.cipher)
    return (time.perf_counter() - began) / 200


async def latencies(me: Peer, calls: int) -> list[float]:
    """Seconds of one call after the other."""
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        await me.call(3, "x", BODY)
        found.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)  # a polite twin stays below its rate
    return found


async def abreast(me: Peer, calls: int, lanes: int = 8) -> float:
    """Calls per second with several under way."""

    async def lane() -> None:
        for _ in range(calls // lanes):
            await me.call(3, "x", BODY)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return calls / (time.perf_counter() - began)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    calls = parser.parse_args().calls
    chain = Chain()
    chain.add(USER, NODE, LOUD)
    result: dict[str, float] = {"in process ms": 1000 * await in_process()}
    relay = Relay(chain, "relay.lab", SystemClock(), Nowhere())
    async with serving(relay, "127.0.0.1", 0) as port:
        url = f"ws://127.0.0.1:{port}"
        async with (
            joined(NODE, chain, url, handler=handler, rate=Rate(SystemClock(), 1e6, 1e6)),
            joined(USER, chain, url, session="bench") as me,
        ):
            result["round trips/s"] = await abreast(me, calls)
            quiet = await latencies(me, 200)
        async with joined(NODE, chain, url, handler=handler), joined(USER, chain, url, session="polite") as me:
            alone = await latencies(me, 200)
            async with joined(LOUD, chain, url, session="loud") as loud:
                flooding = asyncio.create_task(flood(loud))
                beside = await latencies(me, 200)
                assert not flooding.done(), "it stopped by itself"
                flooding.cancel()
                await asyncio.gather(flooding, return_exceptions=True)
    percentiles = statistics.quantiles(quiet, n=100)
    result |= {
        "p50 ms": 1000 * percentiles[49],
        "p99 ms": 1000 * percentiles[98],
        "p50 against in process": percentiles[49] * 1000 / result["in process ms"],
        "polite alone p50 ms": 1000 * statistics.median(alone),
        "polite beside a flood p50 ms": 1000 * statistics.median(beside),
        "flood against alone": statistics.median(beside) / statistics.median(alone),
    }
    print(json.dumps({name: round(value, 2) for name, value in result.items()}, indent=1))


async def flood(loud: Peer) -> None:
    """10,000 messages a second from one twin, until it is stopped; nobody waits for answers."""
    made = env.request("flood", Address(twin=7, connection="loud"), 3, "x", time.time(), 20)
    made.plain = BODY
    await env.signed(made, LOUD.key)
    frame = made.SerializeToString()
    (line,) = loud.lines
    while True:
        began = time.perf_counter()
        for _ in range(100):
            await line.send(frame)
        await asyncio.sleep(max(0.0, 0.01 - (time.perf_counter() - began)))


if __name__ == "__main__":
    asyncio.run(main())
