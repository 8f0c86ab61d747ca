"""The crash matrix: one history again and again, each time with one fault at another await of one daemon.

`python -m zos.sim.matrix` prints how many points there are, how many of them were played, and every violation.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import functools
import gc
import logging
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

import grpc

from zos.sim.bus import Failed
from zos.sim.faults import REFUSALS
from zos.sim.history import look, rest
from zos.sim.invariants import Bugs, Rest, Watch
from zos.sim.life import owner_in
from zos.sim.loop import run
from zos.sim.node import SimNode
from zos.sim.tenants import Tenant

DAEMONS = ("provisiond", "storaged", "vmd", "networkd", "flistd")
DELAY = 45.0
"""Virtual seconds: more than the deadline of most calls."""
SEED, ACTIONS = 3, 5
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


def play(point: Point | None, seed: int = SEED) -> Played:
    """The history with one fault, or without any."""
    played, bugs = Played(point), Bugs()
    gc.collect()
    gc.freeze()  # what is left lives as long as the process: the next collection need not look at it
    gc.disable()
    logger = logging.getLogger("zos")
    logger.addHandler(bugs)
    try:
        run(_run_history(played, seed))
    except Exception as err:  # noqa: BLE001 - a history that breaks off is a finding, too
        played.violations.append(f"the history ended with {type(err).__name__}: {err}")
    finally:
        logger.removeHandler(bugs)
        gc.enable()
    played.violations += [f"a bug: {one}" for one in dict.fromkeys(bugs.found)]
    return played


async def _run_history(played: Played, seed: int) -> None:
    async with SimNode(seed) as node:
        tenants = [Tenant(node, node.user, random.Random(seed))]
        watch, claims = Watch(node, tenants), Rest(node, tenants)
        looking = asyncio.create_task(look(watch))
        _Harm(node, played).arm()
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

    def __init__(self, node: SimNode, played: Played) -> None:
        self._node = node
        self._played = played
        self._wanted = played.point

    def arm(self) -> None:
        """Counts awaits from now on, and does the harm at its number."""
        self._node.loop.watcher = self._step
        self._node.switchboard.before = self._call
        for daemon in DAEMONS[1:]:
            trouble = self._node.trouble(daemon)
            trouble.before = lambda daemon=daemon: self._host_call(daemon)

    def _count(self, counts: dict[str, int], daemon: str, *faults: Fault) -> Fault | None:
        counts[daemon] = number = counts.get(daemon, 0) + 1
        wanted = self._wanted
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


def points(base: Played, every: int, first: int = 1) -> Iterator[Point]:
    """Every point of the history without a fault, or each `every`-th of each kind from the `first` on."""
    for daemon in DAEMONS:
        yield from (Point(daemon, Fault.KILL, n) for n in range(first, base.awaits.get(daemon, 0) + 1, every))
        for fault in (Fault.ERROR, Fault.DELAY):
            yield from (Point(daemon, fault, n) for n in range(first, base.calls.get(daemon, 0) + 1, every))


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
    return _play_all(options.seed, options.every, options.first, options.jobs)


def _play_all(seed: int, every: int, first: int, jobs: int) -> int:
    began, base = time.perf_counter(), play(None, seed)
    wanted = list(points(base, every, first))
    bad, met = len(base.violations), 0
    _tell(base)
    with ProcessPoolExecutor(jobs) as pool:
        for played in pool.map(functools.partial(play, seed=seed), wanted, chunksize=4):
            _tell(played)
            bad += bool(played.violations)
            met += played.met
    awaits, calls = sum(base.awaits.values()), sum(base.calls.values())
    sys.stdout.write(
        f"seed {seed}, every {every} from {first}: "
        f"{awaits + 2 * calls} points ({awaits} awaits to be killed at, {calls} calls to fail or to hang), "
        f"{len(wanted)} histories of {base.contracts} contracts, {met} met their fault; "
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
