"""A page of a list is read and written in pieces: the answer is the same, and takes little memory beside its text."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from zos.explorer.rest import queries, shapes
from zos.explorer.rest.queries import Page
from zos.explorer.tests.grid import Web


def twins(count: int) -> Iterator[shapes.Twin]:
    for id in range(count):
        yield shapes.Twin(id, f"5{id:047d}", f"relay-{id}.lab", f"{id:064x}")


def test_a_long_page_takes_little_more_memory_than_its_text() -> None:
    tracemalloc.start()
    try:
        pieces = Page(twins(20_000)).written()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * sum(map(len, pieces))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 6])
def test_pieces_are_one_list(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(queries, "_PIECE", 3)
    found: list[dict[str, Any]] = json.loads(b"".join(Page(twins(count)).written()))
    assert [one["twinId"] for one in found] == list(range(count))


@pytest.mark.parametrize("path", ["/nodes", "/farms", "/twins", "/contracts", "/public_ips"])
async def test_a_list_in_pieces_is_the_same_answer(web: Web, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    whole = await fetched(web, path)
    monkeypatch.setattr(queries, "_PIECE", 2)
    assert await fetched(web, path) == whole
    assert len(whole[0]) > 1


async def fetched(web: Web, path: str) -> tuple[list[Any], int]:
    """The items, and the length that was announced."""
    async with web.session.get(f"{web.url}{path}?ret_count=true") as answer:
        body = await answer.read()
        assert len(body) == int(answer.headers["Content-Length"])
        return json.loads(body), int(answer.headers["count"])
