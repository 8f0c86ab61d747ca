"""What follows from a node, its contracts and its farm's prices: free and used resources, the price, who may have it.

Pure. The rules are those that grid clients calculate with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GIB = 1024**3
SYSTEM_SRU = 20 * GIB
SYSTEM_MRU = 2 * GIB
HOURS = 24 * 30
CERTIFIED = 1.25


@dataclass(frozen=True, slots=True)
class Prices:
    """Units of 1e-7 USD per unit and hour."""

    cu: int = 0
    su: int = 0


def reserved_mru(total: int) -> int:
    """Memory that the node keeps: a tenth, at least 2 GiB."""
    return max((total + 5) // 10, SYSTEM_MRU)


def resources(total: Mapping[str, int], used: Mapping[str, int]) -> dict[str, int]:
    """`used_…` and `free_…` columns (bytes, threads) from totals and the sums over contracts."""
    kept = {"hru": 0, "sru": SYSTEM_SRU, "cru": 0, "mru": reserved_mru(total["mru"])}
    taken = {unit: used[unit] + kept[unit] for unit in kept}
    return {f"used_{unit}": taken[unit] for unit in kept} | {f"free_{unit}": total[unit] - taken[unit] for unit in kept}


def price(total: Mapping[str, int], prices: Prices, is_certified: bool, extra_fee: int) -> float:
    """USD per month for the whole node; `extra_fee` in thousandths of a USD per month, as the chain keeps it."""
    cru, mru = total["cru"], total["mru"] / GIB
    cu = min(max(mru / 4, cru / 2), max(mru / 8, cru), max(mru / 2, cru / 4))
    su = total["hru"] / GIB / 1200 + total["sru"] / GIB / 200
    hourly = (cu * prices.cu + su * prices.su) / 1e7
    return hourly * HOURS * (CERTIFIED if is_certified else 1.0) + extra_fee / 1000


def discount(price: float, balance: float) -> float:
    """The price for somebody with this balance (both in the same money): more months ahead, less to pay."""
    for months, share in ((18.0, 0.6), (6.0, 0.4), (3.0, 0.3), (1.5, 0.2)):
        if balance >= price * months:
            return price * (1 - share)
    return price


def is_dedicated(node: Mapping[Any, Any]) -> bool:
    """Whether the node is, or could be, one tenant's alone."""
    return bool(node["farm_dedicated"] or not node["contracts"] or node["renter"] or node["extra_fee"])


def is_rentable(node: Mapping[Any, Any]) -> bool:
    """Whether somebody may rent the whole node now."""
    return bool((node["farm_dedicated"] or not node["contracts"]) and not node["renter"])
