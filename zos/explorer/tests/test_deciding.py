"""Deciding without a server: parameters, prices, liveness, what rows are made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from zos.explorer import derive, filters, liveness, params, project
from zos.explorer.command import BadOptions
from zos.explorer.command import settings as options
from zos.explorer.countries import region
from zos.explorer.database import url_of
from zos.explorer.errors import BadDatabase, BadRequest
from zos.explorer.params import Kind, Scope
from zos.explorer.project import Touched
from zos.explorer.schema import NODE
from zos.explorer.store import Changes, Store
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
        assert set(params.conditions(filters.NODES, values, Scope())) <= {"", "gpu"}


@settings(max_examples=200)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5))
def test_lists_of_numbers_come_back(numbers: list[int]) -> None:
    param = params.Param("ids", Kind.NUMBERS, "")
    text = ",".join(map(str, numbers))
    assert params.parse([param], [("ids", text)]) == {"ids": list(dict.fromkeys(numbers))}
    assert params.parse([param], [("ids", str(one)) for one in numbers])["ids"] == list(dict.fromkeys(numbers))


@settings(max_examples=50)
@given(price=st.floats(0.01, 1000), balance=st.floats(0, 100_000))
def test_more_on_the_account_never_costs_more(price: float, balance: float) -> None:
    assert 0 < derive.discount(price, balance) <= price
    assert derive.discount(price, balance + 1) <= derive.discount(price, balance)


def test_status_is_the_same_by_python_and_by_the_database(empty: Engine) -> None:
    now = rows.NOW
    times = [now, now - 4800, now - 4801, now - 86_400, now - 86_401, 0]
    powers = [(None, None), ("Up", "Up"), ("Up", "Down"), ("Down", "Up"), ("Down", "Down")]
    nodes: dict[int, Any] = {}
    for id, (time, power) in enumerate(((time, power) for time in times for power in powers), start=1):
        nodes[id] = rows.node(id, created=time, power_state=power[0], power_target=power[1])
    Store(empty).apply(Changes(nodes=nodes, farms={1: rows.farm(1)}, is_whole=True), Touched(), rows.CURSOR)
    with empty.connect() as db:
        found = {row["node_id"]: row for row in db.execute(select(NODE)).mappings()}
        for status in liveness.Status:
            meant = select(NODE.c.node_id).where(liveness.has_status([status], now))
            by_python = {id for id, row in found.items() if liveness.status(row, now) == status}
            assert set(db.execute(meant).scalars()) == by_python
            assert by_python


def test_a_node_keeps_memory_and_disk_for_itself() -> None:
    total = {"hru": 0, "sru": 1000 * GiB, "cru": 16, "mru": 64 * GiB}
    found = derive.resources(total, {"hru": 0, "sru": 100 * GiB, "cru": 4, "mru": 8 * GiB})
    assert found["free_sru"] == 880 * GiB
    assert found["free_mru"] == 64 * GiB - 8 * GiB - derive.reserved_mru(64 * GiB)
    assert (found["used_cru"], found["free_cru"]) == (4, 12)
    assert derive.reserved_mru(8 * GiB) == 2 * GiB


def test_the_price_is_that_of_the_chains_units() -> None:
    total = {"hru": 1200 * GiB, "sru": 200 * GiB, "cru": 2, "mru": 4 * GiB}
    prices = derive.Prices(cu=100_000, su=50_000)
    # CU 1 and SU 2 for 720 hours, at 1e-7 USD.
    assert derive.price(total, prices, False, 0) == pytest.approx((100_000 + 2 * 50_000) * 720 / 1e7)
    assert derive.price(total, prices, True, 0) == pytest.approx(1.25 * derive.price(total, prices, False, 0))
    assert derive.price(total, prices, False, 5000) - derive.price(total, prices, False, 0) == pytest.approx(5.0)


CONTRACT = {
    "version": 4,
    "state": {"GracePeriod": 7},
    "contract_id": 5,
    "twin_id": 2,
    "contract_type": {"RentContract": {"node_id": 9}},
    "solution_provider_id": 3,
}


def test_contracts_of_all_types_become_rows() -> None:
    rent = project.contract(CONTRACT, None, 77)
    assert (rent["type"], rent["node_id"], rent["state"], rent["solution_provider_id"]) == ("rent", 9, "GracePeriod", 3)
    named = project.contract(CONTRACT | {"contract_type": {"NameContract": {"name": b"web"}}}, None, 77)
    assert (named["type"], named["name"], named["node_id"]) == ("name", "web", 0)
    gone = project.contract(CONTRACT | {"state": {"Deleted": "OutOfFunds"}}, {"used": {"cru": 2}}, 77)
    assert (gone["state"], gone["used_cru"], gone["created_at"]) == ("Deleted", 2, 77)


def test_numbers_that_no_database_holds_are_cut() -> None:
    bill = {"contract_id": 1, "timestamp": 5, "amount_billed": 2**127, "discount_level": "None"}
    assert project.bill(bill, 1, 2)["amount"] == 2**63 - 1
    used = {"used": dict.fromkeys(("hru", "sru", "cru", "mru"), 2**64 - 1)}
    assert project.contract(CONTRACT, used, 0)["used_mru"] == project.MOST_RESOURCES


@given(st.binary(max_size=60))
def test_any_bytes_of_the_chain_become_text_that_databases_take(raw: bytes) -> None:
    made = project.text(raw)
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


@pytest.mark.parametrize(("pallet", "name", "fields", "room", "id"), EVENTS)
def test_an_event_is_a_reason_to_look(pallet: str, name: str, fields: Any, room: str, id: int) -> None:
    touched = Touched()
    touched.fold([Event(pallet, name, fields, 1)], 5, 1000)
    assert getattr(touched, room) == {id}


def test_what_only_events_tell_is_kept() -> None:
    touched = Touched()
    bill = {"contract_id": 1, "timestamp": 5, "amount_billed": 9, "discount_level": "Gold"}
    events = [
        Event("TfgridModule", "NodeUptimeReported", (1, 100, 40), 1),
        Event("TfgridModule", "NodeUptimeReported", (1, 100, 50), 1),
        Event("SmartContractModule", "ContractBilled", bill, 1),
        Event("SmartContractModule", "ContractCreated", CONTRACT, 1),
        Event("TFTPriceModule", "PriceStored", 50, 1),
        Event("Balances", "Transfer", (1, 2), 1),
    ]
    touched.fold(events, 7, 1000)
    # A whole state is read with the events of the blocks before it, the newest first.
    touched.fold([Event("TfgridModule", "NodeUptimeReported", (1, time, 30), 1) for time in (90, 100)], 6, 900)
    assert touched.uptimes == {1: (100, 50)}
    assert touched.beats == {(1, 100): 50, (1, 90): 30}
    assert [(one["block"], one["position"], one["amount"]) for one in touched.bills] == [(7, 2, 9)]
    assert (touched.created, touched.price, touched.seen[5][0]) == ({5: 1000}, True, 7)


def test_a_bill_that_is_told_twice_is_one(empty: Engine) -> None:
    store = Store(empty)
    touched = Touched(bills=[rows.bill(1, 1)])
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
    store.apply(Changes(pricing={1: rows.pricing() | {"cu": 200_000, "su": 100_000}}), Touched(), rows.CURSOR)
    # Node 4 has an extra fee, which is none of the policy's.
    assert prices() == pytest.approx([2 * price - (5 if index == 3 else 0) for index, price in enumerate(before)])


def test_a_node_that_is_gone_takes_its_parts_along(empty: Engine) -> None:
    store = Store(empty)
    rows.small(store)
    store.apply(Changes(nodes={5: None}, farms={2: None}, twins={1: None}), Touched(), rows.CURSOR)
    with empty.connect() as db:
        for table in ("node", "interface", "gpu", "report"):
            assert db.exec_driver_sql(f"SELECT count(*) FROM {table} WHERE node_id = 5").scalar() == 0
    store.answered(5, {"healthy": True}, {"health_at": 1})


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
