"""GridProxy's rules about nodes, each written once: what is free, what it costs, who may have it, whether it is up.

Some rules fill columns when the chain changes (`resources`, `monthly_price`): plain Python. All others are SQL over
these columns, because clients filter and sort by them; the answers show what the same SQL says. They are the rules that
grid clients calculate with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Float, and_, case, false, func, literal, not_, or_

from zos.explorer.store.schema import NODE, PUBLIC_IP

GIB = 1024**3

CONTRACT_STATES = ("Created", "GracePeriod", "Deleted", "OutOfFunds")
ACTIVE_STATES = ("Created", "GracePeriod")
"""States in which a contract uses its node and is billed."""

# Filled in when the chain changes

SYSTEM_SRU = 20 * GIB
SYSTEM_MRU = 2 * GIB
HOURS_PER_MONTH = 24 * 30
CERTIFIED_FACTOR = 1.25


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """Units of 1e-7 USD per unit and hour."""

    cu: int = 0
    su: int = 0


def reserved_mru(total: int) -> int:
    """Memory that the node keeps for itself, as the grid's GridProxy counts it: a tenth, at least 2 GiB.

    What a node refuses is for it to say (`zos.model.capacity.reserved_memory`, which rounds down). Here the tenth is
    rounded as that proxy's SQL casts it, so that both proxies tell the same bytes of the same node.
    """
    return max((total + 5) // 10, SYSTEM_MRU)


def resources(total: Mapping[str, int], contracts: Mapping[str, int]) -> dict[str, int]:
    """The columns `used_…` and `free_…` (bytes, threads) from totals and the sums over the node's contracts."""
    reserved = {"hru": 0, "sru": SYSTEM_SRU, "cru": 0, "mru": reserved_mru(total["mru"])}
    used = {unit: contracts[unit] + reserved[unit] for unit in reserved}
    return {f"used_{unit}": used[unit] for unit in used} | {f"free_{unit}": total[unit] - used[unit] for unit in used}


def monthly_price(total: Mapping[str, int], prices: UnitPrices, is_certified: bool, extra_fee: int) -> float:
    """USD per month for the whole node; `extra_fee` in thousandths of a USD per month, as the chain keeps it."""
    cru, mru = total["cru"], total["mru"] / GIB
    cu = min(max(mru / 4, cru / 2), max(mru / 8, cru), max(mru / 2, cru / 4))
    su = total["hru"] / GIB / 1200 + total["sru"] / GIB / 200
    hourly = (cu * prices.cu + su * prices.su) / 1e7
    return hourly * HOURS_PER_MONTH * (CERTIFIED_FACTOR if is_certified else 1.0) + extra_fee / 1000


# Price

DISCOUNTS = ((18.0, 0.6), (6.0, 0.4), (3.0, 0.3), (1.5, 0.2))
"""Months that the tenant's balance lasts, and the share of the price that is taken off."""


def discounted_price(balance: float | ColumnElement[float]) -> ColumnElement[float]:
    """USD per month for a tenant with this balance (USD): more months ahead, less to pay."""
    price, money = NODE.c.price_usd, literal(balance, Float) if isinstance(balance, float) else balance
    steps = [(money >= price * months, price * (1 - share)) for months, share in DISCOUNTS]
    return case(*steps, else_=price)


# Who may have the node

IS_RENTED = NODE.c.renter != 0
_IS_FREE_AS_A_WHOLE = or_(NODE.c.farm_dedicated, NODE.c.contracts == 0)
IS_RENTABLE = and_(_IS_FREE_AS_A_WHOLE, NODE.c.renter == 0)
"""Somebody may rent the whole node now."""
IS_DEDICATED_IN_STATS = or_(_IS_FREE_AS_A_WHOLE, IS_RENTED)
IS_DEDICATED = or_(IS_DEDICATED_IN_STATS, NODE.c.extra_fee > 0)
"""The node is, or could be, one tenant's alone. The statistics page does not count nodes for their fee."""
IS_DEDICATED_IN_GRAPHQL = or_(IS_RENTED, NODE.c.extra_fee > 0)
"""What the grid's indexer calls dedicated."""


