"""What nodes are asked for because the chain does not know it: health, features, hardware, graphics cards, speed.

How a node is reached is not decided here: somebody hands in an `Ask` (RMB). Nodes are strangers: what they answer is
cut to the shape and size that it may have. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zos.explorer.filters import features_mask
from zos.explorer.project import MOST, Row, text

LONGEST = 256
MOST_ENTRIES = 64


class Ask(Protocol):
    """A way to nodes."""

    @property
    def trouble(self) -> str:
        """Why no node can be reached now; empty when they can. Then silence is theirs, else it is ours."""
        ...

    async def call(self, twin: int, command: str, body: Any = None) -> Any:
        """The decoded JSON answer to a command.

        A ZosError when there is none: DEADLINE_EXCEEDED when the node is silent, UNAVAILABLE or RESOURCE_EXHAUSTED
        when it was not asked at all, anything else for an answer that is of no use.
        """
        ...


class Strange(Exception):
    """An answer that is not of the expected shape."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What of an answer is kept."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    """Of `node`."""
    report: Mapping[str, Any] = field(default_factory=dict)
    gpus: tuple[Row, ...] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask every living node for again and again."""

    name: str
    """Its column in `report` is `<name>_at`."""
    command: str
    every: int
    """Seconds."""
    take: Callable[[Any], Answer]
    body: Any = None
    silence: Answer | None = None
    """What no answer means; None: nothing."""
    soon: int = 0
    """Seconds until a node that is not healthy is asked again; 0: as any other."""


def _health(answer: Any) -> Answer:
    return Answer({"healthy": _mapping(answer).get("healthy") is True})


def _features(answer: Any) -> Answer:
    found = [_text(one) for one in _list(answer)]
    return Answer({"features": features_mask(found)}, {"features": found})


def _ipv6(answer: Any) -> Answer:
    return Answer({"has_ipv6": answer is True})


def _workloads(answer: Any) -> Answer:
    return Answer({"workloads": min(_number(_mapping(_mapping(answer).get("users")).get("workloads")), 2**31)})


def _speed(answer: Any) -> Answer:
    for one in map(_mapping, _list(_mapping(answer).get("result"))):
        down, up = _decimal(one.get("download_speed")), _decimal(one.get("upload_speed"))
        if down:
            return Answer(report={"download": down, "upload": up})
    return Answer()


def _dmi(answer: Any) -> Answer:
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
    return Answer(report=found)


def _picked(properties: Mapping[str, Any], **wanted: str) -> dict[str, str]:
    return {name: _text(_mapping(properties.get(title)).get("value", "")) for name, title in wanted.items()}


def _gpus(answer: Any) -> Answer:
    rows: dict[str, Row] = {}
    for one in map(_mapping, _list(answer)):
        card = _text(one.get("id", ""))
        row = {name: _text(one.get(name, "")) for name in ("vendor", "device")}
        rows[card] = {"id": card, **row, "contract": min(_number(one.get("contract", 0)), MOST)}
    return Answer({"num_gpu": len(rows)}, gpus=tuple(rows.values()))


QUESTIONS = (
    Question("health", "zos.system.diagnostics", 5 * 60, _health, silence=Answer({"healthy": False}), soon=30),
    Question("features", "zos.system.node_features_get", 3600, _features),
    Question("ipv6", "zos.network.has_ipv6", 24 * 3600, _ipv6),
    Question("workloads", "zos.statistics.get", 3600, _workloads),
    Question("gpu", "zos.gpu.list", 3600, _gpus),
    Question("dmi", "zos.system.dmi", 24 * 3600, _dmi),
    Question("speed", "zos.perf.get", 3600, _speed, {"name": "iperf"}),
)


def statistics(answer: Any) -> dict[str, Any]:
    """`zos.statistics.get` in the numbers that clients read; Strange for anything else."""
    whole = _mapping(answer)
    found: dict[str, Any] = {
        part: {unit: _number(_mapping(whole.get(part)).get(unit, 0)) for unit in ("cru", "hru", "ipv4u", "mru", "sru")}
        for part in ("system", "total", "used")
    }
    users = _mapping(whole.get("users"))
    names = ("deployments", "workloads", "last_deployment_timestamp")
    return found | {"users": {name: _number(users.get(name, 0)) for name in names}}


def cards(answer: Any) -> Sequence[Row]:
    """`zos.gpu.list`; Strange for anything else."""
    return _gpus(answer).gpus or ()


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Strange(f"an object was expected, not {json.dumps(value, default=str)[:60]}")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Strange(f"a list was expected, not {json.dumps(value, default=str)[:60]}")
    return value[:MOST_ENTRIES]


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise Strange("a number was expected")
    return int(value)


def _decimal(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        raise Strange("a number was expected")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Strange("a text was expected")
    return text(value)[:LONGEST]
