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
    NeedsKey,
    NoAnswer,
    NoEncryptionKey,
    NoRelay,
    ProtocolError,
    Refused,
    Undecipherable,
    UnknownTwin,
    WrongSchema,
    WrongSignature,
)
from zos.rmb.limits import RateLimiter
from zos.rmb.privacy import IsPrivate, never
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import Clock, SystemClock
from zos.runtime.quota import FairQuota

log = logging.getLogger("zos.rmb")

Handler = Callable[[int, str, bytes], Awaitable[bytes]]
"""Answers `(caller's twin, command, body)` with JSON bytes, or raises a ZosError whose text is for the caller."""

PER_TWIN = 8
"""Requests of one twin that are worked on at the same time; the others wait their turn."""
MOST_PENDING = 1024
"""Own requests that may be open; a twin that is silent leaves others their part."""


@dataclass(slots=True)
class _Pending:
    twin: TwinRecord
    connection: RelayConnection
    answer: asyncio.Future[Envelope | ZosError | None] = field(repr=False)
    """The other twin's answer, or the relay's error, or None when the relay went away."""
    rechecked: bool = False
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
        is_private: IsPrivate = never,
    ) -> None:
        """Responses to commands that are private are sent in cipher or not at all."""
        self._clock = clock or SystemClock()
        self._twin = twin
        self._signer = signer
        self._secret = KeyCache(secret, self._clock)
        self._twins = twins
        self._handler = handler
        self._session = session
        self._is_private = is_private
        self._admission = AdmissionControl(twins, self._clock, rate)
        self._pending: dict[str, _Pending] = {}
        self._open_to: FairQuota[int] = FairQuota(MOST_PENDING, MOST_PENDING)
        self._slots: dict[int, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Number of messages that were dropped: over a limit, seen before, not for us, or not readable."""
        self.connections = [
            RelayConnection(url, twin, signer, session, self._clock, self._receive, self._lost) for url in relays
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

    # Outgoing requests

    async def call(
        self, twin: int, command: str, body: bytes = b"null", *, session: str = "", deadline: float = 20.0
    ) -> bytes:
        """Ask another twin, or one session of it; returns the answer's body.

        Raises NoAnswer, Refused, NoRelay, UnknownTwin.
        """
        if not self._open_to.take(twin):
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
                await self._seal_and_sign(made, other, body)
                seen = await self._ask(made, other)
                if seen.WhichOneof("message") == "error":
                    raise Refused(message=seen.error.message[:2000])
                return await self._open(seen, other)
        except TimeoutError:
            raise NoAnswer(twin=twin, command=command, deadline=deadline) from None
        finally:
            self._open_to.release(twin)

    async def _ask(self, made: Envelope, other: TwinRecord) -> Envelope:
        """Send by one relay after the other until one delivers it; returns the verified answer."""
        frame = made.SerializeToString()
        tried: dict[RelayConnection, ZosError] = {}
        sent = False
        while True:
            usable = [connection for connection in self._joined() if connection not in tried]
            if not usable and sent and not tried:
                await self.connected()
                continue
            if not usable:
                raise next(reversed(tried.values()), self._no_relay())
            pending = _Pending(other, usable[0], asyncio.get_running_loop().create_future())
            self._pending[made.uid] = pending
            try:
                await usable[0].send(frame)
                sent = True
                answer = await pending.answer
            except NoRelay as err:
                answer = err
            finally:
                del self._pending[made.uid]
            if isinstance(answer, Envelope):
                return answer
            if answer is not None:
                tried[usable[0]] = answer

    def _joined(self, preferred: RelayConnection | None = None) -> list[RelayConnection]:
        connections = [connection for connection in self.connections if connection.up.is_set()]
        random.shuffle(connections)
        if preferred is not None:
            connections.sort(key=lambda connection: connection is not preferred)
        return connections

    def _no_relay(self) -> NoRelay:
        return NoRelay(
            problem="; ".join(f"{connection.url}: {connection.problem}" for connection in self.connections) or "none"
        )

    def _me(self, twin: int) -> Address:
        me = Address(twin=twin)
        if self._session:
            me.connection = self._session
        return me

    async def _seal_and_sign(self, made: Envelope, other: TwinRecord, body: bytes) -> None:
        """Fill in the payload, encrypted when both twins have published a key for that, and sign."""
        if await self._keyless(made.source.twin, other):
            made.plain = body
        else:
            made.cipher = seal(await self._secret.shared(other.pk), body)
        await env.signed(made, self._signer)

    async def _keyless(self, me: int, other: TwinRecord) -> int:
        """The twin that has no key to encrypt with, the other one first; 0 when both have."""
        if not other.pk:
            return other.id
        own = await self._twins.twin(me)
        return 0 if own is not None and own.pk else me

    async def _open(self, seen: Envelope, other: TwinRecord) -> bytes:
        if seen.schema and seen.schema != SCHEMA:
            raise WrongSchema(schema=seen.schema[:64])
        if seen.WhichOneof("payload") != "cipher":
            return seen.plain
        if not other.pk:
            raise NoEncryptionKey(twin=other.id)
        return unseal(await self._secret.shared(other.pk), seen.cipher)

    async def _opened(self, seen: Envelope, other: TwinRecord) -> tuple[TwinRecord, bytes]:
        """A request's body, and its twin as it is now: the key to which the answer is sealed may be a new one."""
        try:
            if seen.WhichOneof("payload") == "cipher" or not other.pk:
                return other, await self._open(seen, other)
            # Only what is sealed shows that the key is the sender's still.
            other = await self._again(other)
        except (Undecipherable, NoEncryptionKey):
            changed = await self._again(other)
            if changed == other:
                raise
            other = changed
        return other, await self._open(seen, other)

    async def _again(self, known: TwinRecord) -> TwinRecord:
        """The twin as the chain has it now; as it was known while the chain does not say."""
        self._twins.forget(known.id)
        try:
            return await self._twins.twin(known.id) or known
        except ZosError:
            return known

    # Incoming frames. Nothing here waits: a message that needs time gets a task, or is dropped.

    def _receive(self, frame: bytes, connection: RelayConnection) -> None:
        try:
            # Answers may be as long as a relay lets through; only our own requests ask for those.
            self._dispatch(env.decode(frame, env.FRAME if self._pending else env.LARGEST), len(frame), connection)
        except ProtocolError as err:
            # Nobody can be answered: the sender's address was in it.
            log.debug("relay %s: %s", connection.url, err)
            self.dropped += 1
        except Exception:
            # A bug of ours must not be a way to cut the node off.
            log.exception("a message by the relay %s", connection.url)
            self.dropped += 1

    def _dispatch(self, seen: Envelope, size: int, connection: RelayConnection) -> None:
        match seen.WhichOneof("message"):
            case "request":
                env.check_fields(seen)
                self._request(seen, size, connection)
            case "response" | "error":
                env.check_fields(seen)
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

    # Incoming requests

    def _request(self, seen: Envelope, size: int, connection: RelayConnection, looked: bool = False) -> None:
        if (
            self._handler is None
            or not seen.source.twin
            or (seen.destination.twin, seen.destination.connection) != (connection.twin, self._session)
            or size > env.LARGEST
        ):
            self.dropped += 1
            return
        decision = (self._admission.ask_again if looked else self._admission.ask)(seen, size, connection.url)
        match decision.verdict:
            case Verdict.ENTER:
                assert decision.twin is not None
                self._start(self._serve(seen, size, decision.twin, connection), f"request {seen.uid[:36]}")
            case Verdict.LOOK:
                self._start(self._look(seen, size, connection), f"lookup of twin {seen.source.twin}")
            case Verdict.DROP:
                self.dropped += 1
                if decision.refusal is not None:
                    self._start(self._refuse(seen, None, decision.refusal, connection), "a refusal")

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
            async with self._slots.setdefault(other.id, asyncio.Semaphore(PER_TWIN)):
                # It may have waited for long.
                env.check_time(seen, self._clock.time())
                if self._is_private(seen.request.command) and (keyless := await self._keyless(connection.twin, other)):
                    raise NeedsKey(twin=keyless)
                other, body = await self._opened(seen, other)
                assert self._handler is not None
                text = await self._handler(other.id, seen.request.command, body)
                self._admission.charge(other.id, len(text))
            made = env.answer(seen, self._me(connection.twin), self._clock.time())
            made.response.SetInParent()
            await self._reply(made, other, text or b"null", connection)
        except ZosError as err:
            await self._refuse(seen, other, err, connection)
        finally:
            self._admission.held.release(other.id, size)
            if not self._admission.held.messages.holds(other.id):
                self._slots.pop(other.id, None)

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
            await self._seal_and_sign(made, other or TwinRecord(made.destination.twin, b""), body)
            await self._send(made.SerializeToString(), connection)
        except ZosError as err:
            log.warning("an answer to twin %d is lost: %s", made.destination.twin, err.explain())

    async def _send(self, frame: bytes, preferred: RelayConnection) -> None:
        problem: ZosError | None = None
        for connection in self._joined(preferred):
            try:
                return await connection.send(frame)
            except NoRelay as err:
                problem = err
        raise problem or self._no_relay()

    # Incoming answers

    def _answered(self, seen: Envelope, connection: RelayConnection) -> None:
        pending = self._pending.get(seen.uid)
        if pending is None or pending.answer.done():
            self.dropped += 1
            return
        if not seen.source.twin:
            # A relay's own error is unsigned. Only the relay that we gave the request to can know what became of it;
            # in case it lies, another relay is tried.
            if connection is pending.connection and seen.WhichOneof("message") == "error":
                pending.answer.set_result(Refused(message=f"the relay says: {seen.error.message[:500]}"))
            else:
                self.dropped += 1
            return
        if seen.source.twin != pending.twin.id or not self._admission.may_check(connection.url):
            self.dropped += 1
            return
        try:
            env.check_signature(seen, pending.twin)
        except WrongSignature:
            self.dropped += 1  # somebody else's; the true answer may still come
            if not pending.rechecked and self._twins.may_have_changed(pending.twin.id):
                pending.rechecked = True
                self._start(self._recheck_key(seen, pending, connection), f"second lookup of twin {pending.twin.id}")
            return
        pending.answer.set_result(seen)

    async def _recheck_key(self, seen: Envelope, pending: _Pending, connection: RelayConnection) -> None:
        """Look whether the twin has a new key."""
        self._twins.forget(pending.twin.id)
        try:
            changed = await self._twins.twin(pending.twin.id)
        except ZosError:
            return
        if changed is not None and changed != pending.twin:
            pending.twin = changed
            self._answered(seen, connection)

    def _lost(self, connection: RelayConnection) -> None:
        """A relay went away, perhaps with a request. It is sent again: a receiver processes the same message once."""
        for pending in self._pending.values():
            if pending.connection is connection and not pending.answer.done():
                pending.answer.set_result(None)
