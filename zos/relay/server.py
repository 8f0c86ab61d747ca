"""Serves twins: joins, routes, queues, federates, counts. One WebSocket per session, envelopes unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from aiohttp import WSMsgType, web

from zos.errors import ZosError
from zos.relay.sessions import Address, Session, Sessions
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.envelope import LARGEST, Twins
from zos.rmb.errors import ProtocolError
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import Clock

log = logging.getLogger("zos.relay")

STALLED = 60.0
"""Seconds that a connection may be a window behind before it is let go."""
HEARTBEAT = 30.0
ROUTING = 1024
"""Deliveries that may be waiting for a lookup, a federation or a slow reader."""
MINUTE = 60.0
_SPLIT = re.compile(r"[,\s]+")


class Away(Protocol):
    """The other relays."""

    async def send(self, domains: list[str], frame: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Limit:
    """Per twin and minute."""

    count: int
    bytes: int


class Relay:
    """One relay."""

    def __init__(self, twins: Twins, domain: str, clock: Clock, away: Away, limit: Limit | None = None) -> None:
        self._twins = twins
        self._domain = domain
        self._clock = clock
        self._away = away
        self._limit = limit
        self._spent: OrderedDict[int, tuple[float, int, int]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._few = asyncio.Semaphore(ROUTING)
        self.sessions = Sessions(clock)
        self.counts: Counter[str] = Counter()

    def application(self) -> web.Application:
        """The routes: `/` by WebSocket for twins, by POST for other relays; `/metrics`."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_get("/", self._join)
        app.router.add_post("/", self._federated)
        app.router.add_get("/metrics", self._metrics)
        app.on_cleanup.append(self._stop)
        return app

    async def _stop(self, _: web.Application) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Joining

    async def _join(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=LARGEST, heartbeat=HEARTBEAT, compress=False)
        if not request.query_string:
            return web.Response(status=400, text="a token is needed: GET /?TOKEN\n")
        try:
            seen = token.parse(request.query_string)
            twin = await self._twins.twin(seen.twin)
            if twin is None:
                return web.Response(status=401, text=f"twin {seen.twin} is not on the chain\n")
            seen.check(twin.account, self._clock.time())
        except token.BadToken as err:
            return web.Response(status=401, text=f"{err}\n")
        except ZosError as err:
            log.warning("twin lookup: %s", err.explain())
            return web.Response(status=500, text="twins cannot be looked up at the moment\n")
        if not socket.can_prepare(request).ok:
            return web.Response(status=400, text="this is a relay; join it by WebSocket\n")
        await socket.prepare(request)
        session, waiting = self.sessions.join((seen.twin, seen.session))
        self.counts["joined"] += 1
        writer = asyncio.create_task(self._write(socket, session, waiting))
        try:
            await self._read(socket, session)
        finally:
            self.sessions.leave(session)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    async def _read(self, socket: web.WebSocketResponse, session: Session) -> None:
        over = asyncio.create_task(session.ended.wait())
        try:
            while True:
                reading = asyncio.create_task(socket.receive())
                await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    # A newer connection of the same address, or a reader that stalls.
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
                    await socket.close()
                    return
                message = reading.result()
                if message.type is not WSMsgType.BINARY:
                    # Text is no envelope; the protocol's answer is to hang up, as at the end of the connection.
                    await socket.close()
                    return
                await self._take(message.data, session)
        finally:
            over.cancel()

    async def _write(self, socket: web.WebSocketResponse, session: Session, waiting: list[bytes]) -> None:
        frame = b""
        left = list(reversed(waiting))
        try:
            while True:
                frame = left.pop() if left else await session.outgoing.get()
                async with asyncio.timeout(STALLED):
                    await socket.send_bytes(frame)
                self.counts["delivered"] += 1
                frame = b""
        except (ConnectionError, TimeoutError):
            session.ended.set()
        finally:
            for one in ([frame] if frame else []) + left[::-1]:
                self.sessions.keep(session.address, one, self._clock.time() + env.LONGEST_EXPIRATION)

    # Routing

    async def _take(self, data: bytes, session: Session) -> None:
        self.counts["received"] += 1
        try:
            seen = env.decode(data)
        except ProtocolError:
            self.counts["malformed"] += 1
            return
        if (seen.source.twin, seen.source.connection) != session.address:
            await self._tell(session, seen, "message wrong source")
            return
        if self._limit is not None and not self._affordable(session.address[0], len(data)):
            self.counts["limited"] += 1
            await self._tell(session, seen, "exceeded rate limits, dropping message")
            return
        if seen.WhichOneof("message") == "ping":
            await self._pong(session, seen)
            return
        there = self.sessions.get(_to(seen))
        if there is not None and not there.outgoing.full():
            there.outgoing.put_nowait(data)
            return
        # What needs a lookup, another relay or patience must not hold up this sender's other messages.
        await self._few.acquire()
        task = asyncio.create_task(self._route(data, seen, session))
        self._tasks.add(task)
        task.add_done_callback(self._routed)

    def _routed(self, task: asyncio.Task[None]) -> None:
        self._few.release()
        self._tasks.discard(task)
        if not task.cancelled() and (err := task.exception()) is not None:
            log.error("routing: %s", err, exc_info=err)

    async def _route(self, data: bytes, seen: Envelope, session: Session | None) -> None:
        problem = await self._deliver(data, seen, session is not None)
        if problem and session is not None:
            await self._tell(session, seen, problem)

    async def _deliver(self, data: bytes, seen: Envelope, onward: bool) -> str:
        """Bring it to its session, its queue or its relay; what cannot be done is said."""
        address = _to(seen)
        there = self.sessions.get(address)
        if there is not None:
            return await self._push(there, data)
        try:
            twin = await self._twins.twin(address[0])
        except ZosError:
            return "twins cannot be looked up at the moment"
        if twin is None:
            return "unknown twin destination"
        if not twin.relay:
            return "relay info is not set for this twin"
        domains = twin.relay.split("_")
        if self._domain in domains:
            if "fail-fast" in _SPLIT.split(seen.tags):
                return "destination twin is not connected"
            self.counts["queued"] += 1
            return "" if self.sessions.keep(address, data, env.ends(seen)) else "the queue of this twin is full"
        if not onward:
            return "this relay is not one of the twin's"
        self.counts["federated"] += 1
        return "" if await self._away.send(domains, data) else "destination offline"

    async def _push(self, there: Session, data: bytes) -> str:
        try:
            async with asyncio.timeout(STALLED):
                await there.outgoing.put(data)
        except TimeoutError:
            self.counts["stalled"] += 1
            there.ended.set()
            return "the destination does not read its messages"
        return ""

    async def _pong(self, session: Session, seen: Envelope) -> None:
        back = Envelope(uid=seen.uid, timestamp=seen.timestamp, expiration=seen.expiration, plain=b"hello world")
        back.source.CopyFrom(seen.destination)
        back.destination.CopyFrom(seen.source)
        back.pong.SetInParent()
        await self._push(session, back.SerializeToString())

    async def _tell(self, session: Session, seen: Envelope, problem: str) -> None:
        """An error for the sender of a request; answers that cannot be delivered are nobody's business."""
        self.counts["refused"] += 1
        if seen.WhichOneof("message") == "request":
            told = env.relay_error(seen, problem, self._clock.time())
            told.destination.twin, told.destination.connection = session.address
            with contextlib.suppress(asyncio.QueueFull):
                session.outgoing.put_nowait(told.SerializeToString())

    def _affordable(self, twin: int, size: int) -> bool:
        assert self._limit is not None
        now = self._clock.monotonic()
        began, count, spent = self._spent.get(twin, (now, 0, 0))
        if now - began >= MINUTE:
            began, count, spent = now, 0, 0
        if count + 1 > self._limit.count or spent + size > self._limit.bytes:
            return False
        self._spent[twin] = (began, count + 1, spent + size)
        self._spent.move_to_end(twin)
        while len(self._spent) > 10_000:
            self._spent.popitem(last=False)
        return True

    # Other relays, and who measures

    async def _federated(self, request: web.Request) -> web.Response:
        try:
            data = await request.read()
            seen = env.decode(data)
        except (ProtocolError, web.HTTPRequestEntityTooLarge) as err:
            return web.Response(status=400, text=f"{err}\n")
        problem = await self._deliver(data, seen, onward=False)
        if problem:
            return web.Response(status=404, text=f"{problem}\n")
        return web.Response(status=202)

    async def _metrics(self, _: web.Request) -> web.Response:
        lines = ["# TYPE relay_messages counter"]
        lines += [f'relay_messages{{what="{what}"}} {count}' for what, count in sorted(self.counts.items())]
        lines += ["# TYPE relay_sessions gauge", f"relay_sessions {len(self.sessions)}"]
        lines += ["# TYPE relay_waiting_bytes gauge", f"relay_waiting_bytes {self.sessions.waiting}"]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")


def _to(seen: Envelope) -> Address:
    return seen.destination.twin, seen.destination.connection


@contextlib.asynccontextmanager
async def serving(
    relay: Relay, host: str, port: int, tls: tuple[str, int, ssl.SSLContext] | None = None
) -> AsyncIterator[int]:
    """Serve until the block ends; gives the plain port (a free one for 0)."""
    runner = web.AppRunner(relay.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        if tls is not None:
            await web.TCPSite(runner, tls[0], tls[1], ssl_context=tls[2]).start()
        sockets: list[tuple[str, int]] = runner.addresses
        yield int(sockets[0][1])
    finally:
        await runner.cleanup()
