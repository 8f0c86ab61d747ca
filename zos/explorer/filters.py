"""The filters of each list: their names as clients send them, and the conditions that they mean. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Float, and_, case, exists, func, literal, not_, or_, select

from zos.explorer import liveness
from zos.explorer.params import Kind, Param, Scope
from zos.explorer.schema import CONTRACT, FARM, GPU, NODE, PUBLIC_IP, TWIN

Condition = Callable[[Any, Scope], ColumnElement[bool]]

FEATURES = (
    *("zmount", "zdb", "volume", "ipv4", "ip", "gateway-name-proxy", "gateway-fqdn-proxy", "qsfs", "zlogs"),
    *("network", "zmachine", "zmachine-light", "network-light", "wireguard", "yggdrasil", "mycelium"),
)
"""What nodes may offer. The order is that of the bits of `node.features` in databases: only append."""
CERTIFICATIONS = ("Diy", "Certified", "NotCertified", "Silver", "Gold")
"""Of nodes and farms, today and before: clients send words of the one to the other, and then mean nothing found."""
STATES = ("Created", "GracePeriod", "Deleted", "OutOfFunds")
STATUSES = tuple(str(one) for one in liveness.Status)


def features_mask(features: list[str]) -> int:
    """Features as bits; those that nobody can ask for have none."""
    return sum(1 << FEATURES.index(one) for one in dict.fromkeys(features) if one in FEATURES)


def discounted(scope: Scope) -> ColumnElement[float]:
    """`derive.discount` as SQL."""
    price, balance = NODE.c.price_usd, literal(scope.balance, Float)
    steps = [
        (balance >= price * months, price * (1 - share))
        for months, share in ((18, 0.6), (6, 0.4), (3, 0.3), (1.5, 0.2))
    ]
    return case(*steps, else_=price)


IS_RENTABLE = and_(or_(NODE.c.farm_dedicated, NODE.c.contracts == 0), NODE.c.renter == 0)
IS_RENTED = NODE.c.renter != 0
IS_DEDICATED = or_(NODE.c.farm_dedicated, NODE.c.contracts == 0, NODE.c.renter != 0, NODE.c.extra_fee > 0)


def _is(condition: ColumnElement[bool]) -> Condition:
    return lambda wanted, _: condition if wanted else not_(condition)


def _available_for(twin: int, _: Scope) -> ColumnElement[bool]:
    """Rented by them, or free for everybody."""
    return or_(NODE.c.renter == twin, and_(NODE.c.renter == 0, not_(NODE.c.farm_dedicated), NODE.c.extra_fee == 0))


def _in_farm(condition: Condition) -> Condition:
    return lambda value, scope: NODE.c.farm_id.in_(select(FARM.c.farm_id).where(condition(value, scope)))


def _has_features(wanted: list[str], _: Scope) -> ColumnElement[bool]:
    mask = features_mask(wanted)
    return NODE.c.features.bitwise_and(mask) == mask


def _part(column: Any) -> Condition:
    return lambda text, _: func.lower(column).contains(text.lower(), autoescape=True)


def _equal(column: Any) -> Condition:
    return lambda value, _: column == value


def _key(column: Any) -> Condition:
    return lambda text, _: column == text.casefold()


def _key_part(column: Any) -> Condition:
    return lambda text, _: column.contains(text.casefold(), autoescape=True)


def _least(column: Any) -> Condition:
    return lambda value, _: column >= value


def _among(column: Any) -> Condition:
    return lambda values, _: column.in_(values)


def _status(wanted: list[str], scope: Scope) -> ColumnElement[bool]:
    return liveness.has_status(wanted, scope.now)


def _region(text: str, _: Scope) -> ColumnElement[bool]:
    # All regions are known, and written in one way.
    return NODE.c.region == text.capitalize()


def _number(name: str, doc: str, condition: Condition, room: str = "") -> Param:
    return Param(name, Kind.NUMBER, doc, condition, room)


def _text(name: str, doc: str, condition: Condition, room: str = "", choices: tuple[str, ...] = ()) -> Param:
    return Param(name, Kind.TEXT, doc, condition, room, choices)


def _flag(name: str, doc: str, condition: Condition, room: str = "") -> Param:
    return Param(name, Kind.FLAG, doc, condition, room)


def _numbers(name: str, doc: str, condition: Condition) -> Param:
    return Param(name, Kind.NUMBERS, doc, condition)


def _texts(name: str, doc: str, condition: Condition, choices: tuple[str, ...], room: str = "") -> Param:
    return Param(name, Kind.TEXTS, doc, condition, room, choices)


NODES = (
    _texts("status", "up, down or standby; any of them", _status, STATUSES),
    *(
        _number(f"free_{unit}", "at least so many bytes free", _least(NODE.c[f"free_{unit}"]))
        for unit in ("mru", "hru", "sru")
    ),
    *(
        _number(f"total_{unit}", "at least so much", _least(NODE.c[f"total_{unit}"]))
        for unit in ("mru", "hru", "sru", "cru")
    ),
    _text("country", "the country's name", _key(NODE.c.country_key)),
    _text("country_contains", "a part of the country's name", _key_part(NODE.c.country_key)),
    _text("city", "the city's name", _key(NODE.c.city_key)),
    _text("city_contains", "a part of the city's name", _key_part(NODE.c.city_key)),
    _text(
        "region",
        "Africa, Americas, Antarctic, Asia, Europe or Oceania",
        _region,
    ),
    _text("farm_name", "the farm's name", _in_farm(_key(FARM.c.name_key))),
    _text("farm_name_contains", "a part of the farm's name", _in_farm(_key_part(FARM.c.name_key))),
    _numbers("farm_ids", "any of these farms", _among(NODE.c.farm_id)),
    _number("farm_id", "this farm", _equal(NODE.c.farm_id)),
    _number("free_ips", "at least so many free public addresses in the farm", _in_farm(_least(FARM.c.free_ips))),
    _flag("ipv4", "has a public IPv4 address", _is(NODE.c.ipv4 != "")),
    _flag("ipv6", "has a public IPv6 address", _is(NODE.c.ipv6 != "")),
    _flag("domain", "has a domain: can be a gateway", _is(NODE.c.domain != "")),
    _flag("dedicated", "is, or could be, one tenant's alone", _is(IS_DEDICATED)),
    _flag("in_dedicated_farm", "the farm only rents whole nodes", _is(NODE.c.farm_dedicated)),
    _flag("rentable", "can be rented now", _is(IS_RENTABLE)),
    _flag("rented", "is rented", _is(IS_RENTED)),
    _number("owned_by", "the farmer's twin", _in_farm(_equal(FARM.c.twin_id))),
    _number("rented_by", "the tenant's twin", _equal(NODE.c.renter)),
    _number(
        "rentable_or_rented_by",
        "rentable, or rented by this twin",
        lambda twin, _: or_(IS_RENTABLE, NODE.c.renter == twin),
    ),
    _number("available_for", "rented by this twin, or free for everybody", _available_for),
    _number("node_id", "this node", _equal(NODE.c.node_id)),
    _numbers("node_ids", "any of these nodes", _among(NODE.c.node_id)),
    _number("twin_id", "the node's twin", _equal(NODE.c.twin_id)),
    _text("certification_type", "Diy or Certified", _equal(NODE.c.certification), "", CERTIFICATIONS),
    _flag("has_gpu", "has a graphics card", _is(NODE.c.num_gpu > 0)),
    _number("num_gpu", "at least so many graphics cards", _least(NODE.c.num_gpu)),
    _text("gpu_device_id", "a part of the card's id", _part(GPU.c.id), "gpu"),
    _text("gpu_device_name", "a part of the card's name", _part(GPU.c.device), "gpu"),
    _text("gpu_vendor_id", "a part of the card's id", _part(GPU.c.id), "gpu"),
    _text("gpu_vendor_name", "a part of the card maker's name", _part(GPU.c.vendor), "gpu"),
    _flag("gpu_available", "the card is used by nobody", _is(GPU.c.contract == 0), "gpu"),
    _flag("healthy", "says of itself that it is healthy", lambda wanted, _: NODE.c.healthy.is_(wanted)),
    Param(
        "price_min",
        Kind.DECIMAL,
        "USD per month, with the discount for `balance`",
        lambda least, scope: discounted(scope) >= least,
    ),
    Param(
        "price_max",
        Kind.DECIMAL,
        "USD per month, with the discount for `balance`",
        lambda most, scope: discounted(scope) <= most,
    ),
    _numbers("excluded", "none of these nodes", lambda ids, _: NODE.c.node_id.not_in(ids)),
    _flag("has_ipv6", "has reached the Internet by IPv6", _is(func.coalesce(NODE.c.has_ipv6, False))),
    _texts("features", "offers all of these", _has_features, FEATURES),
)

FARMS = (
    _number("free_ips", "at least so many free public addresses", _least(FARM.c.free_ips)),
    _number("total_ips", "at least so many public addresses", _least(FARM.c.total_ips)),
    _text("stellar_address", "the address for payouts", _equal(FARM.c.stellar_address)),
    _number("pricing_policy_id", "the pricing policy", _equal(FARM.c.pricing_policy_id)),
    _number("farm_id", "this farm", _equal(FARM.c.farm_id)),
    _number("twin_id", "the farmer's twin", _equal(FARM.c.twin_id)),
    *(_text(name, "the farm's name", _key(FARM.c.name_key)) for name in ("name", "farm_name")),
    _text("name_contains", "a part of the farm's name", _key_part(FARM.c.name_key)),
    _text("certification_type", "NotCertified or Gold", _equal(FARM.c.certification), "", CERTIFICATIONS),
    _flag("dedicated", "only rents whole nodes", _is(FARM.c.dedicated)),
    *(
        _number(
            f"node_free_{unit}", "has a node with at least so many bytes free", _least(NODE.c[f"free_{unit}"]), "node"
        )
        for unit in ("mru", "hru", "sru")
    ),
    _number("node_total_cru", "has a node with at least so many threads", _least(NODE.c.total_cru), "node"),
    _texts("node_status", "has a node that is any of these", _status, STATUSES, "node"),
    _number("node_rented_by", "has a node that this twin rents", _equal(NODE.c.renter), "node"),
    _number("node_available_for", "has a node that this twin may use", _available_for, "node"),
    _flag("node_has_gpu", "has a node with (without) a graphics card", _is(NODE.c.num_gpu > 0), "node"),
    _flag("node_has_ipv6", "has a node with (without) IPv6", _is(func.coalesce(NODE.c.has_ipv6, False)), "node"),
    _flag("node_certified", "has a node that is (is not) certified", _is(NODE.c.certification == "Certified"), "node"),
    _texts("node_features", "has a node that offers all of these", _has_features, FEATURES, "node"),
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
    return lambda value, scope: CONTRACT.c.node_id.in_(nodes.where(condition(value, scope)))


CONTRACTS = (
    _number("contract_id", "this contract", _equal(CONTRACT.c.contract_id)),
    _number("twin_id", "the owner's twin", _equal(CONTRACT.c.twin_id)),
    _number("node_id", "the node", _equal(CONTRACT.c.node_id)),
    _text("type", "node, name or rent", _equal(CONTRACT.c.type), "", ("node", "name", "rent")),
    _texts("state", "any of these states", _among(CONTRACT.c.state), STATES),
    _text("name", "the name of a name contract", _equal(CONTRACT.c.name)),
    _number("number_of_public_ips", "at least so many public addresses", _least(CONTRACT.c.number_of_public_ips)),
    _text("deployment_data", "the whole deployment data", _equal(CONTRACT.c.deployment_data)),
    _text("deployment_hash", "the deployment's hash", _equal(CONTRACT.c.deployment_hash)),
    _text("farm_name", "the farm's name", _contract_in_farm(_key(FARM.c.name_key))),
    _number("farm_id", "the farm", _contract_in_farm(_equal(FARM.c.farm_id))),
)

PUBLIC_IPS = (
    _numbers("farm_ids", "any of these farms", _among(PUBLIC_IP.c.farm_id)),
    _flag("free", "used by no contract", _is(PUBLIC_IP.c.contract_id == 0)),
    _text("ip", "the address, with its prefix length", _equal(PUBLIC_IP.c.ip)),
    _text("gateway", "its gateway", _equal(PUBLIC_IP.c.gateway)),
)

STATS = (_texts("status", "only nodes that are any of these", _status, STATUSES),)


def nodes_where(rooms: dict[str, list[ColumnElement[bool]]]) -> list[ColumnElement[bool]]:
    """Conditions on `node`; those on graphics cards all mean the same card."""
    found = list(rooms.get("", ()))
    if gpu := rooms.get("gpu"):
        found.append(exists().where(GPU.c.node_id == NODE.c.node_id, *gpu))
    return found


def farms_where(rooms: dict[str, list[ColumnElement[bool]]]) -> list[ColumnElement[bool]]:
    """Conditions on `farm`; those on nodes all mean the same node."""
    found = list(rooms.get("", ()))
    if node := rooms.get("node"):
        found.append(FARM.c.farm_id.in_(select(NODE.c.farm_id).where(*node)))
    return found
