"""What a contract's twin asks about what is its own, on a node into which there is no other way.

Every answer is sealed. `watch` and `console` wait for something new, at most `WAIT` seconds.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import hashlib
import json
from contextlib import aclosing
from typing import Any

from zos.model.names import workload_id
from zos.provisiond.api.errors import NoSuchDeployment
from zos.provisiond.api.types import Progress
from zos.rmb.commands.debug import BadRequest
from zos.rmb.router import DEADLINE, Access, Call, Command
from zos.vmd.api.types import MachineId

WAIT = DEADLINE - 3.0
SETTLE = 0.1
"""Seconds in which what comes together is told together."""
PIECE = 64 * 1024
"""Bytes of a console in one answer."""
TYPED = 4 * 1024
"""Bytes that are typed by one message."""


async def why(call: Call) -> dict[str, Any]:
    """`{contract_id, name?}`: `{sentence, history}` of the caller's deployment, or of one of its workloads."""
    contract = await _own_contract(call)
    return dataclasses.asdict(await call.node.provisiond.why(contract, call.fields().text("name")))


async def watch(call: Call) -> dict[str, Any]:
    """`{contract_id, seen?}`: `{progress, seen}`, the workloads' states once they are not those of `seen`."""
    contract, seen = await _own_contract(call), call.fields().text("seen")
    found: dict[str, Progress] = {}
    loop = asyncio.get_running_loop()
    end = loop.time() + WAIT
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(end) as limit, aclosing(call.node.provisiond.watch(contract)) as stream:
            async for one in stream:
                found[one.workload] = one
                limit.reschedule(end if _seen(found) == seen else min(end, loop.time() + SETTLE))
    return {"progress": [dataclasses.asdict(one) for one in found.values()], "seen": _seen(found)}


async def console(call: Call) -> dict[str, Any]:
    """`{contract_id, name, since?, bytes?}`: `{data, end}`, base64 of what a machine of the caller's wrote.

    What it wrote after an earlier `end` is asked for by `since`; without that, its last `bytes` are told.
    """
    id, fields = await _own_machine(call), call.fields()
    since = fields.uint("since", 63) if "since" in fields else None
    most = min(fields.uint("bytes") or PIECE, PIECE)
    end, data = since or 0, b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT), aclosing(call.node.vmd.follow_console(id, since, most)) as pieces:
            end, data = await anext(pieces, (end, data))
    return {"data": base64.b64encode(data).decode(), "end": end}


async def type_(call: Call) -> None:
    """`{contract_id, name, data}`: types the bytes of a base64 text on the console of a machine of the caller's."""
    id, text = await _own_machine(call), call.fields().text("data")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(problem="data is no base64") from None
    if not 0 < len(data) <= TYPED:
        raise BadRequest(problem=f"data has 1 to {TYPED} bytes")
    await call.node.vmd.send_console(id, data)


async def _own_contract(call: Call) -> int:
    """The contract that is asked about. Raises NoSuchDeployment unless it is the caller's."""
    contract = call.fields().uint("contract_id")
    try:
        await call.node.provisiond.get(contract, call.caller)
    except NoSuchDeployment:
        # It may be on its way: the chain knows it before there is a document.
        if not call.node.may_look_up(call.caller):
            raise
        found = await call.node.chain.contract(contract, best=True)
        if (found.twin, found.node) != (call.caller, (await call.node.chain.status()).node):
            raise
    return contract


async def _own_machine(call: Call) -> MachineId:
    return MachineId(workload_id(call.caller, await _own_contract(call), call.fields().text("name")))


def _seen(found: dict[str, Progress]) -> str:
    """What stands for these states; empty for none. Times differ at each look and are not in it."""
    if not found:
        return ""
    told = sorted((one.workload, one.state, one.message, one.version) for one in found.values())
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()


COMMANDS = (
    Command("zos.deployment.why", why, Access.OWNER, is_private=True),
    Command("zos.deployment.watch", watch, Access.OWNER, is_private=True),
    Command("zos.deployment.console", console, Access.OWNER, is_private=True),
    Command("zos.deployment.type", type_, Access.OWNER, is_private=True),
)
