"""The embedded chain under load: extrinsics a second, block time, answers while it works, memory.

    python tests/bench/bench_devchain.py [--contracts 100000] [--nodes 10000] [--blocks 30]

A state with so many contracts and nodes is written as the calls would write it, then nodes beat with signed
extrinsics while the queue bills and a client asks over a WebSocket. The same blocks are made on a small state too:
what a block costs must not depend on how much is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import time
from typing import Any

from nacl.signing import SigningKey

from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.pallets.balances import mint
from zos.devchain.runtime import BY_NAME, METADATA
from zos.devchain.server import serving
from zos.devchain.state import HISTORY, Overlay, Typed
from zos.devchain.world import World
from zos.substrate import KeyKind
from zos.substrate.rpc import Rpc
from zos.substrate.runtime import Era, Runtime

GIB = 1024**3
C = "SmartContractModule"
RUNTIME = Runtime(METADATA, 145, 2)
BEAT = 400


def signer(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


def key(kind: bytes, number: int) -> bytes:
    return kind.ljust(28, b"-") + number.to_bytes(4, "big")


def filled(contracts: int, nodes: int) -> Node:
    """A chain with so much in it; contracts use capacity, have no debts, and belong to a hundred users."""
    node = Node(Genesis())
    world = World(now=int(time.time()))
    world.store = Overlay(node.state)
    world.farm(key(b"farmer", 1))
    for number in range(100):
        world.twin(key(b"user", number))
        world.fund(key(b"user", number), 10**14)
    owners = [bytes(signer(number + 1).verify_key) for number in range(nodes)]
    template = world.node(key(b"node", 0), 1)
    ctx = world.context()
    record = ctx.get("TfgridModule.Nodes", template)
    twin, last = int(ctx.get("TfgridModule.TwinID")), template
    for owner in owners:
        twin, last = twin + 1, last + 1
        mint(ctx, owner, 10**9)
        ctx.put(
            "TfgridModule.Twins", twin, {"id": twin, "account_id": owner, "relay": None, "entities": [], "pk": None}
        )
        ctx.put("TfgridModule.TwinIdByAccountID", owner, twin)
        ctx.put("TfgridModule.NodeIdByTwinID", twin, last)
        ctx.put("TfgridModule.Nodes", last, {**record, "id": last, "twin_id": twin})
    ctx.put("TfgridModule.TwinID", twin)
    ctx.put("TfgridModule.NodeID", last)
    _contracts(ctx, contracts, nodes, template + 1)
    for raw, value in world.store.changes.items():
        if value is not None:
            node.state.load(raw, value)
    return node


def _contracts(ctx: Any, contracts: int, nodes: int, first: int) -> None:
    places: dict[int, list[int]] = {}
    active: dict[int, list[int]] = {}
    for id in range(1, contracts + 1):
        on = first + id % nodes
        body = {
            "node_id": on,
            "deployment_hash": b"%032x" % id,
            "deployment_data": b"{}",
            "public_ips": 0,
            "public_ips_list": [],
        }
        contract = {
            "version": 4,
            "state": "Created",
            "contract_id": id,
            "twin_id": 2 + id % 100,
            "contract_type": {"NodeContract": body},
            "solution_provider_id": None,
        }
        lock = {"amount_locked": 0, "extra_amount_locked": 0, "lock_updated": ctx.seconds, "cycles": id % 24}
        used = {"hru": 0, "sru": 10 * GIB, "cru": 1, "mru": GIB}
        ctx.put(f"{C}.Contracts", id, contract)
        ctx.put(f"{C}.ContractLock", id, lock)
        ctx.put(f"{C}.NodeContractResources", id, {"contract_id": id, "used": used})
        ctx.put(f"{C}.ContractIDByNodeIDAndHash", on, body["deployment_hash"], id)
        places.setdefault(id % 600, []).append(id)
        active.setdefault(on, []).append(id)
    ctx.put(f"{C}.ContractID", contracts)
    for place, ids in places.items():
        ctx.put(f"{C}.ContractsToBillAt", place, ids)
    for on, ids in active.items():
        ctx.put(f"{C}.ActiveNodeContracts", on, ids)


def beats(node: Node, numbers: range, nonce: int) -> list[bytes]:
    """Signed uptime reports of these nodes."""
    call = RUNTIME.call("TfgridModule", "report_uptime", {"uptime": 3600 + nonce})
    extra = RUNTIME.unsigned_part(Era(), nonce)
    payload = RUNTIME.payload(call, extra, node.genesis_hash, node.genesis_hash)
    made = []
    for number in numbers:
        mine = signer(number + 1)
        account, signature = bytes(mine.verify_key), mine.sign(payload).signature
        made.append(RUNTIME.extrinsic(call, extra, account, KeyKind.ED25519, signature))
    return made


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


async def asks(url: str, stop: asyncio.Event, took: list[float]) -> None:
    """One client that reads accounts as fast as it is answered."""
    rpc = await Rpc.open(url)
    number = 0
    while not stop.is_set():
        number += 1
        storage = "0x" + BY_NAME["System"].key("Account", key(b"user", number % 100)).hex()
        began = time.monotonic()
        await rpc.call("state_getStorage", storage)
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.002)
    await rpc.close()


def quiet_blocks(node: Node, count: int) -> list[float]:
    """Seconds for blocks six seconds apart, with the billing that falls due."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        node.make_block(node.head.now + 6000)
        took.append(time.monotonic() - began)
    return took


