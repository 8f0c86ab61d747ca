"""What untrusted clients may make the devchain do and hold: bounded in bytes and in time, not in numbers."""

from __future__ import annotations

import asyncio
import json
from time import thread_time

import aiohttp
import pytest

from zos.devchain import server
from zos.devchain.errors import Invalid
from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.runtime import parse
from zos.devchain.testing import devchain
from zos.devchain.tests.test_hostile import ALICE, BOB, NODES, RUNTIMES, ask, batch, remark, signed
from zos.runtime.operations import operations
from zos.runtime.turns import Turns
from zos.substrate.keys import address
from zos.substrate.runtime import Era


async def test_answers_are_bounded_in_bytes() -> None:
    """A megabyte of requests asked for a gigabyte and more."""
    async with devchain(0) as dev:
        large = [signed(dev.node, remark(dev.node, bytes(900_000)), nonce) for nonce in range(3)]
        for raw in large:
            dev.node.submit(raw)
        block = dev.node.make_block()
        one = {"jsonrpc": "2.0", "id": 1, "method": "chain_getBlock", "params": ["0x" + block.hash.hex()]}
        _, text = await ask(dev, json.dumps([one] * 2))
        assert len(text) > 10_000_000
        _, text = await ask(dev, json.dumps([one] * server.BATCH))
        assert json.loads(text)["error"]["code"] == -32008


def test_a_block_has_a_length_and_a_weight() -> None:
    node = Node(Genesis())
    for nonce in range(8):
        node.submit(signed(node, remark(node, bytes(900_000)), nonce))
    heavy = batch([remark(node)] * 9_000)
    for nonce in range(3):
        node.submit(signed(node, heavy, nonce, key=BOB))
    sizes, bodies = [], 0
    while len(node.pool):
        body = node.make_block().body
        sizes.append(sum(map(len, body)))
        bodies += len(body) - 1
        assert sum(parse(one).weight for one in body[1:]) <= 20_000
    assert max(sizes) <= 4 * 1024 * 1024
    assert bodies == 11
    with pytest.raises(Invalid, match="exhaust the block limits"):
        node.submit(signed(node, batch([remark(node)] * 21_000), 8))


def test_a_strangers_call_is_not_decoded_before_its_signature_holds() -> None:
    node, runtime = NODES["spec145"], RUNTIMES["spec145"]
    extra = runtime.unsigned_part(Era(), 0)

    def refused(calls: int) -> int:
        raw = runtime.extrinsic(batch([remark(node)] * calls), extra, ALICE.public, ALICE.kind, bytes(64))

        def submit() -> None:
            with pytest.raises(Invalid, match="bad signature"):
                node.submit(raw)

        return operations(submit)

    few = refused(10)
    assert refused(10_000) < 10 * few


async def test_web_pages_of_others_do_not_drive_the_chain() -> None:
    async with devchain(0) as dev, aiohttp.ClientSession(headers={"Origin": "https://example.org"}) as page:
        fund = {"jsonrpc": "2.0", "id": 1, "method": "dev_fund", "params": [address(BOB.public), 5]}
        async with page.post(dev.http, data=json.dumps(fund), headers={"Content-Type": "text/plain"}) as answer:
            assert json.loads(await answer.text())["error"]["code"] == -32601
        async with page.ws_connect(dev.url) as socket:
            await socket.send_json(fund)
            assert (await socket.receive_json())["error"]["code"] == -32601
            await socket.send_json(fund | {"method": "system_chain", "params": []})
            assert (await socket.receive_json())["result"] == "Development"
        assert json.loads((await ask(dev, json.dumps(fund)))[1])["result"] is True


async def test_what_comes_is_as_long_as_it_was_sent() -> None:
    async with devchain(0) as dev, aiohttp.ClientSession() as client, client.ws_connect(dev.url, compress=15) as socket:
        assert socket.compress == 0
        await socket.send_str("[" + "[]," * 100_000 + "[]]")
        assert (await socket.receive_json())["error"]["code"] == -32600


async def test_a_network_that_asks_for_much_waits_for_itself() -> None:
    turns, order = Turns(), []

    async def one(network: str, seconds: float) -> None:
        await turns.begin(network)
        with turns.working(network):
            until = thread_time() + seconds
            while thread_time() < until:
                pass
            order.append(network)

    loud = [asyncio.create_task(one("a", 0.002)) for _ in range(20)]
    await asyncio.sleep(0)
    polite = [asyncio.create_task(one("b", 0.0001)) for _ in range(5)]
    gone = asyncio.create_task(one("c", 0.0))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*loud, *polite)
    assert "".join(order).index("bbbbb") <= 3
    await asyncio.wait_for(one("d", 0.0), 1)
