"""Databases for tests, and a served grid that follows no chain."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar, cast

import aiohttp
from sqlalchemy import Connection, Engine

from zos.explorer.clock import GridClock
from zos.explorer.nodes.probes import NodeClient
from zos.explorer.rest.api import Api
from zos.explorer.server import serving
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import Frontend, QueryPool
from zos.explorer.tests import rows
from zos.explorer.tests.grid import Web
from zos.runtime.clock import FakeClock

T = TypeVar("T")


class Inline:
    """A query pool without threads: its coroutines never wait, and `finished` runs them without an event loop."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    async def run(self, query: Callable[[Connection], T], frontend: Frontend = Frontend.REST) -> T:
        return query(self._db)


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("it waits for something")


@contextlib.contextmanager
def database(url: str) -> Iterator[Engine]:
    """The database by this name."""
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.asynccontextmanager
async def served(engine: Engine, client: NodeClient | None = None) -> AsyncIterator[Web]:
    """What is in a database, at the time of the made-up rows."""
    pool = QueryPool(engine)
    api = Api(pool, GridClock(FakeClock(rows.NOW)), None, client)
    async with serving(api, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        yield Web(f"http://127.0.0.1:{port}", session)
    pool.close()
