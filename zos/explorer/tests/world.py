"""A grid as people see it, and what follows from it for each node: no SQL, no derived columns. Pure.

The rules are those of the grid's public proxy, as clients calculate with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GIB = 1024**3
HOUR = 3600
ALIVE = ("Created", "GracePeriod")
UNITS = ("cru", "mru", "sru", "hru")
REGIONS = {"Belgium": "Europe", "Egypt": "Africa", "Türkiye": "Asia", "Nowhere": ""}


@dataclass
class Farm:
    """A farm; `ips` has the contract of each of its public addresses, 0 for a free one."""

    id: int
    name: str = "Farm"
    twin: int = 1
    is_dedicated: bool = False
    certification: str = "NotCertified"
    policy: int = 1
    stellar: str = ""
    ips: list[int] = field(default_factory=list)


@dataclass
class Gpu:
    id: str
    vendor: str
    device: str
    contract: int


@dataclass
class Node:
    """A node; `said` is None for one that was never asked."""

    id: int
    farm: int
    twin: int
    country: str
    city: str
    total: dict[str, int]
    reported: int
    """Unix seconds of its last uptime report."""
    uptime: int = 0
    power: tuple[str, str] | None = None
    fee: int = 0
    is_certified: bool = False
    config: dict[str, str] = field(default_factory=dict)
    said: dict[str, Any] | None = None
    gpus: list[Gpu] = field(default_factory=list)


@dataclass
class Contract:
    """A contract; `used` is what its node reported."""

    id: int
    kind: str
    state: str
    twin: int
    node: int = 0
    name: str = ""
    data: str = ""
    hash: str = ""
    ips: int = 0
    created: int = 0
    used: dict[str, int] = field(default_factory=dict)


@dataclass
class Twin:
    id: int
    account: str
    relay: str | None
    key: str | None


@dataclass
class World:
    """A grid at a time; prices are CU and SU by policy, in units of 1e-7 USD an hour."""

    now: int
    farms: dict[int, Farm]
    nodes: dict[int, Node]
    contracts: dict[int, Contract]
    twins: dict[int, Twin]
    prices: dict[int, tuple[int, int]]

    # Derived

    def on(self, node: Node, kind: str) -> list[Contract]:
        return [
            one for one in self.contracts.values() if (one.node, one.kind) == (node.id, kind) and one.state in ALIVE
        ]

    def renter(self, node: Node) -> int:
        return self.on(node, "rent")[0].twin if self.on(node, "rent") else 0

    def farm(self, node: Node) -> Farm:
        return self.farms.get(node.farm, Farm(0, "", 0))

    def status(self, node: Node) -> str:
        age = self.now - node.reported
        if node.power in (None, ("Up", "Up")):
            return "up" if age <= 80 * 60 else "down"
        return "standby" if age <= 24 * HOUR else "down"

    def used(self, node: Node, unit: str) -> int:
        mine = sum(one.used.get(unit, 0) for one in self.on(node, "node"))
        kept = {"sru": 20 * GIB, "mru": max((node.total["mru"] + 5) // 10, 2 * GIB)}
        return mine + kept.get(unit, 0)

    def free(self, node: Node, unit: str) -> int:
        return node.total[unit] - self.used(node, unit)

    def is_rentable(self, node: Node) -> bool:
        return not self.renter(node) and (self.farm(node).is_dedicated or not self.on(node, "node"))

    def is_dedicated(self, node: Node) -> bool:
        is_empty = not self.on(node, "node")
        return self.farm(node).is_dedicated or is_empty or bool(self.renter(node)) or node.fee > 0

    def is_available(self, node: Node, twin: int) -> bool:
        renter = self.renter(node)
        return renter == twin or (not renter and not self.farm(node).is_dedicated and not node.fee)

    def price(self, node: Node, balance: float) -> float:
        cru, mru = node.total["cru"], node.total["mru"] / GIB
        sru, hru = node.total["sru"] / GIB, node.total["hru"] / GIB
        cu = min(max(mru / 4, cru / 2), max(mru / 8, cru), max(mru / 2, cru / 4))
        cu_price, su_price = self.prices.get(self.farm(node).policy or 1, (0, 0))
        month = 720 * (cu * cu_price + (hru / 1200 + sru / 200) * su_price) / 1e7
        whole = month * (1.25 if node.is_certified else 1) + node.fee / 1000
        if balance >= 18 * whole:
            return whole * 0.4
        if balance >= 6 * whole:
            return whole * 0.6
        if balance >= 3 * whole:
            return whole * 0.7
        return whole * 0.8 if balance >= 1.5 * whole else whole

    def free_ips(self, farm: Farm) -> int:
        return farm.ips.count(0)
