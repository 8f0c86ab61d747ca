"""What goes wrong in a random history: kills at any await, a chain that is silent or takes back, hosts that refuse."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from zos.errors import ZosError
from zos.flistd.api.errors import FlistUnreachable, MountFailed
from zos.networkd.api.errors import KernelRefused
from zos.sim.node import SimNode
from zos.storaged.api.errors import DeviceRefused
from zos.vmd.api.errors import LibvirtUnreachable, StartFailed
from zos.zdbd.api.errors import ServerFailed

REFUSALS: dict[str, tuple[Callable[[], ZosError], ...]] = {
    "storaged": (lambda: DeviceRefused(action="take a step", problem="an injected fault"),),
    "networkd": (lambda: KernelRefused(action="take a step", problem="an injected fault"),),
    "flistd": (
        lambda: MountFailed(action="take a step", problem="an injected fault"),
        lambda: FlistUnreachable(url="http://hub/vm.fl", problem="an injected fault"),
    ),
    "vmd": (
        lambda: LibvirtUnreachable(uri="sim", problem="an injected fault"),
        lambda: StartFailed(id="some", problem="an injected fault"),
    ),
    "zdbd": (lambda: ServerFailed(pool="some", problem="does not take a step: an injected fault"),),
}
"""Errors that pass; whoever meets one has to wait, and never to give up."""


class FaultInjector:
    """Injects faults into a node, its hosts and the chain, and ends all of them."""

    def __init__(self, node: SimNode, chance: random.Random) -> None:
        self.node = node
        self.done: list[str] = []
        self.kills = 0
        self.refusals = 0
        self._chance = chance
        self._pending: list[asyncio.TimerHandle] = []

    async def inject(self, count: int) -> None:
        """Inject that many faults, up to 16 virtual seconds apart."""
        faults = (
            (self._kill, 5.0),
            (self._refuse, 2.0),
            (self._slow, 1.0),
            (self._silence, 1.5),
            (self._cut, 0.7),
            (self._reorganise, 1.0),
            (self._misbehave, 1.5),
        )
        for _ in range(count):
            await asyncio.sleep(self._chance.random() * 16.0)
            fault = self._chance.choices([one for one, _ in faults], [weight for _, weight in faults])[0]
            fault()

    def end(self) -> None:
        """Everything works again from now on."""
        for timer in self._pending:
            timer.cancel()
        chain, faults = self.node.chain, self.node.chain.node.faults
        chain.silent = chain.away = False
        chain.delay = 0.0
        faults.stalled = faults.unfinal = faults.empty = False
        faults.lag = 0
        for trouble in self.node.hosts.trouble.values():
            trouble.errors.clear()
            trouble.delay = None

    def _note(self, text: str) -> None:
        self.done.append(f"{self.node.loop.time():8.1f} fault: {text}")

    def _later(self, undo: Callable[[], None], most: float) -> None:
        self._pending.append(self.node.loop.call_later(self._chance.random() * most, undo))

    def _kill(self) -> None:
        daemon = self._chance.choice(tuple(self.node.units))
        steps = int(self._chance.expovariate(1 / 150))

        def kill() -> None:
            self.kills += 1
            self._note(f"kills {daemon} at step {self.node.loop.steps}")
            self.node.kill(daemon)

        self.node.loop.after_steps(steps, kill)

    def _refuse(self) -> None:
        daemon = self._chance.choice(tuple(REFUSALS))
        count = self._chance.randint(1, 4)
        self._note(f"lets {daemon}'s host refuse {count} calls")
        self.refusals += count
        errors = self.node.trouble(daemon).errors
        for _ in range(count):
            errors += [None] * self._chance.randint(0, 5) + [self._chance.choice(REFUSALS[daemon])()]

    def _slow(self) -> None:
        daemon = self._chance.choice(tuple(REFUSALS))
        most = self._chance.choice((0.05, 0.5, 3.0))
        self._note(f"slows {daemon}'s host down: up to {most} s a call")
        trouble = self.node.trouble(daemon)
        trouble.delay = lambda: self._chance.random() * most

        def undo() -> None:
            trouble.delay = None

        self._later(undo, 30)

    def _silence(self) -> None:
        chain = self.node.chain
        how = self._chance.choice(("silent", "away", "delay"))
        self._note(f"makes the chain {how}")
        if how == "delay":
            chain.delay = self._chance.random() * 3
        else:
            setattr(chain, how, True)
        if how == "away":
            chain.cut()

        def undo() -> None:
            chain.silent = chain.away = False
            chain.delay = 0.0

        self._later(undo, 60)

    def _cut(self) -> None:
        self._note("cuts every connection to the chain")
        self.node.chain.cut()

    def _reorganise(self) -> None:
        gone = self.node.chain.reorganise(self._chance.randint(1, 3))
        self._note(f"takes {gone} blocks back")

    def _misbehave(self) -> None:
        faults = self.node.chain.node.faults
        what = self._chance.choice(("empty", "unfinal", "stalled", "lag"))
        self._note(f"makes the chain {what}")
        setattr(faults, what, self._chance.randint(1, 5) if what == "lag" else True)

        def undo() -> None:
            faults.stalled = faults.unfinal = faults.empty = False
            faults.lag = 0

        self._later(undo, 40)
