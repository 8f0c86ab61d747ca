"""One connection to one relay: join with a fresh token, read frames, write frames, join again. All effects."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

from zos.errors import ZosError
from zos.rmb import token
from zos.rmb.envelope import FRAME, Signer
from zos.rmb.errors import NoRelay
from zos.runtime.clock import Clock
from zos.runtime.websocket import Socket

log = logging.getLogger("zos.rmb")

OPEN, CLOSE = 10.0, 2.0
PING, SILENCE = 20.0, 20.0
"""Seconds between pings, and how long a pong may take: a relay that says nothing for 40 s is given up."""
RETRY = 2.0
"""Seconds before the next try, as every client of the grid has it."""
READ_AHEAD = 4
"""Frames that are read ahead; they are processed as they come, so there are hardly ever any."""
TURN = 32
"""Frames after which others have a turn: one chunk from a socket may hold a thousand."""

Receive = Callable[[bytes, "RelayConnection"], None]
Lost = Callable[["RelayConnection"], None]


class _Connect(connect):
    """A relay's twins know it by its name; it does not send us elsewhere, with a token of ours in hand."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class RelayConnection:
    """Keeps one relay joined, and joins again whenever the connection ends."""

    def __init__(
        self,
        url: str,
        twin: Callable[[], Awaitable[int]],
        signer: Signer,
        session: str,
        clock: Clock,
        receive: Receive,
        lost: Lost,
    ) -> None:
        self.url = url
        self.problem = "not connected yet"
        self.up = asyncio.Event()
        self.twin = 0
        """The twin under which we joined last."""
        self._find_twin = twin
        self._signer = signer
        self._session = session
        self._clock = clock
        self._receive = receive
        self._lost = lost
        self._socket: ClientConnection | None = None
        self.retry_delay = RETRY
        self.timeout = OPEN
        """Seconds for joining, and for a message to be taken."""

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            problem = await self._connect_once()
            if problem != self.problem:
                log.warning("relay %s: %s", self.url, problem)
            self.problem = problem
            # Not all in the same moment when a relay comes back.
            await asyncio.sleep(self.retry_delay * random.uniform(0.8, 1.2))

    async def _connect_once(self) -> str:
        try:
            self.twin = await self._find_twin()
            text = await token.make(self.twin, self._signer, self._clock.time(), self._session)
            async with _Connect(
                f"{self.url.rstrip('/')}/?{text}",
                create_connection=Socket,
                max_size=FRAME,
                max_queue=READ_AHEAD,
                open_timeout=self.timeout,
                ping_interval=PING,
                ping_timeout=SILENCE,
                close_timeout=min(CLOSE, self.timeout),
                compression=None,
                # A relay is named by its own URL; the environment's proxy is for web pages.
                proxy=None,
                ssl=ssl.create_default_context() if urlsplit(self.url).scheme == "wss" else None,
            ) as socket:
                self._socket = socket
                self.problem = ""
                self.up.set()
                log.info("joined the relay %s", self.url)
                await self._read(socket)
            return "it closed the connection"
        except websockets.InvalidStatus as err:
            return _refusal(err, self._clock.time())
        except ZosError as err:
            return err.explain()
        except websockets.InvalidURI:
            return "this is no ws:// or wss:// URL"
        except (OSError, TimeoutError, websockets.WebSocketException, ValueError) as err:
            # Never the URL: websockets' own words may quote it, and the token is in it.
            return type(err).__name__ if "?" in str(err) else str(err) or type(err).__name__
        finally:
            self._socket = None
            if self.up.is_set():
                self.up.clear()
                self._lost(self)

    async def _read(self, socket: ClientConnection) -> None:
        count = 0
        async for frame in socket:
            # Text is no envelope.
            if isinstance(frame, bytes):
                self._receive(frame, self)
            count += 1
            if not count % TURN:
                await asyncio.sleep(0)

    async def send(self, frame: bytes) -> None:
        """One frame; raises NoRelay when it cannot be sent in time."""
        socket = self._socket
        if socket is None:
            raise NoRelay(problem=f"{self.url} is not connected: {self.problem}")
        try:
            async with asyncio.timeout(self.timeout):
                await socket.send(frame)
        except (TimeoutError, OSError, websockets.WebSocketException) as err:
            if isinstance(err, TimeoutError):
                # It does not read. The next message must not wait for that as well.
                socket.transport.abort()
            raise NoRelay(problem=f"{self.url} accepts no message: {type(err).__name__}") from None


def _refusal(err: websockets.InvalidStatus, now: float) -> str:
    """Why a relay let us not in; a 401 is most often a wrong clock, and the answer's date tells."""
    status = err.response.status_code
    text = f"it answered {status}"
    if status != 401:
        return text
    date = err.response.headers.get("Date", "")
    try:
        skew = round(now - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return f"{text}: it does not accept our token"
    if abs(skew) > 30:
        # In tens of seconds: each new text is logged.
        return f"{text}: our clock is some {abs(round(skew, -1))} s {'ahead' if skew > 0 else 'behind'}"
    return f"{text}: it does not know our twin or key (yet)"
