"""A made-up grid, filled once for each test module and database, and served to each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine

from zos.explorer.store import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import Web
from zos.explorer.tests.served import DATABASES, database, served


@pytest.fixture(params=DATABASES)
def empty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database without rows."""
    with database(request.param, tmp_path_factory.mktemp("empty")) as engine:
        yield engine


@pytest.fixture(scope="module", params=DATABASES)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database with the small grid; for reading only."""
    with database(request.param, tmp_path_factory.mktemp("filled")) as engine:
        rows.small(Store(engine))
        yield engine


@pytest.fixture
async def web(filled: Engine) -> AsyncIterator[Web]:
    """The small grid, served."""
    async with served(filled) as served_web:
        yield served_web
