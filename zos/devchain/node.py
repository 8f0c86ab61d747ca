"""The chain at work: a pool of extrinsics, blocks made of them, finality, and who wants to hear of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zos.devchain import errors, genesis
from zos.devchain.context import Context
from zos.devchain.errors import Invalid
from zos.devchain.pallets.balances import mint
from zos.devchain.pallets.system import dispatch_info
from zos.devchain.runtime import BY_NAME, Extrinsic, Runtime, parse
from zos.devchain.state import Changes, Overlay, State, Typed
from zos.devchain.store import Block, Store
from zos.scale.types import compact

log = logging.getLogger("zos.devchain")

SLOT = 6
POOL = 20_000
PER_BLOCK = 2_000
BLOCK_HASHES = 2400
ZERO = bytes(32)

Listener = Callable[[str, Any], None]


@dataclass
class Pending:
    """An extrinsic in the pool, and who watches it."""

    extrinsic: Extrinsic
    watchers: list[Callable[[Any], None]] = field(default_factory=list)

    def tell(self, status: Any) -> None:
        """Say how it stands."""
        for watcher in self.watchers:
            watcher(status)


@dataclass
class Mischief:
    """What the chain does wrong on order."""

    stalled: bool = False
    """No new blocks."""
    unfinal: bool = False
    """Blocks, and none of them final."""
    empty: bool = False
    """Every storage read says: nothing."""
    delay: float = 0.0
    """Seconds before each answer."""


class Node:
    """One chain in this process."""

    def __init__(self, start: genesis.Genesis, data: Path | None = None, lag: int = 0) -> None:
        self.genesis_config = start
        self.mischief = Mischief()
        self.state = State()
        self.blocks: list[Block] = []
        self.by_hash: dict[bytes, int] = {}
        self.finalized = 0
        self.pool: dict[bytes, dict[int, Pending]] = {}
        self._lag = lag
        self._included: dict[int, list[Pending]] = {}
        self._gifts: list[tuple[bytes, int]] = []
        self._runtime = Runtime(start.billing, surcharge=start.certified_surcharge)
        self._author = genesis.author()
        self._listeners: set[Listener] = set()
        self._offset = 0.0
        if data is not None:
            data.mkdir(parents=True, exist_ok=True)
        self._store = Store(data / "chain.sqlite" if data else None)
        self._load()

    # Reading

    @property
    def head(self) -> Block:
        """The best block."""
        return self.blocks[-1]

    @property
    def genesis_hash(self) -> bytes:
        """The chain's id."""
        return self.blocks[0].hash

    def number_of(self, hash: bytes) -> int | None:
        """A block's number, when it is on the best chain."""
        return self.by_hash.get(hash)

    def read(self, key: bytes, number: int) -> bytes | None:
        """A stored value as of a block."""
        return None if self.mischief.empty else self.state.at(key, number, self.head.number)

    def typed(self) -> Typed:
        """The present storage by names."""
        return Typed(BY_NAME, self.state)

    def next_index(self, account: bytes) -> int:
        """The nonce that the account's next extrinsic needs, those in the pool counted."""
        nonce = int(self.typed().get("System.Account", account)["nonce"])
        waiting = self.pool.get(account, {})
        while nonce in waiting:
            nonce += 1
        return nonce

    def pending(self) -> Iterator[Extrinsic]:
        """What waits in the pool."""
        for queue in self.pool.values():
            for one in queue.values():
                yield one.extrinsic

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Hear of `head`, `finalized` and `state` changes."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear of changes until the returned function is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # The pool

    def submit(self, raw: bytes, watcher: Callable[[Any], None] | None = None) -> bytes:
        """Take an extrinsic in, or raise Invalid; returns its hash."""
        extrinsic = parse(raw)
        self._validate(extrinsic)
        waiting = self.pool.setdefault(extrinsic.account, {})
        old = waiting.get(extrinsic.nonce)
        if old is not None:
            if old.extrinsic.hash == extrinsic.hash:
                raise errors.imported()
            if extrinsic.tip <= old.extrinsic.tip:
                raise errors.too_low()
            old.tell({"usurped": "0x" + extrinsic.hash.hex()})
        if sum(map(len, self.pool.values())) >= POOL:
            raise Invalid(1016, "Immediately Dropped", "The transaction couldn't enter the pool because of the limit")
        pending = Pending(extrinsic, [watcher] if watcher else [])
        waiting[extrinsic.nonce] = pending
        nonce = int(self.typed().get("System.Account", extrinsic.account)["nonce"])
        pending.tell("ready" if all(one in waiting for one in range(nonce, extrinsic.nonce)) else "future")
        return extrinsic.hash

    def forget(self, watcher: Callable[[Any], None]) -> None:
        """A watcher has gone."""
        everybody = [one for queue in self.pool.values() for one in queue.values()]
        for pending in (*everybody, *(one for group in self._included.values() for one in group)):
            if watcher in pending.watchers:
                pending.watchers.remove(watcher)

    def _validate(self, extrinsic: Extrinsic) -> None:
        info = self.typed().get("System.Account", extrinsic.account)
        birth = extrinsic.birth(self.head.number)
        if birth is None:
            birth_hash = self.genesis_hash
        else:
            if not self.head.number < birth + extrinsic.period or birth > self.head.number:
                raise errors.bad_signature()
            birth_hash = self.blocks[birth].hash
        if not extrinsic.verify(self.genesis_hash, birth_hash):
            raise errors.bad_signature()
        if extrinsic.nonce < info["nonce"]:
            raise errors.outdated()
        if info["data"]["free"] < extrinsic.fee:
            raise errors.cannot_pay()

    # Blocks

    def gift(self, account: bytes, units: int) -> None:
        """Units from nowhere, in the next block (the activation stand-in)."""
        self._gifts.append((account, units))

    def advance(self, seconds: float) -> None:
        """Let virtual time pass before the next block."""
        self._offset += seconds

    def now(self) -> int:
        """The next block's time in milliseconds; strictly later than the last one's."""
        wall = int((time.time() + self._offset) * 1000)
        return max(wall, int(self.typed().get("Timestamp.Now")) + 1)

    def make_block(self) -> Block:
        """One block of what is ready."""
        number, now = self.head.number + 1, self.now()
        overlay = Overlay(self.state)
        ctx = Context(Typed(BY_NAME, overlay), BY_NAME, number, now, self._author)
        self._begin(ctx)
        inherent = b"\x04\x01\x00" + compact(now)
        body = [compact(len(inherent)) + inherent]
        ctx.extrinsic = 0
        ctx.put("Timestamp.Now", now)
        mandatory = {**dispatch_info(False), "class": "Mandatory"}
        ctx.emit("System.ExtrinsicSuccess", dispatch_info=mandatory)
        taken = []
        for pending in self._ready():
            ctx.extrinsic = len(body)
            if not self._runtime.execute(ctx, pending.extrinsic):
                pending.tell("invalid")
                continue
            taken.append(pending)
            body.append(pending.extrinsic.raw)
        ctx.put("System.Events", ctx.events)
        ctx.put("System.EventCount", len(ctx.events))
        block = self._seal(number, overlay.changes, tuple(body), now)
        undo = self.state.apply(overlay.changes, number)
        self._store.append(block, overlay.changes, undo)
        self._append(block)
        self._settle(block, taken)
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
            mint(ctx, account, units)
        self._runtime.on_block(ctx)

    def _ready(self) -> list[Pending]:
        """Valid extrinsics in nonce order; what can never be valid any more is dropped."""
        taken: list[Pending] = []
        store = self.typed()
        for account, queue in list(self.pool.items()):
            info = store.get("System.Account", account)
            nonce, funds = info["nonce"], info["data"]["free"]
            for stale in [one for one in queue if one < nonce]:
                queue.pop(stale).tell("invalid")
            while nonce in queue and len(taken) < PER_BLOCK:
                pending = queue[nonce]
                if pending.extrinsic.fee > funds or self._is_expired(pending.extrinsic):
                    queue.pop(nonce).tell("invalid")
                    break
                funds -= pending.extrinsic.fee
                taken.append(queue.pop(nonce))
                nonce += 1
            if not queue:
                del self.pool[account]
        return taken

    def _is_expired(self, extrinsic: Extrinsic) -> bool:
        try:
            self._validate(extrinsic)
        except Invalid as err:
            return "signature" in str(err)
        return False

    def _seal(self, number: int, changes: Changes, body: tuple[bytes, ...], now: int) -> Block:
        parent = self.blocks[-1] if self.blocks else None
        digest = hashlib.blake2b(parent.state_root if parent else ZERO, digest_size=32)
        for key in sorted(changes):
            value = changes[key]
            digest.update(key + (b"\0" if value is None else b"\1" + value))
        state_root = digest.digest()
        extrinsics_root = hashlib.blake2b(b"".join(body), digest_size=32).digest()
        slot = (now // 1000 // SLOT).to_bytes(8, "little")
        logs = (b"\x06aura" + compact(len(slot)) + slot,) if number else ()
        above = parent.hash if parent else ZERO
        head = above + compact(number) + state_root + extrinsics_root + compact(len(logs)) + b"".join(logs)
        hash = hashlib.blake2b(head, digest_size=32).digest()
        return Block(number, hash, head, body, above, state_root, extrinsics_root, logs)

    def _append(self, block: Block) -> None:
        self.blocks.append(block)
        self.by_hash[block.hash] = block.number

    def _settle(self, block: Block, taken: list[Pending]) -> None:
        text = "0x" + block.hash.hex()
        for pending in taken:
            pending.tell({"inBlock": text})
        self._included[block.number] = taken
        self._tell("head", block)
        self.finalize()
        self._tell("state", block)

    def finalize(self) -> None:
        """Make final what is old enough."""
        if self.mischief.unfinal:
            return
        while self.finalized < self.head.number - self._lag:
            self.finalized += 1
            block = self.blocks[self.finalized]
            self._store.remember("finalized", str(self.finalized))
            for pending in self._included.pop(self.finalized, ()):
                pending.tell({"finalized": "0x" + block.hash.hex()})
            self._tell("finalized", block)

    def reorganise(self, depth: int) -> int:
        """Take back so many blocks that are not final; their extrinsics are lost. Returns how many were."""
        gone = 0
        while gone < depth and self.head.number > self.finalized:
            block = self.blocks.pop()
            del self.by_hash[block.hash]
            self._store.take_back(block.number, self.state.take_back(block.number))
            for pending in self._included.pop(block.number, ()):
                pending.tell({"retracted": "0x" + block.hash.hex()})
            gone += 1
        # The new branch must not repeat the hashes of the old one.
        self._offset += 0.001
        return gone

    def _tell(self, what: str, block: Block) -> None:
        for listener in tuple(self._listeners):
            listener(what, block)

    async def run(self, block_time: float) -> None:
        """Make blocks for ever."""
        due = time.monotonic()
        while True:
            due = max(due + block_time, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            if not self.mischief.stalled:
                self.make_block()

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    # The beginning

    def _load(self) -> None:
        for block, undo in self._store.blocks():
            self._append(block)
            if undo:
                self.state.remember(block.number, undo)
        if self.blocks:
            for key, value in self._store.state():
                self.state.load(key, value)
            self.finalized = min(int(self._store.fact("finalized") or 0), self.head.number)
            log.info("the chain goes on at block %d", self.head.number)
            return
        changes = genesis.build(self.genesis_config, self.state)
        block = self._seal(0, changes, (), 0)
        self._store.append(block, changes, {})
        self._append(block)
