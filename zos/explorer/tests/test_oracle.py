"""Random grids, asked random questions: the SQL answers what a small model in Python works out."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from zos.explorer.clock import GridClock
from zos.explorer.rest import filters, queries
from zos.explorer.rest.api import Answer, Api
from zos.explorer.rest.params import Kind, Param, parse
from zos.explorer.rest.routes import ROUTES
from zos.explorer.rules import CONTRACT_STATES, FEATURES, Status, features_mask
from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.writer import Store
from zos.explorer.tests import oracle, rows
from zos.explorer.tests.served import Inline, finished
from zos.explorer.tests.world import ALIVE, GIB, UNITS, Contract, Farm, Gpu, Node, Twin, World
from zos.runtime.clock import FakeClock
from zos.runtime.depth import deep

NOW = rows.NOW
AGES = st.sampled_from([0, 60, 4799, 4800, 4801, 86_399, 86_400, 86_401, 10**7])
PLACES = [("Belgium", "Ghent"), ("Egypt", "Cairo"), ("Türkiye", "İzmir"), ("Nowhere", "100%_sure")]
NAMES = ["Farm", "fArM", "50%_off", "Straße", "STRASSE", "a_b", "aXb", ""]
WORDS = ["nvidia", "NVIDIA", "Navi 31", "GeForce RTX", "10%_"]
TWIN_IDS = st.integers(1, 4)


def subset(words: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(words), unique=True, max_size=4)


FARMS = st.builds(
    Farm,
    st.just(0),
    st.sampled_from(NAMES),
    TWIN_IDS,
    st.booleans(),
    st.sampled_from(["NotCertified", "Gold"]),
    st.integers(0, 2),
    st.sampled_from(["", "GA", "GB"]),
    st.lists(st.integers(0, 2), max_size=3),
)
CARDS = st.builds(
    Gpu,
    st.sampled_from(["0000:01/10de", "0000:02/1002", "0000:03/10DE"]),
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.integers(0, 1),
)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "healthy": st.booleans(),
        "has_ipv6": st.booleans(),
        "features": subset(list(FEATURES[:6])),
        "workloads": st.integers(0, 9),
    },
)
TOTALS = st.fixed_dictionaries(
    {
        "cru": st.sampled_from([0, 4, 16]),
        "mru": st.sampled_from([0, 2 * GIB, 64 * GIB, 64 * GIB + 7]),
        "sru": st.sampled_from([0, 20 * GIB, 1000 * GIB]),
        "hru": st.sampled_from([0, 4000 * GIB]),
    }
)
NODES = st.tuples(
    st.integers(1, 4),
    st.sampled_from(PLACES),
    TOTALS,
    AGES,
    st.none() | st.tuples(st.sampled_from(["Up", "Down"]), st.sampled_from(["Up", "Down"])),
    st.sampled_from([0, 0, 5000]),
    st.booleans(),
    st.dictionaries(st.sampled_from(["ipv4", "ipv6", "domain"]), st.sampled_from(["", "x"]), max_size=3),
    st.none() | SAID,
    st.lists(CARDS, max_size=2, unique_by=lambda card: card.id),
)
CONTRACTS = st.builds(
    Contract,
    st.just(0),
    st.sampled_from(["node", "node", "name", "rent"]),
    st.sampled_from(["Created", "GracePeriod", "Deleted", "OutOfFunds"]),
    TWIN_IDS,
    st.integers(1, 6),
    st.sampled_from(["web", "Web"]),
    st.sampled_from(["", '{"type":"vm"}']),
    st.sampled_from(["ab", "cd"]),
    st.integers(0, 2),
    st.integers(0, 9),
    st.fixed_dictionaries({unit: st.sampled_from([0, 2, 10 * GIB]) for unit in UNITS}),
)
TWINS = st.builds(
    Twin,
    st.just(0),
    st.sampled_from(["5A", "5B"]),
    st.sampled_from([None, "", "r.lab"]),
    st.sampled_from([None, "0x02"]),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to three farms, six nodes, nine contracts; some nodes without a farm, some contracts without a node."""
    least = draw(st.sampled_from([0, 1, 3, 3]))
    farms = dict(enumerate(draw(st.lists(FARMS, min_size=least, max_size=3)), start=1))
    for id, farm in farms.items():
        farm.id = id
    nodes = {}
    for id, made in enumerate(draw(st.lists(NODES, min_size=least, max_size=6)), start=1):
        farm_id, (country, city), total, age, power, fee, is_certified, config, said, gpus = made
        nodes[id] = Node(id, farm_id, 100 + id, country, city, total, NOW - age, 1000 - id % 2)
        nodes[id].power, nodes[id].fee, nodes[id].is_certified = power, fee, is_certified
        nodes[id].config, nodes[id].said, nodes[id].gpus = config, said, gpus
    contracts: dict[int, Contract] = {}
    rented: set[int] = set()
    for id, contract in enumerate(draw(st.lists(CONTRACTS, min_size=least, max_size=9)), start=1):
        contract.id = id
        if contract.kind == "rent" and contract.state in ALIVE:
            # The chain has one rent contract of a node at a time.
            contract.state = "Deleted" if contract.node in rented else contract.state
            rented.add(contract.node)
        if contract.kind != "node":
            contract.data, contract.hash, contract.ips, contract.used = "", "", 0, {}
        contract.node = 0 if contract.kind == "name" else contract.node
        contract.name = contract.name if contract.kind == "name" else ""
        contracts[id] = contract
    twins = dict(enumerate(draw(st.lists(TWINS, max_size=3)), start=1))
    for id, twin in twins.items():
        twin.id = id
    return World(NOW, farms, nodes, contracts, twins, {1: (100_000, 50_000), 2: (1_000, 7_000)})


