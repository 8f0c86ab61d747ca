"""Whatever the OpenAPI document allows is answered as it says, and what it forbids is refused; never a failure."""

from __future__ import annotations

import asyncio
import threading
import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Engine

from zos.explorer.rest import openapi
from zos.explorer.rest.params import Kind
from zos.explorer.rest.routes import ROUTES
from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import FakeNode
from zos.explorer.tests.served import served
from zos.runtime.depth import deep

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    positive_data_acceptance,
    negative_data_rejection,
)
LONGEST = 200_000
WORD_LISTS = {param.name for route in ROUTES for param in route.params if param.kind is Kind.TEXTS}
NUMBERS = {"cru": 1, "hru": 2, "ipv4u": 3, "mru": 4, "sru": 5}
ANSWERS: dict[str, Any] = {
    "zos.statistics.get": {"system": NUMBERS, "total": NUMBERS, "used": NUMBERS, "users": {"workloads": 1}},
    "zos.gpu.list": [{"id": "0000:01", "vendor": "NVIDIA", "device": "RTX", "contract": 7}],
}
# /gateways is /nodes by another name (a test says so), and /nodes has more parameters than all others together.
schema = schemathesis.openapi.from_dict(openapi.document(ROUTES)).exclude(path="/gateways")


@pytest.fixture(scope="module")
def alive(filled: Engine) -> Engine:
    """Nodes that are not up cannot answer what only they know, and that is a 500, as clients know it."""
    up = EventFacts(uptimes=dict.fromkeys(range(1, 6), (rows.NOW, 1)))
    Store(filled).apply(Changes(nodes={3: rows.node(3, place=2)}), up, rows.CURSOR)
    return filled


@pytest.fixture(scope="module")
def url(alive: Engine) -> Iterator[str]:
    """A grid whose nodes all are up, served from another thread: schemathesis does not wait for an event loop."""
    loop = asyncio.new_event_loop()
    stop, started = asyncio.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        async with served(alive, FakeNode(ANSWERS)) as web:
            found.append(web.url)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for a thousand requests."""
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def is_sqlite(alive: Engine) -> bool:
    return alive.dialect.name == "sqlite"


def asked(case: Any, url: str, session: requests.Session, is_sqlite: bool) -> None:
    # What the document forbids is refused before any database is asked: one of them is enough.
    if case.meta.generation.mode.is_negative and not is_sqlite:
        return
    # A request line that no server reads is refused by the HTTP library, in its own words.
    if sum(len(quote(str(value))) for value in (case.query or {}).values()) > LONGEST:
        return
    # Whatever stands for a list of words is a list of one word: nothing of it can be refused.
    has_words = not WORD_LISTS.isdisjoint(case.query or ())
    checks = [check for check in CHECKS if check is not negative_data_rejection or not has_words]
    case.call_and_validate(base_url=url, session=session, checks=checks, timeout=20)


def seeded(number: int) -> Any:
    """The test with other random choices for each number, the same ones in every run."""
    bounds = settings(
        max_examples=deep(6),
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    return schema.parametrize()(seed(number)(bounds(copied(asked))))


def copied(function: Any) -> Any:
    return types.FunctionType(function.__code__, function.__globals__, function.__name__)


def test_gateways_are_asked_for_as_nodes_are() -> None:
    nodes, gateways = (next(route for route in ROUTES if route.path == path) for path in ("/nodes", "/gateways"))
    assert replace(gateways, path=nodes.path, name=nodes.name) == nodes


test_the_api_is_what_its_document_says = seeded(1)
if deep(1) > 1:
    test_the_api_is_what_its_document_says_again = seeded(2)
