"""The node's contract events: one reader of the chain, any number of watchers, and a cursor of how far was read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from zos.chain.api.types import Block, ContractEvent
from zos.chain.link import Link
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.chain")

CURSOR = "cursor"
IDENTITY = "chain"
BACKLOG = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Which chain this node lives on; another one under the same URL is not believed."""

    genesis: str = ""


class ContractFeed:
    """Reads the events and hands them to the watchers."""

    def __init__(self, link: Link, cursor: Ledger[Block], chains: Ledger[Identity], backlog: int = BACKLOG) -> None:
        self._link = link
        self._cursor = cursor
        self._chains = chains
        known = cursor.get(CURSOR)
        if known is not None:
            link.chain.trust(known.number, known.hash)
        self._watchers: set[asyncio.Queue[ContractEvent | None]] = set()
        self._backlog = backlog
        self.finalized = cursor.get(CURSOR) or Block()
        self.detail = "not connected yet"

    async def follow(self) -> None:
        """Read finalized blocks from where it stopped; returns only by an error (the caller starts it again)."""
        try:
            await self._remember_chain()
            async for block, events in self._link.events(self._cursor.get(CURSOR)):
                self.detail = ""
                for event in events:
                    log.info("block %d: contract %d %s", block.number, event.contract, event.kind)
                    self._spread(event)
                self.finalized = block
                # Events are reasons to look, and watchers begin with `present`: a cursor that is a little old is fine.
                if events or block.number % 10 == 0:
                    self._cursor.put(CURSOR, block)
                    self._link.chain.trust(block.number, block.hash)
        except Exception as err:
            self.detail = str(err)
            raise

    async def _remember_chain(self) -> None:
        genesis = await self._link.chain.genesis()
        if self._chains.get(IDENTITY) is None:
            self._chains.put(IDENTITY, Identity(genesis))

    def _spread(self, event: ContractEvent) -> None:
        for queue in self._watchers:
            if queue.full():
                # A watcher that is too slow gets the present state again, never fewer events than happened.
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
                continue
            queue.put_nowait(event)

    async def watch(self) -> AsyncGenerator[ContractEvent, None]:
        """`present` for every active contract, `listed`, then what happens; all of it again after a gap."""
        queue: asyncio.Queue[ContractEvent | None] = asyncio.Queue(self._backlog)
        self._watchers.add(queue)
        try:
            event: ContractEvent | None = None
            while True:
                if event is None:
                    head = await self._link.chain.finalized()
                    _, present = await self._link.present(Block(head.number, head.hash))
                    for one in present:
                        yield one
                else:
                    yield event
                event = await queue.get()
        finally:
            self._watchers.discard(queue)
