"""The chain's stored values as rows, and what an event is a reason to look at. Pure.

Fields are looked for by name, so that runtimes may differ; numbers and texts are made fit for any database (the chain's
are wider, and what people wrote into it may hold anything).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.explorer.countries import region
from zos.substrate import Event, address

Row = dict[str, Any]

MOST = 2**63 - 1
MOST_RESOURCES = 2**50
"""Of one node; a node that claims more is no better for it, and sums stay in range."""
UNITS = ("hru", "sru", "cru", "mru")
POLICIES = ("su", "cu", "nu", "ipu", "unique_name", "domain_name")


@dataclass(slots=True)
class Touched:
    """What happened in some blocks: which entities to read again, and what only events tell."""

    farms: set[int] = field(default_factory=set)
    nodes: set[int] = field(default_factory=set)
    twins: set[int] = field(default_factory=set)
    contracts: set[int] = field(default_factory=set)
    pricing: set[int] = field(default_factory=set)
    farming: set[int] = field(default_factory=set)
    providers: set[int] = field(default_factory=set)
    price: bool = False
    uptimes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Node → newest report: unix seconds, seconds since boot."""
    heard: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Node → block and position of the newest report: blocks may be folded in any order, and share a second."""
    beats: dict[tuple[int, int], int] = field(default_factory=dict)
    """All of these reports: node and unix seconds → seconds since boot."""
    stored: dict[int, int] = field(default_factory=dict)
    """Node → unix seconds of the newest block in which it registered or changed."""
    bills: list[Row] = field(default_factory=list)
    created: dict[int, int] = field(default_factory=dict)
    """Contract → unix seconds."""
    seen: dict[int, tuple[int, Any]] = field(default_factory=dict)
    """Contract → block and record, for those that are gone before anybody looks."""

    def fold(self, events: Iterable[Event], block: int, time: int) -> None:
        """Take in the events of a block (`time`: its unix seconds)."""
        for position, event in enumerate(events):
            room = _ROOMS.get((event.pallet, event.name))
            if room is not None:
                getattr(self, room[0]).add(_id(event.fields, room[1]))
            elif event.pallet == "TFTPriceModule":
                self.price = True
            if event.name in _TELLING:
                self._told(event, block, position, time)

    def _told(self, event: Event, block: int, position: int, time: int) -> None:
        fields = event.fields
        match event.name:
            case "NodeUptimeReported":
                node, now, uptime = (min(int(one), MOST) for one in fields)
                is_newest = (block, position) >= self.heard.get(node, (0, 0))
                if is_newest:
                    self.heard[node] = block, position
                    self.uptimes[node] = now, uptime
                if is_newest or (node, now) not in self.beats:
                    self.beats[node, now] = uptime
            case "NodeStored" | "NodeUpdated":
                node = _id(fields, "id")
                self.stored[node] = max(time, self.stored.get(node, 0))
            case "ContractCreated" | "ContractUpdated":
                contract = _id(fields, "contract_id")
                if event.name == "ContractCreated":
                    self.created[contract] = time
                if block >= self.seen.get(contract, (0, None))[0]:
                    self.seen[contract] = (block, fields)
            case _:
                self.bills.append(bill(fields, block, position))


_TELLING = frozenset(
    {"NodeUptimeReported", "NodeStored", "NodeUpdated", "ContractCreated", "ContractUpdated", "ContractBilled"}
)
TIMED = frozenset({"NodeStored", "NodeUpdated", "ContractCreated"})
"""Events that are only worth something with the block's time."""
_GRID, _CONTRACTS = "TfgridModule", "SmartContractModule"
_ROOMS: dict[tuple[str, str], tuple[str, str]] = {
    **{(_GRID, f"Farm{what}"): ("farms", "id") for what in ("Stored", "Updated", "Deleted", "MarkedAsDedicated")},
    (_GRID, "FarmPayoutV2AddressRegistered"): ("farms", "farm_id"),
    (_GRID, "FarmCertificationSet"): ("farms", "farm_id"),
    (_GRID, "FarmingPolicySet"): ("farms", "farm_id"),
    **{(_GRID, f"Node{what}"): ("nodes", "id") for what in ("Stored", "Updated", "Deleted")},
    (_GRID, "NodePublicConfigStored"): ("nodes", "node_id"),
    (_GRID, "NodeCertificationSet"): ("nodes", "node_id"),
    (_GRID, "PowerTargetChanged"): ("nodes", "node_id"),
    (_GRID, "PowerStateChanged"): ("nodes", "node_id"),
    (_CONTRACTS, "NodeExtraFeeSet"): ("nodes", "node_id"),
    **{(_GRID, f"Twin{what}"): ("twins", "id") for what in ("Stored", "Updated", "Deleted")},
    (_GRID, "TwinOwnershipTransferred"): ("twins", "twin_id"),
    (_GRID, "PricingPolicyStored"): ("pricing", "id"),
    (_GRID, "FarmingPolicyStored"): ("farming", "id"),
    (_GRID, "FarmingPolicyUpdated"): ("farming", "id"),
    (_CONTRACTS, "SolutionProviderCreated"): ("providers", "solution_provider_id"),
    (_CONTRACTS, "SolutionProviderApproved"): ("providers", "solution_provider_id"),
    **{
        (_CONTRACTS, name): ("contracts", "contract_id")
        for name in (
            *("ContractCreated", "ContractUpdated", "ContractCanceled", "NodeContractCanceled"),
            *("NameContractCanceled", "RentContractCanceled", "IPsReserved", "IPsFreed", "UpdatedUsedResources"),
            *("ContractGracePeriodStarted", "ContractGracePeriodEnded", "ContractGracePeriodElapsed"),
        )
    },
}


