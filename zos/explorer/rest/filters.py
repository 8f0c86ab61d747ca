"""The filters of each list: parameter names as clients send them, and their SQL. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, exists, func, not_, or_, select

from zos.explorer import rules
from zos.explorer.rest.params import FilterContext, Kind, Param
from zos.explorer.store.schema import CONTRACT, FARM, GPU, NODE, PUBLIC_IP, TWIN

Condition = Callable[[Any, FilterContext], ColumnElement[bool]]

CERTIFICATIONS = ("Diy", "Certified", "NotCertified", "Silver", "Gold")
"""Of nodes and of farms, today's and earlier ones: clients send the words of one to the other, and find nothing."""
STATUSES = tuple(str(one) for one in rules.Status)


def _is(condition: ColumnElement[bool]) -> Condition:
    return lambda wanted, _: condition if wanted else not_(condition)


def _in_farm(condition: Condition) -> Condition:
    return lambda value, context: NODE.c.farm_id.in_(select(FARM.c.farm_id).where(condition(value, context)))


def _contains(column: Any) -> Condition:
    return lambda text, _: func.lower(column).contains(text.lower(), autoescape=True)


def _equal(column: Any) -> Condition:
    return lambda value, _: column == value


def _key(column: Any) -> Condition:
    return lambda text, _: column == text.casefold()


def _key_contains(column: Any) -> Condition:
    return lambda text, _: column.contains(text.casefold(), autoescape=True)


def _at_least(column: Any) -> Condition:
    return lambda value, _: column >= value


def _among(column: Any) -> Condition:
    return lambda values, _: column.in_(values)


def _status(wanted: list[str], context: FilterContext) -> ColumnElement[bool]:
    return rules.has_status(wanted, context.now)


def _features(wanted: list[str], _: FilterContext) -> ColumnElement[bool]:
    return rules.has_features(wanted)


def _available_for(twin: int, _: FilterContext) -> ColumnElement[bool]:
    return rules.is_available_for(twin)


def _free_gpus(least: int, _: FilterContext) -> ColumnElement[bool]:
    unused = select(func.count()).where(GPU.c.node_id == NODE.c.node_id, GPU.c.contract == 0)
    return unused.scalar_subquery() >= least


def _region(text: str, _: FilterContext) -> ColumnElement[bool]:
    # Regions are stored capitalized.
    return NODE.c.region == text.capitalize()


def _number(name: str, doc: str, condition: Condition, subject: str = "") -> Param:
    return Param(name, Kind.NUMBER, doc, condition, subject)


def _text(name: str, doc: str, condition: Condition, subject: str = "", choices: tuple[str, ...] = ()) -> Param:
    return Param(name, Kind.TEXT, doc, condition, subject, choices)


def _flag(name: str, doc: str, condition: Condition, subject: str = "") -> Param:
    return Param(name, Kind.FLAG, doc, condition, subject)


def _numbers(name: str, doc: str, condition: Condition) -> Param:
    return Param(name, Kind.NUMBERS, doc, condition)


def _texts(name: str, doc: str, condition: Condition, choices: tuple[str, ...], subject: str = "") -> Param:
    return Param(name, Kind.TEXTS, doc, condition, subject, choices)


