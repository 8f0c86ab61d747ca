"""What the chain remembers for the farmers' pay, and heartbeats of nodes that are only simulated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zos.devchain.context import Context
from zos.devchain.minting import TAIL, Happened, Period, Reward, mint
from zos.devchain.runtime import BY_NAME
from zos.devchain.state import Typed
from zos.devchain.store import Store
from zos.scale.types import decode

REMEMBERED = {
    "TfgridModule": frozenset(
        ("NodeStored", "NodeUpdated", "NodeDeleted", "NodeUptimeReported", "PowerTargetChanged", "PowerStateChanged")
    ),
    "SmartContractModule": frozenset(
        ("ContractCreated", "NodeContractCanceled", "IPsFreed", "NruConsumptionReportReceived")
    ),
}
RECORDS = BY_NAME["System"].item("Events").value
BEAT = 400
"""Blocks between two reports: forty minutes."""


def pack(events: list[dict[str, Any]]) -> bytes | None:
    """Those of a block's events that pay depends on; None when there are none."""
    kept = [one for one in events if _is_remembered(one["event"])]
    return RECORDS.encode(kept) if kept else None


def unpack(raw: bytes) -> Iterator[tuple[str, Any]]:
    """Their names and what they carry."""
    for record in decode(RECORDS, raw):
        (inner,) = record["event"].values()
        ((name, content),) = inner.items()
        yield name, content


def _is_remembered(event: dict[str, Any]) -> bool:
    ((pallet, inner),) = event.items()
    names = REMEMBERED.get(pallet)
    return names is not None and isinstance(inner, dict) and next(iter(inner)) in names


def rewards(store: Store, storage: Typed, period: Period) -> tuple[Reward, ...]:
    """What every node earned in a period, from all that the chain remembers and its present policies and twins."""
    policies = {
        id: storage.get("TfgridModule.FarmingPoliciesMap", id)
        for id in range(1, int(storage.get("TfgridModule.FarmingPolicyID")) + 1)
    }
    twins = {id: storage.get("TfgridModule.Twins", id) for id in range(1, int(storage.get("TfgridModule.TwinID")) + 1)}
    known = {id: twin for id, twin in twins.items() if twin is not None}
    return mint(period, _happened(store, period), policies, known)


def _happened(store: Store, period: Period) -> Iterator[Happened]:
    for _, now, raw in store.farming(0, (period.end + TAIL) * 1000):
        for name, content in unpack(raw):
            yield now // 1000, name, content


class Heartbeats:
    """The heartbeats of nodes while virtual time passes."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}
        """By node: when it last reported, and which uptime (both in seconds)."""
        self._beating: tuple[int, ...] = ()
        self._since = 0

    def record(self, events: list[dict[str, Any]]) -> None:
        """Remember the reports of a block."""
        for record in events:
            inner = record["event"].get("TfgridModule")
            if isinstance(inner, dict) and "NodeUptimeReported" in inner:
                node, at, uptime = inner["NodeUptimeReported"]
                self._last[node] = at, uptime

    def start(self, storage: Typed, now: int, wanted: bool) -> None:
        """From this time (unix milliseconds) on: every node that is awake."""
        self._since = now // 1000
        if wanted:
            ids = range(1, int(storage.get("TfgridModule.NodeID")) + 1)
            self._beating = tuple(id for id in ids if _is_awake(storage, id))

    def stop(self) -> None:
        """Real nodes speak for themselves again."""
        self._beating = ()

    def quiet(self, block: int) -> int:
        """How many blocks from this one come before the next report."""
        return -block % BEAT if self._beating else 2**32

    def report(self, ctx: Context) -> None:
        """Every forty minutes a report of each."""
        if ctx.block % BEAT:
            return
        for node in self._beating:
            at, uptime = self._last.get(node, (self._since, 0))
            ctx.emit("TfgridModule.NodeUptimeReported", node, ctx.seconds, uptime + ctx.seconds - at)


def _is_awake(storage: Typed, id: int) -> bool:
    return storage.has("TfgridModule.Nodes", id) and storage.get("TfgridModule.NodePower", id)["state"] == "Up"
