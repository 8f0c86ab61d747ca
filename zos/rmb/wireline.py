"""One connection to one relay: join with a fresh token, read frames, write frames, join again. All effects."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection, connect

from zos.errors import ZosError
from zos.rmb import token
from zos.rmb.envelope import LARGEST, Signer
from zos.rmb.errors import NoRelay
from zos.runtime.clock import Clock

log = logging.getLogger("zos.rmb")

OPEN = 10.0
SEND = 10.0
PING, SILENCE = 20.0, 20.0
"""Seconds between pings, and how long a pong may take: a relay that says nothing for 40 s is given up."""
AGAIN = 2.0
"""Seconds before the next try, as every client of the grid has it."""

Take = Callable[[bytes, "Wireline"], Awaitable[None]]


class Wireline:
    """To one relay, for ever."""

    def __init__(
        self, url: str, twin: Callable[[], Awaitable[int]], signer: Signer, session: str, clock: Clock, take: Take
    ) -> None:
        self.url = url
        self.trouble = "not connected yet"
        self.up = asyncio.Event()
        self._twin = twin
        self._signer = signer
        self._session = session
        self._clock = clock
        self._take = take
        self._socket: ClientConnection | None = None
        self.again = AGAIN

    async def run(self) -> None:
        """Be connected; returns only by being cancelled."""
        while True:
            problem = await self._once()
            if problem != self.trouble:
                log.warning("relay %s: %s", self.url, problem)
            self.trouble = problem
            await asyncio.sleep(self.again)

    async def _once(self) -> str:
        try:
            text = await token.make(await self._twin(), self._signer, self._clock.time(), self._session)
            async with connect(
                f"{self.url.rstrip('/')}/?{text}",
                max_size=LARGEST,
                max_queue=64,
                open_timeout=OPEN,
                ping_interval=PING,
                ping_timeout=SILENCE,
                close_timeout=2.0,
                # A relay is named by its own URL; the environment's proxy is for web pages.
                proxy=None,
                ssl=ssl.create_default_context() if urlsplit(self.url).scheme == "wss" else None,
            ) as socket:
                self._socket = socket
                self.trouble = ""
                self.up.set()
                log.info("joined the relay %s", self.url)
                async for frame in socket:
                    if isinstance(frame, bytes):
                        await self._take(frame, self)
            return "it hung up"
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
            self.up.clear()
            self._socket = None

    async def send(self, frame: bytes) -> None:
        """One frame; raises NoRelay when it cannot be sent in time."""
        socket = self._socket
        if socket is None:
            raise NoRelay(problem=f"{self.url} is not connected: {self.trouble}")
        try:
            async with asyncio.timeout(SEND):
                await socket.send(frame)
        except (TimeoutError, OSError, websockets.WebSocketException) as err:
            raise NoRelay(problem=f"{self.url} takes no message: {type(err).__name__}") from None


def _refusal(err: websockets.InvalidStatus, now: float) -> str:
    """Why a relay let us not in; a 401 is most often a wrong clock, and the answer's date tells."""
    status = err.response.status_code
    text = f"it answered {status}"
    if status != 401:
        return text
    date = err.response.headers.get("Date", "")
    try:
        from email.utils import parsedate_to_datetime

        skew = round(now - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return f"{text}: it does not accept our token"
    if abs(skew) > 30:
        return f"{text}: our clock is {abs(skew)} s {'ahead' if skew > 0 else 'behind'}"
    return f"{text}: it does not know our twin or key (yet)"
