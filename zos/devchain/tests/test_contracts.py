"""Contracts on the runtime: who may, what is reserved, what a bill takes and to whom it goes."""

from __future__ import annotations

from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.pallets.contracts.billing import STAKING_POOL
from zos.devchain.runtime import Variant
from zos.devchain.tests.billing import (
    ALICE,
    FARMER,
    FOUNDATION,
    GIB,
    HOUR,
    NODE,
    OTHER,
    SALES,
    USED,
    USER,
    C,
    bill,
    conserved,
    example,
    names,
    only,
    refused,
    world,
)


def test_the_worked_example_is_locked_and_shared_out() -> None:
    made = world()
    id = example(made)
    before = {who: made.free(who) for who in (USER, FOUNDATION, SALES, STAKING_POOL, FARMER)}
    issued = made.get("Balances.TotalIssuance")
    bill_1 = only(bill(made, id), "ContractBilled")
    assert bill_1 == {
        "contract_id": id,
        "timestamp": made.now,
        "discount_level": "None",
        "amount_billed": 4_660_620,
    }
    assert made.get("System.Account", USER)["data"]["frozen"] == 4_660_620
    assert made.free(USER) == before[USER]
    events = made.call(USER, f"{C}.cancel_contract", contract_id=id)
    gained = {who: made.free(who) - had for who, had in before.items()}
    assert gained[FOUNDATION] == 466_062
    assert gained[STAKING_POOL] == 233_031
    assert gained[SALES] == 2_330_310
    assert gained[FARMER] == 0
    assert only(events, "TokensBurned") == {"contract_id": id, "amount": 1_631_217}
    assert gained[USER] == -4_660_620
    assert issued - made.get("Balances.TotalIssuance") == 1_631_217
    conserved(made)


def test_the_worked_example_is_reserved_and_shared_with_the_farmer() -> None:
    made = world(Variant.RESERVE)
    id = example(made)
    before = {who: made.free(who) for who in (FOUNDATION, STAKING_POOL, FARMER, SALES)}
    assert only(bill(made, id), "ContractBilled")["amount_billed"] == 4_660_620
    assert made.get("System.Account", USER)["data"]["reserved"] == 4_660_620
    events = made.call(USER, f"{C}.cancel_contract", contract_id=id)
    gained = {who: made.free(who) - had for who, had in before.items()}
    assert gained == {FOUNDATION: 1_864_248, STAKING_POOL: 466_062, FARMER: 2_330_310, SALES: 0}
    assert only(events, "RewardDistributed")["standard_rewards"] == 4_660_620
    assert made.get("System.Account", USER)["data"]["reserved"] == 0
    conserved(made)


@pytest.mark.parametrize(
    ("more", "amount"),
    [
        ({"variant": Variant.RESERVE}, 5_825_775),
        ({"variant": Variant.LOCK}, 4_660_620),
        ({"variant": Variant.LOCK, "certified_surcharge": True}, 5_825_775),
    ],
)
def test_certified_capacity_costs_a_quarter_more_where_it_is_so(more: dict[str, Any], amount: int) -> None:
    made = world(**more)
    made.call(ALICE, "TfgridModule.set_node_certification", node_id=1, node_certification="Certified")
    assert only(bill(made, example(made)), "ContractBilled")["amount_billed"] == amount


@pytest.mark.parametrize("variant", Variant)
def test_money_of_a_bonded_account_earns_a_discount(variant: Variant) -> None:
    made = world(variant)
    made.fund(OTHER, 60_401_635_200)
    made.call(OTHER, "TfgridModule.bond_twin_account", twin_id=made.get("TfgridModule.TwinIdByAccountID", USER))
    told = only(bill(made, example(made)), "ContractBilled")
    assert (told["discount_level"], told["amount_billed"]) == ("Gold", 1_864_248)


@pytest.mark.parametrize("variant", Variant)
def test_after_24_bills_it_is_shared_out(variant: Variant) -> None:
    made = world(variant)
    id = made.contract(USER, 1)
    made.use(NODE, id, **USED)
    before = made.free(FOUNDATION)
    for number in range(1, 25):
        assert made.free(FOUNDATION) == before
        only(bill(made, id), "ContractBilled")
        conserved(made)
        assert (made.free(FOUNDATION) > before) == (number == 24)
    data = made.get("System.Account", USER)["data"]
    assert (data["frozen"], data["reserved"]) == (0, 0)


def test_the_queue_bills_each_contract_once_an_hour() -> None:
    made = world()
    used = made.contract(USER, 1)
    made.contract(USER, 1)
    made.use(NODE, used, **USED)
    for _ in range(1200):
        made.step()
    billed = [content["contract_id"] for name, content in made.events if name == f"{C}.ContractBilled"]
    assert billed == [used, used]


