"""Chooses one of several URLs: connects with back-off, leaves one that is silent, behind or another chain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from zos.errors import ZosError
from zos.runtime.backoff import Backoff
from zos.substrate.errors import ChainUnreachable, NotOnThisChain, OtherChain
from zos.substrate.rpc import Connect, Rpc, websocket
from zos.substrate.runtime import Runtime

log = logging.getLogger("zos.substrate")

MOST_UNANSWERED = 3
"""Unanswered requests in a row after which an endpoint is left."""
KEPT_RUNTIMES = 4
"""Runtimes of other spec versions that are remembered (for blocks before an upgrade)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number and hash (0x…)."""

    number: int
    hash: str


class Endpoints:
    """One live connection at a time, to a chain that is always the same.

    `genesis` and `anchor` (a block that was final once) tell the chain from others; both are learnt when not given.
    """

    def __init__(
        self, urls: Sequence[str], genesis: str = "", backoff: Backoff | None = None, connect: Connect = websocket
    ) -> None:
        self.urls = tuple(urls)
        self.anchor: Block | None = None
        self.genesis = bytes.fromhex(genesis.removeprefix("0x"))
        self._backoff = backoff or Backoff(first=0.2, cap=5.0)
        self._connect_to = connect
        self._next = 0
        self._unanswered = 0
        self._rpc: Rpc | None = None
        self._runtime: Runtime | None = None
        self._others: dict[int, Runtime] = {}
        self._failures = 0
        self._retry_at = 0.0
        self._problem = ChainUnreachable(url="(none)", problem="no chain URL is configured")
        self._connecting = asyncio.Lock()

    @property
    def url(self) -> str:
        """The URL in use, or the next to try."""
        return self._rpc.url if self._rpc else (self.urls[self._next % len(self.urls)] if self.urls else "")

    @property
    def connected(self) -> bool:
        """Whether there is a live connection."""
        return self._rpc is not None and not self._rpc.closed

    async def close(self) -> None:
        rpc, self._rpc = self._rpc, None
        if rpc is not None:
            await rpc.close()

    async def runtime(self) -> Runtime:
        """The runtime of the connected chain."""
        await self.rpc()
        assert self._runtime is not None
        return self._runtime

    async def runtime_at(self, block: str) -> Runtime:
        """The runtime that made a block: before an upgrade, an older one."""
        rpc = await self.rpc()
        version = await self.call("state_getRuntimeVersion", block)
        spec = int(version["specVersion"])
        assert self._runtime is not None
        if spec == self._runtime.spec:
            return self._runtime
        if spec > self._runtime.spec:
            await self.refresh_runtime(rpc)
            return self._runtime
        if spec not in self._others:
            while len(self._others) >= KEPT_RUNTIMES:
                self._others.pop(next(iter(self._others)))
            self._others[spec] = await _read(rpc, version, block)
        return self._others[spec]

    async def call(self, method: str, *params: Any, deadline: float = 15.0) -> Any:
        """One request; an endpoint that leaves too many unanswered is left."""
        rpc = await self.rpc()
        try:
            answer = await rpc.call(method, *params, deadline=deadline)
        except ChainUnreachable as err:
            self._unanswered += 1
            if self._unanswered >= MOST_UNANSWERED and not rpc.closed:
                await self.leave(rpc, err)
            raise
        self._unanswered = 0
        return answer

    async def leave(self, rpc: Rpc, why: object) -> None:
        """Give an endpoint up; the next request goes to another, if there is one."""
        if rpc is not self._rpc:
            return
        log.warning("%s is left: %s", rpc.url, why)
        self._next += 1
        await self.close()

    async def rpc(self) -> Rpc:
        """The live connection; connects when there is none. Soon after a failure it fails at once."""
        if self._rpc is not None and not self._rpc.closed:
            return self._rpc
        async with self._connecting:
            if self._rpc is not None and not self._rpc.closed:
                return self._rpc
            if asyncio.get_running_loop().time() < self._retry_at:
                raise self._problem
            if self._rpc is not None:
                # Lost, not left: the others are asked first.
                self._next += 1
            await self.close()
            return await self._connect()

    async def _connect(self) -> Rpc:
        for _ in self.urls:
            url = self.urls[self._next % len(self.urls)]
            try:
                self._rpc = await self._open(url)
            except ChainUnreachable as err:
                self._problem = err
                self._next += 1
                continue
            self._failures, self._unanswered = 0, 0
            return self._rpc
        self._failures += 1
        self._retry_at = asyncio.get_running_loop().time() + self._backoff.delay(self._failures)
        raise self._problem

    async def _open(self, url: str) -> Rpc:
        rpc = await Rpc.open(url, connect=self._connect_to)
        try:
            await self._check(rpc)
            await self.refresh_runtime(rpc)
        except ChainUnreachable:
            await rpc.close()
            raise
        except (ZosError, ValueError, TypeError, KeyError) as err:
            await rpc.close()
            raise ChainUnreachable(url=url, problem=err) from err
        except BaseException:
            await rpc.close()
            raise
        return rpc

    async def _check(self, rpc: Rpc) -> None:
        """Whether this is the chain of before, and not behind what was final there."""
        genesis = bytes.fromhex((await rpc.call("chain_getBlockHash", 0))[2:])
        if self.genesis and genesis != self.genesis:
            raise OtherChain(url=rpc.url, problem="its first block differs")
        if self.anchor is not None:
            hash = await rpc.call("chain_getBlockHash", self.anchor.number)
            if hash is not None and hash != self.anchor.hash:
                raise OtherChain(url=rpc.url, problem=f"its block {self.anchor.number} is not the one that was final")
            head = int((await rpc.call("chain_getHeader"))["number"], 16)
            if head < self.anchor.number:
                problem = f"it is behind (at block {head}; {self.anchor.number} was final before)"
                raise ChainUnreachable(url=rpc.url, problem=problem)
        self.genesis = genesis

    async def refresh_runtime(self, rpc: Rpc) -> bool:
        """Read the runtime's metadata when its version is another than before; returns whether it was."""
        version = await rpc.call("state_getRuntimeVersion")
        if self._runtime is not None and self._runtime.spec == int(version["specVersion"]):
            return False
        self._runtime = await _read(rpc, version)
        return True


# Metadata takes a third of a second to parse: connections of one process to the same chain share it.
parsed_runtime = lru_cache(maxsize=2)(Runtime)


async def _read(rpc: Rpc, version: Any, *block: str) -> Runtime:
    raw = bytes.fromhex((await rpc.call("state_getMetadata", *block, deadline=30.0))[2:])
    spec, transaction = int(version["specVersion"]), int(version["transactionVersion"])
    try:
        return await asyncio.to_thread(parsed_runtime, raw, spec, transaction)
    except (ValueError, TypeError, KeyError, IndexError, NotImplementedError) as err:
        raise NotOnThisChain(spec=spec, what="metadata that we can read") from err
