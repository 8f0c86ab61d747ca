"""A deployment in the world of the commands."""

from __future__ import annotations

from typing import Any

from zos.provisiond.tests import users as u
from zos.rmb.tests.world import World


async def deployed(w: World, *workloads: dict[str, Any], contract: int = 5) -> dict[str, Any]:
    """A deployment of the user's, sent and settled."""
    body = u.document(contract, *workloads)
    u.contract(w.provision, contract, body)
    assert await w.ask("zos.deployment.deploy", u.signed(body)) is None
    for one in workloads:
        await w.becomes(contract, one["name"], "ok")
    return body
