"""What nodes are asked for because the chain does not know it: health, features, hardware, graphics cards, speed.

Nodes are not trusted: their answers are cut to the shape and size that we expect. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zos.explorer.rules import features_mask
from zos.explorer.store.changes import Row
from zos.explorer.store.schema import MAX_INT, clean_text

MAX_TEXT = 256
MAX_ENTRIES = 64


class NodeClient(Protocol):
    """Sends commands to nodes."""

    @property
    def trouble(self) -> str:
        """Why no node can be reached now; empty when nodes can be. While it is set, silence says nothing of a node."""
        ...

    async def call(self, twin: int, command: str, body: Any = None) -> Any:
        """The decoded JSON answer to a command.

        A ZosError when there is none: DEADLINE_EXCEEDED when the node is silent, UNAVAILABLE or RESOURCE_EXHAUSTED
        when it was not asked at all, anything else for an answer that is of no use.
        """
        ...


class UnexpectedAnswer(Exception):
    """An answer that is not of the expected shape."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What is stored of an answer."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    """Of the table `node`."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the table `report`."""
    gpus: tuple[Row, ...] | None = None
    """All graphics cards of the node; None: this probe does not tell."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A command that every node which is up is asked regularly."""

    name: str
    """The column `<name>_at` of `report` has the time of the last answer."""
    command: str
    interval: int
    """Seconds."""
    parse: Callable[[Any], ProbeResult]
    """Raises UnexpectedAnswer."""
    body: Any = None
    if_silent: ProbeResult | None = None
    """What it means when the node does not answer; None: nothing."""
    interval_unhealthy: int = 0
    """Seconds until an unhealthy node is asked again; 0: as any other."""


def _health(answer: Any) -> ProbeResult:
    return ProbeResult({"healthy": _mapping(answer).get("healthy") is True})


def _features(answer: Any) -> ProbeResult:
    found = [_text(one) for one in _list(answer)]
    return ProbeResult({"features": features_mask(found)}, {"features": found})


def _ipv6(answer: Any) -> ProbeResult:
    return ProbeResult({"has_ipv6": answer is True})


def _workloads(answer: Any) -> ProbeResult:
    return ProbeResult({"workloads": min(_number(_mapping(_mapping(answer).get("users")).get("workloads")), 2**31)})


def _speed(answer: Any) -> ProbeResult:
    for one in map(_mapping, _list(_mapping(answer).get("result"))):
        down, up = _decimal(one.get("download_speed")), _decimal(one.get("upload_speed"))
        if down:
            return ProbeResult(report={"download": down, "upload": up})
    return ProbeResult()


def _dmi(answer: Any) -> ProbeResult:
    found: dict[str, Any] = {"bios": {}, "baseboard": {}, "processor": [], "memory": []}
    for section in map(_mapping, _list(_mapping(answer).get("sections"))):
        for part in map(_mapping, _list(section.get("subsections"))):
            properties = _mapping(part.get("properties"))
            match section.get("typestr"), part.get("title"):
                case "BIOS", "BIOS Information":
                    found["bios"] = _picked(properties, vendor="Vendor", version="Version")
                case "Baseboard", "Base Board Information":
                    found["baseboard"] = _picked(properties, manufacturer="Manufacturer", product_name="Product Name")
                case "Processor", "Processor Information":
                    found["processor"].append(_picked(properties, version="Version", thread_count="Thread Count"))
                case "MemoryDevice", "Memory Device":
                    stick = _picked(properties, manufacturer="Manufacturer", type="Type")
                    if stick["type"] != "Unknown":
                        found["memory"].append(stick)
    return ProbeResult(report=found)


def _picked(properties: Mapping[str, Any], **wanted: str) -> dict[str, str]:
    return {name: _text(_mapping(properties.get(title)).get("value", "")) for name, title in wanted.items()}


def _gpus(answer: Any) -> ProbeResult:
    rows: dict[str, Row] = {}
    for one in map(_mapping, _list(answer)):
        card = _text(one.get("id", ""))
        row = {name: _text(one.get(name, "")) for name in ("vendor", "device")}
        rows[card] = {"id": card, **row, "contract": min(_number(one.get("contract", 0)), MAX_INT)}
    return ProbeResult({"num_gpu": len(rows)}, gpus=tuple(rows.values()))


PROBES = (
    Probe(
        "health",
        "zos.system.diagnostics",
        5 * 60,
        _health,
        if_silent=ProbeResult({"healthy": False}),
        interval_unhealthy=30,
    ),
    Probe("features", "zos.system.node_features_get", 3600, _features),
    Probe("ipv6", "zos.network.has_ipv6", 24 * 3600, _ipv6),
    Probe("workloads", "zos.statistics.get", 3600, _workloads),
    Probe("gpu", "zos.gpu.list", 3600, _gpus),
    Probe("dmi", "zos.system.dmi", 24 * 3600, _dmi),
    Probe("speed", "zos.perf.get", 3600, _speed, {"name": "iperf"}),
)


def statistics(answer: Any) -> dict[str, Any]:
    """The answer to `zos.statistics.get`, cut to the numbers that clients read. Raises UnexpectedAnswer."""
    whole = _mapping(answer)
    found: dict[str, Any] = {
        part: {unit: _number(_mapping(whole.get(part)).get(unit, 0)) for unit in ("cru", "hru", "ipv4u", "mru", "sru")}
        for part in ("system", "total", "used")
    }
    users = _mapping(whole.get("users"))
    names = ("deployments", "workloads", "last_deployment_timestamp")
    return found | {"users": {name: _number(users.get(name, 0)) for name in names}}


def gpu_cards(answer: Any) -> Sequence[Row]:
    """The answer to `zos.gpu.list` as rows of `gpu`. Raises UnexpectedAnswer."""
    return _gpus(answer).gpus or ()


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnexpectedAnswer(f"an object was expected, not {json.dumps(value, default=str)[:60]}")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnexpectedAnswer(f"a list was expected, not {json.dumps(value, default=str)[:60]}")
    return value[:MAX_ENTRIES]


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_INT:
        raise UnexpectedAnswer("a number was expected")
    return int(value)


def _decimal(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        raise UnexpectedAnswer("a number was expected")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnexpectedAnswer("a text was expected")
    return clean_text(value)[:MAX_TEXT]
