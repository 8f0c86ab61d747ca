"""`zos.storage.*`: the node's pools."""

from __future__ import annotations

from typing import Any

from zos.rmb.router import Call, Command
from zos.storaged.api.types import Pool, PoolState


async def pools(call: Call) -> list[dict[str, Any]]:
    """`{name, type, size, used}` of each pool that something can be put on; clients fit each disk in one of them."""
    return [pool(one) for one in await call.node.storaged.list_pools() if one.state is PoolState.READY]


def pool(one: Pool) -> dict[str, Any]:
    """`size` is the device's, as in the totals; `used` is what cannot be promised any more.

    What btrfs keeps for itself counts as used, so that their difference is the largest disk that fits.
    """
    gap = max(one.usable - one.promised, 0)
    return {"name": one.name, "type": one.kind.value, "size": one.size, "used": one.size - gap}


COMMANDS = (Command("zos.storage.pools", pools),)