NODES = (
    _texts("status", "up, down or standby; any of them", _status, STATUSES),
    *(
        _number(f"free_{unit}", "at least so many bytes free", _at_least(NODE.c[f"free_{unit}"]))
        for unit in ("mru", "hru", "sru")
    ),
    *(
        _number(f"total_{unit}", "at least so much", _at_least(NODE.c[f"total_{unit}"]))
        for unit in ("mru", "hru", "sru", "cru")
    ),
    _text("country", "the country's name", _key(NODE.c.country_key)),
    _text("country_contains", "a part of the country's name", _key_contains(NODE.c.country_key)),
    _text("city", "the city's name", _key(NODE.c.city_key)),
    _text("city_contains", "a part of the city's name", _key_contains(NODE.c.city_key)),
    _text(
        "region",
        "Africa, Americas, Antarctic, Asia, Europe or Oceania",
        _region,
    ),
    _text("farm_name", "the farm's name", _in_farm(_key(FARM.c.name_key))),
    _text("farm_name_contains", "a part of the farm's name", _in_farm(_key_contains(FARM.c.name_key))),
    _numbers("farm_ids", "any of these farms", _among(NODE.c.farm_id)),
    _number("farm_id", "this farm", _equal(NODE.c.farm_id)),
    _number("free_ips", "at least so many free public addresses in the farm", _in_farm(_at_least(FARM.c.free_ips))),
    _flag("ipv4", "has a public IPv4 address", _is(NODE.c.ipv4 != "")),
    _flag("ipv6", "has a public IPv6 address", _is(NODE.c.ipv6 != "")),
    _flag("domain", "has a domain: can be a gateway", _is(rules.HAS_DOMAIN)),
    _flag("dedicated", "is, or could be, one tenant's alone", _is(rules.IS_DEDICATED)),
    _flag("in_dedicated_farm", "the farm only rents whole nodes", _is(NODE.c.farm_dedicated)),
    _flag("rentable", "can be rented now", _is(rules.IS_RENTABLE)),
    _flag("rented", "is rented", _is(rules.IS_RENTED)),
    _number("owned_by", "the farmer's twin", _in_farm(_equal(FARM.c.twin_id))),
    _number("rented_by", "the tenant's twin", _equal(NODE.c.renter)),
    _number(
        "rentable_or_rented_by",
        "rentable, or rented by this twin",
        lambda twin, _: or_(rules.IS_RENTABLE, NODE.c.renter == twin),
    ),
    _number("available_for", "rented by this twin, or free for everybody", _available_for),
    _number("node_id", "this node", _equal(NODE.c.node_id)),
    _numbers("node_ids", "any of these nodes", _among(NODE.c.node_id)),
    _number("twin_id", "the node's twin", _equal(NODE.c.twin_id)),
    _text("certification_type", "Diy or Certified", _equal(NODE.c.certification), "", CERTIFICATIONS),
    _flag("has_gpu", "has a graphics card", _is(rules.HAS_GPU)),
    _number("num_gpu", "at least so many graphics cards", _at_least(NODE.c.num_gpu)),
    _number("total_gpu", "the same", _at_least(NODE.c.num_gpu)),
    _number("free_gpu", "at least so many graphics cards that nobody uses", _free_gpus),
    _text("gpu_device_id", "a part of the card's id", _contains(GPU.c.id), "gpu"),
    _text("gpu_device_name", "a part of the card's name", _contains(GPU.c.device), "gpu"),
    _text("gpu_vendor_id", "a part of the card's id", _contains(GPU.c.id), "gpu"),
    _text("gpu_vendor_name", "a part of the card vendor's name", _contains(GPU.c.vendor), "gpu"),
    _flag("gpu_available", "the card is used by nobody", _is(GPU.c.contract == 0), "gpu"),
    _flag("healthy", "says of itself that it is healthy", lambda wanted, _: rules.has_health(wanted)),
    Param(
        "price_min",
        Kind.DECIMAL,
        "USD per month, with the discount for `balance`",
        lambda least, context: rules.discounted_price(context.balance) >= least,
    ),
    Param(
        "price_max",
        Kind.DECIMAL,
        "USD per month, with the discount for `balance`",
        lambda most, context: rules.discounted_price(context.balance) <= most,
    ),
    _numbers("excluded", "none of these nodes", lambda ids, _: NODE.c.node_id.not_in(ids)),
    _flag("has_ipv6", "has reached the Internet by IPv6", _is(rules.HAS_IPV6)),
    _texts("features", "offers all of these", _features, rules.FEATURES),
)

