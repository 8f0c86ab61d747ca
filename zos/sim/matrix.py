"""The crash matrix: one history again and again, each time with one fault at another await of one daemon.

`python -m zos.sim.matrix` prints how many points there are, how many of them were played, and every violation.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import gc
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import grpc

from zos.sim.branches import Branches
from zos.sim.bus import Failed
from zos.sim.faults import REFUSALS
from zos.sim.history import look, play_out, rest
from zos.sim.invariants import Rest, Watch
from zos.sim.life import owner_in
from zos.sim.node import SimNode
from zos.sim.tenants import Tenant

DAEMONS = ("provisiond", "storaged", "vmd", "networkd", "flistd", "zdbd")
DELAY = 45.0
"""Virtual seconds: more than the deadline of most calls."""
SEED, ACTIONS = 25, 5
"""Of the history, unless another is asked for."""


class Fault(StrEnum):
    """What happens at an await."""

    KILL = "kill"
    ERROR = "error"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class Point:
    """The n-th await (1 is the first) of a daemon, from when its node is ready.

    For errors and delays only those count that leave the daemon: calls of its host, for provisiond those of others.
    """

    daemon: str
    fault: Fault
    number: int


@dataclass
class Played:
    """What became of the history with a fault."""

    point: Point | None
    violations: list[str] = field(default_factory=list)
    awaits: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    contracts: int = 0
    met: bool = False


@dataclass(frozen=True, slots=True)
class Branching:
    """Which points a history branches at."""

    branches: Branches[Point, Played]
    wanted: Callable[[Point], bool]


def play(point: Point | None, seed: int = SEED, branching: Branching | None = None) -> Played:
    """The history with one fault, or without any. With `branching` a copy of this process meets each wanted point."""
    played = Played(point)
    gc.collect()
    gc.freeze()  # what is left lives as long as the process: the next collection need not look at it
    play_out(_run_history(played, seed, branching), played.violations)
    if branching is not None:
        branching.branches.end(played)
    return played


async def _run_history(played: Played, seed: int, branching: Branching | None) -> None:
    # Below the working folder, of which each branch has its own.
    async with SimNode(seed, folder=None if branching is None else Path("node")) as node:
        tenants = [Tenant(node, node.user, random.Random(seed))]
        watch, claims = Watch(node, tenants), Rest(node, tenants)
        looking = asyncio.create_task(look(watch))
        _Harm(node, played, branching).arm()
        await tenants[0].live(ACTIONS)
        played.violations += await rest(node, claims.problems)
        if not played.violations:
            for lease in tenants[0].leases:
                if not lease.cancelled:
                    await tenants[0].cancel(lease)
            played.violations += await rest(node, claims.empty)
        looking.cancel()
        played.violations += watch.violations
        played.contracts = len(tenants[0].leases)


class _Harm:
    """Counts the awaits of each daemon, and does what is to be done at one of them."""

    def __init__(self, node: SimNode, played: Played, branching: Branching | None) -> None:
        self._node = node
        self._played = played
        self._branching = branching

    def arm(self) -> None:
        """Counts awaits from now on, and does the harm at its number."""
        self._node.loop.watcher = self._step
        self._node.switchboard.before = self._call
        for daemon in DAEMONS[1:]:
            trouble = self._node.trouble(daemon)
            trouble.before = lambda daemon=daemon: self._host_call(daemon)

    def _count(self, counts: dict[str, int], daemon: str, *faults: Fault) -> Fault | None:
        counts[daemon] = number = counts.get(daemon, 0) + 1
        if self._branching is not None and self._played.point is None:
            for point in (Point(daemon, fault, number) for fault in faults):
                if self._branching.wanted(point) and self._branching.branches.branch(point, self._node.loop):
                    self._played.point = point
                    break
        wanted = self._played.point
        if wanted is None or wanted.fault not in faults or (wanted.daemon, wanted.number) != (daemon, number):
            return None
        self._played.met = True
        return wanted.fault

    def _step(self, context: contextvars.Context) -> None:
        life = owner_in(context)
        if life is None or not life.alive or life.name not in DAEMONS:
            return
        if self._count(self._played.awaits, life.name, Fault.KILL):
            self._node.kill(life.name)

    async def _call(self, daemon: str) -> None:
        if daemon == DAEMONS[0]:
            fault = self._count(self._played.calls, daemon, Fault.ERROR, Fault.DELAY)
            if fault is Fault.ERROR:
                raise Failed(grpc.StatusCode.UNAVAILABLE, "connection reset")
            if fault is Fault.DELAY:
                await asyncio.sleep(DELAY)

    async def _host_call(self, daemon: str) -> None:
        fault = self._count(self._played.calls, daemon, Fault.ERROR, Fault.DELAY)
        if fault is Fault.ERROR:
            raise REFUSALS[daemon][0]()
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY)


def main() -> int:
    """Play the matrix; 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m zos.sim.matrix", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="play only each n-th point of each kind")
    parser.add_argument("--first", type=int, default=1, help="the number of the first of them")
    parser.add_argument("--seed", type=int, default=SEED, help="of the history")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--point", nargs=3, metavar=("DAEMON", "FAULT", "NUMBER"), help="one point, with its journal")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        again = [sys.executable, "-m", "zos.sim.matrix", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - this program again
    if options.point:
        logging.basicConfig(level=logging.INFO, format="  %(name)s: %(message)s", stream=sys.stdout)
        daemon, fault, number = options.point
        played = play(Point(daemon, Fault(fault), int(number)), options.seed)
        sys.stdout.write("\n".join(["VIOLATIONS:", *played.violations]) + "\n")
        return 1 if played.violations else 0
    logging.disable(logging.WARNING)
    return play_all(options.seed, options.every, options.first, options.jobs)


def play_all(seed: int, every: int, first: int, jobs: int, tell: Callable[[Played], None] | None = None) -> int:
    """Play the history and a branch for every n-th point; 1 when an invariant did not hold."""
    began, count, bad, met = time.perf_counter(), 0, 0, 0

    def take(point: Point, played: Played | None) -> None:
        nonlocal count, bad, met
        played = played or Played(point, ["its process ended without a word"])
        (tell or _tell)(played)
        count, bad, met = count + 1, bad + bool(played.violations), met + played.met

    branches: Branches[Point, Played] = Branches(jobs, take)
    try:
        base = play(None, seed, Branching(branches, lambda point: point.number % every == first % every))
    finally:
        branches.close()
    _tell(base)
    bad += bool(base.violations)
    awaits, calls = sum(base.awaits.values()), sum(base.calls.values())
    sys.stdout.write(
        f"seed {seed}, every {every} from {first}: "
        f"{awaits + 2 * calls} points ({awaits} awaits to be killed at, {calls} calls to fail or to hang), "
        f"{count} histories of {base.contracts} contracts, {met} met their fault; "
        f"{bad} histories with violations; {time.perf_counter() - began:.1f} s\n"
    )
    return 1 if bad else 0


def _tell(played: Played) -> None:
    for violation in played.violations:
        place = f"{played.point.daemon} {played.point.fault} {played.point.number}" if played.point else "no fault"
        sys.stdout.write(f"{place}: {violation}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
