"""Opens the database: a SQLite file by default, PostgreSQL by URL. One set of queries serves both."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from zos.explorer.errors import BadDatabase
from zos.explorer.store import pool
from zos.explorer.store.countries import COUNTRIES
from zos.explorer.store.schema import COUNTRY, CURSOR, META, VERSION

CACHE = 4000
"""KiB of pages that each connection keeps for itself; the kernel has them all once, for all connections."""
CONNECTIONS = sum(frontend.value for frontend in pool.Frontend) + 2
"""The readers', the writer's, and one to spare."""


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


def open_database(text: str) -> Engine:
    """An engine with the tables of this version: an older database gets what it lacks. Raises BadDatabase."""
    url = url_of(text)
    with contextlib.ExitStack() as undo:
        try:
            engine = _engine(url)
            undo.callback(engine.dispose)
            with engine.begin() as db:
                _migrate(db, url)
        except ImportError as err:
            raise BadDatabase(url=url.render_as_string(), problem=f"{err} (install zos[postgresql])") from None
        except (SQLAlchemyError, OSError) as err:
            raise BadDatabase(url=url.render_as_string(), problem=getattr(err, "orig", None) or err) from None
        undo.pop_all()
        return engine


def _migrate(db: Connection, url: URL) -> None:
    """Make the tables, columns, indexes and countries that are missing."""
    existing = inspect(db)
    names = set(existing.get_table_names())
    found = db.execute(select(CURSOR.c.version)).scalar() if CURSOR.name in names else None
    if found is not None and found > VERSION:
        raise BadDatabase(url=url.render_as_string(), problem=f"a newer zos made it (version {found})")
    old = [table for table in META.sorted_tables if table.name in names]
    META.create_all(db)
    for table in old:
        columns = {column["name"] for column in existing.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                definition = CreateColumn(column).compile(dialect=db.dialect)
                db.execute(sql(f'ALTER TABLE "{table.name}" ADD COLUMN {definition}'))
        for index in table.indexes:
            index.create(db, checkfirst=True)
    if db.execute(select(func.count()).select_from(COUNTRY)).scalar_one() != len(COUNTRIES):
        db.execute(delete(COUNTRY))
        db.execute(insert(COUNTRY), [{"country_id": id, **asdict(one)} for id, one in enumerate(COUNTRIES, start=1)])


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        options = f"-c statement_timeout={pool.DEADLINE * 1000:.0f}"
        return create_engine(
            url,
            hide_parameters=True,
            pool_size=CONNECTIONS,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args={"options": options, "connect_timeout": 10},
        )
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True, pool_size=CONNECTIONS, pool_timeout=10)
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # SQLite's own lower() only knows the letters of ASCII.
    connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)
    # LIKE distinguishes case, as in PostgreSQL.
    for pragma in (
        "case_sensitive_like=ON",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "busy_timeout=10000",
        f"cache_size=-{CACHE}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
