"""What a GraphQL request may cost, counted."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from sqlalchemy import Engine, insert

from zos.explorer.graphql import endpoint, types
from zos.explorer.graphql.endpoint import SCHEMA_COST, GraphqlEndpoint
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.schema import PUBLIC_IP
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.served import Inline, finished

CYCLE = "{ farms { publicIPs { farm { publicIPs { farm { publicIPs { ip } } } } } } }"
TYPES = "{ __schema { types { fields { type { fields { args { name } } } } } } }"


ALL_TYPES = "{ " + " ".join(f"a{i}: {TYPES[1:-1]}" for i in range(40)) + "}"


@pytest.mark.parametrize(
    ("query", "most"),
    [(CYCLE, 100), (ALL_TYPES, types.MAX_ANSWER // SCHEMA_COST + 100)],
    ids=["cycle", "introspection"],
)
async def test_an_answer_that_would_be_huge_is_refused_before_it_is_made(
    empty: Engine, query: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Re-entering a cycle multiplies what was read once; introspection reads nothing at all."""
    rows.small(Store(empty))
    charges: list[int] = []
    charge = types.RowReader.charge

    def counted(reader: types.RowReader, fields: int) -> None:
        charges.append(fields)
        charge(reader, fields)

    monkeypatch.setattr(types.RowReader, "charge", counted)
    with empty.begin() as db:
        values = [{"farm_id": 1, "ip": f"10.0.{i}.1/24", "gateway": "", "contract_id": 0} for i in range(250)]
        db.execute(insert(PUBLIC_IP), values)
        graph = GraphqlEndpoint(cast(QueryPool, Inline(db)))
        status, body = finished(graph.answer(json.dumps({"query": query}).encode()))
    assert (status, body["data"]) == (200, None)
    assert str(types.MAX_ANSWER) in body["errors"][0]["message"]
    assert len(charges) <= most, "so many fields of the answer were made"


async def test_a_cycle_that_fits_is_answered(empty: Engine) -> None:
    """Each address with its farm, and all addresses of that."""
    rows.small(Store(empty))
    with empty.begin() as db:
        values = [{"farm_id": 1, "ip": f"10.0.{i}.1/24", "gateway": "", "contract_id": 0} for i in range(50)]
        db.execute(insert(PUBLIC_IP), values)
        graph = GraphqlEndpoint(cast(QueryPool, Inline(db)))
        query = b'{"query": "{ publicIps { farm { farmID publicIPs { ip } } } }"}'
        _, body = finished(graph.answer(query))
    farms = [one["farm"] for one in body["data"]["publicIps"]]
    first = [farm for farm in farms if farm["farmID"] == 1]
    assert len(first) >= 50
    assert all(len(farm["publicIPs"]) == len(first) for farm in first)


async def test_the_validator_is_not_given_what_it_compares_each_with_each(
    empty: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(endpoint, "validate", lambda *asked, **_: given.append(asked))
    with empty.begin() as db:
        query = "{ nodes { " + "interfaces { name } " * 480 + "} }"
        graph = GraphqlEndpoint(cast(QueryPool, Inline(db)))
        status, _ = finished(graph.answer(json.dumps({"query": query}).encode()))
    assert status == 400
    assert given == []
