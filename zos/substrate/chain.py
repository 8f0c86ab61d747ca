"""A chain at one of several URLs: reads at a block, finalized heads, events, and signed calls seen to their end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zos.errors import ZosError
from zos.substrate.errors import CallFailed, ChainUnreachable, NotIncluded, Rejected, RpcFailed
from zos.substrate.keys import Key, address
from zos.substrate.rpc import Rpc
from zos.substrate.runtime import Era, Event, Runtime

log = logging.getLogger("zos.substrate")

PERIOD = 64
TRIES = 4
OUTDATED = ("outdated", "stale", "nonce")


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number and hash (0x…)."""

    number: int
    hash: str


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
    """Connects by itself, to the next URL when one fails; what was read is never confused with not being answered."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)
        self._next = 0
        self._rpc: Rpc | None = None
        self._runtime: Runtime | None = None
        self._genesis = b""
        self._connecting = asyncio.Lock()
        self._writers: dict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def url(self) -> str:
        """The URL in use, or the next to try."""
        return self._rpc.url if self._rpc else (self.urls[self._next % len(self.urls)] if self.urls else "")

    @property
    def connected(self) -> bool:
        """Whether there is a live connection."""
        return self._rpc is not None and not self._rpc.closed

    async def close(self) -> None:
        """Hang up."""
        if self._rpc is not None:
            await self._rpc.close()
            self._rpc = None

    async def __aenter__(self) -> Chain:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def rpc(self, method: str, *params: Any, deadline: float = 15.0) -> Any:
        """One JSON-RPC request."""
        return await (await self._connected()).call(method, *params, deadline=deadline)

    async def runtime(self) -> Runtime:
        """What the connected runtime is; read again when its version changes."""
        await self._connected()
        assert self._runtime is not None
        return self._runtime

    async def genesis(self) -> str:
        """The hash of block 0."""
        await self._connected()
        return "0x" + self._genesis.hex()

    # Reading

    async def head(self) -> Block:
        """The best block."""
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
        """The events of a block."""
        runtime = await self.runtime()
        return runtime.events(await self._raw(runtime.key("System", "Events"), block))

    async def finalized_heads(self) -> AsyncIterator[Block]:
        """Finalized blocks as they come; not every number may be among them."""
        rpc = await self._connected()
        start = await self.finalized()
        yield start
        async with rpc.subscribed("chain_subscribeFinalizedHeads", end="chain_unsubscribeFinalizedHeads") as queue:
            while True:
                header = await queue.get()
                if header is None:
                    raise ChainUnreachable(url=rpc.url, problem="the connection was lost")
                number = int(header["number"], 16)
                hash = await rpc.call("chain_getBlockHash", number)
                if hash:
                    yield Block(number, str(hash))

    # Writing

    async def submit(
        self, pallet: str, call: str, arguments: Mapping[str, Any], key: Key, *, deadline: float = 90.0
    ) -> Included:
        """Sign and send a call, wait until it is in a block, and see whether it succeeded.

        Raises CallFailed with the runtime's error name, Rejected by the pool, NotIncluded when time is over.
        """
        name = f"{pallet}.{call}"
        async with self._writers[key.public]:
            for left in range(TRIES - 1, -1, -1):
                try:
                    async with asyncio.timeout(deadline):
                        return await self._submit_once(pallet, call, arguments, key)
                except TimeoutError:
                    raise NotIncluded(call=name, deadline=round(deadline)) from None
                except _Again as again:
                    if not left:
                        raise Rejected(call=name, problem=again) from None
                    log.info("%s is sent again: %s", name, again)
                    await asyncio.sleep(0.5)
        raise AssertionError("unreachable")

    async def _submit_once(self, pallet: str, call: str, arguments: Mapping[str, Any], key: Key) -> Included:
        rpc = await self._connected()
        runtime = await self.runtime()
        encoded = runtime.call(pallet, call, arguments)
        nonce = int(await rpc.call("system_accountNextIndex", address(key.public)))
        birth = await self._block(await rpc.call("chain_getFinalizedHead"))
        extra = runtime.unsigned_part(Era(PERIOD, birth.number), nonce)
        payload = runtime.payload(encoded, extra, self._genesis, bytes.fromhex(birth.hash[2:]))
        extrinsic = runtime.extrinsic(encoded, extra, key.public, key.kind, await key.sign(payload))
        text = "0x" + extrinsic.hex()
        name = f"{pallet}.{call}"
        try:
            async with rpc.subscribed(
                "author_submitAndWatchExtrinsic", text, end="author_unwatchExtrinsic"
            ) as statuses:
                block = await self._in_block(rpc, statuses, name)
        except RpcFailed as err:
            code, problem = err.facts["code"], err.facts["problem"].lower()
            if code in ("1013",):
                block = await self._found(text, birth.number)
            elif code in ("1014", "1012") or any(word in problem for word in OUTDATED):
                raise _Again(problem) from None
            elif code == "1010" and "bad signature" in problem and await self._upgraded(rpc):
                raise _Again("the runtime was upgraded") from None
            else:
                raise Rejected(call=name, problem=err.facts["problem"]) from None
        return await self._outcome(block, text, name)

    async def _in_block(self, rpc: Rpc, statuses: asyncio.Queue[Any], name: str) -> str:
        while True:
            status = await statuses.get()
            if status is None:
                raise ChainUnreachable(url=rpc.url, problem=f"the connection was lost while waiting for {name}")
            if isinstance(status, Mapping):
                for word in ("inBlock", "finalized"):
                    if word in status:
                        return str(status[word])
                status = next(iter(status))
            if status in ("usurped", "dropped", "retracted", "finalityTimeout"):
                raise _Again(f"the pool says {status}")
            if status == "invalid":
                raise _Again("the pool says invalid")

    async def _found(self, extrinsic: str, number: int) -> str:
        """The block that holds an extrinsic which was sent before; waits for it."""
        while True:
            hash = await self.block_hash(number)
            if hash is None:
                await asyncio.sleep(0.2)
                continue
            block = await self.rpc("chain_getBlock", hash)
            if extrinsic in block["block"]["extrinsics"]:
                return hash
            number += 1

    async def _outcome(self, hash: str, extrinsic: str, name: str) -> Included:
        answer = await self.rpc("chain_getBlock", hash)
        index = answer["block"]["extrinsics"].index(extrinsic)
        number = int(answer["block"]["header"]["number"], 16)
        events = tuple(event for event in await self.events(hash) if event.extrinsic == index)
        runtime = await self.runtime()
        for event in events:
            if (event.pallet, event.name) == ("System", "ExtrinsicFailed"):
                pallet, error = runtime.error(_first(event.fields, "dispatch_error"))
                raise CallFailed(call=name, pallet=pallet, error=error)
        digest = hashlib.blake2b(bytes.fromhex(extrinsic[2:]), digest_size=32).hexdigest()
        return Included(Block(number, hash), f"0x{digest}", events)

    async def _upgraded(self, rpc: Rpc) -> bool:
        version = await rpc.call("state_getRuntimeVersion")
        if self._runtime is not None and int(version["specVersion"]) != self._runtime.spec:
            await self._learn(rpc)
            return True
        return False

    # The connection

    async def _connected(self) -> Rpc:
        if self._rpc is not None and not self._rpc.closed:
            return self._rpc
        async with self._connecting:
            if self._rpc is not None and not self._rpc.closed:
                return self._rpc
            await self.close()
            return await self._connect()

    async def _connect(self) -> Rpc:
        problem = ChainUnreachable(url="(none)", problem="no chain URL is configured")
        for _ in self.urls:
            url = self.urls[self._next % len(self.urls)]
            try:
                rpc = await Rpc.open(url)
            except ChainUnreachable as err:
                problem = err
                self._next += 1
                continue
            try:
                await self._learn(rpc)
            except ZosError as err:
                await rpc.close()
                self._next += 1
                problem = ChainUnreachable(url=url, problem=err)
                continue
            self._rpc = rpc
            return rpc
        raise problem

    async def _learn(self, rpc: Rpc) -> None:
        version = await rpc.call("state_getRuntimeVersion")
        genesis = bytes.fromhex((await rpc.call("chain_getBlockHash", 0))[2:])
        if self._genesis and genesis != self._genesis:
            raise ChainUnreachable(url=rpc.url, problem="it is another chain than before (its first block differs)")
        spec = int(version["specVersion"])
        if self._runtime is None or self._runtime.spec != spec:
            metadata = await rpc.call("state_getMetadata", deadline=30.0)
            raw = bytes.fromhex(metadata[2:])
            transaction = int(version["transactionVersion"])
            self._runtime = await asyncio.to_thread(Runtime, raw, spec, transaction)
        self._genesis = genesis

    async def _block(self, hash: str) -> Block:
        header = await self.rpc("chain_getHeader", hash)
        if header is None:
            raise ChainUnreachable(url=self.url, problem=f"it does not know its own block {hash}")
        return Block(int(header["number"], 16), hash)

    async def _raw(self, key: bytes, at: str | None) -> bytes | None:
        text = "0x" + key.hex()
        answer = await (self.rpc("state_getStorage", text, at) if at else self.rpc("state_getStorage", text))
        return bytes.fromhex(answer[2:]) if answer is not None else None


class _Again(Exception):
    """The same call is worth another try with a fresh nonce."""


def _first(fields: Any, name: str) -> Any:
    if isinstance(fields, Mapping):
        return fields[name]
    return fields[0] if isinstance(fields, tuple) else fields
