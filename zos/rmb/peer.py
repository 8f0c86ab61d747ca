"""A twin on RMB: answers requests of other twins and sends requests to them, over any number of relays."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from zos.errors import ZosError
from zos.rmb import envelope as env
from zos.rmb.admission import AdmissionControl, Verdict
from zos.rmb.cipher import KeyCache, Secret, seal, unseal
from zos.rmb.connection import RelayConnection
from zos.rmb.envelope import SCHEMA, Signer, TwinRecord
from zos.rmb.errors import (
    HANDLER,
    Busy,
    NoAnswer,
    NoEncryptionKey,
    NoRelay,
    ProtocolError,
    Refused,
    UnknownTwin,
    WrongSchema,
    WrongSignature,
)
from zos.rmb.limits import RateLimiter
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import Clock, SystemClock

log = logging.getLogger("zos.rmb")

Handler = Callable[[int, str, bytes], Awaitable[bytes]]
"""Answers `(caller's twin, command, body)` with JSON bytes, or raises a ZosError whose text is for the caller."""

PER_TWIN = 8
"""Requests of one twin that are worked on at the same time; the others wait their turn."""
WAITING = 1024
"""Own requests that may be open."""


@dataclass(slots=True)
class _Asked:
    twin: TwinRecord
    connection: RelayConnection
    answer: asyncio.Future[Envelope | ZosError | None] = field(repr=False)
    """The other twin's; or what the relay said instead; or None when the relay went away."""
    doubted: bool = False
    """Whether the twin's key was looked up again for it."""