def test_a_solution_provider_gets_its_part_of_the_sales_share() -> None:
    made = world()
    shares = [{"who": FARMER, "take": 10}, {"who": OTHER, "take": 5}]
    refused(
        made,
        "InvalidProviderConfiguration",
        OTHER,
        "create_solution_provider",
        description=b"",
        link=b"",
        providers=[{"who": OTHER, "take": 51}],
    )
    made.call(OTHER, f"{C}.create_solution_provider", description=b"d", link=b"l", providers=shares)
    with pytest.raises(Refusal, match="SolutionProviderNotApproved"):
        example(made, provider=1)
    with pytest.raises(Refusal, match="BadOrigin"):
        made.call(OTHER, f"{C}.approve_solution_provider", solution_provider_id=1, approve=True)
    made.call(ALICE, f"{C}.approve_solution_provider", solution_provider_id=1, approve=True)
    id = example(made, provider=1)
    before = {who: made.free(who) for who in (FARMER, OTHER, SALES)}
    bill(made, id)
    made.call(USER, f"{C}.cancel_contract", contract_id=id)
    gained = {who: made.free(who) - had for who, had in before.items()}
    assert gained == {FARMER: 466_062, OTHER: 233_031, SALES: 1_631_217}


def test_addresses_are_taken_in_order_and_given_back() -> None:
    made = world()
    first, second = made.contract(USER, 1, ips=1), made.contract(USER, 1, ips=1)
    assert [one["contract_id"] for one in made.get("TfgridModule.Farms", 1)["public_ips"]] == [first, second]
    with pytest.raises(Refusal, match="FarmHasNotEnoughPublicIPsFree"):
        made.contract(USER, 1, ips=1)
    with pytest.raises(Refusal, match="FarmHasNotEnoughPublicIPs"):
        made.contract(USER, 1, ips=3)
    freed = only(made.call(USER, f"{C}.cancel_contract", contract_id=first), "IPsFreed")
    assert freed["public_ips"][0]["contract_id"] == 0
    assert [one["contract_id"] for one in made.get("TfgridModule.Farms", 1)["public_ips"]] == [0, second]


@pytest.mark.parametrize("variant", Variant)
def test_nothing_of_a_canceled_contract_is_left(variant: Variant) -> None:
    made = world(variant)
    id = example(made)
    made.call(USER, f"{C}.create_name_contract", name=b"name")
    bill(made, id)
    refused(made, "TwinNotAuthorizedToCancelContract", NODE, "cancel_contract", contract_id=id)
    for contract in (id, id + 1):
        made.call(USER, f"{C}.cancel_contract", contract_id=contract)
        for item in (
            "Contracts",
            "ContractLock",
            "ContractPaymentState",
            "NodeContractResources",
            "ContractBillingInformationByID",
        ):
            assert not made.context().has(f"{C}.{item}", contract), item
    assert made.get(f"{C}.ActiveNodeContracts", 1) == []
    assert not any(made.get(f"{C}.ContractsToBillAt", place) for place in range(600))
    refused(made, "ContractNotExists", USER, "cancel_contract", contract_id=id)
    made.call(USER, f"{C}.create_name_contract", name=b"name")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (b"ab", "NameContractNameTooShort"),
        (b"a" * 65, "NameContractNameTooLong"),
        (b"Abc", "NameNotValid"),
        (b"a.b", "NameNotValid"),
    ],
)
def test_a_name_is_checked(name: bytes, error: str) -> None:
    refused(world(), error, USER, "create_name_contract", name=name)


def test_a_name_costs_by_the_hour_and_belongs_to_one() -> None:
    made = world()
    made.call(USER, f"{C}.create_name_contract", name=b"some-name_1")
    refused(made, "NameExists", FARMER, "create_name_contract", name=b"some-name_1")
    told = only(bill(made, 1), "ContractBilled")
    # 2 500 units are 50 000 at 50 mUSD; the user has money for more than 18 months of it.
    assert (told["discount_level"], told["amount_billed"]) == ("Gold", 20_000)


def test_traffic_older_than_the_last_report_adds_nothing_but_is_told() -> None:
    made = world()
    id = example(made)
    known = made.get(f"{C}.ContractBillingInformationByID", id)
    report = {"contract_id": id, "timestamp": known["last_updated"] - 1, "window": HOUR, "nru": GIB}
    events = made.call(NODE, f"{C}.add_nru_reports", reports=[report])
    assert names(events) == ["NruConsumptionReportReceived"]
    assert made.get(f"{C}.ContractBillingInformationByID", id) == known


def test_one_foreign_contract_fails_the_whole_report() -> None:
    made = world()
    made.node(OTHER, 1)
    mine, foreign = made.contract(USER, 1), made.contract(USER, 2)
    used = {"hru": 0, "sru": 1, "cru": 1, "mru": 1}
    reports = [{"contract_id": id, "used": used} for id in (mine, foreign)]
    refused(made, "NodeNotAuthorizedToComputeReport", NODE, "report_contract_resources", contract_resources=reports)
    assert made.get(f"{C}.NodeContractResources", mine)["contract_id"] == 0


def test_the_cycle_only_grows_and_every_contract_gets_its_new_place() -> None:
    made = world(billing_frequency=10)
    ids = [made.contract(USER, 1) for _ in range(25)]
    refused(made, "CanOnlyIncreaseFrequency", ALICE, "change_billing_frequency", frequency=10)
    with pytest.raises(Refusal, match="BadOrigin"):
        made.call(USER, f"{C}.change_billing_frequency", frequency=20)
    made.call(ALICE, f"{C}.change_billing_frequency", frequency=20)
    assert made.get(f"{C}.ContractsToBillAt", 5) == [5, 25]
    for id in ids:
        made.call(USER, f"{C}.cancel_contract", contract_id=id)
