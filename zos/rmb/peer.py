"""A twin's end of the bus: answers requests of other twins, and asks them. Deals with one envelope at a time."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from zos.errors import ZosError
from zos.rmb import envelope as env
from zos.rmb.cipher import Secret, seal, unseal
from zos.rmb.envelope import SCHEMA, Signer, TwinRecord, Twins
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
from zos.rmb.limits import Once, Rate
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.rmb.wireline import Wireline
from zos.runtime.clock import Clock, SystemClock

log = logging.getLogger("zos.rmb")

Handler = Callable[[int, str, bytes], Awaitable[bytes]]
"""Answers `(caller's twin, command, body)` with JSON bytes, or raises a ZosError whose text is for the caller."""

AT_ONCE = 64
PER_TWIN = 8
"""Requests that are answered at the same time, of all twins and of one."""
WAITING = 1024
"""Own requests that may be open."""


@dataclass(slots=True)
class _Asked:
    twin: int
    answer: asyncio.Future[bytes] = field(repr=False)


class Peer:
    """One twin on any number of relays."""

    def __init__(
        self,
        twin: Callable[[], Awaitable[int]],
        signer: Signer,
        secret: Secret,
        twins: Twins,
        relays: Sequence[str],
        handler: Handler | None = None,
        *,
        session: str = "",
        clock: Clock | None = None,
        rate: Rate | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._twin = twin
        self._signer = signer
        self._secret = secret
        self._twins = twins
        self._handler = handler
        self._session = session
        self._rate = rate or Rate(self._clock)
        self._once = Once(self._clock)
        self._asked: dict[str, _Asked] = {}
        self._busy: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Messages that were not answered: over the rate, seen before, not for us, or not readable."""
        self.lines = [Wireline(url, twin, signer, session, self._clock, self._take) for url in relays]

    async def run(self) -> None:
        """Be connected to every relay; returns only by being cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for line in self.lines:
                    group.create_task(line.run(), name=f"relay {line.url}")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def connected(self) -> None:
        """Until one relay at least is joined."""
        waiting = [asyncio.create_task(line.up.wait()) for line in self.lines]
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
        other = await self._twins.twin(twin)
        if other is None:
            raise UnknownTwin(twin=twin)
        uid = str(uuid.uuid4())
        made = env.request(uid, await self._me(), twin, command, self._clock.time(), max(1, round(deadline)))
        if session:
            made.destination.connection = session
        await self._close(made, other, body)
        asked = _Asked(twin, asyncio.get_running_loop().create_future())
        self._asked[uid] = asked
        try:
            async with asyncio.timeout(deadline):
                await self._send(made)
                return await asked.answer
        except TimeoutError:
            raise NoAnswer(twin=twin, command=command, deadline=deadline) from None
        finally:
            del self._asked[uid]

    async def _me(self) -> Address:
        me = Address(twin=await self._twin())
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

    async def _send(self, made: Envelope, preferred: Wireline | None = None) -> None:
        lines = [line for line in self.lines if line.up.is_set()]
        random.shuffle(lines)
        if preferred in lines:
            lines.sort(key=lambda line: line is not preferred)
        problem: ZosError = NoRelay(problem="; ".join(f"{line.url}: {line.trouble}" for line in self.lines) or "none")
        frame = made.SerializeToString(deterministic=True)
        for line in lines:
            try:
                return await line.send(frame)
            except NoRelay as err:
                problem = err
        raise problem

    # Being asked, and answered

    async def _take(self, frame: bytes, line: Wireline) -> None:
        try:
            seen = env.decode(frame)
        except ProtocolError as err:
            # There is nobody to answer: who sent it stood in it.
            log.debug("relay %s: %s", line.url, err)
            self.dropped += 1
            return
        match seen.WhichOneof("message"):
            case "request":
                self._request(seen, line)
            case "response" | "error":
                await self._answered(seen)
            case _:
                pass

    def _request(self, seen: Envelope, line: Wireline) -> None:
        twin = seen.source.twin
        # The cheap checks first: a flood must cost no signature, no lookup and no task.
        if self._handler is None or not twin or not self._rate.take(twin):
            self.dropped += 1
            return
        if len(self._tasks) >= AT_ONCE * 4 or self._busy.get(twin, 0) >= PER_TWIN * 4:
            self.dropped += 1
            return
        self._busy[twin] = self._busy.get(twin, 0) + 1
        task = asyncio.create_task(self._serve(seen, line), name=f"request {seen.uid[:36]}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._served(done, twin))

    def _served(self, task: asyncio.Task[None], twin: int) -> None:
        self._tasks.discard(task)
        self._busy[twin] -= 1
        if not self._busy[twin]:
            del self._busy[twin]
        if not task.cancelled() and (err := task.exception()) is not None:
            log.error("a request of twin %d: %s", twin, err, exc_info=err)

    async def _serve(self, seen: Envelope, line: Wireline) -> None:
        other: TwinRecord | None = None
        try:
            if seen.destination.twin != await self._twin():
                self.dropped += 1
                return
            env.check_time(seen, self._clock.time())
            other = await self._sender(seen)
            if not self._once.is_new(other.id, seen.source.connection, seen.uid, env.ends(seen)):
                self.dropped += 1
                return
            body = await self._open(seen, other)
            if self._busy.get(other.id, 0) > PER_TWIN:
                raise Busy(twin=other.id)
            assert self._handler is not None
            text = await self._handler(other.id, seen.request.command, body)
        except ZosError as err:
            await self._refuse(seen, other, err, line)
            return
        made = env.answer(seen, await self._me(), self._clock.time())
        made.response.SetInParent()
        await self._reply(made, other, text or b"null", line)

    async def _sender(self, seen: Envelope) -> TwinRecord:
        """The twin that signed it."""
        for attempt in (1, 2):
            other = await self._twins.twin(seen.source.twin)
            if other is None:
                raise UnknownTwin(twin=seen.source.twin)
            try:
                env.check_signature(seen, other)
            except WrongSignature:
                if attempt == 2 or not isinstance(self._twins, TwinCache):
                    raise
                self._twins.forget(other.id)
            else:
                return other
        raise AssertionError("unreachable")

    async def _open(self, seen: Envelope, other: TwinRecord) -> bytes:
        if seen.schema and seen.schema != SCHEMA:
            raise WrongSchema(schema=seen.schema[:64])
        if seen.WhichOneof("payload") != "cipher":
            return seen.plain
        if not other.pk:
            raise NoEncryptionKey(twin=other.id)
        return unseal(await self._secret.shared(other.pk), seen.cipher)

    async def _refuse(self, seen: Envelope, other: TwinRecord | None, err: ZosError, line: Wireline) -> None:
        made = env.answer(seen, await self._me(), self._clock.time())
        made.error.code = err.code if isinstance(err, ProtocolError) else HANDLER
        made.error.message = err.explain()
        # An error says all in its text; a payload of `null` stands beside it as other peers put it there.
        await self._reply(made, other, b"null", line)

    async def _reply(self, made: Envelope, other: TwinRecord | None, body: bytes, line: Wireline) -> None:
        try:
            await self._close(made, other or TwinRecord(made.destination.twin, b""), body)
            await self._send(made, line)
        except ZosError as err:
            log.warning("an answer to twin %d is lost: %s", made.destination.twin, err.explain())

    async def _answered(self, seen: Envelope) -> None:
        asked = self._asked.get(seen.uid)
        if asked is None or asked.answer.done():
            self.dropped += 1
            return
        try:
            if seen.WhichOneof("message") == "error" and not seen.source.twin:
                # A relay's own word is unsigned; it can only be believed or waited out.
                raise Refused(message=f"the relay says: {seen.error.message[:500]}")
            if seen.source.twin != asked.twin:
                self.dropped += 1
                return
            other = await self._sender(seen)
            if seen.WhichOneof("message") == "error":
                raise Refused(message=seen.error.message[:2000])
            body = await self._open(seen, other)
        except WrongSignature:
            self.dropped += 1  # somebody else's; the true answer may still come
            return
        except ZosError as err:
            if not asked.answer.done():
                asked.answer.set_exception(err)
            return
        if not asked.answer.done():
            asked.answer.set_result(body)
