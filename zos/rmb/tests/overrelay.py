"""A node's commands and two clients of it on one relay."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zos.relay.federation import Outcome
from zos.relay.server import Relay, serving
from zos.rmb.peer import Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.tests.world import USER, World, world
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock
from zos.substrate.keys import KeyKind

CLIENT, OTHER, KEYLESS, NODE = Twin(USER), Twin(27), Twin(28, encrypts=False), Twin(2, KeyKind.ED25519)


@dataclass
class Nobody:
    """No other relay is asked."""

    counts: Mapping[str, Counter[str]] = field(default_factory=dict)

    async def send(self, domains: Sequence[str], frame: bytes, span: float, sender: int = 0) -> Outcome:
        raise AssertionError("everybody is here")


@dataclass
class Bus:
    """A node and clients on one relay."""

    world: World
    client: Peer
    other: Peer
    keyless: Peer
    """It has published no encryption key."""

    async def ask(self, command: str, body: bytes = b"", peer: Peer | None = None) -> Any:
        return json.loads(await (peer or self.client).call(NODE.id, command, body))


@asynccontextmanager
async def bus(folder: Path) -> AsyncIterator[Bus]:
    chain = Chain()
    chain.add(CLIENT, OTHER, KEYLESS, NODE)
    relay = Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Nobody())
    async with world(folder) as w, serving(relay, "127.0.0.1", 0) as port:
        url = f"ws://127.0.0.1:{port}"
        async with (
            joined(NODE, chain, url, handler=w.router.handle, is_private=w.router.is_private),
            joined(CLIENT, chain, url, session="tf-1") as client,
            joined(OTHER, chain, url, session="tf-2") as other,
            joined(KEYLESS, chain, url, session="tf-3") as keyless,
        ):
            yield Bus(w, client, other, keyless)
