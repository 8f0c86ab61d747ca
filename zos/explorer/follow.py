"""Follows the chain: the whole state first, then what each finalized block's events are a reason to read again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from zos.errors import ZosError
from zos.explorer.errors import AnotherChain
from zos.explorer.liveness import Now
from zos.explorer.project import Touched
from zos.explorer.read import Known, Reader
from zos.explorer.schema import VERSION
from zos.explorer.store import Cursor, Store
from zos.runtime.loops import Wake
from zos.substrate import Block, Chain, StatePruned, Unreadable

log = logging.getLogger("zos.explorer")
T = TypeVar("T")

LOOK_BACK = 1000
"""Blocks: nodes report every 40 minutes (400 blocks), so that within these every living node was heard twice."""
STEP = 100


class Follower:
    """One reader of the chain, and the only one who writes what it says."""

    def __init__(self, chain: Chain, store: Store, now: Now, look_back: int = LOOK_BACK) -> None:
        self._chain = chain
        self._store = store
        self._now = now
        self._reader = Reader(chain)
        self._look_back = look_back
        self._is_sure = False
        self.cursor: Cursor | None = None
        self.detail = "the chain was not read yet"
        """Why the database is behind; empty when it is not."""
        self.wake = Wake()
        """Rings when following should begin again at once."""
        self._moved = asyncio.Condition()

    async def follow(self) -> None:
        """From where it stopped, until the chain fails; the caller starts it again. Raises when it came no further."""
        self._is_sure = False
        self.cursor = started = await asyncio.to_thread(self._store.cursor)
        try:
            async with contextlib.aclosing(self._chain.finalized_heads()) as heads:  # type: ignore[type-var]
                async for head in heads:
                    await self.advance(head)
        except Exception as err:
            self.detail = str(err) or type(err).__name__
            if self.cursor == started:
                raise
            # It worked until now: the next try comes at once, and only further failures make it slower.
            log.warning("the chain is not followed: %s", err, exc_info=None if isinstance(err, ZosError) else err)
            self.wake.set()

    async def reached(self, number: int) -> None:
        """Wait until this block is in the database."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.cursor is not None and self.cursor.number >= number)

    async def advance(self, head: Block) -> None:
        """Bring the database to this block."""
        if head.number < 1 or not await self._is_same_chain(head):
            return
        cursor = self.cursor
        # Tables of an earlier version lack something that the chain can tell.
        is_whole = cursor is not None and cursor.version == VERSION
        if cursor is not None and is_whole and head.number <= cursor.number:
            self.detail = ""
            return
        if cursor is None or not is_whole or head.number - cursor.number > self._look_back:
            await self._snapshot(head)
        else:
            await self._catch_up(cursor, head)
        self.detail = ""

    async def _is_same_chain(self, head: Block) -> bool:
        """Whether to go on from the cursor; a chain that began anew is read anew, another one is refused."""
        cursor = self.cursor
        if cursor is None or self._is_sure:
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
            await _beside(self._store.wipe)
            self.cursor = None
        self._is_sure = True
        return True

    async def _catch_up(self, cursor: Cursor, head: Block) -> None:
        for start in range(cursor.number + 1, head.number + 1, STEP):
            last = min(start + STEP - 1, head.number)
            hash = head.hash if last == head.number else await self._chain.block_hash(last)
            touched = Touched()
            try:
                if hash is None or not await self._reader.happened(range(start, last + 1), touched):
                    await self._snapshot(head)
                    return
                await self._step(touched, Block(last, hash))
            except StatePruned:
                await self._snapshot(head)
                return
            except (Unreadable, LookupError, TypeError, ValueError):
                # One record that cannot be understood must not end the following.
                log.exception("blocks %d to %d cannot be understood; the state is read whole", start, last)
                await self._snapshot(head)
                return

    async def _step(self, touched: Touched, at: Block) -> None:
        nodes = await _beside(lambda: self._store.nodes_of(touched.contracts))
        farms = await _beside(lambda: self._store.farms_of(nodes))
        changes = await self._reader.touched(touched, Known(frozenset(nodes), frozenset(farms)), at)
        cursor = await self._cursor_at(at)
        await _beside(lambda: self._store.apply(changes, touched, cursor))
        await self._moved_to(cursor)

    async def _snapshot(self, head: Block) -> None:
        """The whole state; with what the last blocks told, as far as the chain still has them."""
        log.info("reading the whole state at block %d", head.number)
        after = self.cursor.number if self.cursor else 0
        oldest = max(after + 1, head.number - self._look_back + 1, 1)
        touched = Touched()
        with contextlib.suppress(Unreadable, LookupError, TypeError, ValueError):
            await self._reader.happened(range(head.number, oldest - 1, -1), touched)
        changes = await self._reader.everything(touched, head)
        cursor = await self._cursor_at(head)
        await _beside(lambda: self._store.apply(changes, touched, cursor))
        self._is_sure = True
        await self._moved_to(cursor)
        log.info("%d nodes, %d contracts at block %d", len(changes.nodes), len(changes.contracts), head.number)

    async def _cursor_at(self, block: Block) -> Cursor:
        time = await self._reader.time(block)
        if self.cursor is not None:
            return replace(self.cursor, number=block.number, hash=block.hash, time=time, version=VERSION)
        first = await self._chain.block_hash(1) or ""
        return Cursor(await self._chain.genesis(), first, block.number, block.hash, time)

    async def _moved_to(self, cursor: Cursor) -> None:
        self._now.heard(cursor.time)
        async with self._moved:
            self.cursor = cursor
            self._moved.notify_all()


async def _beside(work: Callable[[], T]) -> T:
    """In a thread: the database must not hold up the loop."""
    return await asyncio.to_thread(work)
