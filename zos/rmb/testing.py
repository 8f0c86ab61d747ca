"""For tests: twins with keys in this process, and a relay between them on a free port."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from zos.rmb.cipher import LocalSecret, Secret
from zos.rmb.envelope import Signer, TwinRecord
from zos.rmb.limits import RateLimiter
from zos.rmb.peer import Handler, Peer
from zos.rmb.privacy import IsPrivate, never
from zos.rmb.twins import TwinCache
from zos.runtime.clock import Clock, SystemClock
from zos.substrate.keys import KeyKind, LocalKey


@dataclass(frozen=True, slots=True)
class Twin:
    """A twin whose keys are known."""

    id: int
    kind: KeyKind = KeyKind.SR25519
    relay: str = "relay.lab"
    encrypts: bool = True

    @property
    def seed(self) -> bytes:
        """Its mini seed; any will do that is its own."""
        return hashlib.sha256(f"twin {self.id}".encode()).digest()

    @property
    def key(self) -> LocalKey:
        return LocalKey.of_seed(self.seed, self.kind)

    @property
    def secret(self) -> LocalSecret:
        return LocalSecret(self.seed)

    @property
    def record(self) -> TwinRecord:
        """What the chain says of it."""
        pk = self.secret.public if self.encrypts else b""
        return TwinRecord(self.id, self.key.public, pk, self.relay)


@dataclass
class Chain:
    """The twins that there are."""

    records: dict[int, TwinRecord] = field(default_factory=dict)
    asked: int = 0

    def add(self, *twins: Twin) -> None:
        """Put twins on the chain."""
        self.records.update({twin.id: twin.record for twin in twins})

    async def twin(self, id: int) -> TwinRecord | None:
        """As the chain answers."""
        self.asked += 1
        return self.records.get(id)


@asynccontextmanager
async def joined(
    twin: Twin,
    chain: Chain,
    *urls: str,
    handler: Handler | None = None,
    session: str = "",
    rate: RateLimiter[int] | None = None,
    clock: Clock | None = None,
    signer: Signer | None = None,
    secret: Secret | None = None,
    is_private: IsPrivate = never,
) -> AsyncIterator[Peer]:
    """A peer that is connected to one relay at least, until the block ends; its keys may be elsewhere."""

    async def me() -> int:
        return twin.id

    clock = clock or SystemClock()
    twins = TwinCache(chain.twin, clock)
    keys = signer or twin.key, secret or twin.secret
    peer = Peer(me, *keys, twins, urls, handler, session=session, rate=rate, clock=clock, is_private=is_private)
    for connection in peer.connections:
        connection.retry_delay = 0.05
    running = asyncio.create_task(peer.run())
    try:
        async with asyncio.timeout(10):
            await peer.connected()
        yield peer
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
