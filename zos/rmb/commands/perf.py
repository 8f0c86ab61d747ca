"""`zos.perf.*`: what the node measures of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from zos.errors import Status, ZosError
from zos.rmb.router import Call, Command, Node
from zos.storaged.api.types import PoolState

HEALTH = "healthcheck"
DEADLINE = 4.0
"""Seconds for one part of it: half of what a command has."""


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
    cache, uplink, chain = await asyncio.gather(*(_problems(check(node)) for check in (_cache, _uplink, _chain)))
    return {"cache": cache, "network": [*uplink, *chain]}


async def _problems(check: Awaitable[str]) -> list[str]:
    """What a check found; a daemon that does not answer is a problem too."""
    try:
        async with asyncio.timeout(DEADLINE):
            problem = await check
    except ZosError as err:
        problem = err.explain()
    except TimeoutError:
        problem = f"it was not answered within {DEADLINE:g} s"
    return [problem] if problem else []


async def _cache(node: Node) -> str:
    cache = await node.storaged.cache()
    pool = next((one for one in await node.storaged.list_pools() if one.name == cache.pool), None)
    if pool is None or pool.state is not PoolState.READY:
        return f"the cache's pool {cache.pool} is {pool.state if pool else 'gone'}"
    return cache.detail


async def _uplink(node: Node) -> str:
    uplinks = await node.networkd.uplinks()
    return "" if any(uplink.addresses for uplink in uplinks) else "the uplink has no address"


async def _chain(node: Node) -> str:
    status = await node.chain.status()
    return "" if status.connected else f"the chain is not connected: {status.detail or 'no endpoint answers'}"


COMMANDS = (Command("zos.perf.get", get), Command("zos.perf.get_all", get_all))
