"""One random history from its seed: users at work, a demon beside them, then rest, then the end of everything."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from zos.devchain.genesis import Genesis
from zos.sim.demon import Demon
from zos.sim.invariants import Bugs, Rest, Watch
from zos.sim.loop import run
from zos.sim.node import SimNode
from zos.sim.people import Person

BILLING = 10
"""Blocks between two bills: a user without money is in grace within a minute."""
REST = 400.0
"""Virtual seconds within which a node comes to rest once nothing goes wrong any more."""
LOOK = 1.0


@dataclass
class Told:
    """What became of a history."""

    seed: int
    violations: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """What users and demon did, in order."""
    steps: int = 0
    """Steps of the event loop: between any two of them a daemon may have been killed."""
    kills: int = 0
    contracts: int = 0
    unclear: int = 0
    virtual: float = 0.0
    seconds: float = 0.0


def play(seed: int, actions: int = 5, deeds: int = 6) -> Told:
    told, bugs, began = Told(seed), Bugs(), time.perf_counter()
    # A collection would come at any moment, and takes as long as a third of a history.
    gc.collect()
    gc.disable()
    logger = logging.getLogger("zos")
    logger.addHandler(bugs)
    try:
        run(_story(told, actions, deeds))
    except Exception as err:  # noqa: BLE001 - a history that cannot be told is a finding, too
        told.violations.append(f"the history ended with {type(err).__name__}: {err}")
    finally:
        logger.removeHandler(bugs)
        gc.enable()
    told.violations += [f"a bug: {one}" for one in dict.fromkeys(bugs.found)]
    told.seconds = time.perf_counter() - began
    return told


async def _story(told: Told, actions: int, deeds: int) -> None:
    chance = random.Random(told.seed)
    genesis = Genesis(billing_frequency=BILLING)
    async with SimNode(told.seed, users=2, jitter=0.05, lag=chance.randint(1, 3), genesis=genesis) as node:
        people = [Person(node, user, random.Random(f"{told.seed}/{user.name}")) for user in node.users]
        demon = Demon(node, random.Random(f"{told.seed}/demon"))
        watch, claims = Watch(node, people), Rest(node, people)
        looking = asyncio.create_task(look(watch))
        haunting = asyncio.create_task(demon.haunt(deeds))
        await asyncio.gather(*(person.live(actions) for person in people))
        await haunting
        demon.end()
        await asyncio.gather(*(person.pay() for person in people))
        told.violations += await rest(node, claims.problems)
        told.unclear = claims.unclear
        told.contracts = sum(len(person.deals) for person in people)
        if not told.violations:
            await _cancel_all(people)
            told.violations += await rest(node, claims.empty)
        if looking.done():
            looking.result()
        looking.cancel()
        told.violations += watch.violations
        told.lines = sorted([*demon.done, *(line for person in people for line in person.done)])
        told.steps, told.kills, told.virtual = node.loop.steps, demon.kills, node.loop.time()


async def look(watch: Watch) -> None:
    """Look all the while."""
    while True:
        watch.look()
        await asyncio.sleep(LOOK)


async def _cancel_all(people: list[Person]) -> None:
    open_deals = [(person, deal) for person in people for deal in person.deals if not deal.cancelled]
    await asyncio.gather(*(person.cancel(deal) for person, deal in open_deals), return_exceptions=True)


async def rest(node: SimNode, problems: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Let time pass until there are no problems; those that stay are violations."""
    end = node.loop.time() + REST
    while found := await problems():
        if node.loop.time() > end:
            return [f"at rest: {one}" for one in found]
        await asyncio.sleep(4.0)
    return []
