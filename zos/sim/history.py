"""One random history from its seed: tenants at work, faults beside them, then rest, then the end of everything."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from zos.devchain.genesis import Genesis
from zos.sim.faults import FaultInjector
from zos.sim.invariants import Bugs, Rest, Watch, open_on_chain
from zos.sim.loop import run
from zos.sim.node import SimNode
from zos.sim.tenants import Tenant

BILLING = 10
"""Blocks between two bills: a user without money is in grace within a minute."""
REST = 400.0
"""Virtual seconds within which a node comes to rest once nothing goes wrong any more."""
LOOK = 1.0


@dataclass
class Result:
    """What one history came to."""

    seed: int
    violations: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """What tenants and faults did, in order."""
    steps: int = 0
    """Steps of the event loop: between any two of them a daemon may have been killed."""
    kills: int = 0
    contracts: int = 0
    unclear: int = 0
    virtual: float = 0.0
    seconds: float = 0.0


def play(seed: int, actions: int = 5, faults: int = 6) -> Result:
    result, began = Result(seed), time.perf_counter()
    gc.collect()
    play_out(_run_history(result, actions, faults), result.violations)
    result.seconds = time.perf_counter() - began
    return result


def play_out(history: Coroutine[Any, Any, None], violations: list[str]) -> None:
    """Run a history to its end. What ended it before, and bugs that the journals tell of, are violations too."""
    # A collection would come at any moment, and takes as long as a third of a history.
    gc.disable()
    bugs, logger = Bugs(), logging.getLogger("zos")
    logger.addHandler(bugs)
    try:
        run(history)
    except Exception as err:  # noqa: BLE001 - a history that breaks off is a finding, too
        violations.append(f"the history ended with {type(err).__name__}: {err}")
    finally:
        logger.removeHandler(bugs)
        gc.enable()
    violations += [f"a bug: {one}" for one in dict.fromkeys(bugs.found)]


async def _run_history(result: Result, actions: int, faults: int) -> None:
    chance = random.Random(result.seed)
    genesis = Genesis(billing_frequency=BILLING)
    async with SimNode(result.seed, users=2, jitter=0.05, lag=chance.randint(1, 3), genesis=genesis) as node:
        tenants = [Tenant(node, user, random.Random(f"{result.seed}/{user.name}")) for user in node.users]
        injector = FaultInjector(node, random.Random(f"{result.seed}/faults"))
        watch, claims = Watch(node, tenants), Rest(node, tenants)
        looking = asyncio.create_task(look(watch))
        injecting = asyncio.create_task(injector.inject(faults))
        await asyncio.gather(*(tenant.live(actions) for tenant in tenants))
        await injecting
        injector.end()
        await asyncio.gather(*(tenant.pay() for tenant in tenants))
        result.violations += await rest(node, claims.problems)
        result.unclear = claims.unclear
        result.contracts = sum(len(tenant.leases) for tenant in tenants)
        if not result.violations:
            await _cancel_all(node)
            result.violations += await rest(node, claims.empty)
        if looking.done():
            looking.result()
        looking.cancel()
        result.violations += watch.violations
        result.lines = sorted([*injector.done, *(line for tenant in tenants for line in tenant.done)])
        result.steps, result.kills, result.virtual = node.loop.steps, injector.kills, node.loop.time()


async def look(watch: Watch) -> None:
    """Checks the invariants every virtual second."""
    while True:
        watch.look()
        await asyncio.sleep(LOOK)


async def _cancel_all(node: SimNode) -> None:
    """Every owner ends what the chain has of him: it may have another number than he was told."""
    owners = {user.twin: user for user in node.users}
    open_contracts = [(id, owners[int(one["twin_id"])]) for id, one in open_on_chain(node)]
    await asyncio.gather(*(node.cancel(id, user) for id, user in open_contracts), return_exceptions=True)


async def rest(node: SimNode, problems: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Let time pass until there are no problems; those that stay are violations."""
    end = node.loop.time() + REST
    while found := await problems():
        if node.loop.time() > end:
            return [f"at rest: {one}" for one in found]
        await asyncio.sleep(4.0)
    return []
