"""Which endpoint is listened to: fail-over, back-off, silence, standstill, and other chains."""

from __future__ import annotations

import asyncio
import copy
import gc
from typing import cast

import pytest
from websockets import ConnectionClosedError

from zos.devchain.genesis import Genesis
from zos.devchain.testing import devchain, line
from zos.runtime.backoff import Backoff
from zos.substrate import Chain, ChainUnreachable, LocalKey, OtherChain, address
from zos.substrate import endpoints as module
from zos.substrate.endpoints import Endpoints
from zos.substrate.rpc import Connection, Rpc, websocket

ALICE = LocalKey.of_text("//Alice")
NOWHERE = "ws://127.0.0.1:1"


async def test_the_next_url_is_tried_and_kept() -> None:
    async with devchain(0.02) as dev, line(dev) as first, line(dev) as second:
        first.dead = True
        async with Chain([first.url, second.url]) as chain:
            await chain.head()
            assert chain.url == second.url
            first.dead = False
            await chain.head()
            assert chain.url == second.url


async def test_a_lost_connection_is_made_anew_elsewhere() -> None:
    async with devchain(0.02) as dev, line(dev) as first, line(dev) as second, Chain([first.url, second.url]) as chain:
        await chain.head()
        first.cut()
        while chain.connected:
            await asyncio.sleep(0)
        await chain.head()
        assert chain.url == second.url


async def test_requests_under_way_are_told_that_the_connection_is_lost() -> None:
    async with devchain(0.02) as dev, line(dev) as first, Chain([first.url]) as chain:
        await chain.head()
        first.mute = True
        asked = asyncio.create_task(chain.head())
        await asyncio.sleep(0)
        first.cut()
        with pytest.raises(ChainUnreachable):
            await asked


async def test_a_connection_that_is_lost_while_a_request_is_being_sent_leaves_no_error_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Lost:
        """Breaks for who reads, and a little later for who sends."""

        def __init__(self) -> None:
            self.sent = asyncio.Event()

        async def send(self, text: str) -> None:
            self.sent.set()
            await asyncio.sleep(0.01)
            raise ConnectionClosedError(None, None)

        async def recv(self) -> str:
            await self.sent.wait()
            raise ConnectionClosedError(None, None)

        async def close(self) -> None:
            """Nothing is held."""

    async def connect(url: str, deadline: float) -> Connection:
        return cast("Connection", Lost())

    async def ask() -> bool:
        rpc = await Rpc.open(NOWHERE, connect=connect)
        try:
            await rpc.call("system_chain")
        except ChainUnreachable:
            return True
        finally:
            await rpc.close()
        return False

    # Without `pytest.raises`, which would keep what the error leads to.
    assert await ask()
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_an_endpoint_that_does_not_answer_is_left() -> None:
    async with devchain(0.02) as dev, line(dev) as first, line(dev) as second, Chain([first.url, second.url]) as chain:
        await chain.head()
        first.mute = True
        for _ in range(module.MOST_UNANSWERED):
            with pytest.raises(ChainUnreachable, match="was not answered"):
                await chain.rpc("system_chain", deadline=0.05)
        assert await chain.rpc("system_chain") == "Development"
        assert chain.url == second.url


async def test_nobody_there_is_asked_less_and_less_often() -> None:
    tried: list[str] = []

    async def connect(url: str, deadline: float) -> Connection:
        tried.append(url)
        return await websocket(url, deadline)

    endpoints = Endpoints([NOWHERE], backoff=Backoff(first=30.0, cap=30.0), connect=connect)
    for _ in range(1000):
        with pytest.raises(ChainUnreachable):
            await endpoints.rpc()
    assert tried == [NOWHERE]


async def test_after_the_pause_it_is_tried_again() -> None:
    async with devchain(0.02) as dev, line(dev) as first:
        first.dead = True
        endpoints = Endpoints([first.url], backoff=Backoff(first=0.01, cap=0.05))
        with pytest.raises(ChainUnreachable):
            await endpoints.rpc()
        first.dead = False
        async with asyncio.timeout(10):
            while True:
                try:
                    await endpoints.rpc()
                except ChainUnreachable:
                    await asyncio.sleep(0.01)
                else:
                    break
        await endpoints.close()


async def test_finality_that_stands_still_is_said_and_left() -> None:
    async with (
        devchain(0.02) as dev,
        line(dev) as first,
        line(dev) as second,
        Chain([first.url, second.url], patience=0.2) as chain,
    ):
        dev.node.faults.unfinal = True
        heads = chain.finalized_heads()
        await anext(heads)
        with pytest.raises(ChainUnreachable, match="no new final block"):
            [block async for block in heads]
        await chain.head()
        assert chain.url == second.url


async def test_another_chain_is_passed_over() -> None:
    other = Genesis(balances={address(bytes(32)): 10_000})
    async with devchain(0.02) as ours, devchain(0.02, genesis=other) as theirs, Chain([ours.url]) as chain:
        genesis = await chain.genesis()
        async with Chain([theirs.url, ours.url], genesis=genesis) as chain:
            await chain.head()
            assert chain.url == ours.url
        async with Chain([theirs.url], genesis=genesis) as chain:
            with pytest.raises(OtherChain, match="its first block differs"):
                await chain.head()


async def test_a_chain_that_began_anew_is_another_chain() -> None:
    async with devchain(0) as dev, Chain([dev.url]) as chain:
        for _ in range(5):
            dev.node.make_block()
        final = await chain.finalized()
    async with devchain(0) as anew, Chain([anew.url]) as chain:
        for _ in range(5):
            anew.node.make_block()
        chain.trust(final.number, final.hash)
        with pytest.raises(OtherChain, match="not the one that was final"):
            await chain.head()


async def test_an_endpoint_that_is_behind_is_not_believed() -> None:
    async with devchain(0) as dev, Chain([dev.url]) as chain:
        chain.trust(5, "0x" + "11" * 32)
        with pytest.raises(ChainUnreachable, match="it is behind"):
            await chain.head()


async def test_blocks_before_an_upgrade_are_read_by_their_own_runtime() -> None:
    async with devchain(0) as dev, Chain([dev.url]) as chain:
        block = dev.node.make_block()
        now = copy.copy(await chain.runtime())
        now.spec = 146  # as if the chain had been upgraded since
        chain._endpoints._runtime = now
        older = await chain._endpoints.runtime_at("0x" + block.hash.hex())
        assert older is not now
        assert older.spec == 145
        now.spec = 144
        assert (await chain._endpoints.runtime_at("0x" + block.hash.hex())).spec == 145
        assert (await chain.runtime()).spec == 145
