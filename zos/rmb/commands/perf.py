"""`zos.perf.*`: what the node measures of itself."""

from __future__ import annotations

import asyncio
from typing import Any

from zos.errors import Status, ZosError
from zos.rmb.router import Call, Command, Node
from zos.storaged.api.types import PoolState

HEALTH = "healthcheck"


class NoResult(ZosError):
    """Nothing of this name was measured here."""

    reason = "rmb.no_result"
    status = Status.NOT_FOUND
    text = "result not found"


async def get(call: Call) -> dict[str, Any]:
    """`{name}`: `{name, description, timestamp, result}` of one task."""
    name = call.fields().text("name")
    if name != HEALTH:
        raise NoResult(name=name)
    return await health_task(call.node)


async def get_all(call: Call) -> list[dict[str, Any]]:
    """All tasks that have a result."""
    return [await health_task(call.node)]


async def health_task(node: Node) -> dict[str, Any]:
    """The check of the node's health, made now."""
    return {
        "name": HEALTH,
        "description": "asks whether the node's cache can be written and whether it reaches uplink and chain",
        "timestamp": int(node.clock.time()),
        "result": await health(node),
    }


async def health(node: Node) -> dict[str, list[str]]:
    """What is wrong, by part: `{"cache": [problem], "network": [problem]}`; empty lists when nothing is."""
    cache, uplink, chain = await asyncio.gather(_cache(node), _uplink(node), _chain(node))
    return {"cache": cache, "network": [*uplink, *chain]}


async def _cache(node: Node) -> list[str]:
    try:
        cache = await node.storaged.cache()
        pools = {pool.name: pool for pool in await node.storaged.list_pools()}
    except ZosError as err:
        return [err.explain()]
    home = pools.get(cache.pool)
    if home is None or home.state is not PoolState.READY:
        return [f"the cache's pool {cache.pool} is {home.state if home else 'gone'}"]
    return [cache.detail] if cache.detail else []


async def _uplink(node: Node) -> list[str]:
    try:
        uplinks = await node.networkd.uplinks()
    except ZosError as err:
        return [err.explain()]
    return [] if any(uplink.addresses for uplink in uplinks) else ["the uplink has no address"]


async def _chain(node: Node) -> list[str]:
    try:
        status = await node.chain.status()
    except ZosError as err:
        return [err.explain()]
    return [] if status.connected else [f"the chain is not connected: {status.detail or 'no endpoint answers'}"]


COMMANDS = (Command("zos.perf.get", get), Command("zos.perf.get_all", get_all))
