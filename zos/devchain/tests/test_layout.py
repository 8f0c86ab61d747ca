"""The layout of the pallets: numbers of spec 145, and what the reserve variant adds at their ends only."""

from __future__ import annotations

import pytest

from zos.devchain.runtime import BY_NAME, METADATA_OF, PALLETS, Variant
from zos.substrate.runtime import Runtime

NUMBERS = {
    "System": 0,
    "Timestamp": 1,
    "Utility": 3,
    "ValidatorSet": 10,
    "Balances": 20,
    "TransactionPayment": 21,
    "TfgridModule": 25,
    "SmartContractModule": 26,
    "TFTPriceModule": 28,
    "BurningModule": 29,
    "TFKVStore": 30,
    "Council": 40,
    "CouncilMembership": 41,
    "Dao": 43,
    "Validator": 50,
}


def test_pallets_have_the_numbers_of_spec_145() -> None:
    assert {pallet.name: pallet.index for pallet in PALLETS} == NUMBERS


@pytest.mark.parametrize(
    ("pallet", "call", "arguments", "first"),
    [
        ("SmartContractModule", "create_name_contract", {"name": b""}, b"\x1a\x04"),
        ("SmartContractModule", "bill_contract_for_block", {"contract_id": 0}, b"\x1a\x0a"),
        ("SmartContractModule", "set_dedicated_node_extra_fee", {"node_id": 0, "extra_fee": 0}, b"\x1a\x14"),
        ("TFTPriceModule", "set_prices", {"price": 0, "block_number": 0}, b"\x1c\x00"),
        ("TFKVStore", "delete", {"key": b""}, b"\x1e\x01"),
        ("Dao", "close", {"proposal_hash": bytes(32), "proposal_index": 0}, b"\x2b\x03"),
    ],
)
def test_a_client_finds_the_calls_where_they_are(
    pallet: str, call: str, arguments: dict[str, object], first: bytes
) -> None:
    runtime = Runtime(METADATA_OF[Variant.LOCK], 145, 2)
    assert runtime.call(pallet, call, arguments)[:2] == first


def test_the_reserve_variant_only_adds() -> None:
    lock = next(one for one in PALLETS if one.name == "SmartContractModule")
    reserve = BY_NAME["SmartContractModule"]
    assert reserve.events[: len(lock.events)] == lock.events
    assert reserve.errors[: len(lock.errors)] == lock.errors
    assert reserve.storage[: len(lock.storage)] == lock.storage
    assert len(lock.events) == 25
    assert [one.name for one in reserve.events[25:]] == [
        "RentWaived",
        "ContractGracePeriodElapsed",
        "ContractPaymentOverdrawn",
        "RewardDistributed",
    ]


@pytest.mark.parametrize("variant", Variant)
def test_a_client_knows_the_payment_state_only_where_it_is(variant: Variant) -> None:
    runtime = Runtime(METADATA_OF[variant], 145, 2)
    assert runtime.has_item("SmartContractModule", "ContractPaymentState") == (variant is Variant.RESERVE)
    assert runtime.has_item("SmartContractModule", "ContractLock")