def is_available_for(twin: int) -> ColumnElement[bool]:
    """Rented by this twin, or free for everybody."""
    return or_(NODE.c.renter == twin, and_(NODE.c.renter == 0, not_(NODE.c.farm_dedicated), NODE.c.extra_fee == 0))


# What the node has

HAS_GPU = NODE.c.num_gpu > 0
HAS_IPV6 = func.coalesce(NODE.c.has_ipv6, False)
HAS_DOMAIN = NODE.c.domain != ""
IS_ACCESS_NODE = or_(NODE.c.ipv4 != "", NODE.c.ipv6 != "")
IS_GATEWAY = and_(IS_ACCESS_NODE, HAS_DOMAIN)
IS_CERTIFIED = NODE.c.certification == "Certified"
IS_IP_FREE = PUBLIC_IP.c.contract_id == 0

FEATURES = (
    *("zmount", "zdb", "volume", "ipv4", "ip", "gateway-name-proxy", "gateway-fqdn-proxy", "qsfs", "zlogs"),
    *("network", "zmachine", "zmachine-light", "network-light", "wireguard", "yggdrasil", "mycelium"),
)
"""What nodes may offer. The order is that of the bits of `node.features` in databases: only append."""


def features_mask(features: Iterable[str]) -> int:
    """Features as bits; features that nobody can filter by have none."""
    return sum(1 << FEATURES.index(one) for one in dict.fromkeys(features) if one in FEATURES)


def has_features(features: Sequence[str]) -> ColumnElement[bool]:
    """The node offers all of these; no node offers what is none of FEATURES."""
    if not set(features) <= set(FEATURES):
        return false()
    mask = features_mask(features)
    return NODE.c.features.bitwise_and(mask) == mask


# Health

IS_HEALTHY = func.coalesce(NODE.c.healthy, False)
"""As answers show it. `zos.explorer.nodes.probes` fills the column: a node that does not answer is not healthy."""


def has_health(wanted: bool) -> ColumnElement[bool]:
    """As filters mean it: a node that was never asked is neither healthy nor unhealthy."""
    return NODE.c.healthy.is_(wanted)


# Status

UP_FOR = 80 * 60
STANDBY_FOR = 24 * 3600
Seconds = int | ColumnElement[int]


class Status(StrEnum):
    """As clients write it."""

    UP = "up"
    STANDBY = "standby"
    DOWN = "down"


def has_status(statuses: Iterable[str], now: Seconds) -> ColumnElement[bool]:
    """The node has any of these: by its power and the age of its last uptime report (`now`: unix seconds)."""
    power = (NODE.c.power_state, NODE.c.power_target)
    # A node that nobody ever switched has no power at all, and is on.
    is_on = and_(*(or_(column.is_(None), column == "Up") for column in power))
    is_fresh, is_known = NODE.c.updated_at >= now - UP_FOR, NODE.c.updated_at >= now - STANDBY_FOR
    conditions = {
        Status.UP: and_(is_on, is_fresh),
        Status.STANDBY: and_(not_(is_on), is_known),
        Status.DOWN: or_(and_(is_on, not_(is_fresh)), and_(not_(is_on), not_(is_known))),
    }
    return or_(false(), *(condition for status, condition in conditions.items() if status in set(statuses)))


def status(now: Seconds) -> ColumnElement[str]:
    """The node's status as a text."""
    return case(
        (has_status([Status.UP], now), Status.UP.value),
        (has_status([Status.STANDBY], now), Status.STANDBY.value),
        else_=Status.DOWN.value,
    )


def status_order(now: Seconds) -> ColumnElement[int]:
    """Sorts up before standby before down."""
    return case((has_status([Status.UP], now), 1), (has_status([Status.STANDBY], now), 2), else_=3)
