"""Who cannot pay: grace, restoration, overdraft, the end."""

from __future__ import annotations

from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.pallets.contracts.billing import GRACE
from zos.devchain.runtime import Variant
from zos.devchain.tests.billing import (
    HOUR,
    NODE,
    POOR,
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
from zos.devchain.world import World


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


def test_grace_of_the_rent_is_grace_of_the_contracts() -> None:
    made = world(money=POOR // 10)
    id = rent(made)
    inside = made.contract(USER, 1)
    started = [e for e in bill(made, id) if e[0].endswith("ContractGracePeriodStarted")]
    assert [content["contract_id"] for _, content in started] == [id, inside]
    with pytest.raises(Refusal, match="NodeNotAvailableToDeploy"):
        made.contract(USER, 1)
    made.block += GRACE
    gone = names(bill(made, id))
    assert {"RentContractCanceled", "NodeContractCanceled"} <= set(gone)
    assert made.get(f"{C}.Contracts", inside) is None


def test_one_contract_that_cannot_be_billed_does_not_stop_the_others() -> None:
    made = world(billing_frequency=1)
    bad, good = made.contract(USER, 1), made.contract(USER, 1)
    made.use(NODE, bad, **USED)
    made.use(NODE, good, **USED)
    broken = made.get(f"{C}.Contracts", bad)
    made.context().put(f"{C}.Contracts", bad, {**broken, "twin_id": 99})
    assert only(made.step(HOUR), "ContractBilled")["contract_id"] == good
