"""Opens the database: a SQLite file by default, PostgreSQL by URL. One set of queries serves both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy import text as sql
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.schema import CreateColumn

from zos.explorer.countries import COUNTRIES
from zos.explorer.errors import BadDatabase, Busy, NoDatabase, TooLong
from zos.explorer.schema import COUNTRY, CURSOR, META, VERSION

log = logging.getLogger("zos.explorer")
T = TypeVar("T")

READERS = 4
WAITING = 200
LONGEST = 15.0
"""Seconds that a question may take."""
_STEPS = 20_000
"""Steps of SQLite's machine between two looks at the clock (well under a millisecond)."""


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
    """An engine whose tables are those of this version: an older database gets what it lacks. Raises BadDatabase."""
    url = url_of(text)
    with contextlib.ExitStack() as undo:
        try:
            engine = _engine(url)
            undo.callback(engine.dispose)
            with engine.begin() as db:
                _grow(db, url)
        except ImportError as err:
            raise BadDatabase(url=url.render_as_string(), problem=f"{err} (install zos[postgresql])") from None
        except (SQLAlchemyError, OSError) as err:
            raise BadDatabase(url=url.render_as_string(), problem=getattr(err, "orig", None) or err) from None
        undo.pop_all()
        return engine


def _grow(db: Connection, url: URL) -> None:
    """Make what is not there yet: tables, columns, indexes, and the countries."""
    there = inspect(db)
    names = set(there.get_table_names())
    found = db.execute(select(CURSOR.c.version)).scalar() if CURSOR.name in names else None
    if found is not None and found > VERSION:
        raise BadDatabase(url=url.render_as_string(), problem=f"a newer zos made it (version {found})")
    old = [table for table in META.sorted_tables if table.name in names]
    META.create_all(db)
    for table in old:
        columns = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                words = CreateColumn(column).compile(dialect=db.dialect)
                db.execute(sql(f'ALTER TABLE "{table.name}" ADD COLUMN {words}'))
        for index in table.indexes:
            index.create(db, checkfirst=True)
    if db.execute(select(func.count()).select_from(COUNTRY)).scalar_one() != len(COUNTRIES):
        db.execute(delete(COUNTRY))
        db.execute(insert(COUNTRY), [{"country_id": id, **asdict(one)} for id, one in enumerate(COUNTRIES, start=1)])


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={LONGEST * 1000:.0f}"
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
    # Its own only knows the letters of ASCII.
    connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)
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
        with in_time(), self._engine.connect() as connection, _bounded(connection):
            return query(connection)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raises TooLong for a statement that the database gave up, NoDatabase when there is none to speak to."""
    try:
        yield
    except (DatabaseError, InterfaceError, NoConnection) as err:
        cause: Any = getattr(err, "orig", None)
        # 57014 is PostgreSQL's word for a cancelled query.
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_INTERRUPT" or getattr(cause, "sqlstate", "") == "57014":
            raise TooLong(seconds=round(LONGEST)) from None
        if isinstance(err, DatabaseError) and not _is_gone(cause):
            raise
        log.error("the database does not answer: %s", err)
        raise NoDatabase() from err


def _is_gone(cause: Any) -> bool:
    """Whether the database failed us, and not we it."""
    if hasattr(cause, "sqlite_errorname"):
        words = ("CORRUPT", "NOTADB", "IOERR", "CANTOPEN", "BUSY", "LOCKED", "FULL", "READONLY")
        return any(f"SQLITE_{word}" in str(cause.sqlite_errorname) for word in words)
    # Lost connections have no state; classes 08, 53 and 57 are connections, resources and operators.
    state = getattr(cause, "sqlstate", None)
    return state is None or state[:2] in ("08", "53", "57")


@contextlib.contextmanager
def _bounded(connection: Connection) -> Iterator[None]:
    """SQLite has no deadline of its own: it asks ours every now and then."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    until = time.monotonic() + LONGEST
    raw.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)
