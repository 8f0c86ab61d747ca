"""The entities of GraphQL: fields and links by the names of the grid's indexer, over our tables. Pure."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, select

from zos.explorer import rules
from zos.explorer.graphql.entity import (
    Entity,
    Field,
    Link,
    LinkKind,
    Scalar,
    big_field,
    blank_field,
    constant_field,
    flag_field,
    int_field,
    key_field,
    resource_fields,
    text_field,
)
from zos.explorer.store.schema import (
    BILL,
    CONTRACT,
    COUNTRY,
    FARM,
    FARMING_POLICY,
    INTERFACE,
    NODE,
    PRICING_POLICY,
    PUBLIC_IP,
    SOLUTION_PROVIDER,
    TWIN,
    UPTIME,
)

_C = CONTRACT.c
_CONTRACT = {
    "gridVersion": int_field(_C.grid_version),
    "contractID": big_field(_C.contract_id),
    "twinID": int_field(_C.twin_id),
    "state": Field("ContractState", _C.state),
    "createdAt": big_field(_C.created_at),
    "solutionProviderID": int_field(_C.solution_provider_id),
}
_ON_NODE = Link(LinkKind.SAME, "Node")
_UNIT_NAMES = ("su", "cu", "nu", "ipu")

ENTITIES = (
    Entity(
        "Node",
        "nodes",
        NODE,
        {
            "id": key_field("node", NODE.c.node_id),
            "gridVersion": int_field(NODE.c.grid_version),
            "nodeID": int_field(NODE.c.node_id),
            "farmID": int_field(NODE.c.farm_id),
            "twinID": int_field(NODE.c.twin_id),
            "country": text_field(NODE.c.country, True),
            "city": text_field(NODE.c.city, True),
            "uptime": big_field(NODE.c.uptime),
            "created": int_field(NODE.c.created),
            "farmingPolicyId": int_field(NODE.c.farming_policy_id),
            "certification": Field("NodeCertification", NODE.c.certification, True),
            "secure": flag_field(NODE.c.secure),
            "virtualized": flag_field(NODE.c.virtualized),
            "serialNumber": text_field(NODE.c.serial_number, True),
            "createdAt": big_field(NODE.c.created),
            "updatedAt": big_field(NODE.c.updated_at),
            "connectionPrice": int_field(NODE.c.connection_price),
            "dedicated": flag_field(rules.IS_DEDICATED_IN_GRAPHQL),
            "extraFee": big_field(NODE.c.extra_fee),
        },
        {
            "location": Link(LinkKind.SAME, "Location"),
            "publicConfig": Link(LinkKind.SAME, "PublicConfig", is_optional=True, exists=NODE.c.has_public_config),
            "resourcesTotal": Link(LinkKind.SAME, "NodeResourcesTotal"),
            "power": Link(LinkKind.SAME, "NodePower", is_optional=True, exists=NODE.c.power_state.is_not(None)),
            "interfaces": Link(LinkKind.MANY, "Interfaces", "node_id", "node_id"),
        },
    ),
    Entity(
        "Location",
        "locations",
        NODE,
        {
            "id": key_field("location", NODE.c.node_id),
            **{one: text_field(NODE.c[one]) for one in ("longitude", "latitude")},
        },
    ),
    Entity(
        "PublicConfig",
        "publicConfigs",
        NODE,
        {
            "id": key_field("publicConfig", NODE.c.node_id),
            **{name: blank_field(NODE.c[name]) for name in ("ipv4", "ipv6", "gw4", "gw6", "domain")},
        },
        {"node": _ON_NODE},
        NODE.c.has_public_config,
    ),
    Entity(
        "NodeResourcesTotal",
        "nodeResourcesTotals",
        NODE,
        {"id": key_field("resources", NODE.c.node_id), **resource_fields("total", NODE)},
        {"node": _ON_NODE},
    ),
    Entity(
        "NodePower",
        "",
        NODE,
        {"state": Field("PowerState", NODE.c.power_state), "target": Field("Power", NODE.c.power_target)},
    ),
    Entity(
        "Interfaces",
        "interfaces",
        INTERFACE,
        {
            "id": key_field("interface", INTERFACE.c.node_id, INTERFACE.c.position),
            **{name: text_field(INTERFACE.c[name]) for name in ("name", "mac", "ips")},
        },
        {"node": Link(LinkKind.ONE, "Node", "node_id", "node_id")},
    ),
    Entity(
        "Farm",
        "farms",
        FARM,
        {
            "id": key_field("farm", FARM.c.farm_id),
            "gridVersion": int_field(FARM.c.grid_version),
            "farmID": int_field(FARM.c.farm_id),
            "name": text_field(FARM.c.name),
            "twinID": int_field(FARM.c.twin_id),
            "pricingPolicyID": int_field(FARM.c.pricing_policy_id),
            "certification": Field("FarmCertification", FARM.c.certification, True),
            "stellarAddress": blank_field(FARM.c.stellar_address),
            "dedicatedFarm": flag_field(FARM.c.dedicated),
        },
        {"publicIPs": Link(LinkKind.MANY, "PublicIp", "farm_id", "farm_id")},
    ),
    Entity(
        "PublicIp",
        "publicIps",
        PUBLIC_IP,
        {
            "id": key_field("ip", PUBLIC_IP.c.farm_id, PUBLIC_IP.c.ip),
            "ip": text_field(PUBLIC_IP.c.ip),
            "gateway": text_field(PUBLIC_IP.c.gateway),
            "contractId": big_field(PUBLIC_IP.c.contract_id),
        },
        {"farm": Link(LinkKind.ONE, "Farm", "farm_id", "farm_id")},
    ),
    Entity(
        "Twin",
        "twins",
        TWIN,
        {
            "id": key_field("twin", TWIN.c.twin_id),
            # Twins have had no version on the chain since spec 124.
            "gridVersion": constant_field(1),
            "twinID": int_field(TWIN.c.twin_id),
            "accountID": text_field(TWIN.c.account_id),
            "relay": text_field(TWIN.c.relay, True),
            "publicKey": text_field(TWIN.c.public_key, True),
        },
    ),
    Entity(
        "NodeContract",
        "nodeContracts",
        CONTRACT,
        {
            "id": key_field("contract", _C.contract_id),
            **_CONTRACT,
            "nodeID": int_field(_C.node_id),
            "deploymentData": text_field(_C.deployment_data),
            "deploymentHash": text_field(_C.deployment_hash),
            "numberOfPublicIPs": int_field(_C.number_of_public_ips),
        },
        {"resourcesUsed": Link(LinkKind.SAME, "ContractResources", is_optional=True)},
        _C.type == "node",
    ),
    Entity(
        "ContractResources",
        "contractResources",
        CONTRACT,
        {"id": key_field("used", _C.contract_id), **resource_fields("used", CONTRACT)},
        {"contract": Link(LinkKind.SAME, "NodeContract")},
        _C.type == "node",
    ),
    Entity(
        "NameContract",
        "nameContracts",
        CONTRACT,
        {"id": key_field("contract", _C.contract_id), **_CONTRACT, "name": text_field(_C.name)},
        {},
        _C.type == "name",
    ),
    Entity(
        "RentContract",
        "rentContracts",
        CONTRACT,
        {"id": key_field("contract", _C.contract_id), **_CONTRACT, "nodeID": int_field(_C.node_id)},
        {},
        _C.type == "rent",
    ),
    Entity(
        "ContractBillReport",
        "contractBillReports",
        BILL,
        {
            "id": key_field("bill", BILL.c.block, BILL.c.position),
            "contractID": big_field(BILL.c.contract_id),
            "discountReceived": Field("DiscountLevel", BILL.c.discount),
            "amountBilled": big_field(BILL.c.amount),
            "timestamp": big_field(BILL.c.timestamp),
        },
    ),
    Entity(
        "UptimeEvent",
        "uptimeEvents",
        UPTIME,
        {
            "id": key_field("uptime", UPTIME.c.node_id, UPTIME.c.timestamp),
            "nodeID": int_field(UPTIME.c.node_id),
            "uptime": big_field(UPTIME.c.uptime),
            "timestamp": big_field(UPTIME.c.timestamp),
        },
    ),
    Entity(
        "Country",
        "countries",
        COUNTRY,
        {
            "id": key_field("country", COUNTRY.c.country_id),
            "countryID": int_field(COUNTRY.c.country_id),
            **{name: text_field(COUNTRY.c[name]) for name in ("code", "name", "region", "subregion")},
            **{name: text_field(COUNTRY.c[name], True) for name in ("lat", "long")},
        },
    ),
    Entity(
        "PricingPolicy",
        "pricingPolicies",
        PRICING_POLICY,
        {
            "id": key_field("pricing", PRICING_POLICY.c.pricing_policy_id),
            "gridVersion": int_field(PRICING_POLICY.c.grid_version),
            "pricingPolicyID": int_field(PRICING_POLICY.c.pricing_policy_id),
            "name": text_field(PRICING_POLICY.c.name),
            "foundationAccount": text_field(PRICING_POLICY.c.foundation_account),
            "certifiedSalesAccount": text_field(PRICING_POLICY.c.certified_sales_account),
            "dedicatedNodeDiscount": int_field(PRICING_POLICY.c.discount),
        },
        {unit: Link(LinkKind.SAME, f"Policy{unit.capitalize()}") for unit in _UNIT_NAMES},
    ),
    *(
        Entity(
            f"Policy{unit.capitalize()}",
            "",
            PRICING_POLICY,
            {"value": int_field(PRICING_POLICY.c[unit]), "unit": text_field(PRICING_POLICY.c[f"{unit}_unit"])},
        )
        for unit in _UNIT_NAMES
    ),
    Entity(
        "FarmingPolicy",
        "farmingPolicies",
        FARMING_POLICY,
        {
            "id": key_field("farming", FARMING_POLICY.c.farming_policy_id),
            "gridVersion": int_field(FARMING_POLICY.c.grid_version),
            "farmingPolicyID": int_field(FARMING_POLICY.c.farming_policy_id),
            "name": text_field(FARMING_POLICY.c.name, True),
            **{name: int_field(FARMING_POLICY.c[name]) for name in ("cu", "su", "nu", "ipv4")},
            "minimalUptime": int_field(FARMING_POLICY.c.minimal_uptime),
            "policyCreated": int_field(FARMING_POLICY.c.policy_created),
            "policyEnd": int_field(FARMING_POLICY.c.policy_end),
            "immutable": flag_field(FARMING_POLICY.c.immutable),
            "default": flag_field(FARMING_POLICY.c.default),
            "nodeCertification": Field("NodeCertification", FARMING_POLICY.c.node_certification, True),
            "farmCertification": Field("FarmCertification", FARMING_POLICY.c.farm_certification, True),
        },
    ),
    Entity(
        "SolutionProvider",
        "solutionProviders",
        SOLUTION_PROVIDER,
        {
            "id": key_field("provider", SOLUTION_PROVIDER.c.solution_provider_id),
            "solutionProviderID": big_field(SOLUTION_PROVIDER.c.solution_provider_id),
            "description": text_field(SOLUTION_PROVIDER.c.description),
            "link": text_field(SOLUTION_PROVIDER.c.link),
            "approved": flag_field(SOLUTION_PROVIDER.c.approved),
            "providers": Field(Scalar.JSON, SOLUTION_PROVIDER.c.providers, True),
        },
    ),
)
BY_NAME = {entity.name: entity for entity in ENTITIES}


@cache
def rows_of(table_name: str) -> Select[Any]:
    """Rows of a table with everything that the entities over it compute (several may share a row)."""
    entities = [entity for entity in ENTITIES if entity.table.name == table_name]
    return select(entities[0].table, *(column for entity in entities for column in entity.computed()))
