"""RMB calls between the grid's Go SDK and our peer, by our relay and devchain: each side as each, sealed and plain."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

from zos.devchain.genesis import Genesis
from zos.devchain.testing import devchain
from zos.errors import ZosError
from zos.fetch.policy import Policy
from zos.relay.federation import Federation
from zos.relay.server import Relay, serving
from zos.rmb.account import chain_twins, ensure_twin
from zos.rmb.cipher import LocalSecret
from zos.rmb.peer import Peer
from zos.rmb.router import UnknownCommand
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock
from zos.substrate import Chain, LocalKey
from zos.substrate.keys import KeyKind

HOST = "127.9.8.7"
"""On port 80, which no URL names: the Go SDK writes host and port to the chain, and that takes no port."""
BODY = '{"a":[1,2.5,"ß"]}'
TWINS = [
    (side, role, kind, sealed)
    for side, role, kind, sealed in itertools.product(("go", "ours"), ("caller", "server"), KeyKind, (True, False))
]
KEYS = {who: LocalKey.of_seed(bytes([number + 1]) * 32, who[2]) for number, who in enumerate(TWINS)}
Who = tuple[str, str, KeyKind, bool]


async def answer(twin: int, command: str, body: bytes) -> bytes:
    """What both servers answer."""
    if command != "test.echo":
        raise UnknownCommand(command=command)
    return body


class Matrix:
    """All twins, and what it takes to start them."""

    def __init__(self, program: Path, chain: Chain, url: str) -> None:
        self._program = program
        self._chain = chain
        self._url = url
        self.twins: dict[Who, int] = {}

    async def make_twins(self) -> None:
        for who, key in KEYS.items():
            pk = LocalSecret(key.seed).public if who[3] else None
            self.twins[who] = await ensure_twin(self._chain, key, HOST, pk)

    async def go(self, verb: str, who: Who, *more: str) -> asyncio.subprocess.Process:
        seed, kind = "0x" + KEYS[who].seed.hex(), str(who[2])
        words = [verb, self._url, f"ws://{HOST}", seed, kind, "", "yes" if who[3] else "no", *more]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(self._program, *words, stdout=pipe, stderr=pipe)

    @contextlib.asynccontextmanager
    async def ours(self, who: Who) -> AsyncIterator[Peer]:
        key, clock = KEYS[who], SystemClock()

        async def number() -> int:
            return self.twins[who]

        twins = TwinCache(chain_twins(self._chain), clock)
        peer = Peer(number, key, LocalSecret(key.seed), twins, (f"ws://{HOST}",), answer)
        running = asyncio.create_task(peer.run())
        try:
            await asyncio.wait_for(peer.connected(), 20)
            yield peer
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def server(self, who: Who) -> AsyncIterator[str]:
        """Gives a problem, or nothing."""
        if who[0] == "ours":
            async with self.ours(who):
                yield ""
            return
        process = await self.go("serve", who)
        try:
            assert process.stdout is not None
            said = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
            yield "" if said == "ready" else said
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def call(self, who: Who, to: Who, command: str) -> str:
        """The answer, or the error."""
        if who[0] == "go":
            process = await self.go("call", who, str(self.twins[to]), command, BODY)
            out, _ = await asyncio.wait_for(process.communicate(), 90)
            return out.decode().strip()
        async with self.ours(who) as peer:
            try:
                return (await peer.call(self.twins[to], command, BODY.encode())).decode()
            except ZosError as err:
                return f"error: {err}"


async def results(program: Path) -> dict[str, str]:
    """Tests with `pass`, or what happened."""
    found: dict[str, str] = {}
    genesis = Genesis(balances={key.public.hex(): 10**10 for key in KEYS.values()})
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        dev = await stack.enter_async_context(devchain(genesis=genesis))
        chain = await stack.enter_async_context(Chain([dev.url]))
        away = await stack.enter_async_context(Federation(clock, Policy()))
        relay = Relay(TwinCache(chain_twins(chain), clock, 1.0), HOST, clock, away)
        await stack.enter_async_context(serving(relay, HOST, 80))
        matrix = Matrix(program, chain, dev.url)
        await matrix.make_twins()
        for near, far, kind, sealed in itertools.product(("go", "ours"), ("go", "ours"), KeyKind, (True, False)):
            name = f"{near} calls {far}, {kind}, {'sealed' if sealed else 'plain'}"
            caller, server = (near, "caller", kind, sealed), (far, "server", kind, sealed)
            async with matrix.server(server) as problem:
                said = problem or await matrix.call(caller, server, "test.echo")
                found[name] = "pass" if said == BODY else said
                if sealed and kind is KeyKind.SR25519 and not problem:
                    said = await matrix.call(caller, server, "test.nothing")
                    found[f"{near} hears {far}'s error"] = "pass" if said.startswith("error:") else said
    return found


def run(program: Path) -> dict[str, str]:
    """The same, for a script."""
    return asyncio.run(results(program))
