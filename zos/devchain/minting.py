"""Owns what farmers earn in a period: uptime from reports, units from resources, rewards from policies. Pure.

The chain itself pays nobody. As on the live grid, a program reads what happened and computes; here is that program.
Amounts are in 1/1000 US dollar (mUSD) and in units of 1e-7 TFT, times in unix seconds, sizes in bytes.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from zos.devchain.uptime import Uptime

FIRST = 1_522_501_000
"""When period 0 began."""
LENGTH = 2_630_880
"""Seconds: 365.4 days / 12."""
TAIL = 27 * 3600
"""How long after the end of a period reports can still close its last interval."""
GIB = 1024**3
MILLION = 10**6
TOKEN = 10**7
CARBON_CU, CARBON_SU = 354, 122
"""mUSD a unit that were once kept back for carbon credits."""
CARBON_END = 1_735_689_600
"""No deduction in periods that begin in 2025 or later."""
FULL = 1000
BARS = {"Diy": 950, "Certified": 980}
KEY = 33

Happened = tuple[int, str, Any]
"""When, the event's name, what it carries."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start`, `length` seconds."""

    start: int
    length: int = LENGTH

    @property
    def end(self) -> int:
        """The first second after it."""
        return self.start + self.length

    @property
    def number(self) -> int:
        """Which one it is, or begins in."""
        return (self.start - FIRST) // LENGTH

    @staticmethod
    def numbered(number: int) -> Period:
        """The live grid's, by their number."""
        return Period(FIRST + number * LENGTH)

    @staticmethod
    def of(at: int) -> Period:
        """The live grid's period that a time lies in."""
        return Period.numbered((at - FIRST) // LENGTH)

    @staticmethod
    def of_month(year: int, month: int) -> Period:
        """The period with the middle of a month."""
        return Period.of(int(datetime.datetime(year, month, 15, tzinfo=datetime.UTC).timestamp()))


@dataclass(frozen=True, slots=True)
class Reward:
    """What one node earned, and why."""

    node: int
    farm: int
    policy: int
    certification: str
    uptime: int
    """Seconds."""
    permille: int
    cu: int
    su: int
    nu: int
    """Millionths of a unit."""
    ip_seconds: int
    violation: str
    full_musd: int
    """For a node that is always up."""
    reward_musd: int
    carbon_musd: int
    price: int
    """mUSD for a TFT, as it was when the node was created."""
    units: int
    """What is paid."""


@dataclass
class _Node:
    """What one node did and earned in the period."""

    record: dict[str, Any]
    smallest: dict[str, int]
    uptime: Uptime
    traffic: int = 0
    ip_seconds: int = 0


@dataclass
class _Contract:
    """A node contract with addresses."""

    node: int
    ips: int
    since: int


@dataclass
class _Totals:
    """Everything that is counted while the events are read."""

    period: Period
    nodes: dict[int, _Node] = field(default_factory=dict)
    contracts: dict[int, _Contract] = field(default_factory=dict)

    def read(self, at: int, name: str, content: Any) -> None:
        """Adds what one event says; `at` is its block's time in Unix seconds."""
        match name:
            case "NodeStored" | "NodeUpdated":
                self._node(at, content)
            case "NodeUptimeReported" if content[0] in self.nodes:
                self.nodes[content[0]].uptime.report(at, content[2])
            case "PowerTargetChanged" if content["node_id"] in self.nodes:
                self.nodes[content["node_id"]].uptime.target(at, content["power_target"])
            case "PowerStateChanged" if content["node_id"] in self.nodes:
                self.nodes[content["node_id"]].uptime.state(at, content["power_state"])
            case "ContractCreated":
                self._contract(at, content)
            case "IPsFreed" | "NodeContractCanceled":
                self._end(at, content["contract_id"], keep=name == "IPsFreed")
            case "NruConsumptionReportReceived":
                self._traffic(at, content)

    def close(self) -> None:
        """Addresses that are still in use count to the end."""
        for id in tuple(self.contracts):
            self._end(self.period.end, id, keep=False)

    def _node(self, at: int, record: dict[str, Any]) -> None:
        known = self.nodes.get(record["id"])
        if known is None:
            uptime = Uptime(self.period.start, self.period.end)
            self.nodes[record["id"]] = _Node(record, dict(record["resources"]), uptime)
            return
        if at >= self.period.end:
            return
        known.record = record
        if at < self.period.start:
            known.smallest = dict(record["resources"])
        else:
            known.smallest = {name: min(known.smallest[name], size) for name, size in record["resources"].items()}

    def _contract(self, at: int, record: dict[str, Any]) -> None:
        body = record["contract_type"].get("NodeContract")
        if body is not None:
            self.contracts[record["contract_id"]] = _Contract(body["node_id"], len(body["public_ips_list"]), at)

    def _end(self, at: int, id: int, *, keep: bool) -> None:
        contract = self.contracts.get(id)
        if contract is None:
            return
        node = self.nodes.get(contract.node)
        if node is not None:
            seconds = min(at, self.period.end) - max(contract.since, self.period.start)
            node.ip_seconds += max(0, seconds) * contract.ips
        contract.ips = 0
        if not keep:
            del self.contracts[id]

    def _traffic(self, at: int, report: dict[str, int]) -> None:
        contract = self.contracts.get(report["contract_id"])
        node = self.nodes.get(contract.node) if contract else None
        if node is not None and self.period.start <= at < self.period.end:
            node.traffic += report["nru"]


def compute_units(resources: Mapping[str, int]) -> int:
    """Millionths of a CU."""
    memory = max(0, resources["mru"] - GIB)
    return min(resources["cru"] * 2 * MILLION, memory * MILLION // (4 * GIB), resources["sru"] * MILLION // (50 * GIB))


def storage_units(resources: Mapping[str, int]) -> int:
    """Millionths of an SU."""
    exact = Fraction(resources["hru"], 1200 * GIB) + Fraction(resources["sru"], 250 * GIB)
    return int(exact * MILLION)


def paid_permille(permille: int, policy: Mapping[str, Any], certification: str) -> int:
    """The part of the full reward for an uptime: all or nothing at a bar, and above it in proportion."""
    is_special = policy["id"] == 3 and not policy["immutable"] and not policy["default"]
    if policy["id"] in (1, 2) or (is_special and policy["minimal_uptime"] == 95):
        return permille if permille >= BARS[certification] else 0
    # The bar is stored in percent and compared with the permille, on the live grid too.
    return FULL if permille >= policy["minimal_uptime"] else 0


def full_reward(cu: int, su: int, nu: int, ip_seconds: int, policy: Mapping[str, Any], certification: str) -> int:
    """mUSD for a node that is always up."""
    capacity = (cu * policy["cu"] + su * policy["su"] + nu * policy["nu"]) // MILLION
    total = int(capacity + ip_seconds * policy["ipv4"] // 3600)
    return total * 5 // 4 if certification == "Certified" and policy["id"] == 1 else total


def twin_violation(twin: Mapping[str, Any] | None) -> str:
    """What is wrong with a node's twin, if anything is."""
    if twin is None:
        return "MissingTwin"
    if not twin["relay"]:
        return "MissingRelay"
    return "InvalidPublicKey" if twin["pk"] is not None and len(twin["pk"]) != KEY else ""


def mint(
    period: Period,
    happened: Iterable[Happened],
    policies: Mapping[int, Mapping[str, Any]],
    twins: Mapping[int, Mapping[str, Any]],
) -> tuple[Reward, ...]:
    """Rewards by node; `happened` are all events since the beginning, in order, to the end of the period's tail."""
    totals = _Totals(period)
    for at, name, content in happened:
        if at < period.end + TAIL:
            totals.read(at, name, content)
    totals.close()
    known = [node for node in totals.nodes.values() if node.record["created"] < period.end]
    return tuple(
        _reward(period, node, policies[node.record["farming_policy_id"]], twins.get(node.record["twin_id"]))
        for node in sorted(known, key=lambda node: int(node.record["id"]))
    )


def _reward(period: Period, node: _Node, policy: Mapping[str, Any], twin: Mapping[str, Any] | None) -> Reward:
    record, certification = node.record, str(node.record["certification"])
    cu, su = compute_units(node.smallest), storage_units(node.smallest)
    nu = node.traffic * MILLION // GIB
    permille = min(FULL, node.uptime.credited * 1000 // period.length)
    violation = node.uptime.violation or twin_violation(twin)
    paid = 0 if violation or record["virtualized"] else paid_permille(permille, policy, certification)
    full = full_reward(cu, su, nu, node.ip_seconds, policy, certification)
    carbon = (cu * CARBON_CU + su * CARBON_SU) // MILLION if period.start < CARBON_END else 0
    reward, carbon = full * paid // FULL, min(carbon, full) * paid // FULL
    return Reward(
        node=record["id"],
        farm=record["farm_id"],
        policy=policy["id"],
        certification=certification,
        uptime=node.uptime.credited,
        permille=permille,
        cu=cu,
        su=su,
        nu=nu,
        ip_seconds=node.ip_seconds,
        violation=violation or ("Virtualized" if record["virtualized"] else ""),
        full_musd=full,
        reward_musd=reward,
        carbon_musd=carbon,
        price=record["connection_price"],
        units=(reward - carbon) * TOKEN // record["connection_price"] if record["connection_price"] else 0,
    )
