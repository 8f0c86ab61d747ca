"""The devchain in this process: connections without sockets, blocks on virtual time, and users who sign calls."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from typing import Any

import websockets

from zos.devchain.errors import Invalid
from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.server import Server
from zos.devchain.session import Session
from zos.sim.life import owner
from zos.sim.loop import VirtualClock
from zos.substrate import KeyKind, LocalKey
from zos.substrate.endpoints import parsed_runtime
from zos.substrate.runtime import Era, Event, Runtime

URL = "ws://devchain.sim"
LOST = 120.0
"""Seconds after which a user takes his call for lost: a reorganisation may do that."""
BLOCK = 6.0
"""Seconds between two blocks."""


class CallRefused(Exception):
    """A user's call failed on the chain."""


class Pipe:
    """One connection to the chain, in its client's hands."""

    def __init__(self, chain: SimChain) -> None:
        self._chain = chain
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self._told: asyncio.Queue[str | None] = asyncio.Queue()
        self._session = Session(chain.node, lambda message: self._tell(json.dumps(message)))
        self._closed = False
        self._pump = chain.start(self._serve())

    async def send(self, text: str) -> None:
        if self._closed:
            raise websockets.ConnectionClosedError(None, None)
        self._asked.put_nowait(text)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (text := await self._told.get()) is not None:
            yield text

    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        """The connection is gone, for both sides."""
        if not self._closed:
            self._closed = True
            self._pump.cancel()
            self._session.close()
            self._told.put_nowait(None)
            self._chain.pipes.pop(self, None)

    def _tell(self, text: str) -> None:
        if not self._chain.silent:
            self._told.put_nowait(text)

    async def _serve(self) -> None:
        while True:
            text = await self._asked.get()
            if self._chain.delay:
                await asyncio.sleep(self._chain.delay)
            answer = await self._chain.server.answer(self._session, text)
            if answer is not None:
                self._tell(answer)


class SimChain:
    """One chain. `silent`: questions are swallowed. `away`: nobody listens. `delay`: seconds before each answer."""

    def __init__(self, clock: VirtualClock, genesis: Genesis, lag: int = 2) -> None:
        self.node = Node(genesis, lag=lag, clock=clock.time)
        self.server = Server(self.node)
        generation = self.node.generation
        self.runtime: Runtime = parsed_runtime(generation.metadata, generation.spec, generation.transaction)
        """The runtime as clients know it."""
        self.pipes: dict[Pipe, None] = {}
        self.silent = False
        self.away = False
        self.delay = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coro: Any) -> asyncio.Task[Any]:
        """A task of the chain's own, which outlives whoever asked for it."""
        task = asyncio.get_running_loop().create_task(coro, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[SimChain]:
        """Blocks are made while the block runs."""
        self.start(self.node.run(BLOCK))
        try:
            yield self
        finally:
            for pipe in list(self.pipes):
                pipe.cut()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.node.close()

    async def connect(self, url: str, deadline: float) -> Pipe:
        """A connection for `zos.substrate`."""
        if self.away or url != URL:
            raise ConnectionRefusedError(url)
        if self.silent:
            await asyncio.sleep(deadline)
            raise TimeoutError
        pipe = Pipe(self)
        self.pipes[pipe] = None
        life = owner()
        if life is not None:
            life.at_end(pipe.cut)
        return pipe

    def cut(self) -> None:
        """Every connection is lost."""
        for pipe in list(self.pipes):
            pipe.cut()

    def reorganise(self, depth: int) -> int:
        """Take back blocks that are not final; their extrinsics go back to the pool, as in a real node."""
        first = max(self.node.head.number - depth, self.node.finalized) + 1
        lost = [raw for number in range(first, self.node.head.number + 1) for raw in self.node.blocks[number].body[1:]]
        gone = self.node.reorganise(depth)
        for raw in lost:
            with contextlib.suppress(Invalid):
                self.node.submit(raw)
        return gone

    def get(self, name: str, *keys: Any) -> Any:
        """A stored value at the best block, by `Pallet.Item`."""
        return self.node.typed().get(name, *keys)

    async def until(self, claim: Callable[[], Any]) -> None:
        """Let blocks pass until a claim holds."""
        made = asyncio.Event()
        with self.node.listening(lambda what, block: made.set()):
            while not claim():
                made.clear()
                await made.wait()

    # People

    def send(self, key: LocalKey, pallet: str, call: str, **arguments: Any) -> str:
        """Sign a call and hand it to the pool; returns its text."""
        return self._submit(key, self.runtime.call(pallet, call, arguments))

    def _submit(self, key: LocalKey, call: bytes) -> str:
        extra = self.runtime.unsigned_part(Era(), self.node.next_index(key.public))
        payload = self.runtime.payload(call, extra, self.node.genesis_hash, self.node.genesis_hash)
        raw = self.runtime.extrinsic(call, extra, key.public, key.kind, key.signed(payload))
        try:
            self.node.submit(raw)
        except Invalid as err:
            raise CallRefused(str(err)) from None
        return "0x" + raw.hex()

    async def call(self, key: LocalKey, pallet: str, call: str, **arguments: Any) -> tuple[Event, ...]:
        """Send a call and wait for its block; returns its events, raises CallRefused."""
        text = self.send(key, pallet, call, **arguments)
        done: asyncio.Future[tuple[Event, ...]] = asyncio.get_running_loop().create_future()

        def on_change(what: str, block: Any) -> None:
            texts = ["0x" + one.hex() for one in block.body] if what == "state" else []
            if text in texts and not done.done():
                done.set_result(self._events(block.number, texts.index(text)))

        with self.node.listening(on_change):
            try:
                events = await asyncio.wait_for(done, LOST)
            except TimeoutError:
                raise CallRefused(f"{pallet}.{call} was lost on the way") from None
        for event in events:
            if (event.pallet, event.name) == ("System", "ExtrinsicFailed"):
                fields: Mapping[str, Any] = event.fields
                raise CallRefused(f"{pallet}.{call}: {'.'.join(self.runtime.error(fields['dispatch_error']))}")
        return events

    def _events(self, number: int, extrinsic: int) -> tuple[Event, ...]:
        raw = self.node.state.at(self.runtime.key("System", "Events"), number, self.node.head.number)
        return tuple(event for event in self.runtime.events(raw) if event.extrinsic == extrinsic)


@cache
def key_of(name: str) -> LocalKey:
    """The key of the user of that name; ed25519, which is quick to sign with."""
    return LocalKey.of_text(f"//{name}", KeyKind.ED25519)
