"""A relay that the test plays itself, a node that is joined to it, and messages of its clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from zos.errors import ZosError
from zos.rmb import envelope as env
from zos.rmb.cipher import seal, unseal
from zos.rmb.peer import Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import SystemClock
from zos.substrate.keys import KeyKind

USER, NODE, PLAIN = Twin(1), Twin(3, KeyKind.ED25519), Twin(6, encrypts=False)


class Said(ZosError):
    """What the test's handler refuses with."""

    reason = "test.said"
    text = "no such deployment"


async def handler(twin: int, command: str, body: bytes) -> bytes:
    match command:
        case "refuse":
            raise Said()
        case "nothing":
            return b""
        case _:
            return b'["%d","%s",%s]' % (twin, command.encode(), body or b'"empty"')


class Line:
    """A relay that the test plays itself."""

    def __init__(self) -> None:
        self.sockets: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.url = ""
        self._socket: ServerConnection | None = None
        self._accepting = asyncio.Lock()

    async def socket(self) -> ServerConnection:
        async with self._accepting:
            if self._socket is None:
                self._socket = await asyncio.wait_for(self.sockets.get(), 5)
            return self._socket

    async def again(self) -> None:
        self._socket = None
        await self.socket()

    async def send(self, frame: bytes | str) -> None:
        await (await self.socket()).send(frame)

    async def received(self) -> Envelope:
        return Envelope.FromString(await asyncio.wait_for((await self.socket()).recv(decode=False), 5))


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    played = Line()

    async def accept(socket: ServerConnection) -> None:
        await played.sockets.put(socket)
        await socket.wait_closed()

    async with serve(accept, "127.0.0.1", 0, close_timeout=0.2) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        played.url = f"ws://127.0.0.1:{port}"
        yield played


@asynccontextmanager
async def node(**more: Any) -> AsyncIterator[tuple[Line, Peer]]:
    chain = Chain()
    chain.add(USER, NODE, PLAIN)
    async with line() as relay, joined(NODE, chain, relay.url, handler=handler, **more) as peer:
        yield relay, peer


Change = Callable[[Envelope], None]


async def asked(
    twin: Twin = USER, command: str = "do", body: bytes = b"1", uid: str = "u", change: Change | None = None
) -> Envelope:
    made = env.request(uid, Address(twin=twin.id, connection="s"), 3, command, SystemClock().time(), 20)
    if twin.encrypts:
        made.cipher = seal(await twin.secret.shared(NODE.secret.public), body)
    else:
        made.plain = body
    if change is not None:
        change(made)
    return await env.signed(made, twin.key)


async def opened(seen: Envelope, twin: Twin = USER) -> bytes:
    env.check_signature(seen, NODE.record)
    assert seen.schema == "application/json"
    assert (seen.source.twin, seen.destination.twin, seen.destination.connection) == (3, twin.id, "s")
    return seen.plain if seen.WhichOneof("payload") == "plain" else await _unsealed(seen, twin)


async def _unsealed(seen: Envelope, twin: Twin) -> bytes:
    return unseal(await twin.secret.shared(NODE.secret.public), seen.cipher)
