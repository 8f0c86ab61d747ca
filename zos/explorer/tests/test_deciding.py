"""Deciding without a server: parameters, prices, liveness, what rows are made of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from zos.explorer import rules
from zos.explorer.chain import rows as chain_rows
from zos.explorer.chain.events import EventSummary
from zos.explorer.command import BadOptions
from zos.explorer.command import settings as options
from zos.explorer.errors import BadDatabase, BadRequest
from zos.explorer.rest import filters, params
from zos.explorer.rest.params import FilterContext, Kind
from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.countries import region
from zos.explorer.store.database import url_of
from zos.explorer.store.schema import NODE, clean_text
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.substrate import Event

GiB = 1024**3


@settings(max_examples=200)
@given(name=st.sampled_from([param.name for param in filters.NODES]), text=st.text(max_size=40))
def test_any_text_is_taken_or_refused(name: str, text: str) -> None:
    try:
        values = params.parse(filters.NODES, [(name, text)])
    except BadRequest as err:
        assert name in str(err)
    else:
        assert set(params.conditions(filters.NODES, values, FilterContext())) <= {"", "gpu"}


@settings(max_examples=200)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5))
def test_lists_of_numbers_come_back(numbers: list[int]) -> None:
    param = params.Param("ids", Kind.NUMBERS, "")
    text = ",".join(map(str, numbers))
    assert params.parse([param], [("ids", text)]) == {"ids": list(dict.fromkeys(numbers))}
    assert params.parse([param], [("ids", str(one)) for one in numbers])["ids"] == list(dict.fromkeys(numbers))


def by_database(db: Connection, sql: Any) -> list[Any]:
    """The values of a rule for all nodes, by id."""
    return list(db.execute(select(sql).select_from(NODE).order_by(NODE.c.node_id)).scalars())


def test_more_on_the_account_never_costs_more(empty: Engine) -> None:
    nodes: dict[int, Any] = {id: rows.node(id, total_cru=2**id, total_mru=4**id * GiB) for id in range(1, 8)}
    changes = Changes(nodes=nodes, farms={1: rows.farm(1)}, pricing={1: rows.pricing()}, is_whole=True)
    Store(empty).apply(changes, EventFacts(), rows.CURSOR)
    balances = [0.0, *(2.0**power * 1.01 for power in range(-2, 20))]
    with empty.connect() as db:
        whole = by_database(db, NODE.c.price_usd)
        found = [by_database(db, rules.discounted_price(balance)) for balance in balances]
    assert found[0] == whole
    assert found[-1] == pytest.approx([price * 0.4 for price in whole])
    for less, more in pairwise(found):
        assert all(0 < b <= a for a, b in zip(less, more, strict=True))
    # Each of the steps is there: 0, 20, 30, 40 and 60 per cent.
    assert {round(one[3] / whole[3], 6) for one in found} == {1.0, 0.8, 0.7, 0.6, 0.4}


def test_the_status_follows_from_power_and_age(empty: Engine) -> None:
    now = rows.NOW
    on, off = [(None, None), ("Up", "Up")], [("Up", "Down"), ("Down", "Up"), ("Down", "Down")]
    cases = [(power, age, "up" if age <= 4800 else "down") for power in on for age in (0, 4800, 4801, 86_401, now)]
    cases += [
        (power, age, "standby" if age <= 86_400 else "down") for power in off for age in (0, 4801, 86_400, 86_401)
    ]
    nodes: dict[int, Any] = {
        id: rows.node(id, created=now - age, power_state=power[0], power_target=power[1])
        for id, (power, age, _) in enumerate(cases, start=1)
    }
    Store(empty).apply(Changes(nodes=nodes, farms={1: rows.farm(1)}, is_whole=True), EventFacts(), rows.CURSOR)
    with empty.connect() as db:
        assert by_database(db, rules.status(now)) == [status for _, _, status in cases]
        for status in rules.Status:
            meant = {id for id, one in enumerate(cases, start=1) if one[2] == status}
            assert set(db.execute(select(NODE.c.node_id).where(rules.has_status([status], now))).scalars()) == meant


def test_a_node_keeps_memory_and_disk_for_itself() -> None:
    total = {"hru": 0, "sru": 1000 * GiB, "cru": 16, "mru": 64 * GiB}
    found = rules.resources(total, {"hru": 0, "sru": 100 * GiB, "cru": 4, "mru": 8 * GiB})
    assert found["free_sru"] == 880 * GiB
    assert found["free_mru"] == 64 * GiB - 8 * GiB - rules.reserved_mru(64 * GiB)
    assert (found["used_cru"], found["free_cru"]) == (4, 12)
    assert rules.reserved_mru(8 * GiB) == 2 * GiB


def test_the_price_is_that_of_the_chains_units() -> None:
    total = {"hru": 1200 * GiB, "sru": 200 * GiB, "cru": 2, "mru": 4 * GiB}
    prices = rules.UnitPrices(cu=100_000, su=50_000)
    # CU 1 and SU 2 for 720 hours, at 1e-7 USD.
    assert rules.monthly_price(total, prices, False, 0) == pytest.approx((100_000 + 2 * 50_000) * 720 / 1e7)
    assert rules.monthly_price(total, prices, True, 0) == pytest.approx(
        1.25 * rules.monthly_price(total, prices, False, 0)
    )
    assert rules.monthly_price(total, prices, False, 5000) - rules.monthly_price(
        total, prices, False, 0
    ) == pytest.approx(5.0)


CONTRACT = {
    "version": 4,
    "state": {"GracePeriod": 7},
    "contract_id": 5,
    "twin_id": 2,
    "contract_type": {"RentContract": {"node_id": 9}},
    "solution_provider_id": 3,
}


def test_contracts_of_all_types_become_rows() -> None:
    rent = chain_rows.contract(CONTRACT, None, 77)
    assert (rent["type"], rent["node_id"], rent["state"], rent["solution_provider_id"]) == ("rent", 9, "GracePeriod", 3)
    named = chain_rows.contract(CONTRACT | {"contract_type": {"NameContract": {"name": b"web"}}}, None, 77)
    assert (named["type"], named["name"], named["node_id"]) == ("name", "web", 0)
    gone = chain_rows.contract(CONTRACT | {"state": {"Deleted": "OutOfFunds"}}, {"used": {"cru": 2}}, 77)
    assert (gone["state"], gone["used_cru"], gone["created_at"]) == ("Deleted", 2, 77)


def test_numbers_that_no_database_holds_are_cut() -> None:
    bill = {"contract_id": 1, "timestamp": 5, "amount_billed": 2**127, "discount_level": "None"}
    assert chain_rows.bill(bill, 1, 2)["amount"] == 2**63 - 1
    used = {"used": dict.fromkeys(("hru", "sru", "cru", "mru"), 2**64 - 1)}
    assert chain_rows.contract(CONTRACT, used, 0)["used_mru"] == chain_rows.MAX_RESOURCES


@given(st.binary(max_size=60))
def test_any_bytes_of_the_chain_become_text_that_databases_take(raw: bytes) -> None:
    made = clean_text(raw)
    assert "\0" not in made
    assert made.encode().decode() == made


EVENTS: list[tuple[str, str, Any, str, int]] = [
    ("TfgridModule", "FarmStored", {"id": 1, "name": b"x"}, "farms", 1),
    ("TfgridModule", "FarmDeleted", 2, "farms", 2),
    ("TfgridModule", "FarmPayoutV2AddressRegistered", (3, b"G"), "farms", 3),
    ("TfgridModule", "FarmCertificationSet", (4, "Gold"), "farms", 4),
    ("TfgridModule", "NodePublicConfigStored", (5, None), "nodes", 5),
    ("TfgridModule", "NodeDeleted", 6, "nodes", 6),
    ("TfgridModule", "PowerStateChanged", {"farm_id": 1, "node_id": 7, "power_state": "Up"}, "nodes", 7),
    ("SmartContractModule", "NodeExtraFeeSet", {"node_id": 8, "extra_fee": 1}, "nodes", 8),
    ("TfgridModule", "TwinUpdated", {"id": 9}, "twins", 9),
    ("TfgridModule", "PricingPolicyStored", {"id": 10}, "pricing", 10),
    ("TfgridModule", "FarmingPolicyUpdated", {"id": 11}, "farming", 11),
    ("SmartContractModule", "SolutionProviderApproved", (12, True), "providers", 12),
    ("SmartContractModule", "NodeContractCanceled", {"contract_id": 13, "node_id": 0, "twin_id": 0}, "contracts", 13),
    ("SmartContractModule", "RentContractCanceled", {"contract_id": 14}, "contracts", 14),
    ("SmartContractModule", "NameContractCanceled", 15, "contracts", 15),
    ("SmartContractModule", "IPsFreed", {"contract_id": 16, "public_ips": []}, "contracts", 16),
    ("SmartContractModule", "UpdatedUsedResources", {"contract_id": 17, "used": {}}, "contracts", 17),
    ("SmartContractModule", "ContractGracePeriodStarted", {"contract_id": 18, "node_id": 0}, "contracts", 18),
]


@pytest.mark.parametrize(("pallet", "name", "fields", "entities", "id"), EVENTS)
def test_an_event_names_what_to_read_again(pallet: str, name: str, fields: Any, entities: str, id: int) -> None:
    summary = EventSummary()
    summary.add([Event(pallet, name, fields, 1)], 5, 1000)
    assert getattr(summary, entities) == {id}


def test_what_only_events_tell_is_kept() -> None:
    summary = EventSummary()
    bill = {"contract_id": 1, "timestamp": 5, "amount_billed": 9, "discount_level": "Gold"}
    events = [
        Event("TfgridModule", "NodeUptimeReported", (1, 100, 40), 1),
        Event("TfgridModule", "NodeUptimeReported", (1, 100, 50), 1),
        Event("SmartContractModule", "ContractBilled", bill, 1),
        Event("SmartContractModule", "ContractCreated", CONTRACT, 1),
        Event("TFTPriceModule", "PriceStored", 50, 1),
        Event("Balances", "Transfer", (1, 2), 1),
    ]
    summary.add(events, 7, 1000)
    # A whole state is read with the events of the blocks before it, the newest first.
    summary.add([Event("TfgridModule", "NodeUptimeReported", (1, time, 30), 1) for time in (90, 100)], 6, 900)
    facts = summary.facts
    assert facts.uptimes == {1: (100, 50)}
    assert facts.uptime_reports == {(1, 100): 50, (1, 90): 30}
    assert [(one["block"], one["position"], one["amount"]) for one in facts.bills] == [(7, 2, 9)]
    assert (facts.created, summary.price, summary.contract_records[5][0]) == ({5: 1000}, True, 7)


def test_a_bill_that_is_told_twice_is_one(empty: Engine) -> None:
    store = Store(empty)
    touched = EventFacts(bills=[rows.bill(1, 1)])
    store.apply(Changes(contracts={1: rows.contract(1)}), touched, rows.CURSOR)
    store.apply(Changes(), touched, rows.CURSOR)
    with empty.connect() as db:
        assert db.exec_driver_sql("SELECT count(*) FROM bill").scalar() == 1
    assert store.cursor() == rows.CURSOR


def test_a_change_of_prices_changes_every_price(empty: Engine) -> None:
    store = Store(empty)
    rows.small(store)

    def prices() -> list[float]:
        with empty.connect() as db:
            return list(db.execute(select(NODE.c.price_usd).order_by(NODE.c.node_id)).scalars())

    before = prices()
    store.apply(Changes(pricing={1: rows.pricing() | {"cu": 200_000, "su": 100_000}}), EventFacts(), rows.CURSOR)
    # Node 4 has an extra fee, which is none of the policy's.
    assert prices() == pytest.approx([2 * price - (5 if index == 3 else 0) for index, price in enumerate(before)])


def test_a_node_that_is_gone_takes_its_parts_along(empty: Engine) -> None:
    store = Store(empty)
    rows.small(store)
    store.apply(Changes(nodes={5: None}, farms={2: None}, twins={1: None}), EventFacts(), rows.CURSOR)
    with empty.connect() as db:
        for table in ("node", "interface", "gpu", "report"):
            assert db.exec_driver_sql(f"SELECT count(*) FROM {table} WHERE node_id = 5").scalar() == 0
    store.save_answer(5, {"healthy": True}, {"health_at": 1})


def test_countries_are_known_by_name() -> None:
    assert [region(name) for name in ("Belgium", " united  states", "EGYPT", "Atlantis")] == [
        "Europe",
        "Americas",
        "Africa",
        "",
    ]


def test_databases_are_named_by_file_or_url() -> None:
    assert url_of("/tmp/x.sqlite").render_as_string() == "sqlite:////tmp/x.sqlite"
    assert url_of("postgresql://me@host/grid").drivername == "postgresql+psycopg"
    with pytest.raises(BadDatabase):
        url_of("mysql://me:secret@host/grid")
    with pytest.raises(BadDatabase) as caught:
        url_of("://me:secret@host")
    assert "secret" not in caught.value.explain()


def test_a_password_is_never_taken_from_the_command_line() -> None:
    with pytest.raises(BadOptions):
        options("127.0.0.1:80", "postgresql://me:secret@host/grid", ["ws://x"], {})
    chosen = options("[::1]:80", "", ["ws://x"], {"ZOS_GRIDPROXY_DATABASE": "postgresql://me:secret@host/grid"})
    assert (chosen.host, chosen.port, chosen.database) == ("::1", 80, "postgresql://me:secret@host/grid")
    for wrong in ("80", "host", "host:port", "host:70000"):
        with pytest.raises(BadOptions):
            options(wrong, "", ["ws://x"], {})
