"""HTTP for event loops: bounded connections, a share of them for each tenant, name look-ups in threads of their own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohappyeyeballs import start_connection

from zos.fetch.dial import judged, lookup
from zos.fetch.errors import FetchFailed
from zos.fetch.exchange import Answer, Exchange, HungUp, Request, onward
from zos.fetch.names import Names, Shares
from zos.fetch.policy import Policy, Target, shown, target

TOTAL, SHARE = 64, 4
"""Requests at the same time, and those of one tenant."""
IDLE, IDLE_TIME = 32, 30.0
"""Connections that are kept, and for how many seconds."""
PIECE = 64 * 1024
STAGGER = 0.25
"""Seconds after which the next address of a host is tried beside the one that does not answer."""


@dataclass(frozen=True, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_kept: bool = False

    def close(self) -> None:
        self.writer.transport.abort()


class Fetcher:
    """Fetches under one policy. Used as an async context manager, or closed by hand."""

    def __init__(self, policy: Policy, *, total: int = TOTAL, share: int = SHARE) -> None:
        self._policy = policy
        self._requests = Shares(total, share)
        self._names = Names(lambda host, port: lookup(host, port))
        self._idle: dict[tuple[str, str, int], list[tuple[float, _Connection]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections and threads."""
        for kept in self._idle.values():
            for _, connection in kept:
                connection.close()
        self._idle.clear()
        self._names.close()

    async def fetch(self, request: Request, deadline: float, key: str = "", payer: str | None = None) -> Answer:
        """The answer within `deadline` seconds, waiting for a place included; `key` says at whose expense.

        Where `key` is chosen by strangers, as a host is, `payer` is at whose expense a name is looked up.

        Raises FetchForbidden and FetchFailed.
        """
        try:
            async with asyncio.timeout(deadline), self._requests.place(key):
                where, followed = target(request.url), 0
                while True:
                    answer = await self._ask(request, where, key if payer is None else payer)
                    further = onward(request, where, answer, followed)
                    if further is None:
                        return answer
                    where, followed = further, followed + 1
        except TimeoutError:
            raise FetchFailed(url=shown(request.url), problem="it is too slow") from None
        except HungUp:
            raise FetchFailed(url=shown(request.url), problem="it hung up") from None
        except (OSError, UnicodeError) as err:
            raise FetchFailed(url=shown(request.url), problem=str(err) or type(err).__name__) from None

    async def _ask(self, request: Request, where: Target, key: str) -> Answer:
        while True:
            connection = self._take(where) or await self._connect(where, key)
            try:
                return await self._over(connection, request, where)
            except (HungUp, ConnectionResetError, BrokenPipeError):
                # A kept one may have been closed over there while it was idle. What changes something is not repeated.
                if not connection.is_kept or request.method != "GET":
                    raise

    async def _over(self, connection: _Connection, request: Request, where: Target) -> Answer:
        exchange = Exchange(request, where)
        try:
            connection.writer.write(exchange.request())
            await connection.writer.drain()
            done = False
            while not done:
                done = exchange.feed(await connection.reader.read(PIECE))
                for taken in exchange.pour():
                    await taken
        except BaseException:
            connection.close()
            raise
        if exchange.is_reusable:
            self._keep(where, connection)
        else:
            connection.close()
        return exchange.answer

    def _take(self, where: Target) -> _Connection | None:
        server, now = (where.scheme, where.host, where.port), asyncio.get_running_loop().time()
        kept = self._idle.get(server, [])
        while kept:
            since, connection = kept.pop()
            if not kept:
                del self._idle[server]
            if now - since < IDLE_TIME and not connection.reader.at_eof():
                return _Connection(connection.reader, connection.writer, is_kept=True)
            connection.close()
        return None

    def _keep(self, where: Target, connection: _Connection) -> None:
        now = asyncio.get_running_loop().time()
        self._idle.setdefault((where.scheme, where.host, where.port), []).append((now, connection))
        count = sum(map(len, self._idle.values()))
        for server in list(self._idle):
            fresh = []
            for since, one in self._idle[server]:
                if count > IDLE or now - since >= IDLE_TIME:
                    count -= 1
                    one.close()
                else:
                    fresh.append((since, one))
            if fresh:
                self._idle[server] = fresh
            else:
                del self._idle[server]

    async def _connect(self, where: Target, key: str) -> _Connection:
        found = judged(self._policy, where.host, where.port, await self._names.find(where.host, where.port, key))
        link = await start_connection(found, happy_eyeballs_delay=STAGGER, interleave=1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if where.scheme == "http":
                return _Connection(*await asyncio.open_connection(sock=link))
            self._tls = self._tls or ssl.create_default_context()
            return _Connection(*await asyncio.open_connection(sock=link, ssl=self._tls, server_hostname=where.host))
        except BaseException:
            link.close()
            raise


async def fetch_configured(request: Request, deadline: float) -> Answer:
    """One answer, for a URL that the operator or the user wrote: it may lead anywhere, its redirects may not."""
    async with Fetcher(Policy.of_urls([request.url])) as fetcher:
        return await fetcher.fetch(request, deadline)
