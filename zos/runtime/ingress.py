"""Stands before each HTTP server that anybody can reach, and bounds what a connection costs whatever is sent on it.

Connections are counted by network, must ask for something, send what they began and read what they asked for in
time; when there are too many, those make way that ask for nothing. What is read is handed on in slices, and a
connection has so much of the processor for it: frames that come to nothing (pings, empty fragments, half a message)
cost the same as those that do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from time import thread_time
from typing import Any, cast

from aiohttp import web, web_response

from zos.runtime.places import Places
from zos.runtime.proxies import Proxies
from zos.runtime.quota import FairQuota, network_of

SLICE = 16 * 1024
"""Bytes that are handed on in one turn of the event loop."""
BURST = 0.05
"""Seconds of the processor that a connection may be ahead of its share."""
PAUSE = 0.005
"""Seconds behind which it waits: shorter ones cost more than they spare."""
SWEEP = 1.0
# Clients are not told the versions of our libraries, not even in the answer to a request that cannot be read.
setattr(web_response, "SERVER_SOFTWARE", "zos")  # noqa: B010


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections may cost; times in seconds."""

    total: int = 4096
    each: int = 512
    """Connections of one network (an IPv4 address, a /64)."""
    idle: float = 75.0
    """Without a request."""
    body: float = 30.0
    """For a request's body."""
    stalled: float = 60.0
    """In which nothing is read of what waits to be sent."""
    work: float = 0.25
    """Share of a core for reading what one network sends; its connections have equal parts of it."""
    memory: int = 128 << 20
    """Bytes of all requests and messages that are not whole yet; one network has at most half."""


class _Gate:
    """A transport that reads only when both sides of it want to; anything else goes to the real one."""

    def __init__(self, transport: asyncio.Transport, connection: _Connection) -> None:
        self.real = transport
        self.connection = connection
        self.request: web.BaseRequest | None = None
        self.since = asyncio.get_running_loop().time()
        """When its newest request began, or its last one ended."""
        self.taken: Callable[[], None] = lambda: None
        self._wanted = True
        self._held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def pause_reading(self) -> None:
        self._wanted = False
        self._set()

    def resume_reading(self) -> None:
        self._wanted = True
        self._set()

    def is_reading(self) -> bool:
        return self._wanted

    def hold(self, held: bool) -> None:
        self._held = held
        self._set()

    def _set(self) -> None:
        if not self.real.is_closing():
            (self.real.resume_reading if self._wanted and not self._held else self.real.pause_reading)()


class _Connection(asyncio.Protocol):
    """One connection, before the server's own protocol."""

    def __init__(self, ingress: Ingress, inner: asyncio.Protocol) -> None:
        self._ingress = ingress
        self._inner = inner
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self._ahead = 0.0
        self._filled = 0.0
        self.network = ""
        self._gate: _Gate | None = None
        self._moved = 0.0
        self._unsent = self.untaken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        real = cast(asyncio.Transport, transport)
        self.network = network_of((real.get_extra_info("peername") or ("",))[0])
        if self._ingress.proxies.trusts(self.network):
            # Behind it are many clients: its connections are bounded one by one, and all together.
            self.network += f" {id(self):x}"
        if not self._ingress.places.enter(self.network, self):
            self.network = ""
            real.abort()
            return
        self._gate = _Gate(real, self)
        self._gate.taken = self.taken
        self._moved = self._filled = asyncio.get_running_loop().time()
        self._ingress.connections.add(self)
        self._inner.connection_made(cast(asyncio.Transport, self._gate))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._gate is not None:
            self.taken()
            self._ingress.places.leave(self)
            self._ingress.connections.discard(self)
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def eof_received(self) -> bool | None:
        if self._rest:
            # What was said before comes first; nobody waits for an answer to half a request.
            self._inner.data_received(self._rest)
            self._rest = b""
        return self._inner.eof_received()

    def data_received(self, data: bytes) -> None:
        if self._gate is None:
            return
        self._ingress.places.heard(self)
        self._rest = self._rest + data if self._rest else data
        if self._timer is None:
            self._feed()

    def _feed(self) -> None:
        """Hand on one slice, then wait as long as its work is worth."""
        assert self._gate is not None
        self._timer = None
        now, part = asyncio.get_running_loop().time(), self._rest[:SLICE]
        self._rest = self._rest[SLICE:]
        if not self._ingress.hold(self, len(part)):
            self._ingress.note("sends more than it completes")
            self._rest = b""
            self.abort()
            return
        self.untaken += len(part)
        began = thread_time()
        self._inner.data_received(part)
        spent = thread_time() - began
        share = self._ingress.limits.work / max(1, self._ingress.places.holds(self.network))
        self._ahead = max(0.0, self._ahead - (now - self._filled) * share) + spent
        self._filled = now
        wait = max(0.0, self._ahead - BURST) / share
        if self._rest or wait > PAUSE:
            self._gate.hold(True)
            self._timer = asyncio.get_running_loop().call_later(wait, self._more)

    def _more(self) -> None:
        assert self._gate is not None
        self._timer = None
        if self._rest:
            self._feed()
        if self._timer is None:
            self._gate.hold(False)

    def taken(self) -> None:
        """What came is with the application now, which bounds it from there on."""
        if self.untaken:
            self._ingress.memory.release(self.network, self.untaken)
            self.untaken = 0

    def fault(self, now: float) -> str:
        """Why this connection must end now; nothing while it may stay."""
        assert self._gate is not None
        limits, unsent = self._ingress.limits, self._gate.real.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._moved = now
            if self._unsent:
                self._ingress.places.heard(self)
        self._unsent = unsent
        if now - self._moved > limits.stalled:
            return "does not read"
        if self._gate.request is None:
            return "asks for nothing" if now - self._gate.since > limits.idle else ""
        is_unfinished = not self._gate.request.content.is_eof()
        return "does not send what it began" if is_unfinished and now - self._gate.since > limits.body else ""

    def keep(self, key: Hashable) -> None:
        """It need not make way for newcomers, within the share of `key`."""
        self._ingress.places.keep(self, key)

    def use(self, is_busy: bool) -> None:
        """A request is worked on, or none is."""
        self._ingress.places.use(self, is_busy=is_busy)

    def abort(self) -> None:
        """Let go of it at once, with what it has not read."""
        assert self._gate is not None
        abort(self._gate.real)


