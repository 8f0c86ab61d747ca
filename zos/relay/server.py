"""The relay's server: joins, routing, queues, federation, metrics. One WebSocket per session, envelopes unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from zos.errors import ZosError
from zos.relay import metrics
from zos.relay.federation import Away, Outcome
from zos.relay.quota import Limit, MinuteQuota
from zos.relay.sessions import MIB, Address, Message, Session, Sessions
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.envelope import FRAME, LARGEST, TwinRecord
from zos.rmb.errors import ProtocolError, WrongSignature
from zos.rmb.limits import MessageQuota, RateLimiter
from zos.rmb.replays import ReplayMemory, Seen
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import Clock
from zos.runtime.ingress import Ingress, Limits, abort, taken
from zos.runtime.quota import FairQuota, network_of

log = logging.getLogger("zos.relay")

STALLED = 60.0
"""Seconds that a connection may take for one message before it is let go."""
CLOSE, HEARTBEAT = 2.0, 30.0
PONGS = 10.0
"""Seconds between pongs that nobody asked for. Go's peer hears a pong only while it waits for one, on the same machine
ours comes sooner than that now and then, and after one that it did not hear it gives the relay up."""
PACE, PACE_BURST = 500.0, 2000.0
"""Messages per second that are read from one twin, a large one counting for several; it is slowed down, not cut."""
PACE_BYTES = 16 * 1024
PAUSE = 0.01
"""Seconds that it is ahead before it waits: a few messages at a time cost less than one by one."""
TURN = 16
"""Messages of one connection after which others have a turn."""
LOOKUPS, LOOKUPS_BURST = 50.0, 1000.0
"""Destinations per second that one twin may have looked up on the chain."""
UNVERIFIED, UNVERIFIED_BURST = 20.0, 200.0
"""The same for one network address whose clients have not proved who they are."""
ROUTING, ROUTING_EACH = 4096, 1024
ROUTING_BYTES = 32 * MIB
"""Messages, and bytes of them, that may be waiting for a lookup or another relay; of one twin half of what is free."""
POSTS = 64
"""Messages of other relays that are read at the same time."""
READ = 10.0
TOO_LARGE = f"the message is larger than {LARGEST >> 20} MiB"
LIMITS = Limits(total=8192, each=2048)
_SPLIT = re.compile(r"[,\s]+")


class _Undeliverable(Exception):
    """Its text goes to the sender; `later` says that a retry may succeed."""

    def __init__(self, text: str, later: bool = False) -> None:
        super().__init__(text)
        self.later = later


class Relay:
    """Carries messages between the twins that are connected to it, and to and from other relays."""

    def __init__(
        self,
        twins: TwinCache,
        domain: str,
        clock: Clock,
        away: Away,
        limit: Limit | None = None,
        pace: RateLimiter[int] | None = None,
    ) -> None:
        self._twins = twins
        self._domain = domain
        self._clock = clock
        self._away = away
        self._quota = MinuteQuota(limit, clock)
        self._pace = pace or RateLimiter(clock, PACE, PACE_BURST)
        self._lookups: RateLimiter[int] = RateLimiter(clock, LOOKUPS, LOOKUPS_BURST)
        self._unverified: RateLimiter[str] = RateLimiter(clock, UNVERIFIED, UNVERIFIED_BURST)
        self._tasks: set[asyncio.Task[None]] = set()
        self._routing: MessageQuota[int] = MessageQuota(
            FairQuota(ROUTING, ROUTING_EACH), FairQuota(ROUTING_BYTES, ROUTING_BYTES)
        )
        self._posts: FairQuota[str] = FairQuota(POSTS, POSTS)
        self._replays = ReplayMemory(clock)
        self.stalled = STALLED
        self.pongs = PONGS
        self.sessions = Sessions(clock)
        self.ingress = Ingress(LIMITS)
        self.counts: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

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
        socket = web.WebSocketResponse(max_msg_size=FRAME, heartbeat=HEARTBEAT, compress=False, autoping=False)
        if not request.query_string:
            return web.Response(status=400, text="a token is needed: GET /?TOKEN\n")
        try:
            seen = token.parse(request.query_string)
            twin = await self._claimed_twin(seen.twin, request)
            if twin is None:
                return web.Response(status=401, text=f"twin {seen.twin} is not on the chain\n")
            seen.check(twin.account, self._clock.time())
        except token.BadToken as err:
            return web.Response(status=401, text=f"{err}\n")
        except _Undeliverable as err:
            return web.Response(status=500, text=f"{err}\n")
        if not socket.can_prepare(request).ok:
            return web.Response(status=400, text="this is a relay; join it by WebSocket\n")
        session = self.sessions.join((seen.twin, seen.session))
        try:
            await socket.prepare(request)
            self.counts["joined"] += 1
            await self._serve(request, socket, session)
        finally:
            self.sessions.leave(session)
        return socket

    async def _claimed_twin(self, twin: int, request: web.Request) -> TwinRecord | None:
        """The twin that a client claims to be, not verified yet."""
        if self._twins.knows(twin) or self._unverified.take(network_of(request.remote)):
            return await self._look(twin)
        if (known := self._twins.known(twin)) is None:
            raise _Undeliverable("too many unknown twins; try again in a moment", later=True)
        return known

    async def _look(self, twin: int) -> TwinRecord | None:
        try:
            return await self._twins.twin(twin)
        except ZosError as err:
            log.warning("twin lookup: %s", err.explain())
            raise _Undeliverable("twins cannot be looked up at the moment", later=True) from None

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse, session: Session) -> None:
        writing = asyncio.create_task(self._write(request, socket, session))
        # What was cancelled before it began would not close anything; and a newer connection may have come by now.
        await asyncio.sleep(0)
        session.stop = writing.cancel
        if session.ended:
            writing.cancel()
        beating = asyncio.create_task(self._beat(socket))
        try:
            with contextlib.suppress(ConnectionError):  # it hung up while its ping was answered
                await self._read(request, socket, session)
        finally:
            self.sessions.leave(session)
            beating.cancel()
            await asyncio.gather(writing, beating, return_exceptions=True)

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(self.pongs)
                await socket.pong()

    async def _read(self, request: web.Request, socket: web.WebSocketResponse, session: Session) -> None:
        twin, count = session.address[0], 0
        while True:
            message = await socket.receive()
            taken(request)
            match message.type:
                case WSMsgType.BINARY:
                    self._take(message.data, session)
                case WSMsgType.PING:
                    await socket.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case _:
                    # Text is no envelope; the protocol's answer is to hang up, as at the end of the connection.
                    await socket.close()
                    return
            count += 1
            # Pings cost a turn like any message.
            wait = self._pace.wait(twin, max(1.0, len(message.data) / PACE_BYTES))
            if wait > PAUSE or not count % TURN:
                await asyncio.sleep(wait if wait > PAUSE else 0)

    async def _write(self, request: web.Request, socket: web.WebSocketResponse, session: Session) -> None:
        """Write queued messages until the session ends; then close the connection, which ends its reader too."""
        transport = request.transport  # aiohttp forgets it when it begins to close
        try:
            while True:
                await self._give(socket, session, await self.sessions.next(session))
        except ConnectionError:
            self.ended["closed"] += 1
        except TimeoutError:
            self.ended["back_pressure_timeout"] += 1
        except asyncio.CancelledError:
            # By its reader, or because a newer connection took its place.
            self.ended["closed" if socket.closed else "cancelled"] += 1
        finally:
            try:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(CLOSE):
                        await socket.close()
            finally:
                # Also when its reader cancels this. What a deaf peer leaves in our buffer outlives the socket's close.
                if transport is not None and (not socket.closed or transport.get_write_buffer_size()):
                    abort(transport)

    async def _give(self, socket: web.WebSocketResponse, session: Session, message: Message) -> None:
        given = False
        try:
            async with asyncio.timeout(self.stalled):
                await socket.send_bytes(message.frame)
            given = True
        finally:
            if not given:
                self.sessions.again(session, message)
        self.counts["relay_message_tx"] += 1
        self.counts["relay_message_tx_bytes"] += len(message.frame)

    # Routing

    def _take(self, data: bytes, session: Session) -> None:
        self.counts["relay_message_rx"] += 1
        self.counts["relay_message_rx_bytes"] += len(data)
        try:
            seen = env.decode(data, FRAME)
        except ProtocolError:
            self.counts["malformed"] += 1
            return
        sender = session.address[0]
        if (seen.source.twin, seen.source.connection) != session.address:
            self._tell(session.address, seen, "message wrong source")
        elif len(data) > LARGEST and seen.WhichOneof("message") != "response":
            self._tell(session.address, seen, TOO_LARGE)
        elif not self._quota.take(sender, len(data)):
            self.counts["limited"] += 1
            self._tell(session.address, seen, "exceeded rate limits, dropping message")
        elif seen.WhichOneof("message") == "ping":
            self._pong(session.address, seen)
        elif self.sessions.get(_to(seen)) is not None:
            self._put(data, seen, session.address)
        elif not self._may_look(seen, sender):
            self._tell(session.address, seen, "too many unknown destinations; try again in a moment")
        elif not self._routing.take(sender, len(data)):
            self._tell(session.address, seen, "too many messages to other relays; try again in a moment")
        else:
            # A lookup or another relay must not hold up this sender's other messages.
            task = asyncio.create_task(self._route(data, seen, session.address))
            self._tasks.add(task)
            task.add_done_callback(self._routed)

    def _may_look(self, seen: Envelope, sender: int) -> bool:
        return self._twins.knows(seen.destination.twin) or self._lookups.take(sender)

    def _put(self, data: bytes, seen: Envelope, sender: Address) -> None:
        try:
            self._keep(data, seen, sender[0])
        except _Undeliverable as err:
            self._tell(sender, seen, str(err))

    def _keep(self, data: bytes, seen: Envelope, sender: int) -> None:
        if not self.sessions.put(_to(seen), sender, data, env.span(seen)):
            self.counts["full"] += 1
            raise _Undeliverable("the queue of this twin is full", later=True)

    def _routed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (err := task.exception()) is not None:
            log.error("routing: %s", err, exc_info=err)

    async def _route(self, data: bytes, seen: Envelope, sender: Address) -> None:
        try:
            domains = await self._local(data, seen, sender[0])
            if domains:
                self.counts["federated"] += 1
                outcome = await self._away.send(domains, data, env.span(seen))
                if outcome is not Outcome.TAKEN:
                    raise _Undeliverable(outcome)
        except _Undeliverable as err:
            self._tell(sender, seen, str(err))
        finally:
            self._routing.release(sender[0], len(data))

    async def _local(self, data: bytes, seen: Envelope, sender: int) -> list[str]:
        """Deliver it to its session or queue; returns the other relays to which it belongs, if not here."""
        address = _to(seen)
        if self.sessions.get(address) is not None:
            self._keep(data, seen, sender)
            return []
        twin = await self._look(address[0])
        if twin is None:
            raise _Undeliverable("unknown twin destination")
        if not twin.relay:
            raise _Undeliverable("relay info is not set for this twin")
        domains = twin.relay.split("_")
        if self._domain not in domains:
            return domains
        if "fail-fast" in _SPLIT.split(seen.tags):
            raise _Undeliverable("destination twin is not connected")
        self.counts["queued"] += 1
        self._keep(data, seen, sender)
        return []

    def _pong(self, sender: Address, seen: Envelope) -> None:
        back = Envelope(uid=seen.uid, timestamp=seen.timestamp, expiration=seen.expiration, plain=b"hello world")
        back.source.CopyFrom(seen.destination)
        back.destination.CopyFrom(seen.source)
        back.pong.SetInParent()
        self.sessions.put(sender, sender[0], back.SerializeToString(), env.span(seen))

    def _tell(self, sender: Address, seen: Envelope, problem: str) -> None:
        """Send an error to the sender of a request; for answers that cannot be delivered nobody is told."""
        self.counts["refused"] += 1
        if seen.WhichOneof("message") == "request":
            told = env.relay_error(seen, problem, self._clock.time())
            told.destination.twin, told.destination.connection = sender
            # It counts for the sender's own quota: a client that does not read its errors gets no more of them.
            self.sessions.put(sender, sender[0], told.SerializeToString(), env.span(told))

    # Other relays, and metrics

    async def _federated(self, request: web.Request) -> web.Response:
        remote = network_of(request.remote)
        if not self._posts.take(remote):
            return web.Response(status=503, text="too many at once\n")
        try:
            async with asyncio.timeout(READ):
                data = await request.read()
            await self._posted(data, request)
        except (ProtocolError, web.HTTPRequestEntityTooLarge) as err:
            return web.Response(status=400, text=f"{err}\n")
        except TimeoutError:
            return web.Response(status=408, text="too slow\n")
        except _Undeliverable as err:
            return web.Response(status=503 if err.later else 404, text=f"{err}\n")
        finally:
            self._posts.release(remote)
        return web.Response(status=202)

    async def _posted(self, data: bytes, request: web.Request) -> None:
        """Take a message from another relay, or from whoever posts one: so its signature says whose it is."""
        self.counts["posted"] += 1
        seen = env.decode(data)
        sender = await self._claimed_twin(seen.source.twin, request) if seen.source.twin else None
        if sender is None:
            raise WrongSignature(twin=seen.source.twin)
        env.check_signature(seen, sender)
        env.check_time(seen, self._clock.time())
        # What was captured once must not fill a queue in its sender's name, here or elsewhere, under whatever name.
        with self._replays.once(sender.id, env.challenge(seen), seen.timestamp, env.ends(seen)) as verdict:
            if verdict is Seen.KNOWN:
                self.counts["repeated"] += 1
                return
            if verdict is not Seen.NEW:
                raise _Undeliverable("it is or was being delivered", later=verdict is Seen.PENDING)
            if not self._quota.take(sender.id, len(data)):
                self.counts["limited"] += 1
                raise _Undeliverable("exceeded rate limits, dropping message")
            if not self._may_look(seen, sender.id):
                raise _Undeliverable("too many unknown destinations", later=True)
            if await self._local(data, seen, sender.id):
                raise _Undeliverable("this relay is not one of the twin's")

    async def _metrics(self, _: web.Request) -> web.Response:
        text = metrics.relay_values(
            self.counts, self.ended, len(self.sessions), self.sessions.waiting, self._away.counts
        )
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _to(seen: Envelope) -> Address:
    return seen.destination.twin, seen.destination.connection


@contextlib.asynccontextmanager
async def serving(
    relay: Relay, host: str, port: int, tls: tuple[str, int, ssl.SSLContext] | None = None
) -> AsyncIterator[int]:
    """Serve until the block ends; gives the plain port (a free one for 0)."""
    runner = web.AppRunner(relay.application(), access_log=None, shutdown_timeout=1.0)
    async with relay.ingress.serving(runner, host, port, tls) as plain:
        yield plain