def written(world: World, store: Store, is_whole: bool) -> None:
    """The grid in a database, as one whole state or as one step of the chain."""
    changes = Changes(is_whole=is_whole)
    for farm in world.farms.values():
        row, _ = rows.farm(farm.id, 0, farm.is_dedicated, name=farm.name, name_key=farm.name.casefold())
        row |= {"twin_id": farm.twin, "certification": farm.certification, "stellar_address": farm.stellar}
        row |= {"pricing_policy_id": farm.policy, "total_ips": len(farm.ips), "free_ips": world.free_ips(farm)}
        ips = [
            {"farm_id": farm.id, "ip": f"10.0.{farm.id}.{number}/24", "gateway": "10.0.0.1", "contract_id": contract}
            for number, contract in enumerate(farm.ips)
        ]
        changes.farms[farm.id] = row, ips
    for node in world.nodes.values():
        state, target = node.power or (None, None)
        more: dict[str, Any] = {f"total_{unit}": node.total[unit] for unit in UNITS}
        more |= {"power_state": state, "power_target": target, "extra_fee": node.fee, **node.config}
        more |= {"certification": "Certified" if node.is_certified else "Diy", "twin_id": node.twin, "created": 5}
        place = next(number for number, (_, city) in enumerate(rows.PLACES) if city == node.city)
        changes.nodes[node.id] = rows.node(node.id, node.farm, place, **more)
    for one in world.contracts.values():
        more = {"state": one.state, "twin_id": one.twin, "node_id": one.node, "name": one.name}
        more |= {"deployment_data": one.data, "deployment_hash": one.hash, "number_of_public_ips": one.ips}
        more |= {"created_at": one.created, **{f"used_{unit}": one.used.get(unit, 0) for unit in UNITS}}
        changes.contracts[one.id] = rows.contract(one.id, one.kind, **more)
    for twin in world.twins.values():
        names = {"twin_id": twin.id, "account_id": twin.account, "relay": twin.relay, "public_key": twin.key}
        changes.twins[twin.id] = names
    for id, (cu, su) in world.prices.items():
        changes.pricing[id] = rows.pricing() | {"pricing_policy_id": id, "cu": cu, "su": su}
    touched = EventFacts(uptimes={node.id: (node.reported, node.uptime) for node in world.nodes.values()})
    store.wipe()
    store.apply(changes, touched, rows.CURSOR)
    for node in world.nodes.values():
        if node.said is not None:
            offered = node.said.get("features", [])
            columns = {name: node.said[name] for name in ("healthy", "has_ipv6", "workloads") if name in node.said}
            store.save_answer(node.id, columns | {"features": features_mask(offered)}, {"features": offered})
        store.save_answer(node.id, {"num_gpu": len(node.gpus)}, {})
        cards = [{"id": card.id, "vendor": card.vendor, "device": card.device} for card in node.gpus]
        own = {"node_id": node.id, "updated_at": NOW}
        store.replace_gpus(
            node.id, [card | own | {"contract": one.contract} for card, one in zip(cards, node.gpus, strict=True)]
        )


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "status": subset([str(one) for one in Status]).filter(bool),
    "node_status": subset([str(one) for one in Status]).filter(bool),
    "features": subset(list(FEATURES[:6])).filter(bool),
    "node_features": subset(list(FEATURES[:3])).filter(bool),
    "state": subset(list(CONTRACT_STATES)).filter(bool),
    "type": st.sampled_from(["node", "name", "rent"]),
    "certification_type": st.sampled_from(["Diy", "Certified", "NotCertified", "Gold"]),
    "region": st.sampled_from(["europe", "Africa", "ASIA", "Oceania"]),
    "relay": st.sampled_from(["r.lab", "x"]),
    "account_id": st.sampled_from(["5A", "5C"]),
    "public_key": st.sampled_from(["0x02", "0x03"]),
    "stellar_address": st.sampled_from(["GA", "GC"]),
    "deployment_data": st.sampled_from(['{"type":"vm"}', "x"]),
    "deployment_hash": st.sampled_from(["ab", "AB"]),
    "name_contains": st.sampled_from(["f", "_", "%", "SS", "_O"]),
    "balance": st.sampled_from([0.0, 10.0, 100.0, 1000.0, 1e6]),
    "price_min": st.sampled_from([0.0, 0.5, 20.0, 100.0]),
    "price_max": st.sampled_from([0.5, 20.0, 60.0, 1000.0]),
    "page": st.integers(1, 3),
    "size": st.sampled_from([0, 1, 2, 50]),
    "sort_order": st.sampled_from(["asc", "desc"]),
    **{name: st.sampled_from(["belgium", "EGYPT", "türkiye", "Ghent"]) for name in ("country", "city")},
    **{name: st.sampled_from(["g", "E", "%", "_S", "i̇z"]) for name in ("country_contains", "city_contains")},
    **{name: st.sampled_from(NAMES[:-1]) for name in ("farm_name", "name")},
    "farm_name_contains": st.sampled_from(["f", "_", "%", "SS", "_O"]),
    **{name: st.sampled_from(["10de", "0000", "%"]) for name in ("gpu_device_id", "gpu_vendor_id")},
    **{name: st.sampled_from(["navi", "N", "%_"]) for name in ("gpu_device_name", "gpu_vendor_name")},
}
SIZES = st.sampled_from([0, 1, 4, 16, 2 * GIB, 54 * GIB, 980 * GIB, 3990 * GIB])


