"""Daemons as processes: has the zygote fork them, notices their end, checks their health, ends them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
from pathlib import Path
from typing import assert_never

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from zos.bus.client import Bus
from zos.bus.front import ROOT, Credentials
from zos.core0.plan import ObservedProcess, failures_after
from zos.core0.steps import Kill, Start, Step
from zos.core0.units import UNITS, Unit
from zos.core0.zygote import LIMIT, order
from zos.errors import Status, ZosError
from zos.runtime.clock import Clock
from zos.runtime.loops import Wake

log = logging.getLogger("zos.core0")

HEALTH_DEADLINE = 3.0
HEALTH_EVERY = 5.0
STARTING_EVERY = 0.05
START_DEADLINE = 10.0
STOP_GRACE = 5.0


class ZygoteGone(ZosError):
    """The parent of all daemons ended; core-0 ends too and is started afresh."""

    reason = "core0.zygote_gone"
    status = Status.INTERNAL
    text = "the parent of the daemons ended"


class Processes:
    """The daemons' processes of this node."""

    def __init__(
        self, control: socket.socket, bus: Bus, state_dir: Path, clock: Clock, wake: Wake, lost: asyncio.Event
    ) -> None:
        self.observed: dict[str, ObservedProcess] = {}
        self.detail: dict[str, str] = {}
        self.changed: dict[str, float] = {}
        self.restarts: dict[str, int] = {}
        self._control = control
        self._bus = bus
        self._state_dir = state_dir
        self._clock = clock
        self._wake = wake
        self._lost = lost
        self._pids: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._statuses: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._watchers: dict[str, int] = {}
        self._down: dict[str, asyncio.Event] = {}
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._read_zygote)

    async def apply(self, step: Step) -> None:
        """Perform one step of the plan."""
        match step:
            case Start(unit):
                await self._start(unit)
            case Kill(name, pid, reason):
                log.error("%s (%d) is ended: %s", name, pid, reason)
                self.detail[name] = reason
                _signal(pid, signal.SIGKILL)
            case _:
                assert_never(step)

    async def probe(self, name: str) -> None:
        """Ask one daemon for its health and note the answer."""
        seen = self.observed.get(name)
        if seen is None or not seen.pid:
            return
        stub = health_pb2_grpc.HealthStub(self._bus.channel(name))
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_DEADLINE)
            serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError:
            serving = False
        current = self.observed[name]
        if current.pid != seen.pid:
            return
        if serving:
            if not current.ready:
                took = self._clock.monotonic() - current.started
                log.info("%s is ready after %.2f s", name, took)
                self._note(name, f"ready after {took:.2f} s")
                self._wake.set()
            self.observed[name] = dataclasses.replace(current, ready=True, missed=0)
        elif current.ready:
            self.observed[name] = dataclasses.replace(current, missed=current.missed + 1)
            self._wake.set()

    def name_of(self, caller: Credentials) -> str:
        """The unit whose process a caller is, or root; empty for whoever is none of them, a unit's child included."""
        name = self._names.get(caller.pid, "")
        user = next((unit.id for unit in UNITS if unit.name == name), None)
        if name and (os.geteuid() != 0 or caller.uid == user):
            return name
        return ROOT if caller.uid in (0, os.geteuid()) else ""

    def pause_before_probe(self, name: str) -> float:
        """Seconds until the next health question: short while a unit starts, then for all units at the same moment.

        An idle gRPC wakes its threads some twenty times after each message: nine that come together wake them once.
        """
        seen = self.observed.get(name)
        return (
            STARTING_EVERY if seen is None or not seen.ready else HEALTH_EVERY - self._clock.monotonic() % HEALTH_EVERY
        )

    async def stop(self, names: tuple[str, ...]) -> None:
        """End the named units one after the other: SIGTERM, then SIGKILL."""
        for name in names:
            seen = self.observed.get(name)
            if seen is None or not seen.pid:
                continue
            _signal(seen.pid, signal.SIGTERM)
            if not await self._gone(name, STOP_GRACE):
                log.warning("%s does not end by itself within %.0f s", name, STOP_GRACE)
                _signal(seen.pid, signal.SIGKILL)
                await self._gone(name, STOP_GRACE)

    def close(self) -> None:
        """Close the connection to the zygote, which ends it."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control.fileno())
        for descriptor in self._watchers.values():
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._watchers.clear()
        self._control.close()

    async def _gone(self, name: str, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self._down[name].wait()
        except TimeoutError:
            return False
        return True

    async def _start(self, unit: Unit) -> None:
        request = order(unit, self._bus.run_dir, self._state_dir)
        try:
            self._control.send(json.dumps(request).encode())
            async with asyncio.timeout(START_DEADLINE):
                name, pid = await self._pids.get()
        except (OSError, TimeoutError) as err:
            self._lost.set()
            raise ZygoteGone() from err
        now = self._clock.monotonic()
        old = self.observed.get(name, ObservedProcess())
        self.observed[name] = ObservedProcess(pid, now, old.ended, False, 0, old.failures)
        if old.started:
            self.restarts[name] = self.restarts.get(name, 0) + 1
        self._down[name] = asyncio.Event()
        self._note(name, "")
        self._watch(name, pid)

    def _watch(self, name: str, pid: int) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._ended(name, pid)
            return
        self._watchers[name] = descriptor

        def ended() -> None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
            self._watchers.pop(name, None)
            self._ended(name, pid)

        asyncio.get_running_loop().add_reader(descriptor, ended)

    def _ended(self, name: str, pid: int) -> None:
        self._names.pop(pid, None)
        now = self._clock.monotonic()
        seen = self.observed[name]
        self.observed[name] = ObservedProcess(0, seen.started, now, False, 0, failures_after(seen, now))
        self._down[name].set()
        self._wake.set()
        # The zygote's word on how it ended may come a moment later than the pidfd's.
        asyncio.get_running_loop().call_later(0.05, self._report, name, pid, now - seen.started)

    def _report(self, name: str, pid: int, ran: float) -> None:
        status = self._statuses.pop(pid, None)
        how = "ended" if status is None else _how(status)
        log.warning("%s (%d) %s after %.1f s", name, pid, how, ran)
        self._note(name, f"last: {how} after {ran:.1f} s")

    def _read_zygote(self) -> None:
        try:
            message = self._control.recv(LIMIT)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._lost.set()
            return
        event = json.loads(message)
        if "ended" in event:
            self._statuses[event["ended"]] = event["status"]
        else:
            self._names[event["pid"]] = event["name"]
            self._pids.put_nowait((event["name"], event["pid"]))

    def _note(self, name: str, detail: str) -> None:
        self.detail[name] = detail
        self.changed[name] = self._clock.time()


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _how(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
