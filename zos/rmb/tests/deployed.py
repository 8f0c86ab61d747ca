"""A deployment in the world of the commands."""

from __future__ import annotations

import asyncio
from typing import Any

from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM
from zos.rmb.tests.world import World
from zos.vmd.api.types import MachineId, MachineState


async def deployed(w: World, *workloads: dict[str, Any], contract: int = 5) -> dict[str, Any]:
    """A deployment of the user's, sent and settled."""
    body = u.document(contract, *workloads)
    u.contract(w.provision, contract, body)
    assert await w.ask("zos.deployment.deploy", u.signed(body)) is None
    for one in workloads:
        await w.becomes(contract, one["name"], "ok")
    return body


async def with_machine(w: World) -> None:
    """The user's machine, which has begun to speak."""
    await deployed(w, *VM)
    id = MachineId("26-5-vm1")
    async with asyncio.timeout(10):
        while (await w.node.vmd.machine(id)).state is not MachineState.RUNNING:
            await asyncio.sleep(0.01)
    w.vm.say(id, "login: ")
