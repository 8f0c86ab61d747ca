"""One run: a lab with tenants, round after round of faults, then rest, a last cut of power, the end of everything."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import checks
import keeper
from actor import Actor
from labs import HUB, addresses, world, zos
from schedule import Fault, Kind, Round, rounds
from tenants import Tenant

BOXES = ("node-1", "node-2")
PEOPLE = ("Bob", "Dave", "Ferdie")
WELL = 240.0
"""Seconds within which the lab is well again after a fault."""
GONE = 240.0
SHOWN = 150.0


class Chaos:
    """A lab, its tenants and the faults of one seed; `violations` are what it found."""

    def __init__(self, seed: int, seconds: float, skip: int, folder: Path) -> None:
        self.seed = seed
        self.seconds = seconds
        self.skip = skip
        self.state = folder / "admin"
        self.violations: list[str] = []
        self.faults: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self._folder = folder
        self._began = time.monotonic()
        self._consoles = checks.Consoles(BOXES)
        self._tenants: list[Tenant] = []
        self._lost_caches = 0

    def say(self, text: str) -> None:
        """A line of the log."""
        print(f"{time.monotonic() - self._began:7.1f} {text}", flush=True)

    def wrong(self, texts: Sequence[str]) -> None:
        """Promises that were broken."""
        for text in texts:
            self.say(f"VIOLATION {text}")
        self.violations += texts

    async def run(self) -> bool:
        """Everything; whether all promises held."""
        before = world()
        try:
            await self._in_lab()
        finally:
            await asyncio.to_thread(zos, "lab", "down", state=self.state)
        after = world()
        self.wrong([f"the lab left {kind}: {after[kind]}" for kind in before if after[kind] != before[kind]])
        self._report()
        return not self.violations

    async def _in_lab(self) -> None:
        self.state.mkdir()
        await asyncio.to_thread(zos, "lab", "up", state=self.state)
        actor = Actor(self.state, self.say)
        clean = {box: await checks.seen(box) for box in BOXES}
        await self._people()
        following, end = asyncio.create_task(self._consoles.follow()), asyncio.Event()
        living = [asyncio.create_task(tenant.live(end)) for tenant in self._tenants]
        try:
            await self._harm(actor)
        finally:
            end.set()
            await asyncio.gather(*living)
        await self._rest()
        await self._last_cut(actor)
        await self._cancel_all(clean)
        following.cancel()
        self._lost_caches = actor.lost_caches

    async def _people(self) -> None:
        flist = await asyncio.to_thread(keeper.publish, HUB, addresses().hub_url)
        for name in PEOPLE:
            key = self._folder / f"{name}.key"
            key.write_text(f"//{name}\n")
            chance = random.Random(f"{self.seed}/{self.skip}/{name}")
            tenant = Tenant(name.lower(), self._folder / name, key, flist, (1, 2), chance)
            await tenant.join()
            self._tenants.append(tenant)
        await asyncio.gather(*(tenant.begin() for tenant in self._tenants))
        self.say(f"{len(self._tenants)} tenants have a machine each")

    async def _harm(self, actor: Actor) -> None:
        end = time.monotonic() + self.seconds
        for number, one in itertools.islice(enumerate(rounds(self.seed, BOXES)), self.skip, None):
            if time.monotonic() > end:
                return
            await asyncio.sleep(one.pause)
            await self._round(actor, number, one)

    async def _round(self, actor: Actor, number: int, one: Round) -> None:
        self.say(f"round {number}: {'; '.join(fault.describe() for fault in one.faults)}")
        done = await asyncio.gather(*(self._act(actor, fault) for fault in one.faults))
        began = time.monotonic()
        left = await checks.until_none(lambda: checks.of_all(BOXES, checks.problems), WELL)
        took = time.monotonic() - began
        self.wrong([f"round {number}: not well after {WELL:.0f} s: {text}" for text in left])
        if any(done) and not left:
            self.recoveries.append(took)
        self.say(f"round {number}: well after {took:.1f} s")

    async def _act(self, actor: Actor, fault: Fault) -> bool:
        done = await actor.act(fault)
        self.faults[fault.kind.value if done else "nothing there"] += 1
        return done

    async def _rest(self) -> None:
        """Nothing goes wrong any more: whatever is wanted comes."""
        self.say("rest: every tenant asks again for what it wants")
        for tenant in self._tenants:
            if tenant.desired is not None and (problem := await tenant.deploy("at rest", wait=True)):
                self.wrong([f"{tenant.desired.name} does not come: {problem[-600:]}"])
        self.wrong(await checks.until_none(lambda: checks.of_all(BOXES, checks.problems), WELL))

    async def _last_cut(self, actor: Actor) -> None:
        """Every guest boots once more, and shows what it has."""
        self.say("the power of all nodes is cut")
        cuts = [Fault(Kind.CUT, box, "", 1.0) for box in BOXES]
        await asyncio.gather(*(self._act(actor, cut) for cut in cuts))
        self._consoles.look()
        lists = self._consoles.lists()
        self.wrong(await checks.until_none(lambda: checks.of_all(BOXES, checks.problems), WELL))
        self.wrong(await checks.until_none(lambda: self._consoles.silent(lists), SHOWN))
        self.wrong([text for machine in self._consoles.machines.values() for text in machine.violations])

    async def _cancel_all(self, clean: dict[str, set[str]]) -> None:
        self.say("everything is cancelled")
        for tenant in self._tenants:
            if contracts := await tenant.open_contracts():
                code, _, err = await tenant.zos("cancel", *map(str, contracts))
                if code:
                    self.wrong([f"{tenant.name} cannot cancel {contracts}: {err[-600:]}"])
        self.wrong(
            await checks.until_none(lambda: checks.of_all(BOXES, lambda box: checks.leftovers(box, clean[box])), GONE)
        )

    def _report(self) -> None:
        actions = sum((tenant.done for tenant in self._tenants), Counter[str]())
        machines = self._consoles.machines.values()
        median = statistics.median(self.recoveries) if self.recoveries else 0.0
        worst = max(self.recoveries, default=0.0)
        for line in (
            f"seed {self.seed}, {time.monotonic() - self._began:.0f} s",
            f"faults: {self.faults.total()} ({_list(self.faults)})",
            f"recoveries: {len(self.recoveries)}, median {median:.1f} s, worst {worst:.1f} s",
            f"disks that lost what was not synced: {self._lost_caches}",
            f"tenants: {_list(actions)}",
            f"machines: {len(machines)}, bytes verified: {sum(one.verified for one in machines)}",
            f"violations: {len(self.violations)}",
            *self.violations,
        ):
            print(line, flush=True)


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())
