"""A made-up grid, filled once for each test module and database, and served to each test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Engine

from zos.explorer.store.writer import Store
from zos.explorer.tests import postgres, rows
from zos.explorer.tests.grid import Web
from zos.explorer.tests.served import database, served

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.process)]
Place = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session", autouse=True)
def server(request: pytest.FixtureRequest) -> Iterator[postgres.Postgres | postgres.NoServer]:
    """A PostgreSQL server, when a test of this session may want one. Where CI runs, a missing one is a failure."""
    with contextlib.ExitStack() as stack:
        found: postgres.Postgres | postgres.NoServer = postgres.NoServer("no test of this session asked for one")
        if any(item.get_closest_marker("process") for item in request.session.items):
            try:
                found = stack.enter_context(postgres.server())
            except postgres.NoServer as err:
                if os.environ.get("ZOS_TEST_ALONE") == "1":
                    raise
                found = err
        yield found


@pytest.fixture(scope="session")
def place(server: postgres.Postgres | postgres.NoServer, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Makes the name of a new database of a kind."""

    @contextlib.contextmanager
    def made(kind: str) -> Iterator[str]:
        if kind == "sqlite":
            yield str(tmp_path_factory.mktemp("grid") / "grid.sqlite")
        elif isinstance(server, postgres.NoServer):
            pytest.skip(str(server))
        else:
            with server.database() as url:
                yield url

    return made


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, place: Place) -> Iterator[str]:
    """The name of a database that nobody opened yet."""
    with place(request.param) as url:
        yield url


@pytest.fixture(scope="session")
def shared(place: Place) -> Iterator[Callable[[str], Engine]]:
    """One database of each kind, for tests that each want an empty one: to wipe it is quicker than to make it."""
    engines: dict[str, Engine] = {}
    with contextlib.ExitStack() as stack:

        def engine(kind: str) -> Engine:
            if kind not in engines:
                engines[kind] = stack.enter_context(database(stack.enter_context(place(kind))))
            return engines[kind]

        yield engine


@pytest.fixture(params=DATABASES)
def empty(request: pytest.FixtureRequest, shared: Callable[[str], Engine]) -> Iterator[Engine]:
    """A database without rows."""
    engine = shared(request.param)
    Store(engine).wipe()
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", params=DATABASES)
def filled(request: pytest.FixtureRequest, place: Place) -> Iterator[Engine]:
    """A database with the small grid; for reading only."""
    with place(request.param) as url, database(url) as engine:
        rows.small(Store(engine))
        yield engine


@pytest.fixture
async def web(filled: Engine) -> AsyncIterator[Web]:
    """The small grid, served."""
    async with served(filled) as served_web:
        yield served_web
