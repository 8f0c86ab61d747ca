"""Wires core-0: the key, the API, and the loop that keeps the daemons running."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from zos.bus.front import caller_of
from zos.core0 import identity, parts
from zos.core0.api import core0_pb2_grpc
from zos.core0.api.types import UnitInfo, UnitState
from zos.core0.host import HEALTH_EVERY, Processes
from zos.core0.plan import ObservedProcess, next_try, plan, waiting_for
from zos.core0.service import Core0Service
from zos.core0.units import UNITS, Unit, chosen
from zos.runtime import folders, users
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.loops import Wake

KEY_FILE = "key.json"


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[core0]`."""

    units: tuple[str, ...] = ()
    """Only these daemons; empty means all."""


class Core0(Daemon):
    """The supervisor. `control` is the zygote's socket, made before anything else in `__main__`."""

    name = "core0"
    config = Config
    control: socket.socket

    async def open(self, rt: Runtime) -> None:
        key = identity.open_key(rt.state_dir / KEY_FILE)
        self._rt = rt
        # All of them, before any starts: a folder that is made later could not be hidden from who is there already.
        if os.geteuid() == 0:
            hand_over_folders(rt.node.state_dir, rt.run_dir)
        self._units = chosen(rt.config.units)
        self._began = rt.clock.monotonic()
        self._wake = Wake()
        self._ring: asyncio.TimerHandle | None = None
        lost = asyncio.Event()
        self._processes = Processes(self.control, rt.bus, rt.node.state_dir, rt.clock, self._wake, lost)
        rt.know_callers(self._processes.name_of)
        rt.serve(Core0Service(key, self._report, caller_of, self._confine), core0_pb2_grpc.add_Core0Servicer_to_server)
        rt.loop("supervise", self._supervise, every=HEALTH_EVERY, wake=self._wake)
        for unit in self._units:
            rt.task(f"health.{unit.name}", lambda name=unit.name: self._probe(name))  # type: ignore[misc]
        rt.task("zygote", lambda: self._end_with(lost))
        rt.log.info("this node is %s", identity.identity_of(key).address)

    async def close(self) -> None:
        if hasattr(self, "_processes"):
            await self._processes.stop(tuple(unit.name for unit in reversed(self._units)))
            self._processes.close()

    async def _supervise(self) -> None:
        now = self._rt.clock.monotonic()
        for step in plan(self._units, self._processes.observed, self._began, now):
            await self._processes.apply(step)
        self._ring_while_one_is_down()

    def _ring_while_one_is_down(self) -> None:
        """Look again when the next may start, and every second while one waits for others."""
        now = self._rt.clock.monotonic()
        seen = [self._processes.observed.get(unit.name, ObservedProcess()) for unit in self._units]
        due = [next_try(one) - now if one.started else 1.0 for one in seen if not one.pid]
        if self._ring is not None:
            self._ring.cancel()
        loop = asyncio.get_running_loop()
        self._ring = loop.call_later(max(0.01, min(due)), self._wake.set) if due else None

    async def _probe(self, name: str) -> None:
        while True:
            await self._processes.probe(name)
            await asyncio.sleep(self._processes.pause_before_probe(name))

    async def _end_with(self, lost: asyncio.Event) -> None:
        await lost.wait()
        self._rt.log.error("the parent of the daemons ended; core-0 ends too, to be started afresh")
        os.kill(os.getpid(), signal.SIGTERM)

    async def _confine(self, name: str, pid: int, part: str) -> tuple[str, ...]:
        unit = next((unit for unit in self._units if unit.name == name), None)
        return await parts.confine(unit, self._processes.observed.get(name, ObservedProcess()).pid, pid, part)

    def _report(self) -> list[UnitInfo]:
        return [self._info(unit) for unit in self._units]

    def _info(self, unit: Unit) -> UnitInfo:
        processes, name = self._processes, unit.name
        seen = processes.observed.get(name, ObservedProcess())
        clock = self._rt.clock
        planned = 0.0
        detail = processes.detail.get(name, "")
        if seen.pid:
            state = UnitState.RUNNING if seen.ready else UnitState.STARTING
        elif seen.started:
            state = UnitState.BACKOFF
            planned = clock.time() + max(0.0, next_try(seen) - clock.monotonic())
        else:
            state = UnitState.WAITING
            detail = f"waits for {', '.join(waiting_for(unit, self._units, processes.observed)) or 'its turn'}"
        since = processes.changed.get(name, 0.0)
        user = unit.id if os.geteuid() == 0 else os.geteuid()
        return UnitInfo(name, state, seen.pid, processes.restarts.get(name, 0), since, planned, detail, user)


def hand_over_folders(state_dir: Path, run_dir: Path) -> None:
    """Make the daemons' folders theirs; takes root."""
    for folder in (state_dir, run_dir):
        folders.shared(folder)
    for unit in UNITS:
        passage = 0o001 if unit.guests_pass else 0
        folders.hand_over(state_dir / unit.name, unit.id, unit.id, folders.PRIVATE | passage)
        # Its callers pass, and its socket becomes its group's whoever makes it.
        folders.hand_over(run_dir / unit.name, unit.id, unit.id, 0o2710 | passage)
    folders.hand_over(run_dir / "core0", 0, users.CORE0, 0o2710)