def abort(transport: asyncio.BaseTransport | None) -> None:
    """End a connection without waiting for a peer that reads nothing; the kernel drops what it holds for it."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast(asyncio.Transport, transport).abort()


class Ingress:
    """All connections of one server."""

    def __init__(self, limits: Limits, proxies: Proxies | None = None) -> None:
        self.limits = limits
        self.proxies = proxies or Proxies()
        self.places: Places[str, _Connection] = Places(limits.total, limits.each, self._evicted)
        self.memory: FairQuota[str] = FairQuota(limits.memory, limits.memory)
        self.connections: set[_Connection] = set()
        self.ended: dict[str, int] = {}
        """How many connections were let go, by what they did."""

    @contextlib.asynccontextmanager
    async def serving(
        self, runner: web.AppRunner, host: str, port: int, tls: tuple[str, int, ssl.SSLContext] | None = None
    ) -> AsyncIterator[int]:
        """Serve an application until the block ends; gives the plain port (a free one for 0)."""
        runner.app.middlewares.insert(0, _noted)
        await runner.setup()
        loop, made = asyncio.get_running_loop(), runner.server
        assert made is not None

        def connection() -> _Connection:
            return _Connection(self, made())

        servers: list[asyncio.Server] = []
        sweeping = asyncio.create_task(self._sweep())
        try:
            servers.append(await loop.create_server(connection, host, port, backlog=128, reuse_address=True))
            if tls is not None:
                servers.append(await loop.create_server(connection, tls[0], tls[1], ssl=tls[2], backlog=128))
            yield int(servers[0].sockets[0].getsockname()[1])
        finally:
            sweeping.cancel()
            for server in servers:
                server.close()
            await runner.cleanup()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP, self.limits.idle / 4, self.limits.body / 4, self.limits.stalled / 4))
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.connections):
                if what := connection.fault(now):
                    self.note(what)
                    connection.abort()

    def _evicted(self, connection: _Connection) -> None:
        self.note("made way")
        connection.abort()

    def hold(self, connection: _Connection, size: int) -> bool:
        """Hold bytes for a connection; False when its network holds the most: otherwise the largest of that goes."""
        mine = self.memory.holds(connection.network) + size
        while not self.memory.take(connection.network, size):
            largest = max(self.connections, key=lambda one: (self.memory.holds(one.network), one.untaken))
            if largest.network == connection.network or self.memory.holds(largest.network) <= mine:
                return False
            self.note("sends more than it completes")
            largest.taken()
            largest.abort()
        return True

    def note(self, what: str) -> None:
        """Count a connection that was let go."""
        self.ended[what] = self.ended.get(what, 0) + 1


def taken(request: web.BaseRequest) -> None:
    """A message of a WebSocket was received whole; call it for each."""
    gate = cast(Any, request.transport)
    if isinstance(gate, _Gate):
        gate.taken()


def keep(request: web.BaseRequest, key: Hashable) -> None:
    """Its client has proved who it is: it need not make way for newcomers, within the share of `key`."""
    gate = cast(Any, request.transport)
    if isinstance(gate, _Gate):
        gate.connection.keep(key)


@web.middleware
async def _noted(request: web.Request, handler: Any) -> web.StreamResponse:
    """Note that a request is worked on."""
    gate = cast(Any, request.transport)
    if not isinstance(gate, _Gate):
        return cast(web.StreamResponse, await handler(request))
    gate.request = request
    gate.since = asyncio.get_running_loop().time()
    gate.connection.use(is_busy=True)
    try:
        return cast(web.StreamResponse, await handler(request))
    finally:
        gate.request = None
        gate.since = asyncio.get_running_loop().time()
        gate.connection.use(is_busy=False)
        gate.taken()
