"""Contracts on the runtime: who may, what is reserved, what a bill takes and to whom it goes, grace, the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.genesis import Genesis, developer
from zos.devchain.pallets.contracts.billing import GRACE, STAKING_POOL
from zos.devchain.runtime import Variant
from zos.devchain.world import World

GIB = 1024**3
HOUR = 3600
C = "SmartContractModule"
ALICE, BOB, FOUNDATION, SALES = (developer(name) for name in ("Alice", "Bob", "Eve", "Ferdie"))
FARMER, NODE, USER, OTHER = (bytes([n]) * 32 for n in (0xF0, 0xF1, 0xF2, 0xF3))
POOR = 2 * 4_660_620
USED = {"sru": 50 * GIB, "cru": 2, "mru": 4 * GIB}


def world(variant: Variant = Variant.LOCK, money: int = POOR * 100, **more: Any) -> World:
    """One farm with two addresses, one node, one user with so much money."""
    made = World(Genesis(billing=variant, **more))
    made.farm(FARMER, ips=2)
    made.node(NODE, 1)
    made.twin(USER)
    made.fund(USER, money - made.free(USER))
    return made


def example(made: World, provider: int | None = None) -> int:
    """The contract of the worked example, traffic included."""
    id = made.contract(USER, 1, ips=1, provider=provider)
    made.use(NODE, id, **USED)
    report = {"contract_id": id, "timestamp": made.now + HOUR, "window": HOUR, "nru": 5 * GIB}
    made.call(NODE, f"{C}.add_nru_reports", reports=[report])
    return id


def bill(made: World, id: int, after: int = HOUR) -> list[tuple[str, Any]]:
    """Bill by hand after some seconds."""
    made.now += after
    return made.call(OTHER, f"{C}.bill_contract_for_block", contract_id=id)


def names(events: list[tuple[str, Any]]) -> list[str]:
    return [name.partition(".")[2] for name, _ in events]


def only(events: list[tuple[str, Any]], name: str) -> Any:
    (found,) = [content for event, content in events if event == f"{C}.{name}"]
    return found


def refused(made: World, error: str, who: bytes, call: str, /, **arguments: Any) -> None:
    with pytest.raises(Refusal) as caught:
        made.call(who, f"{C}.{call}", **arguments)
    assert caught.value.error == error


def conserved(made: World) -> None:
    assert made.held() == made.get("Balances.TotalIssuance")


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


# Grace


def until_elapsed(made: World, id: int) -> list[tuple[str, Any]]:
    made.block += GRACE
    return bill(made, id)


def test_who_cannot_pay_has_two_weeks_and_is_then_deleted() -> None:
    made = world(money=POOR // 4)
    id = example(made)
    told = only(bill(made, id), "ContractGracePeriodStarted")
    assert told == {"contract_id": id, "node_id": 1, "twin_id": 3, "block_number": made.block}
    assert made.get(f"{C}.Contracts", id)["state"] == {"GracePeriod": made.block}
    refused(
        made,
        "CannotUpdateContractInGraceState",
        USER,
        "update_node_contract",
        contract_id=id,
        deployment_hash=bytes(32),
        deployment_data=b"",
    )
    made.block += GRACE - 1
    assert bill(made, id) == []
    made.block += 1
    events = names(bill(made, id))
    assert events[-3:] == ["ContractBilled", "IPsFreed", "NodeContractCanceled"]
    assert made.get(f"{C}.Contracts", id) is None
    conserved(made)


@pytest.mark.parametrize("variant", Variant)
def test_who_pays_up_is_restored(variant: Variant) -> None:
    made = world(variant, money=POOR // 8)
    id = made.contract(USER, 1)
    made.use(NODE, id, **USED)
    only(bill(made, id), "ContractGracePeriodStarted")
    made.fund(USER, POOR * 10)
    assert {"ContractGracePeriodEnded", "ContractBilled"} <= set(names(bill(made, id)))
    assert made.get(f"{C}.Contracts", id)["state"] == "Created"
    conserved(made)


def test_grace_begins_when_all_is_owed_exactly() -> None:
    exact = world(money=4_660_620)
    only(bill(exact, example(exact)), "ContractGracePeriodStarted")
    more = world(money=4_660_621)
    only(bill(more, example(more)), "ContractBilled")


def test_an_overdraft_is_kept_and_settled_with_the_next_bill() -> None:
    made = world(Variant.RESERVE, money=1_000_500)
    id = example(made)
    told = only(bill(made, id), "ContractPaymentOverdrawn")
    assert (told["partially_billed_amount"], told["overdraft"]) == (1_000_000, 3_660_620)
    made.fund(USER, POOR)
    billed = only(bill(made, id), "ContractBilled")
    assert billed["amount_billed"] == 3_660_620 + 3_050_000
    state = made.get(f"{C}.ContractPaymentState", id)
    assert (state["standard_reserve"], state["standard_overdraft"]) == (7_710_620, 0)
    conserved(made)


def test_an_overdraft_of_two_weeks_ends_the_contract() -> None:
    made = world(Variant.RESERVE, money=1_000_500)
    id = example(made)
    only(bill(made, id), "ContractGracePeriodStarted")
    events = until_elapsed(made, id)
    assert only(events, "ContractGracePeriodElapsed") == {"contract_id": id, "grace_period": GRACE}
    assert only(events, "RewardDistributed")["standard_rewards"] == 1_000_000
    assert made.get(f"{C}.Contracts", id) is None
    conserved(made)


# Rented and dedicated nodes


def rent(made: World, who: bytes = USER) -> int:
    id = int(made.get(f"{C}.ContractID")) + 1
    made.call(who, f"{C}.create_rent_contract", node_id=1, solution_provider_id=None)
    return id


def test_only_the_tenant_deploys_on_a_rented_node() -> None:
    made = world()
    made.twin(OTHER)
    id = rent(made)
    refused(made, "NodeHasRentContract", OTHER, "create_rent_contract", node_id=1, solution_provider_id=None)
    with pytest.raises(Refusal, match="NodeNotAvailableToDeploy"):
        made.contract(OTHER, 1)
    inside = made.contract(USER, 1)
    made.use(NODE, inside, **USED)
    refused(made, "NodeHasActiveContracts", USER, "cancel_contract", contract_id=id)
    assert bill(made, inside) == []
    made.call(USER, f"{C}.cancel_contract", contract_id=inside)
    made.call(USER, f"{C}.cancel_contract", contract_id=id)
    assert made.get(f"{C}.ActiveRentContractForNode", 1) is None


def test_a_node_with_contracts_is_not_rented_unless_the_farm_is_dedicated() -> None:
    made = world()
    made.contract(USER, 1)
    refused(made, "NodeNotAvailableToDeploy", USER, "create_rent_contract", node_id=1, solution_provider_id=None)
    made.call(BOB, "TfgridModule.set_farm_dedicated", farm_id=1, dedicated=True)
    with pytest.raises(Refusal, match="NodeNotAvailableToDeploy"):
        made.contract(USER, 1)
    rent(made)


@pytest.mark.parametrize("variant", Variant)
def test_the_extra_fee_is_the_farmers(variant: Variant) -> None:
    made = world(variant)
    refused(made, "UnauthorizedToSetExtraFee", USER, "set_dedicated_node_extra_fee", node_id=1, extra_fee=1)
    made.call(FARMER, f"{C}.set_dedicated_node_extra_fee", node_id=1, extra_fee=100_000)
    id = rent(made)
    refused(made, "NodeHasActiveContracts", FARMER, "set_dedicated_node_extra_fee", node_id=1, extra_fee=1)
    before = made.free(FARMER)
    # 464 000 units for the node at 50 % discount, 1 388 889 for the fee; 50 mUSD make 20 of each unit.
    assert only(bill(made, id), "ContractBilled")["amount_billed"] == 464_000 * 20 + 1_388_889 * 20
    made.call(USER, f"{C}.cancel_contract", contract_id=id)
    share = 0 if variant is Variant.LOCK else 464_000 * 20 // 2
    assert made.free(FARMER) - before == 1_388_889 * 20 + share
    conserved(made)


def test_grace_of_the_rent_is_grace_of_the_contracts() -> None:
    made = world(money=POOR // 10)
    id = rent(made)
    inside = made.contract(USER, 1)
    started = [e for e in bill(made, id) if e[0].endswith("ContractGracePeriodStarted")]
    assert [content["contract_id"] for _, content in started] == [id, inside]
    made.block += GRACE
    gone = names(bill(made, id))
    assert {"RentContractCanceled", "NodeContractCanceled"} <= set(gone)
    assert made.get(f"{C}.Contracts", inside) is None


@pytest.mark.parametrize("variant", Variant)
def test_a_node_that_sleeps_costs_no_rent(variant: Variant) -> None:
    made = world(variant)
    id = rent(made)
    made.call(NODE, "TfgridModule.change_power_state", power_state="Down")
    assert names(bill(made, id)) in ([], ["RentWaived"])
    made.call(NODE, "TfgridModule.change_power_state", power_state="Up")
    made.now += HOUR
    told = only(bill(made, id, after=0), "ContractBilled")
    assert told["amount_billed"] == 464_000 * 20


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("remove", ["delete_node", "delete_node_farm"])
def test_contracts_end_with_their_node(variant: Variant, remove: str) -> None:
    made = world(variant)
    id = example(made)
    made.now += HOUR
    events = made.call(NODE if remove == "delete_node" else FARMER, f"TfgridModule.{remove}", node_id=1)
    assert names(events)[-2:] == ["NodeContractCanceled", "NodeDeleted"]
    assert made.get(f"{C}.Contracts", id) is None
    assert all(not one["contract_id"] for one in made.get("TfgridModule.Farms", 1)["public_ips"])
    assert bool(made.get("TfgridModule.NodeIdByTwinID", 2)) == (remove == "delete_node")
    conserved(made)


# Reports


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


# The billing cycle


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


def test_one_contract_that_cannot_be_billed_does_not_stop_the_others() -> None:
    made = world(billing_frequency=1)
    bad, good = made.contract(USER, 1), made.contract(USER, 1)
    made.use(NODE, bad, **USED)
    made.use(NODE, good, **USED)
    broken = made.get(f"{C}.Contracts", bad)
    made.context().put(f"{C}.Contracts", bad, {**broken, "twin_id": 99})
    assert only(made.step(HOUR), "ContractBilled")["contract_id"] == good


# Service contracts


def service(made: World) -> Callable[..., list[tuple[str, Any]]]:
    made.twin(OTHER)
    made.call(OTHER, f"{C}.service_contract_create", service_account=OTHER, consumer_account=USER)

    def call(who: bytes, name: str, /, **arguments: Any) -> list[tuple[str, Any]]:
        return made.call(who, f"{C}.service_contract_{name}", service_contract_id=1, **arguments)

    return call


def test_a_service_is_agreed_on_and_billed() -> None:
    made = world()
    call = service(made)
    call(USER, "set_metadata", metadata=b"backup")
    with pytest.raises(Refusal, match="TwinNotAuthorized"):
        call(USER, "set_fees", base_fee=100, variable_fee=60)
    with pytest.raises(Refusal, match="ServiceContractApprovalNotAllowed"):
        call(USER, "approve")
    call(OTHER, "set_fees", base_fee=100, variable_fee=60)
    call(OTHER, "approve")
    with pytest.raises(Refusal, match="ServiceContractBillingNotApprovedByBoth"):
        call(OTHER, "bill", variable_amount=0, metadata=b"")
    call(USER, "approve")
    made.now += 1800
    with pytest.raises(Refusal, match="VariableAmountTooHigh"):
        call(OTHER, "bill", variable_amount=31, metadata=b"")
    had = made.free(OTHER)
    told = only(call(OTHER, "bill", variable_amount=30, metadata=b"half"), "ServiceContractBilled")
    # 50 mUSD base and 30 variable are 0.08 USD: 1.6 TFT at 50 mUSD.
    assert told["amount"] == 16_000_000
    assert made.free(OTHER) - had == 16_000_000
    assert told["bill"] == {"variable_amount": 30, "window": 1800, "metadata": b"half"}
    with pytest.raises(Refusal, match="ServiceContractModificationNotAllowed"):
        call(USER, "set_metadata", metadata=b"x")


def test_an_hour_is_the_most_that_a_service_bills() -> None:
    made = world()
    call = service(made)
    call(OTHER, "set_metadata", metadata=b"m")
    call(OTHER, "set_fees", base_fee=100, variable_fee=0)
    call(OTHER, "approve")
    call(USER, "approve")
    made.now += 10 * HOUR
    told = only(call(OTHER, "bill", variable_amount=0, metadata=b""), "ServiceContractBilled")
    assert (told["bill"]["window"], told["amount"]) == (HOUR, 20_000_000)


@pytest.mark.parametrize("end", ["reject", "cancel"])
def test_a_service_ends_when_either_side_wants(end: str) -> None:
    made = world()
    call = service(made)
    if end == "reject":
        with pytest.raises(Refusal, match="ServiceContractRejectionNotAllowed"):
            call(USER, end)
        call(OTHER, "set_metadata", metadata=b"m")
        call(OTHER, "set_fees", base_fee=1, variable_fee=0)
    told = only(call(USER, end), "ServiceContractCanceled")
    assert told == {"service_contract_id": 1, "cause": "CanceledByUser"}
    with pytest.raises(Refusal, match="ServiceContractNotExists"):
        call(USER, "cancel")


def test_a_service_that_cannot_be_paid_stays_as_it_was() -> None:
    made = world(money=10_000)
    call = service(made)
    call(OTHER, "set_metadata", metadata=b"m")
    call(OTHER, "set_fees", base_fee=100, variable_fee=0)
    call(OTHER, "approve")
    call(USER, "approve")
    made.now += HOUR
    with pytest.raises(Refusal, match="ServiceContractNotEnoughFundsToPayBill"):
        call(OTHER, "bill", variable_amount=0, metadata=b"")
    assert made.get(f"{C}.ServiceContracts", 1)["state"] == "ApprovedByBoth"
