"""The relay as a process beside a chain: what waits in it outlives kill -9, and it follows twins by events."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from zos.devchain.genesis import Genesis
from zos.devchain.testing import Devchain, devchain
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.account import chain_twins, ensure_twin, follow_twins
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import SystemClock
from zos.substrate import Chain, LocalKey
from zos.substrate.keys import KeyKind

USER, NODE, FAR = (LocalKey.of_seed(bytes([number]) * 32, KeyKind.SR25519) for number in (1, 2, 3))
DOMAINS = {USER: "relay.lab", NODE: "relay.lab", FAR: "127.0.0.1"}


@contextlib.asynccontextmanager
async def chain_of_twins() -> AsyncIterator[tuple[Devchain, Chain]]:
    genesis = Genesis(balances={key.public.hex(): 10**10 for key in DOMAINS})
    async with devchain(genesis=genesis) as dev, Chain([dev.url]) as chain:
        for key, domain in DOMAINS.items():
            await ensure_twin(chain, key, domain)
        yield dev, chain


class Process:
    """`python -m zos.relay` with a folder."""

    def __init__(self, chain: str, folder: Path) -> None:
        self._chain = chain
        self._folder = folder
        self.url = ""
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        with contextlib.closing(await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)) as free:
            port = free.sockets[0].getsockname()[1]
        listen = ["--listen", f"127.0.0.1:{port}", "--domain", "relay.lab"]
        command = [sys.executable, "-m", "zos.relay", "--chain", self._chain, *listen, "--data", str(self._folder)]
        self.process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    await self.metric("relay_saved_messages")
                    return
                await asyncio.sleep(0.05)

    async def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        await asyncio.wait_for(self.process.wait(), 20)

    async def metric(self, name: str) -> int:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/metrics") as answer:
            found = re.search(rf"^{name} (\d+)$", await answer.text(), re.MULTILINE)
            return int(found[1]) if found else -1

    async def saves(self, count: int) -> None:
        async with asyncio.timeout(30):
            while await self.metric("relay_saved_messages") != count:
                await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def joined(self, twin: int, key: LocalKey) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        text = await token.make(twin, key, SystemClock().time(), "")
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{self.url}/?{text}") as socket:
            yield socket


async def read(socket: aiohttp.ClientWebSocketResponse, found: list[str]) -> None:
    with contextlib.suppress(TypeError, ConnectionError):  # closed
        while True:
            found.append(Envelope.FromString(await socket.receive_bytes()).uid)


@pytest.mark.process
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
async def test_what_waits_survives_the_end_of_the_relay_and_is_given_once(tmp_path: Path, how: signal.Signals) -> None:
    async with chain_of_twins() as (dev, _):
        relay, found = Process(dev.url, tmp_path), list[str]()
        await relay.start()
        try:
            async with relay.joined(1, USER) as user:
                for number in range(1020):
                    to = 3 if number >= 1000 else 2
                    made = env.request(f"{number}", Address(twin=1), to, "x", SystemClock().time(), 300)
                    await user.send_bytes(made.SerializeToString())
                await relay.saves(1020)
            await relay.end(how)
            await relay.start()
            # It ends in the middle of giving them, too.
            async with relay.joined(2, NODE) as node:
                reading = asyncio.create_task(read(node, found))
                async with asyncio.timeout(20):
                    while len(found) < 500:
                        await asyncio.sleep(0.001)
                await relay.end(how)
                await asyncio.wait_for(reading, 20)
            first = len(found)
            await relay.start()
            async with relay.joined(2, NODE) as node:
                reading = asyncio.create_task(read(node, found))
                await relay.saves(20)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            assert sorted(set(found), key=int) == [f"{number}" for number in range(1000)]
            assert first >= 500
            # How many of them depends on how long the disk takes for a write.
            assert len(found) - 1000 < first, "only what was on its way when it ended comes twice"
        finally:
            with contextlib.suppress(ProcessLookupError):
                await relay.end(signal.SIGKILL)


async def test_a_twin_that_changes_or_is_new_is_known_with_its_block() -> None:
    async with chain_of_twins() as (_, chain):
        twins = TwinCache(chain_twins(chain), SystemClock(), keep=3600.0, missing=3600.0)
        following = asyncio.create_task(follow_twins(chain, twins))
        try:
            fresh = LocalKey.of_seed(bytes([9]) * 32, KeyKind.SR25519)
            await chain.submit("Balances", "transfer", {"dest": {"Id": fresh.public}, "value": 10**8}, USER)
            assert await twins.twin(4) is None
            async with asyncio.timeout(10):
                while (known := await twins.twin(2)) is None or known.relay != "relay.lab":
                    await asyncio.sleep(0.01)
                await ensure_twin(chain, NODE, "relay.far")
                await ensure_twin(chain, fresh, "relay.lab")
                while (known := await twins.twin(2)) is None or known.relay != "relay.far":
                    await asyncio.sleep(0.01)
                while await twins.twin(4) is None:
                    await asyncio.sleep(0.01)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
