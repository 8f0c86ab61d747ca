"""The chain as provisiond may find it: contracts by the test's say, silence, lag, gates."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator

from zos.chain.api import Block, ChainStatus, ContractEvent, ContractResources, NodeContract, NoSuchContract, Twin
from zos.chain.api.errors import ChainBehind, NoSuchTwin
from zos.errors import ZosError


class FakeChain:
    """Contracts and twins; watchers get what `emit` is given."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.trouble: ZosError | None = None
        """Why nobody answers."""
        self.calls: list[str] = []
        self.contracts: dict[int, NodeContract] = {}
        self.best: dict[int, NodeContract] = {}
        """What the best block says otherwise."""
        self.counter = 0
        self.twins: dict[int, Twin] = {}
        self.block = Block(10, "0x" + "0a" * 32)
        self.reported: list[ContractResources] = []
        self.silent = False
        """Lists are empty, although there are contracts."""
        self.gate: asyncio.Event | None = None
        """A question for a contract waits for it."""
        self.waiting = asyncio.Event()
        self.report_gate: asyncio.Event | None = None
        """A report waits for it."""
        self.report_unanswered: ZosError | None = None
        """A report arrives, and nobody hears of it."""
        self._watchers: list[asyncio.Queue[ContractEvent]] = []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.trouble is not None:
            raise self.trouble

    async def status(self) -> ChainStatus:
        return ChainStatus("ws://fake", True, 145, self.block, 1, 1, self.node)

    async def contract(self, id: int, *, best: bool = False) -> NodeContract:
        self._called("contract")
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        found = self.best.get(id) if best and id in self.best else self.contracts.get(id)
        if found is None:
            if id > self.counter:
                raise ChainBehind(contract=id, block=self.block.number)
            raise NoSuchContract(contract=id, block=self.block.number)
        return dataclasses.replace(found, at=self.block)

    async def node_contracts(self) -> tuple[int, ...]:
        self._called("node_contracts")
        return () if self.silent else tuple(self.contracts)

    async def twin(self, id: int) -> Twin:
        self._called("twin")
        if id not in self.twins:
            raise NoSuchTwin(twin=id)
        return self.twins[id]

    async def watch_contracts(self) -> AsyncGenerator[ContractEvent, None]:
        queue: asyncio.Queue[ContractEvent] = asyncio.Queue()
        self._watchers.append(queue)
        while True:
            yield await queue.get()

    def emit(self, event: ContractEvent) -> None:
        for queue in self._watchers:
            queue.put_nowait(event)

    async def report_resources(self, resources: tuple[ContractResources, ...]) -> Block:
        self._called("report_resources")
        if self.report_gate is not None:
            await self.report_gate.wait()
        self.reported += resources
        if self.report_unanswered is not None:
            raise self.report_unanswered
        return self.block
