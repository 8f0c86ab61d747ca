"""The chain at work: blocks made of what waits, virtual time, finality, and its listeners."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zos.devchain import block as blocks
from zos.devchain import errors, farming, genesis, skip
from zos.devchain.block import SLOT, ZERO, Block
from zos.devchain.blockindex import BlockIndex
from zos.devchain.context import Context
from zos.devchain.generation import Generation
from zos.devchain.layout import MODERN_OF
from zos.devchain.pallets import balances
from zos.devchain.pallets.system import BLOCK_HASHES
from zos.devchain.pool import Pending, Pool, Watcher
from zos.devchain.runtime import BY_NAME, MODERN, Extrinsic, Runtime, parse
from zos.devchain.state import HISTORY, Overlay, State, Typed
from zos.devchain.store import Store

log = logging.getLogger("zos.devchain")

PER_BLOCK = 2_000
BLOCK_LENGTH = 5 * 1024 * 1024 * 3 // 4
"""Bytes of extrinsics, as on the grid's chain."""
BLOCK_WEIGHT = 20_000
"""Calls, those in batches counted."""
LIGHT = 4
"""Calls of an extrinsic that waits as it was decoded."""
CHUNK = 4_000
"""Blocks without work that are skipped before others get a turn."""
BUSY_CHUNK = 50
WORTH_SKIPPING = 4

Listener = Callable[[str, Any], None]


@dataclass
class Faults:
    """Faults that a test or user switches on."""

    stalled: bool = False
    """No new blocks."""
    unfinal: bool = False
    """Blocks, and none of them final."""
    empty: bool = False
    """Every storage read finds nothing."""
    delay: float = 0.0
    """Seconds before each answer."""
    lag: int = 0
    """Blocks that finality is behind, in addition to its usual lag."""
    wrong_genesis: bool = False
    """It reports another genesis hash."""


