"""`zos.statistics.*`: what the node has and what of it is used."""

from __future__ import annotations

from typing import Any

from zos.model.capacity import Capacity
from zos.rmb.router import Call, Command


async def get(call: Call) -> dict[str, Any]:
    """Bytes, threads and counts; `used` includes `system`, so that an unused node is one where they are equal."""
    counters = await call.node.capacityd.counters()
    return {
        "total": capacity(counters.total),
        "used": capacity(counters.used),
        "system": capacity(counters.system),
        "users": {
            "deployments": counters.deployments,
            "workloads": counters.workloads,
            "last_deployment_timestamp": counters.last_deployment,
        },
        "open_connections": counters.open_connections,
    }


def capacity(one: Capacity) -> dict[str, int]:
    return {"cru": one.cru, "sru": one.sru, "hru": one.hru, "mru": one.mru, "ipv4u": one.ipv4u}


COMMANDS = (Command("zos.statistics.get", get),)