FARMS = (
    _number("free_ips", "at least so many free public addresses", _at_least(FARM.c.free_ips)),
    _number("total_ips", "at least so many public addresses", _at_least(FARM.c.total_ips)),
    _text("stellar_address", "the address for payouts", _equal(FARM.c.stellar_address)),
    _number("pricing_policy_id", "the pricing policy", _equal(FARM.c.pricing_policy_id)),
    _number("farm_id", "this farm", _equal(FARM.c.farm_id)),
    _number("twin_id", "the farmer's twin", _equal(FARM.c.twin_id)),
    *(_text(name, "the farm's name", _key(FARM.c.name_key)) for name in ("name", "farm_name")),
    _text("name_contains", "a part of the farm's name", _key_contains(FARM.c.name_key)),
    _text("certification_type", "NotCertified or Gold", _equal(FARM.c.certification), "", CERTIFICATIONS),
    _flag("dedicated", "only rents whole nodes", _is(FARM.c.dedicated)),
    *(
        _number(
            f"node_free_{unit}",
            "has a node with at least so many bytes free",
            _at_least(NODE.c[f"free_{unit}"]),
            "node",
        )
        for unit in ("mru", "hru", "sru")
    ),
    _number("node_total_cru", "has a node with at least so many threads", _at_least(NODE.c.total_cru), "node"),
    _texts("node_status", "has a node that is any of these", _status, STATUSES, "node"),
    _number("node_rented_by", "has a node that this twin rents", _equal(NODE.c.renter), "node"),
    _number("node_available_for", "has a node that this twin may use", _available_for, "node"),
    _flag("node_has_gpu", "has a node with (without) a graphics card", _is(rules.HAS_GPU), "node"),
    _flag("node_has_ipv6", "has a node with (without) IPv6", _is(rules.HAS_IPV6), "node"),
    _flag("node_certified", "has a node that is (is not) certified", _is(rules.IS_CERTIFIED), "node"),
    _texts("node_features", "has a node that offers all of these", _features, rules.FEATURES, "node"),
    _text("country", "has a node in this country", _key(NODE.c.country_key), "node"),
    _text("region", "has a node in this region", _region, "node"),
)

TWINS = (
    _number("twin_id", "this twin", _equal(TWIN.c.twin_id)),
    _text("account_id", "the account's address", _equal(TWIN.c.account_id)),
    _text("relay", "its RMB relays", _equal(TWIN.c.relay)),
    _text("public_key", "its RMB key, in hex with 0x", _equal(TWIN.c.public_key)),
)


def _contract_in_farm(condition: Condition) -> Condition:
    nodes = select(NODE.c.node_id).join(FARM, FARM.c.farm_id == NODE.c.farm_id)
    return lambda value, context: CONTRACT.c.node_id.in_(nodes.where(condition(value, context)))


CONTRACTS = (
    _number("contract_id", "this contract", _equal(CONTRACT.c.contract_id)),
    _number("twin_id", "the owner's twin", _equal(CONTRACT.c.twin_id)),
    _number("node_id", "the node", _equal(CONTRACT.c.node_id)),
    _text("type", "node, name or rent", _equal(CONTRACT.c.type), "", ("node", "name", "rent")),
    _texts("state", "any of these states", _among(CONTRACT.c.state), rules.CONTRACT_STATES),
    _text("name", "the name of a name contract", _equal(CONTRACT.c.name)),
    _number("number_of_public_ips", "at least so many public addresses", _at_least(CONTRACT.c.number_of_public_ips)),
    _text("deployment_data", "the whole deployment data", _equal(CONTRACT.c.deployment_data)),
    _text("deployment_hash", "the deployment's hash", _equal(CONTRACT.c.deployment_hash)),
    _text("farm_name", "the farm's name", _contract_in_farm(_key(FARM.c.name_key))),
    _number("farm_id", "the farm", _contract_in_farm(_equal(FARM.c.farm_id))),
)

PUBLIC_IPS = (
    _numbers("farm_ids", "any of these farms", _among(PUBLIC_IP.c.farm_id)),
    _flag("free", "used by no contract", _is(rules.IS_IP_FREE)),
    _text("ip", "the address, with its prefix length", _equal(PUBLIC_IP.c.ip)),
    _text("gateway", "its gateway", _equal(PUBLIC_IP.c.gateway)),
)

STATS = (_texts("status", "only nodes that are any of these", _status, STATUSES),)


def nodes_where(conditions: dict[str, list[ColumnElement[bool]]]) -> list[ColumnElement[bool]]:
    """Conditions on `node`; those on graphics cards must all hold for the same card."""
    found = list(conditions.get("", ()))
    if gpu := conditions.get("gpu"):
        found.append(exists().where(GPU.c.node_id == NODE.c.node_id, *gpu))
    return found


def farms_where(conditions: dict[str, list[ColumnElement[bool]]]) -> list[ColumnElement[bool]]:
    """Conditions on `farm`; those on nodes must all hold for the same node."""
    found = list(conditions.get("", ()))
    if node := conditions.get("node"):
        found.append(FARM.c.farm_id.in_(select(NODE.c.farm_id).where(*node)))
    return found
