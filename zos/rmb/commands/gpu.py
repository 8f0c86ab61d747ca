"""`zos.gpu.*`: the GPUs that machines can have."""

from __future__ import annotations

from typing import Any

from zos.rmb.router import Call, Command


async def gpus(call: Call) -> list[dict[str, Any]]:
    """`{id, vendor, device, vram, contract}` of each GPU that is offered: none.

    No workload type here takes a GPU, and clients rent nodes for what stands in this list: a card that no machine
    can be given must not.
    """
    return []


COMMANDS = (Command("zos.gpu.list", gpus),)
