"""Rented nodes, and contracts that end with their node."""

from __future__ import annotations

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.runtime import Variant
from zos.devchain.tests.billing import (
    BOB,
    FARMER,
    HOUR,
    NODE,
    OTHER,
    USED,
    USER,
    C,
    bill,
    conserved,
    example,
    names,
    only,
    refused,
    rent,
    world,
)


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