class Peer:
    """One twin on any number of relays."""

    def __init__(
        self,
        twin: Callable[[], Awaitable[int]],
        signer: Signer,
        secret: Secret,
        twins: TwinCache,
        relays: Sequence[str],
        handler: Handler | None = None,
        *,
        session: str = "",
        clock: Clock | None = None,
        rate: RateLimiter[int] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._twin = twin
        self._signer = signer
        self._secret = KeyCache(secret, self._clock)
        self._twins = twins
        self._handler = handler
        self._session = session
        self._admission = AdmissionControl(twins, self._clock, rate)
        self._asked: dict[str, _Asked] = {}
        self._turns: dict[int, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Number of messages that were dropped: over a limit, seen before, not for us, or not readable."""
        self.connections = [
            RelayConnection(url, twin, signer, session, self._clock, self._take, self._lost) for url in relays
        ]

    async def run(self) -> None:
        """Stay connected to every relay until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for connection in self.connections:
                    group.create_task(connection.run(), name=f"relay {connection.url}")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def connected(self) -> None:
        """Wait until at least one relay is joined."""
        waiting = [asyncio.create_task(connection.up.wait()) for connection in self.connections]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    # Asking

    async def call(
        self, twin: int, command: str, body: bytes = b"null", *, session: str = "", deadline: float = 20.0
    ) -> bytes:
        """Ask another twin, or one session of it; gives the answer's body.

        Raises NoAnswer, Refused, NoRelay, UnknownTwin.
        """
        if len(self._asked) >= WAITING:
            raise Busy(twin=twin)
        try:
            async with asyncio.timeout(deadline):
                other = await self._twins.twin(twin)
                if other is None:
                    raise UnknownTwin(twin=twin)
                uid = str(uuid.uuid4())
                me, now = self._me(await self._twin()), self._clock.time()
                made = env.request(uid, me, twin, command, now, max(1, round(deadline)))
                if session:
                    made.destination.connection = session
                await self._close(made, other, body)
                seen = await self._ask(made, other)
                if seen.WhichOneof("message") == "error":
                    raise Refused(message=seen.error.message[:2000])
                return await self._open(seen, other)
        except TimeoutError:
            raise NoAnswer(twin=twin, command=command, deadline=deadline) from None

    async def _ask(self, made: Envelope, other: TwinRecord) -> Envelope:
        """Send by one relay after the other until one brings it; gives the answer, checked."""
        frame = made.SerializeToString()
        tried: dict[RelayConnection, ZosError] = {}
        sent = False
        while True:
            ways = [connection for connection in self._ways() if connection not in tried]
            if not ways and sent and not tried:
                await self.connected()
                continue
            if not ways:
                raise next(reversed(tried.values()), self._nobody())
            asked = _Asked(other, ways[0], asyncio.get_running_loop().create_future())
            self._asked[made.uid] = asked
            try:
                await ways[0].send(frame)
                sent = True
                said = await asked.answer
            except NoRelay as err:
                said = err
            finally:
                del self._asked[made.uid]
            if isinstance(said, Envelope):
                return said
            if said is not None:
                tried[ways[0]] = said

    def _ways(self, preferred: RelayConnection | None = None) -> list[RelayConnection]:
        connections = [connection for connection in self.connections if connection.up.is_set()]
        random.shuffle(connections)
        if preferred is not None:
            connections.sort(key=lambda connection: connection is not preferred)
        return connections

    def _nobody(self) -> NoRelay:
        return NoRelay(
            problem="; ".join(f"{connection.url}: {connection.trouble}" for connection in self.connections) or "none"
        )

    def _me(self, twin: int) -> Address:
        me = Address(twin=twin)
        if self._session:
            me.connection = self._session
        return me

    async def _close(self, made: Envelope, other: TwinRecord, body: bytes) -> None:
        """Fill in the payload, encrypted when both twins have published a key for that, and sign."""
        me = await self._twins.twin(made.source.twin) if other.pk else None
        if me is not None and me.pk:
            made.cipher = seal(await self._secret.shared(other.pk), body)
        else:
            made.plain = body
        await env.signed(made, self._signer)

    async def _open(self, seen: Envelope, other: TwinRecord) -> bytes:
        if seen.schema and seen.schema != SCHEMA:
            raise WrongSchema(schema=seen.schema[:64])
        if seen.WhichOneof("payload") != "cipher":
            return seen.plain
        if not other.pk:
            raise NoEncryptionKey(twin=other.id)
        return unseal(await self._secret.shared(other.pk), seen.cipher)

    # Incoming frames. Nothing here waits: a message that needs time gets a task, or is dropped.

    def _take(self, frame: bytes, connection: RelayConnection) -> None:
        try:
            # Answers may be as long as a relay lets through; nobody but us asked for those.
            self._sort(env.decode(frame, env.FRAME if self._asked else env.LARGEST), len(frame), connection)
        except ProtocolError as err:
            # There is nobody to answer: who sent it stood in it.
            log.debug("relay %s: %s", connection.url, err)
            self.dropped += 1
        except Exception:
            # A bug of ours must not be a way to cut the node off.
            log.exception("a message by the relay %s", connection.url)
            self.dropped += 1

    def _sort(self, seen: Envelope, size: int, connection: RelayConnection) -> None:
        match seen.WhichOneof("message"):
            case "request":
                self._request(seen, size, connection)
            case "response" | "error":
                self._answered(seen, connection)
            case _:
                pass

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (err := task.exception()) is not None:
            log.error("%s: %s", task.get_name(), err, exc_info=err)

    # Being asked

    def _request(self, seen: Envelope, size: int, connection: RelayConnection, looked: bool = False) -> None:
        if (
            self._handler is None
            or not seen.source.twin
            or seen.destination.twin != connection.twin
            or size > env.LARGEST
        ):
            self.dropped += 1
            return
        said = (self._admission.looked if looked else self._admission.ask)(seen, size, connection.url)
        match said.verdict:
            case Verdict.ENTER:
                assert said.twin is not None
                self._start(self._serve(seen, size, said.twin, connection), f"request {seen.uid[:36]}")
            case Verdict.LOOK:
                self._start(self._look(seen, size, connection), f"lookup of twin {seen.source.twin}")
            case Verdict.DROP:
                self.dropped += 1
                if said.refusal is not None:
                    self._start(self._refuse(seen, None, said.refusal, connection), "a refusal")

    async def _look(self, seen: Envelope, size: int, connection: RelayConnection) -> None:
        try:
            await self._twins.twin(seen.source.twin)
        except ZosError as err:
            if self._admission.may_answer(connection.url):
                await self._refuse(seen, None, err, connection)
            return
        finally:
            self._admission.release_lookup(seen, size, connection.url)
        self._request(seen, size, connection, looked=True)

    async def _serve(self, seen: Envelope, size: int, other: TwinRecord, connection: RelayConnection) -> None:
        try:
            async with self._turns.setdefault(other.id, asyncio.Semaphore(PER_TWIN)):
                # It may have waited for long.
                env.check_time(seen, self._clock.time())
                body = await self._open(seen, other)
                assert self._handler is not None
                text = await self._handler(other.id, seen.request.command, body)
            made = env.answer(seen, self._me(connection.twin), self._clock.time())
            made.response.SetInParent()
            await self._reply(made, other, text or b"null", connection)
        except ZosError as err:
            await self._refuse(seen, other, err, connection)
        finally:
            self._admission.held.release(other.id, size)
            if not self._admission.held.messages.holds(other.id):
                self._turns.pop(other.id, None)

    async def _refuse(
        self, seen: Envelope, other: TwinRecord | None, err: ZosError, connection: RelayConnection
    ) -> None:
        made = env.answer(seen, self._me(connection.twin), self._clock.time())
        made.error.code = err.code if isinstance(err, ProtocolError) else HANDLER
        made.error.message = err.explain()
        # An error says all in its text; a payload of `null` stands beside it as other peers put it there.
        await self._reply(made, other, b"null", connection)

    async def _reply(self, made: Envelope, other: TwinRecord | None, body: bytes, connection: RelayConnection) -> None:
        try:
            await self._close(made, other or TwinRecord(made.destination.twin, b""), body)
            await self._send(made.SerializeToString(), connection)
        except ZosError as err:
            log.warning("an answer to twin %d is lost: %s", made.destination.twin, err.explain())

    async def _send(self, frame: bytes, preferred: RelayConnection) -> None:
        problem: ZosError | None = None
        for connection in self._ways(preferred):
            try:
                return await connection.send(frame)
            except NoRelay as err:
                problem = err
        raise problem or self._nobody()

    # Being answered

    def _answered(self, seen: Envelope, connection: RelayConnection) -> None:
        asked = self._asked.get(seen.uid)
        if asked is None or asked.answer.done():
            self.dropped += 1
            return
        if not seen.source.twin:
            # A relay's own word is unsigned. Only the relay that we gave the request to can know what became of it;
            # should it lie, another is asked to bring it.
            if connection is asked.connection and seen.WhichOneof("message") == "error":
                asked.answer.set_result(Refused(message=f"the relay says: {seen.error.message[:500]}"))
            else:
                self.dropped += 1
            return
        if seen.source.twin != asked.twin.id or not self._admission.may_check(connection.url):
            self.dropped += 1
            return
        try:
            env.check_signature(seen, asked.twin)
        except WrongSignature:
            self.dropped += 1  # somebody else's; the true answer may still come
            if not asked.doubted and self._twins.may_have_changed(asked.twin.id):
                asked.doubted = True
                self._start(self._doubt(seen, asked, connection), f"second look at twin {asked.twin.id}")
            return
        asked.answer.set_result(seen)

    async def _doubt(self, seen: Envelope, asked: _Asked, connection: RelayConnection) -> None:
        """Look whether the twin has a new key."""
        self._twins.forget(asked.twin.id)
        try:
            changed = await self._twins.twin(asked.twin.id)
        except ZosError:
            return
        if changed is not None and changed != asked.twin:
            asked.twin = changed
            self._answered(seen, connection)

    def _lost(self, connection: RelayConnection) -> None:
        """A relay went away, perhaps with a request; it is sent again. Who gets it twice deals with it once."""
        for asked in self._asked.values():
            if asked.connection is connection and not asked.answer.done():
                asked.answer.set_result(None)
