"""Opens the database: a SQLite file by default, PostgreSQL by URL. One set of queries serves both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from zos.explorer.errors import BadDatabase, Busy
from zos.explorer.schema import META

T = TypeVar("T")

READERS = 4
WAITING = 200
STATEMENT_MS = 15_000


def url_of(text: str) -> URL:
    """A URL, or the name of a SQLite file, as SQLAlchemy's URL."""
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = make_url(text)
    except ArgumentError:
        # A text that is no URL may hold a password anywhere.
        raise BadDatabase(url="that was given", problem="it is no URL") from None
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise BadDatabase(url=url.render_as_string(), problem=f"`{url.drivername}` is neither sqlite nor postgresql")
    return url


def opened(text: str) -> Engine:
    """An engine whose tables exist."""
    url = url_of(text)
    try:
        engine = _engine(url)
        META.create_all(engine)
    except ImportError as err:
        raise BadDatabase(url=url.render_as_string(), problem=f"{err} (install zos[postgresql])") from None
    except (SQLAlchemyError, OSError) as err:
        raise BadDatabase(url=url.render_as_string(), problem=getattr(err, "orig", None) or err) from None
    return engine


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={STATEMENT_MS}"
        return create_engine(
            url,
            hide_parameters=True,
            pool_size=READERS + 2,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args={"options": options, "connect_timeout": 10},
        )
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True, pool_size=READERS + 2, pool_timeout=10)
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # LIKE tells cases apart, as in PostgreSQL.
    for pragma in (
        "case_sensitive_like=ON",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "busy_timeout=10000",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


class Readers:
    """Runs queries beside the event loop: a few at once, and not too many that wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(READERS, "explorer-read")
        self._waiting = 0

    async def run(self, query: Callable[[Connection], T]) -> T:
        """The query's result; Busy when too many wait."""
        if self._waiting >= WAITING:
            raise Busy()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)
        finally:
            self._waiting -= 1

    def _run(self, query: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return query(connection)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=True, cancel_futures=True)
