"""A relay on loopback for tests, with twins to join it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from zos.relay.federation import Outcome
from zos.relay.quota import Limit
from zos.relay.server import Relay, serving
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.limits import RateLimiter
from zos.rmb.testing import Chain, Twin
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import SystemClock
from zos.substrate.keys import KeyKind

USER, NODE, FAR, MUTE = Twin(1), Twin(3, KeyKind.ED25519), Twin(4, relay="relay.far"), Twin(5, relay="")


@dataclass
class Others:
    """Other relays that take what they are told to take."""

    says: Outcome = Outcome.TAKEN
    sent: list[tuple[Sequence[str], bytes]] = field(default_factory=list)
    counts: Mapping[str, Counter[str]] = field(default_factory=dict)

    async def send(self, domains: Sequence[str], frame: bytes, span: float, sender: int = 0) -> Outcome:
        self.sent.append((domains, frame))
        return self.says


@dataclass
class World:
    relay: Relay
    url: str
    chain: Chain
    others: Others

    @property
    def ws(self) -> str:
        return self.url.replace("http://", "ws://")


@asynccontextmanager
async def world(limit: Limit | None = None, pace: RateLimiter[int] | None = None) -> AsyncIterator[World]:
    chain, others = Chain(), Others()
    chain.add(USER, NODE, FAR, MUTE)
    relay = Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), others, limit, pace)
    async with serving(relay, "127.0.0.1", 0) as port:
        yield World(relay, f"http://127.0.0.1:{port}", chain, others)


async def echo(twin: int, command: str, body: bytes) -> bytes:
    return b'{"from": %d, "body": %s}' % (twin, body or b"null")


@asynccontextmanager
async def raw(world: World, twin: Twin, session: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A bare connection, which sends whatever it likes."""
    text = await token.make(twin.id, twin.key, SystemClock().time(), session)
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{world.url}/?{text}") as socket:
        yield socket


async def received(socket: aiohttp.ClientWebSocketResponse) -> Envelope:
    return Envelope.FromString(await asyncio.wait_for(socket.receive_bytes(), 5))


def message(frm: Twin, to: int, session: str = "", **more: str) -> Envelope:
    me = Address(twin=frm.id, connection=session) if session else Address(twin=frm.id)
    made = env.request("u1", me, to, "zos.system.version", SystemClock().time(), 20)
    if tags := more.get("tags"):
        made.tags = tags
    return made
