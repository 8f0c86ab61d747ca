"""Databases for tests, and a served grid that follows no chain."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
from sqlalchemy import Engine

from zos.explorer.api import Api
from zos.explorer.ask import Ask
from zos.explorer.database import Readers, opened
from zos.explorer.liveness import Now
from zos.explorer.schema import META
from zos.explorer.server import serving
from zos.explorer.store import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import Web
from zos.runtime.clock import FakeClock

POSTGRES = os.environ.get("ZOS_TEST_POSTGRES", "")
"""The URL of a PostgreSQL database that tests may empty."""
DATABASES = ["sqlite", *(["postgresql"] if POSTGRES else [])]


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[Engine]:
    """An empty database of this kind, gone afterwards."""
    engine = opened(POSTGRES if kind == "postgresql" else str(folder / "grid.sqlite"))
    Store(engine).wipe()
    try:
        yield engine
    finally:
        META.drop_all(engine)
        engine.dispose()


@contextlib.asynccontextmanager
async def served(engine: Engine, ask: Ask | None = None) -> AsyncIterator[Web]:
    """What is in a database, at the time of the made-up rows."""
    readers = Readers(engine)
    api = Api(readers, Now(FakeClock(rows.NOW)), None, ask)
    async with serving(api, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        yield Web(f"http://127.0.0.1:{port}", session)
    readers.close()
