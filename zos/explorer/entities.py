"""What GraphQL knows of the tables: entities with their fields and links, by the names that grid clients use. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table, Text, cast, func, literal, or_

from zos.explorer.filters import STATES
from zos.explorer.schema import (
    BILL,
    CONTRACT,
    FARM,
    FARMING_POLICY,
    INTERFACE,
    NODE,
    PRICING_POLICY,
    PUBLIC_IP,
    SOLUTION_PROVIDER,
    TWIN,
)

Row = Mapping[str, Any]
INT_MOST = 2**31 - 1


class Scalar(StrEnum):
    """GraphQL's types of fields."""

    INT = "Int"
    BIG = "BigInt"
    TEXT = "String"
    FLAG = "Boolean"
    JSON = "JSON"


ENUMS: dict[str, tuple[str, ...]] = {
    "NodeCertification": ("Diy", "Certified"),
    "FarmCertification": ("NotCertified", "Gold"),
    "ContractState": STATES,
    "PowerState": ("Up", "Down"),
    "Power": ("Up", "Down"),
    "DiscountLevel": ("None", "Default", "Bronze", "Silver", "Gold"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A value: `kind` is a Scalar or the name of one of ENUMS."""

    kind: str
    sql: ColumnElement[Any]
    get: Callable[[Row], Any]
    is_optional: bool = False


class LinkKind(StrEnum):
    """How a linked entity is found."""

    SAME = "same"
    """In the same row."""
    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Link:
    """Another entity, or a list of them."""

    kind: LinkKind
    target: str
    local: str = ""
    """Our column …"""
    remote: str = ""
    """… that equals this column of the target."""
    is_optional: bool = False
    is_there: ColumnElement[bool] | None = None
    has: Callable[[Row], bool] = field(default=lambda row: True)


@dataclass(frozen=True, slots=True)
class Entity:
    """Rows of a table as GraphQL objects. Entities without plural are only reached by links."""

    name: str
    plural: str
    table: Table
    fields: Mapping[str, Field]
    links: Mapping[str, Link] = field(default_factory=dict)
    only: ColumnElement[bool] | None = None
    """Which rows of the table are meant."""

    @property
    def singular(self) -> str:
        """As in `nodeById`."""
        return self.name[0].lower() + self.name[1:]


def _column(kind: str, column: Any, is_optional: bool = False) -> Field:
    name = column.name
    if kind == Scalar.INT:
        # The chain's numbers are unsigned; GraphQL's Int ends earlier.
        return Field(kind, column, lambda row: min(row[name], INT_MOST), is_optional)
    return Field(kind, column, lambda row: row[name], is_optional)


def _int(column: Any) -> Field:
    return _column(Scalar.INT, column)


def _big(column: Any) -> Field:
    return _column(Scalar.BIG, column)


def _text(column: Any, is_optional: bool = False) -> Field:
    return _column(Scalar.TEXT, column, is_optional)


def _flag(column: Any) -> Field:
    return _column(Scalar.FLAG, column)


def _blank(column: Any) -> Field:
    """A text that is null when it is empty."""
    name = column.name
    return Field(Scalar.TEXT, func.nullif(column, ""), lambda row: row[name] or None, True)


def _id(prefix: str, *columns: Any) -> Field:
    """The chain has no such ids: the entity's name and its keys."""
    sql: ColumnElement[str] = literal(prefix)
    for column in columns:
        sql = sql.concat("-").concat(cast(column, Text))
    names = [column.name for column in columns]
    return Field(Scalar.TEXT, sql, lambda row: "-".join((prefix, *(str(row[name]) for name in names))))


def _resources(prefix: str, table: Table) -> dict[str, Field]:
    return {unit: _big(table.c[f"{prefix}_{unit}"]) for unit in ("hru", "sru", "cru", "mru")}


def _constant(value: int) -> Field:
    return Field(Scalar.INT, literal(value), lambda row: value)


_C = CONTRACT.c
_CONTRACT = {
    "gridVersion": _int(_C.grid_version),
    "contractID": _big(_C.contract_id),
    "twinID": _int(_C.twin_id),
    "state": _column("ContractState", _C.state),
    "createdAt": _big(_C.created_at),
    "solutionProviderID": _int(_C.solution_provider_id),
}
_ON_NODE = Link(LinkKind.SAME, "Node")
_UNIT_NAMES = ("su", "cu", "nu", "ipu")

ENTITIES = (
    Entity(
        "Node",
        "nodes",
        NODE,
        {
            "id": _id("node", NODE.c.node_id),
            "gridVersion": _int(NODE.c.grid_version),
            "nodeID": _int(NODE.c.node_id),
            "farmID": _int(NODE.c.farm_id),
            "twinID": _int(NODE.c.twin_id),
            "country": _text(NODE.c.country, True),
            "city": _text(NODE.c.city, True),
            "uptime": _big(NODE.c.uptime),
            "created": _int(NODE.c.created),
            "farmingPolicyId": _int(NODE.c.farming_policy_id),
            "certification": _column("NodeCertification", NODE.c.certification, True),
            "secure": _flag(NODE.c.secure),
            "virtualized": _flag(NODE.c.virtualized),
            "serialNumber": _text(NODE.c.serial_number, True),
            "createdAt": _big(NODE.c.created),
            "updatedAt": _big(NODE.c.updated_at),
            "connectionPrice": _int(NODE.c.connection_price),
            "dedicated": Field(
                Scalar.FLAG,
                or_(NODE.c.renter != 0, NODE.c.extra_fee > 0),
                lambda row: bool(row["renter"] or row["extra_fee"]),
            ),
            "extraFee": _big(NODE.c.extra_fee),
        },
        {
            "location": Link(LinkKind.SAME, "Location"),
            "publicConfig": Link(
                LinkKind.SAME,
                "PublicConfig",
                is_optional=True,
                is_there=NODE.c.has_public_config,
                has=lambda row: row["has_public_config"],
            ),
            "resourcesTotal": Link(LinkKind.SAME, "NodeResourcesTotal"),
            "power": Link(
                LinkKind.SAME,
                "NodePower",
                is_optional=True,
                is_there=NODE.c.power_state.is_not(None),
                has=lambda row: row["power_state"] is not None,
            ),
            "interfaces": Link(LinkKind.MANY, "Interfaces", "node_id", "node_id"),
        },
    ),
    Entity(
        "Location",
        "locations",
        NODE,
        {"id": _id("location", NODE.c.node_id), **{one: _text(NODE.c[one]) for one in ("longitude", "latitude")}},
    ),
    Entity(
        "PublicConfig",
        "publicConfigs",
        NODE,
        {
            "id": _id("publicConfig", NODE.c.node_id),
            **{name: _blank(NODE.c[name]) for name in ("ipv4", "ipv6", "gw4", "gw6", "domain")},
        },
        {"node": _ON_NODE},
        NODE.c.has_public_config,
    ),
    Entity(
        "NodeResourcesTotal",
        "nodeResourcesTotals",
        NODE,
        {"id": _id("resources", NODE.c.node_id), **_resources("total", NODE)},
        {"node": _ON_NODE},
    ),
    Entity(
        "NodePower",
        "",
        NODE,
        {"state": _column("PowerState", NODE.c.power_state), "target": _column("Power", NODE.c.power_target)},
    ),
    Entity(
        "Interfaces",
        "interfaces",
        INTERFACE,
        {
            "id": _id("interface", INTERFACE.c.node_id, INTERFACE.c.position),
            **{name: _text(INTERFACE.c[name]) for name in ("name", "mac", "ips")},
        },
        {"node": Link(LinkKind.ONE, "Node", "node_id", "node_id")},
    ),
    Entity(
        "Farm",
        "farms",
        FARM,
        {
            "id": _id("farm", FARM.c.farm_id),
            "gridVersion": _int(FARM.c.grid_version),
            "farmID": _int(FARM.c.farm_id),
            "name": _text(FARM.c.name),
            "twinID": _int(FARM.c.twin_id),
            "pricingPolicyID": _int(FARM.c.pricing_policy_id),
            "certification": _column("FarmCertification", FARM.c.certification, True),
            "stellarAddress": _blank(FARM.c.stellar_address),
            "dedicatedFarm": _flag(FARM.c.dedicated),
        },
        {"publicIPs": Link(LinkKind.MANY, "PublicIp", "farm_id", "farm_id")},
    ),
    Entity(
        "PublicIp",
        "publicIps",
        PUBLIC_IP,
        {
            "id": _id("ip", PUBLIC_IP.c.farm_id, PUBLIC_IP.c.ip),
            "ip": _text(PUBLIC_IP.c.ip),
            "gateway": _text(PUBLIC_IP.c.gateway),
            "contractId": _big(PUBLIC_IP.c.contract_id),
        },
        {"farm": Link(LinkKind.ONE, "Farm", "farm_id", "farm_id")},
    ),
    Entity(
        "Twin",
        "twins",
        TWIN,
        {
            "id": _id("twin", TWIN.c.twin_id),
            # Twins have had no version on the chain since spec 124.
            "gridVersion": _constant(1),
            "twinID": _int(TWIN.c.twin_id),
            "accountID": _text(TWIN.c.account_id),
            "relay": _text(TWIN.c.relay, True),
            "publicKey": _text(TWIN.c.public_key, True),
        },
    ),
    Entity(
        "NodeContract",
        "nodeContracts",
        CONTRACT,
        {
            "id": _id("contract", _C.contract_id),
            **_CONTRACT,
            "nodeID": _int(_C.node_id),
            "deploymentData": _text(_C.deployment_data),
            "deploymentHash": _text(_C.deployment_hash),
            "numberOfPublicIPs": _int(_C.number_of_public_ips),
        },
        {"resourcesUsed": Link(LinkKind.SAME, "ContractResources", is_optional=True)},
        _C.type == "node",
    ),
    Entity(
        "ContractResources",
        "contractResources",
        CONTRACT,
        {"id": _id("used", _C.contract_id), **_resources("used", CONTRACT)},
        {"contract": Link(LinkKind.SAME, "NodeContract")},
        _C.type == "node",
    ),
    Entity(
        "NameContract",
        "nameContracts",
        CONTRACT,
        {"id": _id("contract", _C.contract_id), **_CONTRACT, "name": _text(_C.name)},
        {},
        _C.type == "name",
    ),
    Entity(
        "RentContract",
        "rentContracts",
        CONTRACT,
        {"id": _id("contract", _C.contract_id), **_CONTRACT, "nodeID": _int(_C.node_id)},
        {},
        _C.type == "rent",
    ),
    Entity(
        "ContractBillReport",
        "contractBillReports",
        BILL,
        {
            "id": _id("bill", BILL.c.block, BILL.c.position),
            "contractID": _big(BILL.c.contract_id),
            "discountReceived": _column("DiscountLevel", BILL.c.discount),
            "amountBilled": _big(BILL.c.amount),
            "timestamp": _big(BILL.c.timestamp),
        },
    ),
    Entity(
        "PricingPolicy",
        "pricingPolicies",
        PRICING_POLICY,
        {
            "id": _id("pricing", PRICING_POLICY.c.pricing_policy_id),
            "gridVersion": _int(PRICING_POLICY.c.grid_version),
            "pricingPolicyID": _int(PRICING_POLICY.c.pricing_policy_id),
            "name": _text(PRICING_POLICY.c.name),
            "foundationAccount": _text(PRICING_POLICY.c.foundation_account),
            "certifiedSalesAccount": _text(PRICING_POLICY.c.certified_sales_account),
            "dedicatedNodeDiscount": _int(PRICING_POLICY.c.discount),
        },
        {unit: Link(LinkKind.SAME, f"Policy{unit.capitalize()}") for unit in _UNIT_NAMES},
    ),
    *(
        Entity(
            f"Policy{unit.capitalize()}",
            "",
            PRICING_POLICY,
            {"value": _int(PRICING_POLICY.c[unit]), "unit": _text(PRICING_POLICY.c[f"{unit}_unit"])},
        )
        for unit in _UNIT_NAMES
    ),
    Entity(
        "FarmingPolicy",
        "farmingPolicies",
        FARMING_POLICY,
        {
            "id": _id("farming", FARMING_POLICY.c.farming_policy_id),
            "gridVersion": _int(FARMING_POLICY.c.grid_version),
            "farmingPolicyID": _int(FARMING_POLICY.c.farming_policy_id),
            "name": _text(FARMING_POLICY.c.name, True),
            **{name: _int(FARMING_POLICY.c[name]) for name in ("cu", "su", "nu", "ipv4")},
            "minimalUptime": _int(FARMING_POLICY.c.minimal_uptime),
            "policyCreated": _int(FARMING_POLICY.c.policy_created),
            "policyEnd": _int(FARMING_POLICY.c.policy_end),
            "immutable": _flag(FARMING_POLICY.c.immutable),
            "default": _flag(FARMING_POLICY.c.default),
            "nodeCertification": _column("NodeCertification", FARMING_POLICY.c.node_certification, True),
            "farmCertification": _column("FarmCertification", FARMING_POLICY.c.farm_certification, True),
        },
    ),
    Entity(
        "SolutionProvider",
        "solutionProviders",
        SOLUTION_PROVIDER,
        {
            "id": _id("provider", SOLUTION_PROVIDER.c.solution_provider_id),
            "solutionProviderID": _big(SOLUTION_PROVIDER.c.solution_provider_id),
            "description": _text(SOLUTION_PROVIDER.c.description),
            "link": _text(SOLUTION_PROVIDER.c.link),
            "approved": _flag(SOLUTION_PROVIDER.c.approved),
            "providers": _column(Scalar.JSON, SOLUTION_PROVIDER.c.providers, True),
        },
    ),
)
BY_NAME = {entity.name: entity for entity in ENTITIES}