def value_of(param: Param) -> st.SearchStrategy[Any]:
    if param.name in VALUES:
        return VALUES[param.name]
    if param.kind is Kind.FLAG:
        return st.booleans()
    if param.kind is Kind.NUMBERS:
        return st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)
    if param.name.endswith(("mru", "sru", "hru", "cru")):
        return SIZES
    if param.name == "twin_id":
        return st.integers(1, 4) | st.integers(101, 105)
    return st.integers(1, 4) | st.integers(0, 6)


def question(params: tuple[Param, ...], sorts: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the filters, with an order and a page."""
    some = {param.name: value_of(param) for param in params}
    limits = {name: VALUES[name] for name in ("balance", "page", "size", "sort_order")}
    if sorts:
        limits["sort_by"] = st.sampled_from(sorted(sorts))
    few = st.sets(st.sampled_from(sorted(some)), min_size=1, max_size=3)
    return st.builds(
        lambda filters, limits: filters | limits,
        few.flatmap(lambda names: st.fixed_dictionaries({name: some[name] for name in sorted(names)})),
        st.fixed_dictionaries({}, optional=limits),
    )


def asked(db: Connection, path: str, values: dict[str, Any]) -> tuple[Any, int]:
    """The answer to a question as it stands in a URL, and how many there are on all pages."""
    texts = {name: ",".join(map(str, one)) if isinstance(one, list) else str(one) for name, one in values.items()}
    texts |= {name: "true" if one else "false" for name, one in values.items() if isinstance(one, bool)}
    route = next(route for route in ROUTES if route.path == path)
    given = parse_qsl(urlencode(texts | {"ret_count": "true"} if route.is_list else texts))
    api = Api(Inline(db), GridClock(FakeClock(NOW)))  # type: ignore[arg-type]
    answer: Answer = finished(route.action(api, parse(route.params, given)))  # type: ignore[arg-type]
    return msgspec.json.decode(b"".join(answer.json())), int(answer.headers.get("count", 0))


def paged(found: list[Any], values: dict[str, Any]) -> list[Any]:
    size = values.get("size", 50)
    start = (values.get("page", 1) - 1) * size
    return found[start : start + size]


def test_the_model_knows_every_filter_and_order() -> None:
    known = {"price_min", "price_max", *oracle.NODES, *oracle.GPUS}
    assert {param.name for param in filters.NODES} == known
    assert {param.name for param in filters.FARMS} == {"node_certified", *oracle.FARMS, *oracle.FARM_NODES}
    assert {param.name for param in filters.CONTRACTS} == set(oracle.CONTRACTS)
    assert {param.name for param in filters.TWINS} == set(oracle.TWINS)


QUESTIONS = st.tuples(
    st.lists(question(filters.NODES, queries.NODE_SORTS), min_size=8, max_size=8),
    st.lists(question(filters.FARMS, {}), min_size=2, max_size=2),
    st.lists(question(filters.CONTRACTS, {}), min_size=2, max_size=2),
    st.lists(question(filters.TWINS, {}), min_size=1, max_size=1),
)


@settings(
    max_examples=deep(30),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    world=worlds(),
    # A whole state makes the database count its rows, which takes longer than everything else here.
    is_whole=st.integers(0, 7).map(lambda number: number == 7),
    questions=QUESTIONS,
    statuses=st.none() | VALUES["status"],
)
def test_every_list_is_what_the_model_says(
    empty: Engine, world: World, is_whole: bool, questions: Any, statuses: Any
) -> None:
    written(world, Store(empty), is_whole)
    about_nodes, about_farms, about_contracts, about_twins = questions
    with empty.connect() as db:
        for values in about_nodes:
            found, count = asked(db, "/nodes", values)
            meant = oracle.nodes(world, values)
            assert [one["nodeId"] for one in found] == [one.id for one in paged(meant, values)], values
            assert count == len(meant)
            for one, node in zip(found, paged(meant, values), strict=True):
                wanted = oracle.shown(world, node, values.get("balance", 0.0))
                seen = {name: one[name] for name in wanted} | {"gpus": sorted(card["id"] for card in one["gpus"])}
                assert seen.pop("price_usd") == pytest.approx(wanted.pop("price_usd"), abs=0.006)
                assert seen == wanted
        for values in about_farms:
            found, count = asked(db, "/farms", values)
            meant_farms = oracle.farms(world, values)
            assert [one["farmId"] for one in found] == [one.id for one in paged(meant_farms, values)], values
            assert count == len(meant_farms)
        for values in about_contracts:
            found, count = asked(db, "/contracts", values)
            meant_contracts = oracle.contracts(world, values)
            assert [one["contract_id"] for one in found] == [one.id for one in paged(meant_contracts, values)], values
            assert count == len(meant_contracts)
        for values in about_twins:
            found, count = asked(db, "/twins", values)
            meant_twins = oracle.twins(world, values)
            assert [one["twinId"] for one in found] == [one.id for one in paged(meant_twins, values)], values
            assert count == len(meant_twins)
        told, _ = asked(db, "/stats", {} if statuses is None else {"status": statuses})
        assert told == oracle.stats(world, statuses)
