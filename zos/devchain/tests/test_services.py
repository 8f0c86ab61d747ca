"""Service contracts: agreed on by both sides, billed by the hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zos.devchain.errors import Refusal
from zos.devchain.tests.billing import HOUR, OTHER, USER, C, only, world
from zos.devchain.world import World


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
