"""Random conditions of GraphQL on random contracts: the SQL means what a small model in Python means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from zos.explorer.graphql.endpoint import GraphqlEndpoint
from zos.explorer.rules import CONTRACT_STATES
from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.served import Inline, finished
from zos.runtime.depth import deep

TEXTS = ["", "a%b", "a_b", "axb", "axxB", '{"type":"vm"}', "ß%"]
BIG = 2**40
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "not_eq": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "in": lambda a, b: a in b,
    "not_in": lambda a, b: a not in b,
    "isNull": lambda a, b: not b,
    "contains": lambda a, b: b in a,
    "not_contains": lambda a, b: b not in a,
    "containsInsensitive": lambda a, b: b.lower() in a.lower(),
    "not_containsInsensitive": lambda a, b: b.lower() not in a.lower(),
    "startsWith": lambda a, b: a.startswith(b),
    "not_startsWith": lambda a, b: not a.startswith(b),
    "endsWith": lambda a, b: a.endswith(b),
    "not_endsWith": lambda a, b: not a.endswith(b),
}
EQUAL, AMONG, ORDER = ("eq", "not_eq"), ("in", "not_in"), ("gt", "gte", "lt", "lte")
VALUES: dict[str, tuple[st.SearchStrategy[Any], tuple[str, ...]]] = {
    "contractID": (st.integers(0, 7), (*EQUAL, *AMONG, *ORDER)),
    "twinID": (st.integers(0, 3), (*EQUAL, *AMONG, *ORDER)),
    "createdAt": (st.sampled_from([0, 5, BIG]), (*EQUAL, *AMONG, *ORDER)),
    "state": (st.sampled_from(CONTRACT_STATES), (*EQUAL, *AMONG)),
    "deploymentData": (
        st.sampled_from(TEXTS),
        tuple(one for one in COMPARED if one not in (*ORDER, "isNull")),
    ),
}


def one_condition() -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from(sorted(VALUES)).flatmap(_about)


def _about(name: str) -> st.SearchStrategy[dict[str, Any]]:
    value, operators = VALUES[name]
    made: dict[str, st.SearchStrategy[Any]] = {f"{name}_isNull": st.booleans()}
    for operator in operators:
        made[f"{name}_{operator}"] = st.lists(value, max_size=3) if operator in AMONG else value
    return st.sampled_from(sorted(made)).flatmap(lambda key: st.fixed_dictionaries({key: made[key]}))


WHERES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.lists(one_condition(), min_size=1, max_size=2).map(lambda some: {k: v for one in some for k, v in one.items()}),
    lambda inner: st.builds(
        lambda own, more: own | more,
        one_condition() | st.just({}),
        st.fixed_dictionaries({}, optional={word: st.lists(inner, min_size=1, max_size=2) for word in ("AND", "OR")}),
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "twin_id": st.integers(0, 3),
            "state": st.sampled_from(CONTRACT_STATES),
            "created_at": st.sampled_from([0, 5, BIG]),
            "deployment_data": st.sampled_from(TEXTS),
        }
    ),
    min_size=2,
    max_size=7,
)
COLUMNS = {"twinID": "twin_id", "state": "state", "createdAt": "created_at", "deploymentData": "deployment_data"}
COLUMNS |= {"contractID": "contract_id"}


def is_meant(row: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """`AND` narrows what stands beside it; `OR` is an alternative to all of that."""
    beside = [name for name in where if name not in ("AND", "OR")]
    together = all(_holds(row, name, where[name]) for name in beside)
    together = together and all(is_meant(row, one) for one in where.get("AND", ()))
    others = where.get("OR", ())
    if not others:
        return together
    has_own = bool(beside or where.get("AND"))
    return (has_own and together) or any(is_meant(row, one) for one in others)


def _holds(row: Mapping[str, Any], name: str, value: Any) -> bool:
    field, _, operator = name.partition("_")
    return COMPARED[operator](row[COLUMNS[field]], value)


QUERY = """query($where: NodeContractWhereInput, $limit: Int, $offset: Int) {
  found: nodeContracts(where: $where, orderBy: [twinID_DESC, contractID_ASC], limit: $limit, offset: $offset) {
    contractID }
  counted: nodeContractsConnection(where: $where, orderBy: id_ASC) { totalCount } }"""


@settings(
    max_examples=deep(30),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=ROWS, wheres=st.lists(WHERES, min_size=4, max_size=4), limit=st.integers(0, 8), offset=st.integers(0, 3))
def test_where_means_what_the_model_means(
    empty: Engine, made: list[dict[str, Any]], wheres: list[dict[str, Any]], limit: int, offset: int
) -> None:
    store = Store(empty)
    store.wipe()
    contracts: dict[int, Any] = {id: rows.contract(id, **one) for id, one in enumerate(made, start=1)}
    # Contracts of another kind are never among them.
    contracts[99] = rows.contract(99, "name")
    store.apply(Changes(contracts=contracts), EventFacts(), rows.CURSOR)
    del contracts[99]
    with empty.connect() as db:
        graph = GraphqlEndpoint(Inline(db))  # type: ignore[arg-type]
        for where in wheres:
            variables = {"where": where, "limit": limit, "offset": offset}
            body = json.dumps({"query": QUERY, "variables": variables}).encode()
            status, answer = finished(graph.answer(body))
            assert status == 200, answer
            meant = sorted(
                (row for row in contracts.values() if is_meant(row, where)),
                key=lambda row: (-row["twin_id"], row["contract_id"]),
            )
            page = [str(row["contract_id"]) for row in meant[offset : offset + limit]]
            assert [one["contractID"] for one in answer["data"]["found"]] == page, where
            assert answer["data"]["counted"]["totalCount"] == len(meant)