async def load(node: Node, nodes: int, blocks: int) -> dict[str, Any]:
    """Every node beats once, in as many blocks, while somebody asks."""
    per_block = max(1, nodes // blocks)
    signed = beats(node, range(nodes), 0)
    latencies: list[float] = []
    submitting, making, included = 0.0, [], 0
    stop = asyncio.Event()
    async with serving(node, "127.0.0.1", 0) as port:
        client = asyncio.create_task(asks(f"ws://127.0.0.1:{port}", stop, latencies))
        await asyncio.sleep(0.2)
        for start in range(0, len(signed), per_block):
            batch = signed[start : start + per_block]
            for raw in batch:
                began = time.monotonic()
                node.submit(raw)
                submitting += time.monotonic() - began
                await asyncio.sleep(0)
            began = time.monotonic()
            included += len(node.make_block(node.head.now + 6000).body) - 1
            making.append(time.monotonic() - began)
            await asyncio.sleep(0.02)
        stop.set()
        await client
    return {
        "extrinsics": included,
        "extrinsics/s (checked, executed, stored)": round(included / (submitting + sum(making))),
        "block of beats ms, median": round(statistics.median(making) * 1000, 1),
        "rpc p50 ms": round(percentile(latencies, 0.5) * 1000, 2),
        "rpc p99 ms": round(percentile(latencies, 0.99) * 1000, 2),
    }


def memory() -> int:
    """MiB at the peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contracts", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--blocks", type=int, default=30)
    wanted = parser.parse_args()
    result: dict[str, Any] = {}
    idle = filled(600, 100)
    idle.make_block()
    result["block with 1 bill, small state, ms"] = round(statistics.median(quiet_blocks(idle, 60)) * 1000, 3)
    began = time.monotonic()
    node = filled(wanted.contracts, wanted.nodes)
    result["filling s"] = round(time.monotonic() - began, 1)
    result["entries"] = sum(len(keys) for keys in node.state._keys.values())
    node.make_block()
    due = Typed(BY_NAME, node.state).get(f"{C}.ContractsToBillAt", (node.head.number + 1) % 600)
    took = quiet_blocks(node, wanted.blocks)
    result[f"block with {len(due)} bills, full state, ms"] = round(statistics.median(took) * 1000, 1)
    result["bill us, full state"] = round(statistics.median(took) / max(1, len(due)) * 1e6)
    for place in range(600):
        node.state.load(BY_NAME[C].key("ContractsToBillAt", place), b"\x00")
    result["block without work, full state, ms"] = round(statistics.median(quiet_blocks(node, 200)) * 1000, 3)
    result |= await load(node, wanted.nodes, wanted.blocks)
    began = time.monotonic()
    day = Node(Genesis())
    for _ in day.advance(30 * 86_400):
        pass
    result["a month without work s"] = round(time.monotonic() - began, 1)
    result["states kept, blocks"] = HISTORY
    result["memory MiB, peak"] = memory()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
