"""`zos.deployment.*`: what a twin has on this node."""

from __future__ import annotations

from typing import Any

from zos.provisiond.api.errors import DeletionDisabled
from zos.rmb.router import Access, Call, Command


async def deploy(call: Call) -> None:
    """A signed deployment: checked, kept and answered; what comes of it is seen in `get` and `changes`."""
    await call.node.provisiond.deploy(call.body or b"null", call.caller)


async def update(call: Call) -> None:
    """The next version of a deployment, in the same way."""
    await call.node.provisiond.update(call.body or b"null", call.caller)


async def delete(call: Call) -> None:
    """Always raises: a deployment ends when its contract does."""
    raise DeletionDisabled()


async def get(call: Call) -> dict[str, Any]:
    """`{contract_id}`: the caller's deployment with its results, workloads in his order."""
    return await call.node.provisiond.get(call.fields().uint("contract_id"), call.caller)


async def changes(call: Call) -> list[dict[str, Any]]:
    """`{contract_id}`: what became of each version of each workload of the caller's deployment, oldest first."""
    return settled(await call.node.provisiond.changes(call.fields().uint("contract_id"), call.caller))


def settled(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A log with one final entry per name and version: the last one since its `init`.

    Clients count: two `ok`s of a machine that was paused between them, or the `paused` that is over, would make the
    Go client wait for ever or give up.
    """
    last: dict[tuple[str, int], int] = {}
    keep: set[int] = set()
    for index, one in enumerate(log):
        key = (one["name"], one["version"])
        if one["result"]["state"] == "init":
            keep.add(index)
            last.pop(key, None)
        else:
            last[key] = index
    keep |= set(last.values())
    return [one for index, one in enumerate(log) if index in keep]


async def active(call: Call) -> list[dict[str, Any]]:
    """The caller's deployments that have something which runs, or may."""
    return await call.node.provisiond.list(call.caller, active=True)


COMMANDS = (
    Command("zos.deployment.deploy", deploy, Access.OWNER),
    Command("zos.deployment.update", update, Access.OWNER),
    Command("zos.deployment.delete", delete),
    Command("zos.deployment.get", get, Access.OWNER),
    Command("zos.deployment.changes", changes, Access.OWNER),
    Command("zos.deployment.list", active, Access.OWNER),
)
