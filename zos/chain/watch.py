"""Spreads what happens on the chain to whoever watches, and remembers how far was read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from zos.chain.api.types import Block, ContractEvent
from zos.chain.link import Link
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.chain")

CURSOR = "cursor"
BACKLOG = 10_000


class Watch:
    """The node's contract events: one reader of the chain, any number of watchers."""

    def __init__(self, link: Link, cursor: Ledger[Block]) -> None:
        self._link = link
        self._cursor = cursor
        self._watchers: set[asyncio.Queue[ContractEvent]] = set()
        self.finalized = cursor.get(CURSOR) or Block()
        self.detail = "not connected yet"

    async def follow(self) -> None:
        """Read finalized blocks from where it stopped; returns only by an error (the caller starts it again)."""
        try:
            async for block, events in self._link.events(self._cursor.get(CURSOR)):
                self.detail = ""
                for event in events:
                    log.info("block %d: contract %d %s", block.number, event.contract, event.kind)
                    self._spread(event)
                self.finalized = block
                # Events are reasons to look, and watchers begin with `present`: a cursor that is a little old is fine.
                if events or block.number % 10 == 0:
                    self._cursor.put(CURSOR, block)
        except Exception as err:
            self.detail = str(err)
            raise

    def _spread(self, event: ContractEvent) -> None:
        for queue in self._watchers:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(event)

    async def watch(self) -> AsyncGenerator[ContractEvent, None]:
        """What is active now, then what happens."""
        queue: asyncio.Queue[ContractEvent] = asyncio.Queue(BACKLOG)
        self._watchers.add(queue)
        try:
            head = await self._link.chain.finalized()
            _, present = await self._link.present(Block(head.number, head.hash))
            for event in present:
                yield event
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)
