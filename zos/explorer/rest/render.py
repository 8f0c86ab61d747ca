"""Rows of the database as the shapes of answers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zos.explorer.rest import shapes
from zos.explorer.rules import Status

Row = Mapping[Any, Any]


def node(row: Row, gpus: Sequence[Row]) -> shapes.Node:
    """A row of `queries.NODE_ROWS`, with its graphics cards."""
    total, used = (
        shapes.Capacity(**{unit: row[f"{what}_{unit}"] for unit in ("cru", "sru", "hru", "mru")})
        for what in ("total", "used")
    )
    return shapes.Node(**_common(row, gpus), total_resources=total, used_resources=used)


def nested(node: shapes.Node) -> shapes.NodeWithNestedCapacity:
    """The same node in the shape of `/nodes/{node_id}`."""
    common = {name: getattr(node, name) for name in shapes.AnyNode.__struct_fields__}
    return shapes.NodeWithNestedCapacity(
        **common, capacity=shapes.NestedCapacity(node.total_resources, node.used_resources)
    )


def _common(row: Row, gpus: Sequence[Row]) -> dict[str, Any]:
    return {
        "id": f"node-{row['node_id']}",
        **{name: row[name] for name in ("node_id", "farm_id", "twin_id", "country", "city", "region", "grid_version")},
        **{name: row[name] for name in ("uptime", "created", "farming_policy_id", "updated_at", "serial_number")},
        **{name: row[name] for name in ("rent_contract_id", "num_gpu", "extra_fee")},
        "farm_name": row["farm_name"] or "",
        "farm_free_ips": row["farm_free_ips"] or 0,
        "location": shapes.Location(
            row["country"], row["city"], coordinate(row["longitude"]), coordinate(row["latitude"])
        ),
        "public_config": shapes.PublicConfig(*(row[name] for name in ("domain", "gw4", "gw6", "ipv4", "ipv6"))),
        "status": Status(row["status"]),
        "certification_type": row["certification"],
        "dedicated": row["is_dedicated"],
        "in_dedicated_farm": row["farm_dedicated"],
        "rented": row["is_rented"],
        "rentable": row["is_rentable"],
        "rented_by": row["renter"],
        "power": shapes.Power(row["power_state"] or "", row["power_target"] or ""),
        "healthy": row["is_healthy"],
        "dmi": shapes.Dmi(
            shapes.Bios(**(row["bios"] or {})),
            shapes.Baseboard(**(row["baseboard"] or {})),
            [shapes.Processor(**one) for one in row["processor"] or ()],
            [shapes.Memory(**one) for one in row["memory"] or ()],
        ),
        "speed": shapes.Speed(row["upload"] or 0.0, row["download"] or 0.0),
        "gpus": [
            shapes.Gpu(one["id"], one["vendor"], one["device"], one["contract"], one["updated_at"]) for one in gpus
        ],
        "price_usd": math.floor(row["discounted_price"] * 1000 + 0.5) / 1000,
        "features": row["offered"] or [],
    }


def farm(row: Row, ips: Sequence[Row]) -> shapes.Farm:
    """A row of `farm` with its addresses."""
    return shapes.Farm(
        name=row["name"],
        farm_id=row["farm_id"],
        twin_id=row["twin_id"],
        pricing_policy_id=row["pricing_policy_id"],
        certification_type=row["certification"],
        stellar_address=row["stellar_address"],
        dedicated=row["dedicated"],
        public_ips=[shapes.FarmIp(ip_id(ip), ip["ip"], ip["gateway"], ip["contract_id"]) for ip in ips],
    )


def public_ip(row: Row) -> shapes.PublicIp:
    """A row of `public_ip`."""
    return shapes.PublicIp(ip_id(row), row["ip"], row["gateway"], row["contract_id"], row["farm_id"])


def ip_id(row: Row) -> str:
    """The id that we give an address; the chain has none."""
    return f"{row['farm_id']}-{row['ip']}"


def twin(row: Row) -> shapes.Twin:
    """A row of `twin`."""
    return shapes.Twin(row["twin_id"], row["account_id"], row["relay"] or "", row["public_key"] or "")


def contract(row: Row) -> shapes.Contract:
    """A row of `contract` with its node's farm."""
    common = {name: row[name] for name in shapes.AnyContract.__struct_fields__}
    farm: dict[str, Any] = {"farm_name": row["farm_name"] or "", "farm_id": row["farm_id"] or 0}
    match row["type"]:
        case "node":
            names = ("node_id", "deployment_data", "deployment_hash", "number_of_public_ips")
            return shapes.NodeContract(
                **common, details=shapes.NodeDetails(**{name: row[name] for name in names}, **farm)
            )
        case "rent":
            return shapes.RentContract(**common, details=shapes.RentDetails(row["node_id"], **farm))
        case _:
            return shapes.NameContract(**common, details=shapes.NameDetails(row["name"]))


def coordinate(text: str) -> float | None:
    """A coordinate; None for a word such as Unknown."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= 360 else None