def _id(fields: Any, name: str) -> int:
    """An event's entity: by name, the first of a tuple, or the only field."""
    if isinstance(fields, Mapping):
        return int(fields[name])
    return int(fields[0] if isinstance(fields, tuple) else fields)


# Rows


def farm(value: Mapping[str, Any], payout: Any) -> tuple[Row, list[Row]]:
    """A farm, and its public addresses."""
    id = int(value["id"])
    ips = [
        {"farm_id": id, "ip": text(one["ip"]), "gateway": text(one["gateway"]), "contract_id": int(one["contract_id"])}
        for one in value["public_ips"]
    ]
    name = text(value["name"])
    row = {
        "farm_id": id,
        "name": name,
        "name_key": name.casefold(),
        "twin_id": int(value["twin_id"]),
        "pricing_policy_id": int(value["pricing_policy_id"]),
        "certification": str(value.get("certification", value.get("certification_type", "NotCertified"))),
        "stellar_address": text(payout),
        "dedicated": bool(value.get("dedicated_farm", False)),
        "grid_version": int(value["version"]),
        "total_ips": len(ips),
        "free_ips": sum(not one["contract_id"] for one in ips),
    }
    return row, ips


def node(value: Mapping[str, Any], power: Any, fee: Any) -> tuple[Row, list[Row]]:
    """A node, and its interfaces. `power` is None for a node that nobody ever switched."""
    id, where = int(value["id"]), value["location"]
    country, city = text(where.get("country", value.get("country"))), text(where.get("city", value.get("city")))
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
        "longitude": text(where["longitude"]),
        "latitude": text(where["latitude"]),
        **{f"total_{unit}": min(int(value["resources"][unit]), MOST_RESOURCES) for unit in UNITS},
        "created": min(int(value["created"]), MOST),
        "farming_policy_id": int(value["farming_policy_id"]),
        "connection_price": int(value.get("connection_price", 0)),
        "certification": str(value.get("certification", value.get("certification_type", "Diy"))),
        "secure": bool(value.get("secure_boot", False)),
        "virtualized": bool(value.get("virtualized", False)),
        "serial_number": text(value.get("serial_number")) or "Unknown",
        "power_state": _word(power["state"]) if power else None,
        "power_target": _word(power["target"]) if power else None,
        "extra_fee": min(int(fee or 0), MOST),
        **public_config(value.get("public_config")),
    }
    interfaces = [
        {
            "node_id": id,
            "position": position,
            "name": text(one["name"]),
            "mac": text(one["mac"]),
            "ips": ",".join(text(ip) for ip in one["ips"]),
        }
        for position, one in enumerate(value["interfaces"])
    ]
    return row, interfaces


