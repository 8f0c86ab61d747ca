"""Runs queries beside the event loop, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, InterfaceError
from sqlalchemy.exc import TimeoutError as NoConnection

from zos.explorer.errors import Busy, NoDatabase, TooLong

log = logging.getLogger("zos.explorer")
T = TypeVar("T")

THREADS = 4
MAX_WAIT = 5.0
"""Seconds that a query may wait for a thread: refusing by age lets a crowd of quick queries through."""
MAX_WAITING = 5000
"""Each waiting query holds some kilobytes."""
DEADLINE = 15.0
"""Seconds that a query may take."""
_CHECK_EVERY = 20_000
"""Instructions of SQLite's virtual machine between two looks at the clock (well under a millisecond)."""


class QueryPool:
    """Runs queries in threads: a few at once, and a bounded number that wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(THREADS, "explorer-query")
        self._waiting = 0

    async def run(self, query: Callable[[Connection], T]) -> T:
        """The query's result. Raises Busy, TooLong, NoDatabase."""
        if self._waiting >= MAX_WAITING:
            raise Busy()
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._run, query, time.monotonic() + MAX_WAIT)
        finally:
            self._waiting -= 1

    def _run(self, query: Callable[[Connection], T], until: float) -> T:
        if time.monotonic() > until:
            raise Busy()
        with translated_errors(), self._engine.connect() as connection, _sqlite_deadline(connection):
            return query(connection)

    def close(self) -> None:
        """Wait for running queries, and drop those that wait."""
        self._threads.shutdown(wait=True, cancel_futures=True)


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
