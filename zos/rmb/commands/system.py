"""`zos.system.*`: the machine and the software that runs it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import zos
from zos.capacityd.api.types import Dmi, Section
from zos.core0.api.types import UnitInfo, UnitState
from zos.errors import ZosError
from zos.primitives import find
from zos.rmb.commands.perf import health
from zos.rmb.router import Call, Command, Node

MODULES = {"storaged": "storage", "networkd": "network", "flistd": "flist", "provisiond": "provision"}
"""The grid's names of daemons that have another here."""
API_VERSION = "v1"
PLANETARY, MYCELIUM = "yggdrasil", "mycelium"
"""The grid's names of the features: machines can be in the planetary network, in the Mycelium overlay."""


async def version(call: Call) -> dict[str, str]:
    """`{zos, zinit}`; what stands in zinit's place is core-0, of the same release."""
    return {"zos": zos.__version__, "zinit": f"v{zos.__version__}"}


async def dmi(call: Call) -> dict[str, Any]:
    """What the firmware says of the hardware: `{tooling, sections}`."""
    return show_dmi(await call.node.capacityd.dmi())


def show_dmi(found: Dmi) -> dict[str, Any]:
    """As the grid's indexers read it."""
    tooling = {"aggregator": found.tool, "decoder": f"zos {zos.__version__}"}
    return {"tooling": tooling, "sections": [_section(one) for one in found.sections]}


def _section(one: Section) -> dict[str, Any]:
    parts = []
    for part in one.subsections:
        properties = {
            name: {"value": value.value, **({"items": list(value.items)} if value.items else {})}
            for name, value in part.properties.items()
        }
        parts.append({"title": part.title, "properties": properties})
    return {"handleline": one.handle, "typestr": one.kind, "typenum": one.number, "subsections": parts}


async def hypervisor(call: Call) -> str:
    """The hypervisor that the node runs in; "" on bare metal."""
    return (await call.node.capacityd.inventory()).hypervisor


async def diagnostics(call: Call) -> dict[str, Any]:
    """How the daemons are, and whether the node is healthy (what the grid's index shows)."""
    modules, problems = await asyncio.gather(_modules(call.node), health(call.node))
    return {
        "system_status_ok": not any("error" in one for one in modules.values()),
        "modules": modules,
        "healthy": not any(problems.values()),
    }


async def _modules(node: Node) -> dict[str, Any]:
    try:
        units = await node.core0.units()
    except ZosError as err:
        return {"core0": {"status": {"objects": [], "workers": []}, "error": {"message": err.explain()}}}
    return {MODULES.get(unit.name, unit.name): module(unit) for unit in units}


def module(unit: UnitInfo) -> dict[str, Any]:
    """One daemon, with its API as the object that it offers."""
    is_up = unit.state is UnitState.RUNNING
    since = datetime.fromtimestamp(unit.since, UTC).isoformat().replace("+00:00", "Z")
    shown: dict[str, Any] = {
        "status": {
            "objects": [{"Name": unit.name, "Version": API_VERSION}] if is_up else [],
            "workers": [{"state": "free", "time": since}] if is_up else [],
        }
    }
    if not is_up:
        shown["error"] = {"message": f"{unit.state}: {unit.detail}" if unit.detail else unit.state.value}
    return shown


async def features(call: Call) -> list[str]:
    """The workload types that this node takes, and what else they bring; clients choose types by this list."""
    types = find()
    extra = [name for one in types.values() for name in one.features]
    if (await call.node.networkd.planetary()).offered:
        extra.append(PLANETARY)
    with contextlib.suppress(ZosError):  # a daemon that does not answer offers nothing
        if (await call.node.mycelium.overlay()).offered:
            extra.append(MYCELIUM)
    return list(dict.fromkeys([*types, *extra]))


COMMANDS = (
    Command("zos.system.version", version),
    Command("zos.system.dmi", dmi),
    Command("zos.system.hypervisor", hypervisor),
    Command("zos.system.diagnostics", diagnostics),
    Command("zos.system.node_features_get", features),
)
