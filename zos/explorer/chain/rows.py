"""The chain's stored values as rows of the database. Pure.

Fields are looked up by name, because runtimes differ. Numbers and texts are cut to what every database takes: the
chain's numbers are wider, and its texts may hold any bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zos.explorer.store.changes import Row
from zos.explorer.store.countries import region
from zos.explorer.store.schema import MAX_INT, PRICED_UNITS, UNITS, clean_text
from zos.substrate import address

MAX_RESOURCES = 2**50
"""Of one node: a node that claims more gains nothing by it, and sums stay within the database's numbers."""


def farm(value: Mapping[str, Any], payout: Any) -> tuple[Row, list[Row]]:
    """A row of `farm`, and those of its public addresses."""
    id = int(value["id"])
    ips = [
        {
            "farm_id": id,
            "ip": clean_text(one["ip"]),
            "gateway": clean_text(one["gateway"]),
            "contract_id": int(one["contract_id"]),
        }
        for one in value["public_ips"]
    ]
    name = clean_text(value["name"])
    row = {
        "farm_id": id,
        "name": name,
        "name_key": name.casefold(),
        "twin_id": int(value["twin_id"]),
        "pricing_policy_id": int(value["pricing_policy_id"]),
        "certification": str(value.get("certification", value.get("certification_type", "NotCertified"))),
        "stellar_address": clean_text(payout),
        "dedicated": bool(value.get("dedicated_farm", False)),
        "grid_version": int(value["version"]),
        "total_ips": len(ips),
        "free_ips": sum(not one["contract_id"] for one in ips),
    }
    return row, ips


def node(value: Mapping[str, Any], power: Any, fee: Any) -> tuple[Row, list[Row]]:
    """A row of `node`, and those of its interfaces. `power` is None for a node that nobody ever switched on or off."""
    id, location = int(value["id"]), value["location"]
    country, city = (
        clean_text(location.get("country", value.get("country"))),
        clean_text(location.get("city", value.get("city"))),
    )
    row = {
        "node_id": id,
        "farm_id": int(value["farm_id"]),
        "twin_id": int(value["twin_id"]),
        "grid_version": int(value["version"]),
        "country": country,
        "country_key": country.casefold(),
        "city": city,
        "city_key": city.casefold(),
        "region": region(country),
        "longitude": clean_text(location["longitude"]),
        "latitude": clean_text(location["latitude"]),
        **{f"total_{unit}": min(int(value["resources"][unit]), MAX_RESOURCES) for unit in UNITS},
        "created": min(int(value["created"]), MAX_INT),
        "farming_policy_id": int(value["farming_policy_id"]),
        "connection_price": int(value.get("connection_price", 0)),
        "certification": str(value.get("certification", value.get("certification_type", "Diy"))),
        "secure": bool(value.get("secure_boot", False)),
        "virtualized": bool(value.get("virtualized", False)),
        "serial_number": clean_text(value.get("serial_number")) or "Unknown",
        "power_state": _variant(power["state"]) if power else None,
        "power_target": _variant(power["target"]) if power else None,
        "extra_fee": min(int(fee or 0), MAX_INT),
        **public_config(value.get("public_config")),
    }
    interfaces = [
        {
            "node_id": id,
            "position": position,
            "name": clean_text(one["name"]),
            "mac": clean_text(one["mac"]),
            "ips": ",".join(clean_text(ip) for ip in one["ips"]),
        }
        for position, one in enumerate(value["interfaces"])
    ]
    return row, interfaces


def public_config(value: Any) -> Row:
    """The columns of a node's public config: nested today, flat up to spec 63."""
    if not value:
        return {"has_public_config": False, **dict.fromkeys(("ipv4", "gw4", "ipv6", "gw6", "domain"), "")}
    four, six = value.get("ip4") or {}, value.get("ip6") or {}
    return {
        "has_public_config": True,
        "ipv4": clean_text(four.get("ip", value.get("ipv4"))),
        "gw4": clean_text(four.get("gw", value.get("gw4"))),
        "ipv6": clean_text(six.get("ip", value.get("ipv6"))),
        "gw6": clean_text(six.get("gw", value.get("gw6"))),
        "domain": clean_text(value.get("domain")),
    }


