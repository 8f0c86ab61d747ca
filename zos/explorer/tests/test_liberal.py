"""Requests that are not quite right, and what the grid's own service answers to them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, update

from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.schema import NODE
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import Web
from zos.explorer.tests.served import served

LIBERAL = [
    ("/nodes?free_cru=&free_mru=&total_gpu=&status=", [1, 2, 3, 4, 5]),
    ("/nodes?total_gpu=0&free_gpu=0", [1, 2, 3, 4, 5]),
    ("/nodes?free_gpu=1000", []),
    ("/nodes?size=100001", [1, 2, 3, 4, 5]),
    (f"/nodes?size={2**64 - 1}", [1, 2, 3, 4, 5]),
    ("/nodes?page=0&size=2", [1, 2]),
    ("/nodes?size=1&page=99999999999", []),
    ("/nodes?status=asleep", []),
    ("/nodes?status=asleep,standby", [3]),
    ("/nodes?features=flying", []),
    ("/nodes?features=zmachine,flying", []),
    ("/nodes?certification_type=noCert", []),
    ("/nodes?sort_by=password&sort_order=desc", [1, 2, 3, 4, 5]),
    ("/nodes?farm_ids=1,,2", [1, 2, 3, 4, 5]),
    ("/nodes?farm_ids=,", [1, 2, 3, 4, 5]),
    ("/nodes?node_ids=" + ",".join(map(str, range(3, 5000))), [3, 4, 5]),
    (f"/nodes?free_mru={2**63}", []),
    ("/nodes?balance=-5&price_max=1e3", [1, 2, 3, 4, 5]),
    ("/nodes?price_max=-1.5e-3", []),
    ("/nodes?Status=standby", [3]),
    ("/contracts?state=x", []),
    ("/contracts?state=x,Deleted", [5]),
    ("/contracts?type=lease", []),
    ("/contracts?deployment_data=" + "x" * 10_000, []),
]


@pytest.mark.parametrize(("path", "ids"), LIBERAL, ids=[path[:40] for path, _ in LIBERAL])
async def test_what_has_a_plain_meaning_is_answered(web: Web, path: str, ids: list[int]) -> None:
    key = "nodeId" if path.startswith("/nodes") else "contract_id"
    assert [one[key] for one in await web.get(path)] == ids


async def test_what_means_nothing_for_a_page_is_ignored_there(web: Web) -> None:
    assert await web.get("/stats?size=5&page=3&ret_count=true") == await web.get("/stats")
    assert await web.get("/contracts/1/bills?sort_by=twin_id") == await web.get("/contracts/1/bills")


async def test_words_that_farms_are_asked_with_mean_nothing(web: Web) -> None:
    assert await web.get("/farms?version") == await web.get("/farms?dedicated=") == await web.get("/farms")


async def test_free_cards_are_those_that_nobody_uses(web: Web) -> None:
    free = [one["nodeId"] for one in await web.get("/nodes?free_gpu=1")]
    assert free == [one["nodeId"] for one in await web.get("/nodes?gpu_available=true")]
    assert free


async def test_a_slash_at_the_end_leads_to_the_page_without(web: Web) -> None:
    async with web.session.get(f"{web.url}/nodes/?size=1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, "/nodes?size=1")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await web.get("/nodes/2/"))["nodeId"] == 2
    assert list(await web.get("/nothing/", 404)) == ["error"]


async def test_strangers_are_not_told_which_versions_run_here(web: Web) -> None:
    for path in ("/ping", "/nothing", "/nodes/", "/nodes?x=1"):
        async with web.session.get(web.url + path, allow_redirects=False) as answer:
            assert answer.headers["Server"] == "gridproxy"


async def test_what_has_no_value_comes_last(empty: Engine) -> None:
    store = Store(empty)
    rows.small(store)
    nodes: dict[int, Any] = {
        1: rows.node(1, country="", country_key="", city="", city_key=""),
        2: rows.node(2, farm=2),
        6: rows.node(6),
    }
    store.apply(Changes(nodes=nodes), EventFacts(), rows.CURSOR)
    async with served(empty) as web:
        for word, last in (("country", [1]), ("city", [1]), ("rent_contract_id", [1, 3, 4, 5, 6]), ("uptime", [4, 6])):
            up = [one["nodeId"] for one in await web.get(f"/nodes?sort_by={word}")]
            assert sorted(up[-len(last) :]) == last, word
        assert [one["twinId"] for one in await web.get("/twins?sort_by=relay")] == [1, 3, 2]


async def test_half_a_thousandth_is_rounded_up_as_clients_do(empty: Engine) -> None:
    rows.small(Store(empty))
    with empty.begin() as db:
        db.execute(update(NODE).values(price_usd=1071.3225))
    async with served(empty) as web:
        assert {one["price_usd"] for one in await web.get("/nodes")} == {1071.323}