def public_config(value: Any) -> Row:
    """A node's public addresses: nested today, flat and plain up to spec 63."""
    if not value:
        return {"has_public_config": False, **dict.fromkeys(("ipv4", "gw4", "ipv6", "gw6", "domain"), "")}
    four, six = value.get("ip4") or {}, value.get("ip6") or {}
    return {
        "has_public_config": True,
        "ipv4": text(four.get("ip", value.get("ipv4"))),
        "gw4": text(four.get("gw", value.get("gw4"))),
        "ipv6": text(six.get("ip", value.get("ipv6"))),
        "gw6": text(six.get("gw", value.get("gw6"))),
        "domain": text(value.get("domain")),
    }


def twin(value: Mapping[str, Any]) -> Row:
    """A twin."""
    relay, key = value.get("relay", value.get("ip")), value.get("pk")
    return {
        "twin_id": int(value["id"]),
        "account_id": address(bytes(value["account_id"])),
        "relay": None if relay is None else text(relay),
        "public_key": None if key is None else "0x" + bytes(key).hex(),
    }


def contract(value: Mapping[str, Any], used: Any, created: int) -> Row:
    """A contract of any type, with what its node says that it uses."""
    ((kind, body),) = value["contract_type"].items()
    resources = (used or {}).get("used") or {}
    return {
        "contract_id": int(value["contract_id"]),
        "type": {"NodeContract": "node", "NameContract": "name", "RentContract": "rent"}[kind],
        "twin_id": int(value["twin_id"]),
        "state": _word(value["state"]),
        "created_at": created,
        "grid_version": int(value["version"]),
        "solution_provider_id": min(int(value.get("solution_provider_id") or 0), MOST),
        "node_id": int(body.get("node_id", 0)),
        "name": text(body.get("name")),
        "deployment_data": text(body.get("deployment_data")),
        "deployment_hash": text(body.get("deployment_hash")),
        "number_of_public_ips": int(body.get("public_ips", 0)),
        **{f"used_{unit}": min(int(resources.get(unit, 0)), MOST_RESOURCES) for unit in UNITS},
    }


def bill(value: Mapping[str, Any], block: int, position: int) -> Row:
    """A bill; amounts in units of 1e-7 TFT."""
    return {
        "block": block,
        "position": position,
        "contract_id": int(value["contract_id"]),
        "timestamp": int(value["timestamp"]),
        "amount": min(int(value["amount_billed"]), MOST),
        "discount": str(value["discount_level"]),
    }


def pricing_policy(value: Mapping[str, Any]) -> Row:
    """What is paid for: units of 1e-7 USD per unit and hour."""
    return {
        "pricing_policy_id": int(value["id"]),
        "grid_version": int(value["version"]),
        "name": text(value["name"]),
        **{name: int(value[name]["value"]) for name in POLICIES},
        **{f"{name}_unit": str(value[name]["unit"]) for name in POLICIES},
        "foundation_account": address(bytes(value["foundation_account"])),
        "certified_sales_account": address(bytes(value["certified_sales_account"])),
        "discount": int(value.get("discount_for_dedication_nodes", 0)),
    }


def farming_policy(value: Mapping[str, Any]) -> Row:
    """What farmers get."""
    numbers = ("cu", "su", "nu", "ipv4", "minimal_uptime", "policy_created", "policy_end")
    return {
        "farming_policy_id": int(value["id"]),
        "grid_version": int(value["version"]),
        "name": text(value["name"]),
        **{name: int(value[name]) for name in numbers},
        "immutable": bool(value["immutable"]),
        "default": bool(value["default"]),
        "node_certification": str(value["node_certification"]),
        "farm_certification": str(value["farm_certification"]),
    }


def solution_provider(value: Mapping[str, Any]) -> Row:
    """Who gets a share of a contract's price."""
    return {
        "solution_provider_id": min(int(value["solution_provider_id"]), MOST),
        "description": text(value["description"]),
        "link": text(value["link"]),
        "approved": bool(value["approved"]),
        "providers": [{"who": address(bytes(one["who"])), "take": int(one["take"])} for one in value["providers"]],
    }


def text(value: Any) -> str:
    """Bytes of the chain as text that every database takes."""
    if value is None:
        return ""
    raw = value if isinstance(value, str) else bytes(value).decode(errors="replace")
    return raw.encode(errors="replace").decode().replace("\0", "")


def _word(value: Any) -> str:
    """The name of an enum's variant."""
    return str(next(iter(value)) if isinstance(value, Mapping) else value)
