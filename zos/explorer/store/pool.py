"""Runs queries beside the event loop, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, InterfaceError
from sqlalchemy.exc import TimeoutError as NoConnection

from zos.explorer.errors import Busy, NoDatabase, TooLong

log = logging.getLogger("zos.explorer")
T = TypeVar("T")

MAX_WAIT = 5.0
"""Seconds that a query may wait for a thread: refusing by age lets a crowd of quick queries through."""
MAX_WAITING = 5000
"""Each waiting query holds some kilobytes."""
DEADLINE = 15.0
"""Seconds that a query may take."""
_CHECK_EVERY = 20_000
"""Instructions of SQLite's virtual machine between two looks at the clock (well under a millisecond)."""


CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The network whose request is worked on; empty for our own queries."""


class Frontend(Enum):
    """The interfaces that have threads of their own, so that costly queries do not hold up cheap ones."""

    REST = 4
    GRAPHQL = 2


class _Turns:
    """The threads of one frontend. One network never has all of them; who used the least processor time is next."""

    def __init__(self, frontend: Frontend) -> None:
        self.threads = ThreadPoolExecutor(frontend.value, f"explorer-{frontend.name.lower()}")
        self._free = frontend.value
        self._each = frontend.value - 1
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._running: Counter[str] = Counter()
        self._used: dict[str, float] = {}

    async def begin(self, network: str) -> None:
        """Wait for a thread. Raises Busy when it takes too long."""
        if network not in self._used:
            # Who comes new is not behind for the time in which it asked nothing, nor ahead of all.
            self._used[network] = min(self._used.values(), default=0.0)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(network, deque()).append(turn)
        self._next()
        begun = False
        try:
            async with asyncio.timeout(MAX_WAIT):
                await turn
            begun = True
        except TimeoutError:
            raise Busy() from None
        finally:
            if not begun and turn.done() and not turn.cancelled():
                self.end(network, 0.0)  # its turn came in the moment in which it was given up
            elif not begun:
                self._forget(network, turn)

    def end(self, network: str, spent: float) -> None:
        """A thread is free again."""
        self._free += 1
        self._running[network] -= 1
        self._used[network] += spent
        self._forget(network)
        self._next()

    def _forget(self, network: str, turn: asyncio.Future[None] | None = None) -> None:
        waiting = self._waiting.get(network)
        if waiting is not None and turn is not None and turn in waiting:
            waiting.remove(turn)
        if not waiting:
            self._waiting.pop(network, None)
            if not self._running[network]:
                del self._running[network], self._used[network]

    def _next(self) -> None:
        while self._free:
            ready = [one for one in self._waiting if not one or self._running[one] < self._each]
            if not ready:
                return
            network = min(ready, key=lambda one: self._used[one])
            turn = self._waiting[network].popleft()
            if not self._waiting[network]:
                del self._waiting[network]
            self._free -= 1
            self._running[network] += 1
            turn.set_result(None)


class QueryPool:
    """Runs queries in threads: a few at once, and a bounded number that wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = {frontend: _Turns(frontend) for frontend in Frontend}
        self._waiting = 0

    async def run(self, query: Callable[[Connection], T], frontend: Frontend = Frontend.REST) -> T:
        """The query's result. Raises Busy, TooLong, NoDatabase."""
        if self._waiting >= MAX_WAITING:
            raise Busy()
        self._waiting += 1
        try:
            turns, network, spent = self._turns[frontend], CLIENT.get(), [0.0]
            await turns.begin(network)
            work = asyncio.get_running_loop().run_in_executor(turns.threads, self._run, query, spent)
            # The thread goes on when nobody waits for it any more.
            work.add_done_callback(lambda _: turns.end(network, spent[0]))
            return await asyncio.shield(work)
        finally:
            self._waiting -= 1

    def _run(self, query: Callable[[Connection], T], spent: list[float]) -> T:
        began = time.thread_time()
        try:
            with translated_errors(), self._engine.connect() as connection, _sqlite_deadline(connection):
                return query(connection)
        finally:
            spent[0] = time.thread_time() - began

    def close(self) -> None:
        """Wait for running queries, and drop those that wait."""
        for turns in self._turns.values():
            turns.threads.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise TooLong for a statement that the database cancelled, and NoDatabase when it does not answer."""
    try:
        yield
    except (DatabaseError, InterfaceError, NoConnection) as err:
        cause: Any = getattr(err, "orig", None)
        # 57014 is PostgreSQL's code for a cancelled query.
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_INTERRUPT" or getattr(cause, "sqlstate", "") == "57014":
            raise TooLong(seconds=round(DEADLINE)) from None
        if isinstance(err, DatabaseError) and not _is_gone(cause):
            raise
        log.error("the database does not answer: %s", err)
        raise NoDatabase() from err


def _is_gone(cause: Any) -> bool:
    """Whether the database failed, and not our statement."""
    if hasattr(cause, "sqlite_errorname"):
        names = ("CORRUPT", "NOTADB", "IOERR", "CANTOPEN", "BUSY", "LOCKED", "FULL", "READONLY")
        return any(f"SQLITE_{name}" in str(cause.sqlite_errorname) for name in names)
    # Lost connections have no state; classes 08, 53 and 57 are connections, resources and operators.
    state = getattr(cause, "sqlstate", None)
    return state is None or state[:2] in ("08", "53", "57")


@contextlib.contextmanager
def _sqlite_deadline(connection: Connection) -> Iterator[None]:
    """The deadline for SQLite, which has none of its own and calls a handler. PostgreSQL has statement_timeout."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    until = time.monotonic() + DEADLINE
    raw.set_progress_handler(lambda: time.monotonic() > until, _CHECK_EVERY)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)
