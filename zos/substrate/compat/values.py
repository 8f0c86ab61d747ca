"""Stored values and events of any generation with the names and shapes of spec 145. Pure.

Each function looks at which fields a value has. A record that old runtimes give for a missing entry, all zeros, is
None here, as newer ones say it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zos.substrate.compat.calls import NO_RELAY

Value = dict[str, Any]
Modern = Callable[[Any], Any]
_FARM_KINDS = {"Diy": "NotCertified", "Certified": "Gold"}


def modern_value(pallet: str, item: str, value: Any) -> Any:
    """A stored value as spec 145 has it."""
    change = _ITEMS.get((pallet, item))
    return value if change is None or value is None else change(value)


def modern_event(pallet: str, name: str, fields: Any, count: int, is_named: bool) -> Any:
    """An event's `count` fields as spec 145 has them: named where they are named there."""
    names = _NAMED.get((pallet, name), ())
    if not is_named and len(names) == count > 0:
        fields = dict(zip(names, fields if count > 1 else (fields,), strict=True))
    change = _CARRIED.get((pallet, name))
    return change(fields) if change else fields


def account(value: Value) -> Value:
    """System.Account: what may not be spent was two numbers once."""
    data = value["data"]
    if "frozen" not in data:
        frozen = max(data["misc_frozen"], data["fee_frozen"])
        data = {"free": data["free"], "reserved": data["reserved"], "frozen": frozen, "flags": 0}
    return {"sufficients": 0, **value, "data": data}


def twin(value: Value) -> Value | None:
    """A twin: before relays it had an address."""
    if not value["id"]:
        return None
    if "relay" in value:
        return value
    text = bytes(value["ip"])
    return {**value, "relay": None if text == NO_RELAY else text, "pk": None}


def farm(value: Value) -> Value | None:
    """A farm of any generation in today's shape; None where old chains answer an empty one."""
    if not value["id"]:
        return None
    # Fields came with specs 50 and 63, where the certification also got another name.
    value = {"dedicated_farm": False, "farming_policy_limits": None, **value}
    if "certification" not in value:
        kind = value.pop("certification_type")
        value["certification"] = _FARM_KINDS.get(kind, kind)
    return value


def node(value: Value) -> Value | None:
    """A node: place, certification and serial number were laid out otherwise."""
    if not value["id"]:
        return None
    # They came with specs 28, 43, 63, and about 101, which moved city and country into the location.
    absent = {"connection_price": 0, "secure_boot": False, "virtualized": False, "serial_number": None}
    value = {**absent, **value}
    if "country" in value:
        value["location"] = {"city": value.pop("city"), "country": value.pop("country"), **value["location"]}
    if "certification" not in value:
        value["certification"] = value.pop("certification_type", "Diy")
    value["serial_number"] = value["serial_number"] or None
    value["public_config"] = public_config(value["public_config"])
    return value


def public_config(value: Value | None) -> Value | None:
    """A node's public addresses; one without any is none."""
    if value is None or "ipv4" not in value:
        return value
    if not value["ipv4"]:
        return None
    ip6 = {"ip": value["ipv6"], "gw": value["gw6"]} if value["ipv6"] else None
    return {"ip4": {"ip": value["ipv4"], "gw": value["gw4"]}, "ip6": ip6, "domain": value["domain"] or None}


def contract(value: Value) -> Value | None:
    """A contract of any type."""
    return {"solution_provider_id": None, **value} if value["contract_id"] else None


def rent(value: Any) -> int | None:
    """The rent contract of a node: once the whole contract, then its id."""
    return (int(value["contract_id"]) or None) if isinstance(value, Mapping) else value


def lock(value: Value) -> Value:
    """What a contract holds of its owner's balance."""
    return {"extra_amount_locked": 0, **value}


def _configured(fields: Any) -> Any:
    return (fields[0], public_config(fields[1]))


GRID, CONTRACTS = "TfgridModule", "SmartContractModule"
_ITEMS: Mapping[tuple[str, str], Modern] = {
    ("System", "Account"): account,
    (GRID, "Twins"): twin,
    (GRID, "Farms"): farm,
    (GRID, "Nodes"): node,
    (CONTRACTS, "Contracts"): contract,
    (CONTRACTS, "ActiveRentContractForNode"): rent,
    (CONTRACTS, "ContractLock"): lock,
}
_CARRIED: Mapping[tuple[str, str], Modern] = {
    **{(GRID, name): twin for name in ("TwinStored", "TwinUpdated")},
    **{(GRID, name): farm for name in ("FarmStored", "FarmUpdated")},
    **{(GRID, name): node for name in ("NodeStored", "NodeUpdated")},
    (GRID, "NodePublicConfigStored"): _configured,
    **{(CONTRACTS, name): contract for name in ("ContractCreated", "ContractUpdated")},
}
_NAMED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("System", "ExtrinsicSuccess"): ("dispatch_info",),
    ("System", "ExtrinsicFailed"): ("dispatch_error", "dispatch_info"),
    ("System", "NewAccount"): ("account",),
    ("System", "KilledAccount"): ("account",),
    ("System", "Remarked"): ("sender", "hash"),
    ("Balances", "Endowed"): ("account", "free_balance"),
    ("Balances", "DustLost"): ("account", "amount"),
    ("Balances", "Transfer"): ("from", "to", "amount"),
    ("Balances", "Deposit"): ("who", "amount"),
    ("Balances", "Withdraw"): ("who", "amount"),
    ("Balances", "Reserved"): ("who", "amount"),
    ("Balances", "Unreserved"): ("who", "amount"),
    (CONTRACTS, "NodeContractCanceled"): ("contract_id", "node_id", "twin_id"),
    (CONTRACTS, "ContractCanceled"): ("contract_id",),
    (CONTRACTS, "NameContractCanceled"): ("contract_id",),
    (CONTRACTS, "RentContractCanceled"): ("contract_id",),
    (CONTRACTS, "IPsReserved"): ("contract_id", "public_ips"),
    (CONTRACTS, "IPsFreed"): ("contract_id", "public_ips"),
    (CONTRACTS, "TokensBurned"): ("contract_id", "amount"),
    (CONTRACTS, "ContractGracePeriodStarted"): ("contract_id", "node_id", "twin_id", "block_number"),
    (CONTRACTS, "ContractGracePeriodEnded"): ("contract_id", "node_id", "twin_id"),
}
"""Events whose fields have names today."""