def twin(value: Mapping[str, Any]) -> Row:
    relay, key = value.get("relay", value.get("ip")), value.get("pk")
    return {
        "twin_id": int(value["id"]),
        "account_id": address(bytes(value["account_id"])),
        "relay": None if relay is None else clean_text(relay),
        "public_key": None if key is None else "0x" + bytes(key).hex(),
    }


def contract(value: Mapping[str, Any], used: Any, created: int) -> Row:
    """A row of `contract`, of any type; `used` is the chain's record of what its node reported."""
    ((kind, body),) = value["contract_type"].items()
    resources = (used or {}).get("used") or {}
    return {
        "contract_id": int(value["contract_id"]),
        "type": {"NodeContract": "node", "NameContract": "name", "RentContract": "rent"}[kind],
        "twin_id": int(value["twin_id"]),
        "state": _variant(value["state"]),
        "created_at": created,
        "grid_version": int(value["version"]),
        "solution_provider_id": min(int(value.get("solution_provider_id") or 0), MAX_INT),
        "node_id": int(body.get("node_id", 0)),
        "name": clean_text(body.get("name")),
        "deployment_data": clean_text(body.get("deployment_data")),
        "deployment_hash": clean_text(body.get("deployment_hash")),
        "number_of_public_ips": int(body.get("public_ips", 0)),
        **{f"used_{unit}": min(int(resources.get(unit, 0)), MAX_RESOURCES) for unit in UNITS},
    }


def bill(value: Mapping[str, Any], block: int, position: int) -> Row:
    """A row of `bill`; amounts in units of 1e-7 TFT."""
    return {
        "block": block,
        "position": position,
        "contract_id": int(value["contract_id"]),
        "timestamp": int(value["timestamp"]),
        "amount": min(int(value["amount_billed"]), MAX_INT),
        "discount": str(value["discount_level"]),
    }


def pricing_policy(value: Mapping[str, Any]) -> Row:
    """A row of `pricing_policy`: units of 1e-7 USD per unit and hour."""
    return {
        "pricing_policy_id": int(value["id"]),
        "grid_version": int(value["version"]),
        "name": clean_text(value["name"]),
        **{name: int(value[name]["value"]) for name in PRICED_UNITS},
        **{f"{name}_unit": str(value[name]["unit"]) for name in PRICED_UNITS},
        "foundation_account": address(bytes(value["foundation_account"])),
        "certified_sales_account": address(bytes(value["certified_sales_account"])),
        "discount": int(value.get("discount_for_dedication_nodes", 0)),
    }


def farming_policy(value: Mapping[str, Any]) -> Row:
    """A row of `farming_policy`: what farmers get."""
    numbers = ("cu", "su", "nu", "ipv4", "minimal_uptime", "policy_created", "policy_end")
    return {
        "farming_policy_id": int(value["id"]),
        "grid_version": int(value["version"]),
        "name": clean_text(value["name"]),
        **{name: int(value[name]) for name in numbers},
        "immutable": bool(value["immutable"]),
        "default": bool(value["default"]),
        "node_certification": str(value["node_certification"]),
        "farm_certification": str(value["farm_certification"]),
    }


def solution_provider(value: Mapping[str, Any]) -> Row:
    """A row of `solution_provider`: who gets a share of a contract's price."""
    return {
        "solution_provider_id": min(int(value["solution_provider_id"]), MAX_INT),
        "description": clean_text(value["description"]),
        "link": clean_text(value["link"]),
        "approved": bool(value["approved"]),
        "providers": [{"who": address(bytes(one["who"])), "take": int(one["take"])} for one in value["providers"]],
    }


def _variant(value: Any) -> str:
    """The name of an enum's variant, with or without fields."""
    return str(next(iter(value)) if isinstance(value, Mapping) else value)
