"""Follows the chain: reads the whole state once, then what the events of each finalized block name."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from zos.errors import ZosError
from zos.explorer.chain.events import EventSummary
from zos.explorer.chain.reader import ChainReader, Hosts
from zos.explorer.clock import GridClock
from zos.explorer.errors import AnotherChain
from zos.explorer.store.changes import Cursor
from zos.explorer.store.schema import VERSION
from zos.explorer.store.writer import Store
from zos.runtime.loops import Wake
from zos.runtime.threads import Threads
from zos.substrate import Block, Chain, StatePruned, Unreadable

log = logging.getLogger("zos.explorer")
T = TypeVar("T")

LOOK_BACK = 1000
"""Blocks. Nodes report every 40 minutes (400 blocks), so these have two reports of every node that is up."""
STEP = 100
"""Blocks that are written in one transaction."""
PATIENCE = 1800.0
"""Seconds for one transaction; the whole state of a large grid is one."""


class Follower:
    """Brings the database to each finalized block."""

    def __init__(self, chain: Chain, store: Store, clock: GridClock, look_back: int = LOOK_BACK) -> None:
        self._chain = chain
        self._store = store
        self._clock = clock
        self._reader = ChainReader(chain)
        self._threads = Threads()
        self._look_back = look_back
        self._is_chain_checked = False
        self.cursor: Cursor | None = None
        self.detail = "the chain was not read yet"
        """Why the database is behind; empty when it is not."""
        self.wake = Wake()
        """Starts the loop around `follow` again at once."""
        self._cursor_moved = asyncio.Condition()

    async def follow(self) -> None:
        """Follow until the chain fails; the caller starts it again. Raises only when no block was written since."""
        self._is_chain_checked = False
        self.cursor = started = await self._in_thread(self._store.cursor)
        try:
            async with contextlib.aclosing(self._chain.finalized_heads()) as heads:  # type: ignore[type-var]
                async for head in heads:
                    await self.advance(head)
        except Exception as err:
            self.detail = str(err) or type(err).__name__
            if self.cursor == started:
                raise
            # Blocks were written until now: try again at once, and back off only when that fails.
            log.warning("the chain is not followed: %s", err, exc_info=None if isinstance(err, ZosError) else err)
            self.wake.set()

    async def reached(self, number: int) -> None:
        """Wait until this block is in the database."""
        async with self._cursor_moved:
            await self._cursor_moved.wait_for(lambda: self.cursor is not None and self.cursor.number >= number)

    async def advance(self, head: Block) -> None:
        """Bring the database to this block."""
        if head.number < 1 or not await self._is_same_chain(head):
            return
        cursor = self.cursor
        # Tables of an earlier version lack something that only the whole state fills in.
        is_current = cursor is not None and cursor.version == VERSION
        if cursor is not None and is_current and head.number <= cursor.number:
            self.detail = ""
            return
        if cursor is None or not is_current or head.number - cursor.number > self._look_back:
            await self._snapshot(head)
        else:
            await self._catch_up(cursor, head)
        self.detail = ""

    async def _is_same_chain(self, head: Block) -> bool:
        """Whether to go on from the cursor. A chain that began anew is read anew; raises AnotherChain for another."""
        cursor = self.cursor
        if cursor is None or self._is_chain_checked:
            return True
        genesis = await self._chain.genesis()
        if genesis != cursor.genesis:
            raise AnotherChain(had=cursor.genesis, found=genesis, url=self._chain.url)
        first = await self._chain.block_hash(1)
        if head.number < cursor.number and first == cursor.first:
            self.detail = f"the chain is at block {head.number}, and block {cursor.number} was final before"
            return False
        same = first == cursor.first and await self._chain.block_hash(cursor.number) == cursor.hash
        if not same:
            log.warning("block %d is another one than before: the chain began anew", cursor.number)
            await self._in_thread(self._store.wipe)
            self.cursor = None
        self._is_chain_checked = True
        return True

    async def _catch_up(self, cursor: Cursor, head: Block) -> None:
        for start in range(cursor.number + 1, head.number + 1, STEP):
            last = min(start + STEP - 1, head.number)
            hash = head.hash if last == head.number else await self._chain.block_hash(last)
            summary = EventSummary()
            try:
                if hash is None or not await self._reader.add_events(range(start, last + 1), summary):
                    await self._snapshot(head)
                    return
                await self._step(summary, Block(last, hash))
            except StatePruned:
                await self._snapshot(head)
                return
            except (Unreadable, LookupError, TypeError, ValueError):
                # One record that cannot be decoded must not stop the follower.
                log.exception("blocks %d to %d cannot be understood; the whole state is read", start, last)
                await self._snapshot(head)
                return

    async def _step(self, summary: EventSummary, at: Block) -> None:
        nodes = await self._in_thread(lambda: self._store.nodes_of(summary.contracts))
        farms = await self._in_thread(lambda: self._store.farms_of(nodes))
        changes = await self._reader.changed(summary, Hosts(frozenset(nodes), frozenset(farms)), at)
        cursor = await self._cursor_at(at)
        await self._in_thread(lambda: self._store.apply(changes, summary.facts, cursor))
        await self._set_cursor(cursor)

    async def _snapshot(self, head: Block) -> None:
        """Write the whole state, with the events of the last blocks as far as the chain still has them."""
        log.info("reading the whole state at block %d", head.number)
        after = self.cursor.number if self.cursor else 0
        oldest = max(after + 1, head.number - self._look_back + 1, 1)
        summary = EventSummary()
        with contextlib.suppress(Unreadable, LookupError, TypeError, ValueError):
            await self._reader.add_events(range(head.number, oldest - 1, -1), summary)
        changes = await self._reader.everything(summary, head)
        cursor = await self._cursor_at(head)
        await self._in_thread(lambda: self._store.apply(changes, summary.facts, cursor))
        self._is_chain_checked = True
        await self._set_cursor(cursor)
        log.info("%d nodes, %d contracts at block %d", len(changes.nodes), len(changes.contracts), head.number)

    async def _cursor_at(self, block: Block) -> Cursor:
        time = await self._reader.time(block)
        if self.cursor is not None:
            return replace(self.cursor, number=block.number, hash=block.hash, time=time, version=VERSION)
        first = await self._chain.block_hash(1) or ""
        return Cursor(await self._chain.genesis(), first, block.number, block.hash, time)

    async def _set_cursor(self, cursor: Cursor) -> None:
        self._clock.set_chain_time(cursor.time)
        async with self._cursor_moved:
            self.cursor = cursor
            self._cursor_moved.notify_all()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._threads.run("database", "use the database", work, PATIENCE)
