"""A chain at one of several URLs: reads at a block, finalized heads, events, and signed calls seen to their end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zos.substrate.endpoints import Block, Endpoints
from zos.substrate.errors import CallFailed, ChainUnreachable, NotIncluded
from zos.substrate.keys import Key
from zos.substrate.rpc import Connect, Rpc, websocket
from zos.substrate.runtime import Event, Runtime
from zos.substrate.sending import Submitter

log = logging.getLogger("zos.substrate")

"""Pallet, name, arguments."""


@dataclass(frozen=True, slots=True)
class Included:
    """A call that is in a block and succeeded."""

    block: Block
    extrinsic: str
    events: tuple[Event, ...]
    """What this call raised."""

    def event(self, pallet: str, name: str) -> Event | None:
        """The first event of this name."""
        return next((event for event in self.events if (event.pallet, event.name) == (pallet, name)), None)


class Chain:
    """Connects by itself, to the next URL when one fails. No answer is never read as an absent value: it raises.

    `genesis` is the hash of block 0, when it is known from before; `patience` is how many seconds may pass without a
    new final block, `quiet` without news of a call that was sent.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        genesis: str = "",
        patience: float = 90.0,
        quiet: float = 15.0,
        connect: Connect = websocket,
    ) -> None:
        self._endpoints = Endpoints(urls, genesis, connect=connect)
        self._submitter = Submitter(self._endpoints, quiet)
        self._patience = patience
        self._writers: dict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the chain may be."""
        return self._endpoints.urls

    @urls.setter
    def urls(self, urls: Sequence[str]) -> None:
        self._endpoints.urls = tuple(urls)

    @property
    def url(self) -> str:
        """The URL in use, or the next to try."""
        return self._endpoints.url

    @property
    def connected(self) -> bool:
        """Whether there is a live connection."""
        return self._endpoints.connected

    def trust(self, number: int, hash: str) -> None:
        """A block that is known to be final: an endpoint with another one there, or none yet, is not used."""
        if self._endpoints.anchor is None or number >= self._endpoints.anchor.number:
            self._endpoints.anchor = Block(number, hash)

    async def close(self) -> None:
        await self._endpoints.close()

    async def __aenter__(self) -> Chain:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def rpc(self, method: str, *params: Any, deadline: float = 15.0) -> Any:
        """Answers the result of a JSON-RPC method. Raises ChainUnreachable after `deadline` seconds."""
        return await self._endpoints.call(method, *params, deadline=deadline)

    async def runtime(self) -> Runtime:
        """The runtime of the connected chain; read again when its version changes."""
        return await self._endpoints.runtime()

    async def genesis(self) -> str:
        """The hash of block 0."""
        await self._endpoints.rpc()
        return "0x" + self._endpoints.genesis.hex()

    # Reading

    async def head(self) -> Block:
        """The best block, which may not be finalized yet."""
        return await self._block(await self.rpc("chain_getBlockHash"))

    async def finalized(self) -> Block:
        """The last finalized block."""
        return await self._block(await self.rpc("chain_getFinalizedHead"))

    async def block_hash(self, number: int) -> str | None:
        """The hash of a block by number."""
        answer = await self.rpc("chain_getBlockHash", number)
        return str(answer) if answer else None

    async def query(self, pallet: str, item: str, *keys: Any, at: str | None = None) -> Any:
        """A stored value at a block (the best one by default); None when there is none."""
        runtime = await self.runtime()
        raw = await self._raw(runtime.key(pallet, item, *keys), at)
        return runtime.value(pallet, item, raw)

    async def entries(self, pallet: str, item: str, at: str | None = None, limit: int = 100_000) -> list[Any]:
        """All values of a map."""
        runtime = await self.runtime()
        prefix = "0x" + runtime.prefix(pallet, item).hex()
        at = at or (await self.head()).hash
        values: list[Any] = []
        start: str | None = None
        while len(values) < limit:
            keys = await self.rpc("state_getKeysPaged", prefix, 500, start, at)
            if not keys:
                break
            (answer,) = await self.rpc("state_queryStorageAt", keys, at)
            found = {key: raw for key, raw in answer["changes"] if raw is not None}
            values += [runtime.value(pallet, item, bytes.fromhex(found[key][2:])) for key in keys if key in found]
            start = keys[-1]
        return values

    async def events(self, block: str) -> tuple[Event, ...]:
        """The events of a block, by the runtime that made it."""
        runtime = await self._endpoints.runtime_at(block)
        return runtime.events(await self._raw(runtime.key("System", "Events"), block))

    async def finalized_heads(self) -> AsyncIterator[Block]:
        """Finalized blocks as they come; not every number may be among them.

        Raises ChainUnreachable when the connection is lost or finality stands still for longer than `patience`; the
        next request then goes to another URL.
        """
        rpc = await self._endpoints.rpc()
        yield await self.finalized()
        async for block in self._heads(rpc, "FinalizedHeads", "final "):
            yield block

    async def best_heads(self) -> AsyncIterator[Block]:
        """Best blocks as they come, forks among them; else as `finalized_heads`."""
        rpc = await self._endpoints.rpc()
        yield await self.head()
        async for block in self._heads(rpc, "NewHeads", ""):
            yield block

    async def _heads(self, rpc: Rpc, what: str, kind: str) -> AsyncIterator[Block]:
        async with rpc.subscribed(f"chain_subscribe{what}", end=f"chain_unsubscribe{what}") as queue:
            while True:
                try:
                    # Not wait_for: Python 3.11's swallows a cancellation that comes together with a header.
                    async with asyncio.timeout(self._patience):
                        header = await queue.get()
                except TimeoutError:
                    err = ChainUnreachable(url=rpc.url, problem=f"no new {kind}block for {self._patience:.0f} s")
                    await self._endpoints.leave(rpc, err)
                    raise err from None
                if header is None:
                    raise ChainUnreachable(url=rpc.url, problem="the connection was lost")
                number = int(header["number"], 16)
                hash = await self.rpc("chain_getBlockHash", number)
                if hash:
                    yield Block(number, str(hash))

    # Writing

    async def submit(
        self,
        pallet: str,
        call: str,
        arguments: Mapping[str, Any],
        key: Key,
        *,
        deadline: float = 90.0,
        final: bool = False,
    ) -> Included:
        """Sign and send a call, wait until it is in a block (or in a final one), and see whether it succeeded.

        It takes effect at most once, whatever happens on the way. Raises CallFailed with the runtime's error name,
        Rejected by the pool, NotIncluded when time is over (then it may still come into a block, within its era).
        """
        name = f"{pallet}.{call}"
        async with self._writers[key.public]:
            try:
                async with asyncio.timeout(deadline):
                    encoded = (await self.runtime()).call(pallet, call, arguments)
                    block, text = await self._submitter.place(name, encoded, key)
                    if final:
                        block = await self._await_final(name, text, block)
                    return await self._outcome(block, text, name)
            except TimeoutError:
                raise NotIncluded(call=name, deadline=round(deadline)) from None

    async def _await_final(self, name: str, text: str, block: Block) -> Block:
        """The final block that holds an extrinsic, which may be another than the first one."""
        while True:
            if not await self._submitter.is_on_best_chain(block):
                found = await self._submitter.resubmit(name, text, block)
                if found is None:
                    await asyncio.sleep(0.5)
                    continue
                block = found
            if (await self.finalized()).number >= block.number:
                return block
            await asyncio.sleep(0.2)

    async def _outcome(self, block: Block, extrinsic: str, name: str) -> Included:
        answer = await self.rpc("chain_getBlock", block.hash)
        if answer is None:
            raise ChainUnreachable(url=self.url, problem=f"it does not know its own block {block.hash}")
        index = answer["block"]["extrinsics"].index(extrinsic)
        events = tuple(event for event in await self.events(block.hash) if event.extrinsic == index)
        runtime = await self._endpoints.runtime_at(block.hash)
        for event in events:
            if (event.pallet, event.name) == ("System", "ExtrinsicFailed"):
                pallet, error = runtime.error(event.fields["dispatch_error"])
                raise CallFailed(call=name, pallet=pallet, error=error)
        digest = hashlib.blake2b(bytes.fromhex(extrinsic[2:]), digest_size=32).hexdigest()
        return Included(block, f"0x{digest}", events)

    async def _block(self, hash: str) -> Block:
        header = await self.rpc("chain_getHeader", hash)
        if header is None:
            raise ChainUnreachable(url=self.url, problem=f"it does not know its own block {hash}")
        return Block(int(header["number"], 16), hash)

    async def _raw(self, key: bytes, at: str | None) -> bytes | None:
        text = "0x" + key.hex()
        answer = await (self.rpc("state_getStorage", text, at) if at else self.rpc("state_getStorage", text))
        return bytes.fromhex(answer[2:]) if answer is not None else None