class Node:
    """One chain in this process."""

    def __init__(
        self,
        start: genesis.Genesis,
        data: Path | None = None,
        lag: int = 0,
        generation: Generation = MODERN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.genesis_config = start
        self._is_modern = generation is MODERN
        self.generation = MODERN_OF[start.billing] if self._is_modern else generation
        self.faults = Faults()
        self.state = State()
        self.finalized = 0
        self.pool = Pool()
        self._lag = lag
        self._clock = clock
        self._included: dict[int, list[Pending]] = {}
        self._gifts: list[tuple[bytes, int]] = []
        self._runtime = Runtime(start.billing, surcharge=start.certified_surcharge)
        self._author = genesis.author()
        self._listeners: dict[Listener, None] = {}
        self._is_silent = False
        self._offset = 0.0
        self._heartbeats = farming.Heartbeats()
        if data is not None:
            data.mkdir(parents=True, exist_ok=True)
        self.store = Store(data / "chain.sqlite" if data else None, generation.timestamp)
        self.blocks = BlockIndex(self.store)
        self._load()
        self.genesis_hash = self.blocks[0].hash
        """The chain's id."""

    # Reading

    @property
    def head(self) -> Block:
        """The best block, which may not be finalized yet."""
        return self.blocks[-1]

    def number_of(self, hash: bytes) -> int | None:
        """A block's number, when it is on the best chain."""
        return self.blocks.number_of(hash)

    def read(self, key: bytes, number: int) -> bytes | None:
        """A stored value as of a block."""
        return None if self.faults.empty else self.state.at(key, number, self.head.number)

    def typed(self) -> Typed:
        """The present storage by names."""
        return Typed(self.generation.stored, self.state)

    def next_index(self, account: bytes) -> int:
        """The nonce that the account's next extrinsic needs, those in the pool counted."""
        nonce = int(self.typed().get("System.Account", account)["nonce"])
        waiting = self.pool.queue(account)
        while nonce in waiting:
            nonce += 1
        return nonce

    def pending(self) -> Iterator[Extrinsic]:
        """What waits in the pool."""
        return (one.extrinsic for one in self.pool)

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Call `listener` on `head`, `finalized` and `state` changes."""
        self._listeners[listener] = None
        try:
            yield
        finally:
            self._listeners.pop(listener, None)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on changes until the returned function is called."""
        self._listeners[listener] = None
        return lambda: self._listeners.pop(listener, None)

    # The pool

    def submit(self, raw: bytes, watcher: Watcher | None = None) -> bytes:
        """Take an extrinsic in, or raise Invalid; returns its hash."""
        extrinsic = parse(raw, self.generation, with_call=False)
        info = self.typed().get("System.Account", extrinsic.account)
        birth = extrinsic.birth(self.head.number)
        if birth is not None and not birth <= self.head.number < birth + extrinsic.period:
            raise errors.bad_signature()
        birth_hash = self.genesis_hash if birth is None else self.blocks[birth].hash
        if not extrinsic.verify(self.generation.versions, self.genesis_hash, birth_hash):
            raise errors.bad_signature()
        if extrinsic.nonce < info["nonce"]:
            raise errors.outdated()
        if info["data"]["free"] - info["data"]["frozen"] < extrinsic.fee:
            raise errors.cannot_pay()
        extrinsic = parse(raw, self.generation)
        if extrinsic.weight > BLOCK_WEIGHT:
            raise errors.too_heavy()
        if extrinsic.weight > LIGHT:
            extrinsic = replace(extrinsic, call=None)
        self.pool.add(Pending(extrinsic, birth, birth_hash), watcher, info["nonce"])
        return extrinsic.hash

    def forget(self, watcher: Watcher) -> None:
        """Stop notifying a watcher."""
        self.pool.forget(watcher)

    def _ready(self, number: int) -> list[Pending]:
        """Valid extrinsics in nonce order for a block; what can never be valid any more is dropped."""
        taken: list[Pending] = []
        length = weight = 0
        store = self.typed()
        for account in self.pool.accounts():
            if len(taken) >= PER_BLOCK:
                break
            info = store.get("System.Account", account)
            nonce, funds = info["nonce"], info["data"]["free"] - info["data"]["frozen"]
            for stale in [one for one in self.pool.queue(account) if one < nonce]:
                self.pool.take(account, stale).notify("invalid")
            while (waiting := self.pool.queue(account).get(nonce)) is not None and len(taken) < PER_BLOCK:
                length += len(waiting.extrinsic.raw)
                weight += waiting.extrinsic.weight
                if length > BLOCK_LENGTH or weight > BLOCK_WEIGHT:
                    return taken
                pending = self.pool.take(account, nonce)
                if pending.extrinsic.fee > funds or pending.is_over(number, self._hash_of(pending.birth)):
                    pending.notify("invalid")
                    break
                funds -= pending.extrinsic.fee
                taken.append(pending)
                nonce += 1
        return taken

    def _hash_of(self, number: int | None) -> bytes | None:
        return None if number is None or number >= len(self.blocks) else self.blocks[number].hash

    # Blocks

    def gift(self, account: bytes, units: int) -> None:
        """Create units in the next block (the activation stand-in)."""
        self._gifts.append((account, units))

    def now(self) -> int:
        """The next block's time in milliseconds; strictly later than the last one's."""
        wall = int((self._clock() + self._offset) * 1000)
        return max(wall, self.head.now + 1)

    def make_block(self, now: int | None = None) -> Block:
        """One block of what is ready, at a time in milliseconds (by default the present)."""
        number, now = self.head.number + 1, self.now() if now is None else now
        overlay = Overlay(self.state)
        ctx = Context(self.typed().over(overlay), BY_NAME, number, now, self._author)
        self._begin(ctx)
        body = [blocks.inherent(now, self.generation.timestamp)]
        ctx.extrinsic = 0
        ctx.put("Timestamp.Now", now)
        ctx.emit("System.ExtrinsicSuccess", dispatch_info=skip.MANDATORY)
        taken = []
        for pending in self._ready(number):
            ctx.extrinsic = len(body)
            known = pending.extrinsic
            if not self._runtime.execute(ctx, known if known.call else parse(known.raw, self.generation)):
                pending.notify("invalid")
                continue
            taken.append(pending)
            body.append(pending.extrinsic.raw)
        ctx.put("System.Events", ctx.events)
        ctx.put("System.EventCount", len(ctx.events))
        root = blocks.state_root(self.head.state_root, overlay.changes)
        block = blocks.seal(number, self.head.hash, root, body, now)
        self._heartbeats.record(ctx.events)
        undo = self.state.apply(overlay.changes, number)
        self.store.append(block, overlay.changes, undo, farming.pack(ctx.events))
        self.blocks.append(block)
        self._announce(block, taken)
        return block

    def _begin(self, ctx: Context) -> None:
        parent = self.head
        ctx.put("System.Number", ctx.block)
        ctx.put("System.ParentHash", parent.hash)
        ctx.put("System.BlockHash", parent.number, parent.hash)
        if parent.number >= BLOCK_HASHES:
            ctx.drop("System.BlockHash", parent.number - BLOCK_HASHES)
        gifts, self._gifts = self._gifts, []
        for account, units in gifts:
            balances.mint(ctx, account, units)
        self._runtime.on_block(ctx)
        self._heartbeats.report(ctx)

    def _announce(self, block: Block, taken: list[Pending]) -> None:
        text = "0x" + block.hash.hex()
        for pending in taken:
            pending.notify({"inBlock": text})
        if taken:
            self._included[block.number] = taken
        self._notify("head", block)
        self.finalize()
        self._notify("state", block)

    def finalize(self) -> None:
        """Make final what is old enough."""
        last = self.head.number - self._lag - self.faults.lag
        if self.faults.unfinal or self.finalized >= last:
            return
        while self.finalized < last:
            self.finalized += 1
            if not self._is_silent or self.finalized in self._included:
                self._finalize(self.blocks[self.finalized])
        self.store.remember("finalized", str(self.finalized))

    def _finalize(self, block: Block) -> None:
        for pending in self._included.pop(block.number, ()):
            pending.notify({"finalized": "0x" + block.hash.hex()})
            for watcher in pending.watchers:
                self.pool.forget(watcher)
        self._notify("finalized", block)

    def reorganise(self, depth: int) -> int:
        """Take back so many blocks that are not final; their extrinsics are lost. Returns how many were."""
        gone = 0
        while gone < depth and self.head.number > self.finalized:
            block = self.blocks.pop()
            self.store.take_back(block.number, self.state.take_back(block.number))
            for pending in self._included.pop(block.number, ()):
                pending.notify({"retracted": "0x" + block.hash.hex()})
            gone += 1
        # The new branch must not repeat the hashes of the old one.
        self._offset += 0.001
        return gone

    def _notify(self, what: str, block: Block) -> None:
        if self._is_silent:
            return
        for listener in tuple(self._listeners):
            listener(what, block)

    async def run(self, block_time: float) -> None:
        """Make blocks for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + block_time, loop.time())
            await asyncio.sleep(due - loop.time())
            if not self.faults.stalled:
                self.make_block()

    # Virtual time

    def advance(self, seconds: float, *, heartbeats: bool = False) -> Iterator[None]:
        """Let virtual time pass, in blocks of six seconds; the last one is at the end of it.

        A step is so small that others can have their turn between two. Blocks without work are skipped quickly. Like
        a node that catches up, it tells of the last block of a step only. `heartbeats`: nodes that are awake report
        their uptime meanwhile, although no node runs.
        """
        # The first is made now, wherever the wall clock has gone since the last.
        target = self.make_block().now + int(seconds * 1000)
        self._heartbeats.start(self.typed(), self.head.now, heartbeats)
        try:
            while self.head.now < target:
                with self.store.batch(), self._silence():
                    self._pass(target)
                self._notify("head", self.head)
                self._notify("finalized", self.blocks[self.finalized])
                self._notify("state", self.head)
                yield
        finally:
            self._heartbeats.stop()
        self._offset += seconds

    @contextlib.contextmanager
    def _silence(self) -> Iterator[None]:
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False

    def _pass(self, target: int) -> None:
        for _ in range(BUSY_CHUNK):
            left = -(-(target - self.head.now) // (SLOT * 1000))
            if left <= 0:
                return
            # The last blocks are made one by one, so that the states behind them can be read.
            quiet = min(self._quiet(), left - HISTORY, CHUNK)
            if quiet >= WORTH_SKIPPING:
                self._skip(quiet)
                return
            self.make_block(min(self.head.now + SLOT * 1000, target))

    def _quiet(self) -> int:
        """How many blocks come before one with work."""
        # What a block changes is known for today's runtime only; older ones are made one by one.
        if len(self.pool) or self._gifts or self.faults.unfinal or not self._is_modern:
            return 0
        key = BY_NAME["SmartContractModule"].key("ContractsToBillAt")
        places = {int.from_bytes(one[-8:], "little") for one in self.state.all_keys(key)}
        frequency = int(self.typed().get("SmartContractModule.BillingFrequency"))
        first = self.head.number + 1
        billing = min(((place - first) % frequency for place in places), default=CHUNK)
        return min(billing, self._heartbeats.quiet(first))

    def _skip(self, count: int) -> None:
        head = self.head
        rows = list(skip.quiet(head, count, SLOT * 1000))
        changes = skip.changes(head, rows)
        self.state.forget(changes)
        self.store.append_quiet(rows, changes)
        self.blocks.append(skip.last(head, rows))
        self.finalize()

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    # The beginning

    def _load(self) -> None:
        if len(self.blocks):
            kept = self.store.fact("generation") or MODERN.name
            if kept != self.generation.name:
                raise errors.OtherGeneration(kept=kept, wanted=self.generation.name)
            for key, value in self.store.state():
                self.state.load(key, value)
            for number, undo in self.store.undos():
                self.state.remember(number, undo)
            self.finalized = min(int(self.store.fact("finalized") or 0), self.head.number)
            log.info("the chain goes on at block %d", self.head.number)
            return
        self.store.remember("generation", self.generation.name)
        changes = genesis.build(self.genesis_config, self.typed())
        block = blocks.seal(0, ZERO, blocks.state_root(ZERO, changes), (), 0)
        self.store.append(block, changes, {}, None)
        self.blocks.append(block)
