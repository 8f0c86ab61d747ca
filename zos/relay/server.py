"""The relay's server: joins, routing, queues, federation, metrics. One WebSocket per session, envelopes unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence

from aiohttp import web

from zos.errors import ZosError
from zos.relay import metrics
from zos.relay.connection import PONGS, STALLED, Connection
from zos.relay.federation import Away, Outcome
from zos.relay.posts import Posts, TooMany
from zos.relay.quota import Limit, MinuteQuota
from zos.relay.sessions import KEEP, MIB, Address, Session, Sessions
from zos.relay.spool import Kept, Memory, Spool, Way
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.envelope import FRAME, LARGEST, TwinRecord
from zos.rmb.errors import Malformed, ProtocolError, WrongSignature
from zos.rmb.limits import RateLimiter
from zos.rmb.replays import ReplayMemory, Seen
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import Clock
from zos.runtime.ingress import Ingress, Limits, abort, keep
from zos.runtime.proxies import Proxies
from zos.runtime.quota import PairQuota

log = logging.getLogger("zos.relay")

HEARTBEAT = 30.0
HANDSHAKE = 10.0
PACE, PACE_BURST = 500.0, 2000.0
"""Messages per second that are read from one twin, a large one counting for several; it is slowed down, not cut."""
LOOKUPS, LOOKUPS_BURST = 50.0, 1000.0
"""Destinations per second that one twin may have looked up on the chain."""
UNVERIFIED, UNVERIFIED_BURST = 20.0, 200.0
"""The same for one network address whose clients have not proved who they are."""
ROUTING, ROUTING_EACH = 4096, 1024
ROUTING_BYTES = 32 * MIB
"""Messages, and bytes of them, that may be waiting for a lookup or another relay; of one twin at most half, and of
that half for one destination."""
LATER = 5.0
"""Seconds after which a message that waited through a restart asks a silent chain again."""
TOO_LARGE = f"the message is larger than {LARGEST >> 20} MiB"
LIMITS = Limits(total=8192, each=2048)
_SPLIT = re.compile(r"[,\s]+")


class _Undeliverable(Exception):
    """Its text goes to the sender, its HTTP status to another relay: below 500 a retry cannot help, but for 429."""

    def __init__(self, text: str, status: int = 404) -> None:
        super().__init__(text)
        self.status = status


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
        spool: Spool | None = None,
        proxies: Proxies | None = None,
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
        self._routing: PairQuota[int] = PairQuota(ROUTING, 2 * ROUTING_EACH)
        self._routing_bytes: PairQuota[int] = PairQuota(ROUTING_BYTES, ROUTING_BYTES // 2)
        self._posts = Posts()
        self._replays = ReplayMemory(clock)
        self.stalled = STALLED
        self.pongs = PONGS
        self._spool = spool or Memory()
        self.sessions = Sessions(clock, spool=self._spool)
        self._proxies = proxies or Proxies()
        self.ingress = Ingress(LIMITS, self._proxies)
        self.counts: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def application(self) -> web.Application:
        """The routes: `/` by WebSocket for twins, by POST for other relays; `/metrics`."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_get("/metrics", self._metrics)
        # Clients keep the path of the URL that they were given.
        app.router.add_get("/{path:.*}", self._join)
        app.router.add_post("/{path:.*}", self._federated)
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
        try:
            async with asyncio.timeout(HANDSHAKE):
                await socket.prepare(request)
        except (ConnectionError, TimeoutError):
            # It is gone; a session of its address that lives stays.
            abort(request.transport)
            return socket
        self.counts["joined"] += 1
        keep(request, seen.twin)
        session = self.sessions.join((seen.twin, seen.session))
        connection = Connection(
            *(request, socket, session, self.sessions, self.counts, self.ended), stalled=self.stalled, pongs=self.pongs
        )
        try:
            await connection.serve(self._take, self._pace)
        finally:
            self.sessions.leave(session)
        return socket

    async def _claimed_twin(self, twin: int, request: web.Request) -> TwinRecord | None:
        """The twin that a client claims to be, not verified yet."""
        if self._twins.answers(twin) or self._unverified.take(self._proxies.client(request)):
            return await self._look(twin)
        if (known := self._twins.known(twin)) is None:
            raise _Undeliverable("too many unknown twins; try again in a moment", status=429)
        return known

    async def _look(self, twin: int) -> TwinRecord | None:
        try:
            return await self._twins.twin(twin)
        except ZosError as err:
            log.warning("twin lookup: %s", err.explain())
            raise _Undeliverable("twins cannot be looked up at the moment", status=503) from None

    # Routing

    def _take(self, data: bytes, session: Session) -> None:
        self.counts["relay_message_rx"] += 1
        self.counts["relay_message_rx_bytes"] += len(data)
        try:
            seen = env.parse(data, FRAME)
        except ProtocolError:
            self.counts["malformed"] += 1
            return
        sender = session.address[0]
        try:
            env.check_names(seen)
        except ProtocolError as err:
            self.counts["malformed"] += 1
            self._tell(session.address, seen, str(err))
            return
        if (seen.source.twin, seen.source.connection) != session.address:
            self._tell(session.address, seen, "message wrong source")
        elif len(data) > LARGEST and seen.WhichOneof("message") != "response":
            self._tell(session.address, seen, TOO_LARGE)
        elif not self._quota.take(sender, len(data)):
            self.counts["limited"] += 1
            self._tell(session.address, seen, "exceeded rate limits, dropping message")
        elif seen.WhichOneof("message") == "ping":
            self._pong(session.address, seen)
        elif not seen.destination.twin:
            self._tell(session.address, seen, "message with missing destination")
        elif self.sessions.get(_to(seen)) is not None:
            self._put(data, seen, session.address)
        elif not self._may_look(seen, sender):
            self._tell(session.address, seen, "too many unknown destinations; try again in a moment")
        elif not self._may_route(sender, seen.destination.twin, len(data)):
            self._tell(session.address, seen, "too many messages to other relays; try again in a moment")
        else:
            # A lookup or another relay must not hold up this sender's other messages.
            kept = Kept(Way.ROUTED, _to(seen), session.address, self._until(seen), data)
            self._start(self._route(kept, seen, self._spool.add(kept)))

    def _may_look(self, seen: Envelope, sender: int) -> bool:
        return self._twins.answers(seen.destination.twin) or self._lookups.take(sender)

    def _may_route(self, sender: int, to: int, size: int) -> bool:
        """Take a place on the way; who cannot be reached leaves the sender places for others."""
        fits = self._routing.fits(sender, to, 1) and self._routing_bytes.fits(sender, to, size)
        return fits and self._routing.take(sender, to) and self._routing_bytes.take(sender, to, size)

    def _put(self, data: bytes, seen: Envelope, sender: Address) -> None:
        try:
            self._keep(Kept(Way.HERE, _to(seen), sender, self._until(seen), data), None)
        except _Undeliverable as err:
            self._tell(sender, seen, str(err))

    def _until(self, seen: Envelope) -> float:
        return self._clock.time() + min(env.span(seen), KEEP)

    def _keep(self, kept: Kept, ticket: int | None) -> int:
        made = self.sessions.keep(kept, ticket)
        if made is None:
            self.counts["full"] += 1
            raise _Undeliverable("the queue of this twin is full", status=503)
        return made

    def restore(self, saved: Sequence[tuple[int, Kept]]) -> None:
        """Go on with what waited when the relay ended; call it once, before anybody joins."""
        for ticket, kept in saved:
            if kept.until <= self._clock.time():
                self._spool.drop(ticket)
                continue
            seen = Envelope.FromString(kept.frame)
            if kept.way is Way.ROUTED and self._may_route(kept.sender[0], kept.to[0], len(kept.frame)):
                self._start(self._route(kept, seen, ticket, insists=True))
            elif kept.way is Way.ROUTED or self.sessions.keep(kept, ticket) is None:
                self._spool.drop(ticket)
                self._tell(kept.sender, seen, "the queue of this twin is full")
            elif kept.way is Way.POSTED:
                with self._replays.once(kept.sender[0], env.challenge(seen), seen.timestamp, env.ends(seen)):
                    self.counts["restored"] += 1

    def _start(self, routing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(routing)
        self._tasks.add(task)
        task.add_done_callback(self._routed)

    def _routed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (err := task.exception()) is not None:
            log.error("routing: %s", err, exc_info=err)

    async def _route(self, kept: Kept, seen: Envelope, ticket: int, insists: bool = False) -> None:
        """Bring it to its queue or another relay; a kill or the relay's end leaves it on disk."""
        queued = False
        try:
            domains = await self._local(kept, seen, ticket, insists)
            queued = not domains
            if domains:
                self.counts["federated"] += 1
                span = max(0.0, kept.until - self._clock.time())
                outcome = await self._away.send(domains, kept.frame, span, kept.sender[0])
                if outcome is not Outcome.TAKEN:
                    raise _Undeliverable(outcome)
        except _Undeliverable as err:
            self._tell(kept.sender, seen, str(err))
        except asyncio.CancelledError:
            queued = True
            raise
        finally:
            self._routing.release(kept.sender[0], kept.to[0])
            self._routing_bytes.release(kept.sender[0], kept.to[0], len(kept.frame))
            if not queued:
                self._spool.drop(ticket)

    async def _local(self, kept: Kept, seen: Envelope, ticket: int | None, insists: bool = False) -> list[str]:
        """Deliver it to its session or queue; returns the other relays to which it belongs, if not here."""
        if self.sessions.get(kept.to) is None:
            twin = await self._destination(kept, insists)
            domains = twin.relay.split("_")
            if self._domain not in domains:
                return domains
            if "fail-fast" in _SPLIT.split(seen.tags):
                raise _Undeliverable("destination offline")
            self.counts["queued"] += 1
        ticket = self._keep(kept, ticket)
        if kept.way is Way.POSTED:
            await self._spool.kept(ticket)
        return []

    async def _destination(self, kept: Kept, insists: bool) -> TwinRecord:
        """The twin that it is for; while the chain is silent, who insists waits."""
        while True:
            try:
                twin = await self._look(kept.to[0])
                break
            except _Undeliverable:
                if not insists or self._clock.time() + LATER >= kept.until:
                    raise
                await asyncio.sleep(LATER)
        if twin is None:
            raise _Undeliverable("unknown twin destination")
        if not twin.relay:
            raise _Undeliverable("relay info is not set for this twin")
        return twin

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
        try:
            async with self._posts.body(request, self._proxies.client(request)) as data:
                await self._posted(data, request)
        except TooMany:
            return web.Response(status=503, text="too many at once\n")
        except (ProtocolError, web.HTTPRequestEntityTooLarge) as err:
            return web.Response(status=400, text=f"{err}\n")
        except TimeoutError:
            return web.Response(status=408, text="too slow\n")
        except _Undeliverable as err:
            return web.Response(status=err.status, text=f"{err}\n")
        return web.Response(status=202)

    async def _posted(self, data: bytes, request: web.Request) -> None:
        """Take a message from another relay, or from whoever posts one: so its signature says whose it is."""
        self.counts["posted"] += 1
        seen = env.decode(data)
        sender = await self._claimed_twin(seen.source.twin, request) if seen.source.twin else None
        if sender is None:
            raise WrongSignature(twin=seen.source.twin)
        if not seen.destination.twin:
            raise Malformed(problem="message with missing destination")
        env.check_signature(seen, sender)
        env.check_time(seen, self._clock.time())
        # What was captured once must not fill a queue in its sender's name, here or elsewhere, under whatever name.
        with self._replays.once(sender.id, env.challenge(seen), seen.timestamp, env.ends(seen)) as verdict:
            if verdict is Seen.KNOWN:
                self.counts["repeated"] += 1
                return
            if verdict is not Seen.NEW:
                raise _Undeliverable("it is or was being delivered", status=503 if verdict is Seen.PENDING else 404)
            if not self._quota.take(sender.id, len(data)):
                self.counts["limited"] += 1
                raise _Undeliverable("exceeded rate limits, dropping message", status=429)
            if not self._may_look(seen, sender.id):
                raise _Undeliverable("too many unknown destinations", status=429)
            until = min(env.ends(seen), self._clock.time() + KEEP)
            kept = Kept(Way.POSTED, _to(seen), (sender.id, seen.source.connection), until, data)
            if await self._local(kept, seen, None):
                raise _Undeliverable("this relay is not one of the twin's")

    async def _metrics(self, _: web.Request) -> web.Response:
        text = metrics.relay_values(
            *(self.counts, self.ended, len(self.sessions), self.sessions.waiting, self._spool.saved),
            federation=self._away.counts,
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
