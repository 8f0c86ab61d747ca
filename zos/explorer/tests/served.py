"""Databases for tests, and a served grid that follows no chain."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
from sqlalchemy import Engine

from zos.explorer.api import Api
from zos.explorer.ask import Ask
from zos.explorer.database import Readers, opened
from zos.explorer.liveness import Now
from zos.explorer.server import serving
from zos.explorer.tests import rows
from zos.explorer.tests.grid import Web
from zos.runtime.clock import FakeClock


@contextlib.contextmanager
def database(url: str) -> Iterator[Engine]:
    """The database by this name."""
    engine = opened(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.asynccontextmanager
async def served(engine: Engine, ask: Ask | None = None) -> AsyncIterator[Web]:
    """What is in a database, at the time of the made-up rows."""
    readers = Readers(engine)
    api = Api(readers, Now(FakeClock(rows.NOW)), None, ask)
    async with serving(api, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        yield Web(f"http://127.0.0.1:{port}", session)
    readers.close()
