"""One twin's WebSocket at the relay: reads at the twin's pace, writes what waits for it, and ends what is stuck."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable

from aiohttp import WSMsgType, web

from zos.relay.sessions import Message, Session, Sessions
from zos.rmb.limits import RateLimiter
from zos.runtime.ingress import abort, taken

STALLED = 60.0
"""Seconds that a connection may take for one message, or for a pong, before it is let go."""
CLOSE = 2.0
PONGS = 10.0
"""Seconds between pongs that nobody asked for. Go's peer hears a pong only while it waits for one, on the same machine
ours comes sooner than that now and then, and after one that it did not hear it gives the relay up."""
PACE_BYTES = 16 * 1024
PAUSE = 0.01
"""Seconds that it is ahead before it waits: a few messages at a time cost less than one by one."""
TURN = 16
"""Messages of one connection after which others have a turn."""
CONFIRM, UNCONFIRMED = 32, 128
"""Messages from the disk after which its reader is asked to confirm them, and after which it must."""

Take = Callable[[bytes, Session], None]


class Connection:
    """One connection, until either side ends it."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        session: Session,
        sessions: Sessions,
        counts: Counter[str],
        ended: Counter[str],
        *,
        stalled: float = STALLED,
        pongs: float = PONGS,
    ) -> None:
        self._request = request
        self._socket = socket
        self._session = session
        self._sessions = sessions
        self._counts = counts
        self._ended = ended
        self._stalled = stalled
        self._pongs = pongs
        self._heard = asyncio.Event()

    async def serve(self, take: Take, pace: RateLimiter[int]) -> None:
        """Hand on what comes and write what waits."""
        writing = asyncio.create_task(self._write())
        # What was cancelled before it began would not close anything; and a newer connection may have come by now.
        await asyncio.sleep(0)
        self._session.stop = writing.cancel
        if self._session.ended:
            writing.cancel()
        beating = asyncio.create_task(self._beat())
        try:
            with contextlib.suppress(ConnectionError):  # it hung up while its ping was answered
                await self._read(take, pace)
        finally:
            self._sessions.leave(self._session)
            beating.cancel()
            await asyncio.gather(writing, beating, return_exceptions=True)

    async def _beat(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(self._pongs)
                await self._socket.pong()

    async def _read(self, take: Take, pace: RateLimiter[int]) -> None:
        twin, count = self._session.address[0], 0
        while True:
            message = await self._socket.receive()
            taken(self._request)
            match message.type:
                case WSMsgType.BINARY:
                    take(message.data, self._session)
                case WSMsgType.PING:
                    await self._socket.pong(message.data)
                case WSMsgType.PONG:
                    if len(message.data) == 8:
                        self._sessions.confirm(self._session, int.from_bytes(message.data))
                        self._heard.set()
                case _:
                    # Text is no envelope; the protocol's answer is to hang up, as at the end of the connection.
                    await self._socket.close()
                    return
            count += 1
            # Pings cost a turn like any message.
            wait = pace.wait(twin, max(1.0, len(message.data) / PACE_BYTES))
            if wait > PAUSE or not count % TURN:
                await asyncio.sleep(wait if wait > PAUSE else 0)

    async def _write(self) -> None:
        """Write queued messages until the session ends; then close the connection, which ends its reader too."""
        transport = self._request.transport  # aiohttp forgets it when it begins to close
        try:
            while True:
                await self._give(await self._sessions.next(self._session))
        except ConnectionError:
            self._ended["closed"] += 1
        except TimeoutError:
            self._ended["back_pressure_timeout"] += 1
        except asyncio.CancelledError:
            # By its reader, or because a newer connection took its place.
            self._ended["closed" if self._socket.closed else "cancelled"] += 1
        finally:
            try:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(CLOSE):
                        await self._socket.close()
            finally:
                # Also when its reader cancels this. What a deaf peer leaves in our buffer outlives the socket's close.
                if transport is not None and (not self._socket.closed or transport.get_write_buffer_size()):
                    abort(transport)

    async def _give(self, message: Message) -> None:
        given = False
        try:
            async with asyncio.timeout(self._stalled):
                await self._socket.send_bytes(message.frame)
            given = True
        finally:
            if not given:
                self._sessions.again(self._session, message)
        self._sessions.written(self._session, message)
        self._counts["relay_message_tx"] += 1
        self._counts["relay_message_tx_bytes"] += len(message.frame)
        if self._session.sent:
            await self._have_confirmed()

    async def _have_confirmed(self) -> None:
        """Ask for a pong, so that what waited on disk may be forgotten; wait for it when too much is unconfirmed."""
        session = self._session
        count = len(session.sent)
        if count % CONFIRM and not self._sessions.is_empty(session.address):
            return
        async with asyncio.timeout(self._stalled):
            await self._socket.ping((session.confirmed + count).to_bytes(8))
            while len(session.sent) >= UNCONFIRMED:
                self._heard.clear()
                await self._heard.wait()
