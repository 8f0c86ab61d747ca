"""Owns what capacity costs: cloud units, US dollars, tokens and discounts, exactly as the runtime computes them. Pure.

"Units" are 1e-7 US dollar; token amounts are 1e-7 TFT; prices of a token are in 1/1000 US dollar; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zos.devchain.fixed import div, mul, num, of_float, percent, rounded

HOUR = 3600
MONTH = 30 * 24 * HOUR
MILLI = 10_000
"""Units in 1/1000 US dollar."""
TOKEN = 10**7
UNITS = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terrabytes")
LEVELS = (("Gold", num(18), 0.4), ("Silver", num(6), 0.6), ("Bronze", num(3), 0.7), ("Default", num(3) // 2, 0.8))
"""Name, from how many months of money, factor."""
CERTIFIED = of_float(1.25)


@dataclass(frozen=True, slots=True)
class Rates:
    """A pricing policy: units per hour for one SU, CU, NU (GB), IP or name, and what a unit of size is."""

    su: int
    cu: int
    nu: int
    ipu: int
    unique_name: int
    storage_size: int = 1024**3
    memory_size: int = 1024**3
    traffic_size: int = 1000**3
    dedicated_percent: int = 50
    foundation: bytes = b""
    sales: bytes = b""

    @staticmethod
    def of(policy: Mapping[str, Any]) -> Rates:
        """From a PricingPolicy as it is stored."""
        return Rates(
            **{name: policy[name]["value"] for name in ("su", "cu", "nu", "ipu", "unique_name")},
            storage_size=1024 ** UNITS.index(policy["su"]["unit"]),
            memory_size=1024 ** UNITS.index(policy["cu"]["unit"]),
            traffic_size=1000 ** UNITS.index(policy["nu"]["unit"]),
            # Spec 49 does not store it: nodes could not be rented then.
            dedicated_percent=policy.get("discount_for_dedication_nodes", 50),
            foundation=policy["foundation_account"],
            sales=policy["certified_sales_account"],
        )


def storage_units(hru: int, sru: int, size: int = 1024**3) -> int:
    """SU (fixed point) of disk space."""
    return num(hru) // size // 1200 + num(sru) // size // 200


def compute_units(cru: int, mru: int, size: int = 1024**3) -> int:
    """CU (fixed point) of threads and memory."""
    memory, threads = num(mru) // size, num(cru)
    return min(
        max(memory // 4, threads // 2),
        max(memory // 8, threads),
        max(memory // 2, threads // 4),
    )


def _over(rate: int, seconds: int) -> int:
    """A rate per hour over so many seconds (fixed point)."""
    return num(rate) // HOUR * seconds


def resources_cost(rates: Rates, used: Mapping[str, int], ips: int, seconds: int, *, with_resources: bool) -> int:
    """Units for capacity and public addresses over a time."""
    total = 0
    if with_resources:
        su = storage_units(used["hru"], used["sru"], rates.storage_size)
        cu = compute_units(used["cru"], used["mru"], rates.memory_size)
        total = mul(_over(rates.su, seconds), su) + mul(_over(rates.cu, seconds), cu)
    return rounded(total + ips * (num(rates.ipu) // HOUR) * seconds)


def rent_cost(rates: Rates, resources: Mapping[str, int], seconds: int) -> int:
    """Units for a whole node over a time."""
    return percent(rates.dedicated_percent, resources_cost(rates, resources, 0, seconds, with_resources=True))


def name_cost(rates: Rates, seconds: int) -> int:
    """Units for a name over a time."""
    return rounded(_over(rates.unique_name, seconds))


def traffic_cost(rates: Rates, nru: int, window: int) -> int:
    """Units for bytes over public interfaces in a window of seconds; the price acts per GB and hour of window."""
    return rounded(mul(num(nru) // rates.traffic_size, num(rates.nu) // HOUR) * window)


def extra_fee_cost(fee: int, seconds: int) -> int:
    """Units for a dedicated node's extra fee (1/1000 US dollar a month) over a time."""
    return rounded(num(fee * MILLI * seconds) // MONTH)


def service_cost(base_fee: int, variable_amount: int, window: int) -> int:
    """Units for a service (base fee per hour and amount in 1/1000 US dollar) over a window."""
    return rounded(num(base_fee * MILLI * window) // HOUR + num(variable_amount * MILLI))


def variable_limit(variable_fee: int, window: int) -> int:
    """The largest variable amount that may be asked for a window."""
    return rounded(num(window) // HOUR * variable_fee)


def price_used(average: int, lowest: int, highest: int) -> int:
    """The token's price that bills use."""
    return min(max(average, lowest), highest)


def tokens(units: int, price: int) -> int:
    """Units as tokens at a price, which must not be 0."""
    return rounded(num(units) // (price * MILLI) * TOKEN)


def discounted(amount: int, seconds: int, balance: int, *, certified: bool) -> tuple[int, str]:
    """What is due of an amount for so many seconds, and the discount level that the balance earns."""
    if amount == 0:
        return 0, "None"
    monthly = rounded(num(amount * HOUR) // seconds * 24 * 30)
    # The runtime divides by it; an amount so small that a month of it is nothing is within anybody's means.
    months = div(num(balance), num(max(monthly, 1)))
    level, factor = next(((name, of_float(f)) for name, least, f in LEVELS if months >= least), ("None", num(1)))
    due = amount * factor
    if certified:
        due = mul(due, CERTIFIED)
    return rounded(due), level
