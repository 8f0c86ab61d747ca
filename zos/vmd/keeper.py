"""Keeps the wishes, and makes each machine so: observe, plan, apply, every machine by itself.

A machine has its own lock and its own loop, so one that hangs in libvirt holds up no other. A guest that is as wished
is not touched; one that ends is started again with back-off, for ever; nothing but a drop ends a machine for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
from collections.abc import AsyncIterator
from typing import assert_never

from zos.errors import ZosError
from zos.model.units import Bytes
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.runtime.loops import Wake
from zos.vmd import model, seed, trace
from zos.vmd.api.errors import LibvirtUnreachable, MachineNotRunning, NoSuchMachine, PartsMissing
from zos.vmd.api.types import Acceleration, Machine, MachineId, MachineInfo, MachineKind, MachineState
from zos.vmd.board import Board
from zos.vmd.console import Consoles
from zos.vmd.digest import digest
from zos.vmd.host.contract import Host
from zos.vmd.model import GuestState, Run, Seen, Wish
from zos.vmd.plan import ID, Forget, GrowDisk, Pause, Resume, Start, Step, Stop, check, check_alone, plan, report

log = logging.getLogger("zos.vmd")

ROUNDS = 4
"""Steps change what is seen: so often is it looked at again within one turn."""
RETRY = 1.0
FIRST_LOOK = 5.0
BOOTING = 0.2


class Work:
    """What vmd does about one machine."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wake = Wake()
        self.looked = asyncio.Event()
        self.loop: asyncio.Task[None] | None = None
        self.trouble = ""
        self.seen: Seen | None = None
        self.phases: tuple[int, dict[str, float]] = (0, {})


class Keeper:
    """Everything that vmd is asked for, and the state of it."""

    def __init__(
        self, host: Host, consoles: Consoles, wishes: Ledger[Wish], runs: Ledger[Run], clock: Clock, every: float
    ) -> None:
        self._host = host
        self._consoles = consoles
        self._wishes = wishes
        self._runs = runs
        self._clock = clock
        self._every = every
        self._board = Board()
        self._works: dict[MachineId, Work] = {}
        self._new = Wake()
        self._turns: set[asyncio.Task[None]] = set()
        host.listen(self._rung)

    # Wishes

    async def ensure(self, machine: Machine) -> MachineInfo:
        """Accept a machine and make it so."""
        check(machine, self._host.processors)
        seed.check(machine)
        check_alone(machine, [wish.machine for _, wish in self._wishes.items()])
        before = self._wishes.get(machine.id)
        self._wishes.put(machine.id, Wish(machine))
        self._new.set()
        if before is None or digest(before.machine) != digest(machine):
            # A new definition deserves a try at once, whatever became of the old one.
            self._write(machine.id, dataclasses.replace(self._run(machine.id), next_try=0.0))
        await self._turn(machine.id)
        return self.machine_now(machine.id)

    async def drop(self, id: MachineId) -> None:
        """End a machine for good; its disks and directories are not ours to touch."""
        wish = self._wishes.get(id)
        if wish is None:
            # A guest of ours whose wish was lost (its record was corrupt): whoever knows its name may still end it.
            stray = Machine(id, "stray", MachineKind.CONTAINER, 1, Bytes(0))
            if not ID.fullmatch(id) or await self._host.observe(stray) is None:
                return
            wish = Wish(stray)
        self._wishes.put(id, dataclasses.replace(wish, dropping=True))
        await self._turn(id)

    # Making it so

    async def run(self) -> None:
        """One loop per machine that is wished for, until cancelled."""
        try:
            while True:
                for id in map(MachineId, self._wishes.keys()):
                    work = self._work(id)
                    if work.loop is None or work.loop.done():
                        work.loop = asyncio.create_task(self._loop(id, work), name=f"machine {id}")
                await self._new.wait(self._every)
        finally:
            loops = [work.loop for work in self._works.values() if work.loop is not None]
            for task in (*loops, *self._turns):
                task.cancel()
            await asyncio.gather(*loops, *self._turns, return_exceptions=True)

    async def _loop(self, id: MachineId, work: Work) -> None:
        while id in self._wishes:
            try:
                await self._turn(id)
            except ZosError:
                pass  # said by the turn
            except Exception:
                log.exception("machine %s", id)
                work.trouble = "a fault of vmd's, see its journal"
            await work.wake.wait(self._pause(id, work))

    def _pause(self, id: MachineId, work: Work) -> float:
        if work.trouble:
            return RETRY
        if work.seen is None and id in self._wishes:
            return min(max(self._run(id).next_try - self._clock.time(), 0.01), self._every)
        return self._every

    async def _turn(self, id: MachineId) -> None:
        """One turn, to its end even if the caller goes away: half a start helps nobody."""
        task = asyncio.create_task(self._locked(id), name=f"turn of {id}")
        self._turns.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._turns.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also when the caller went away

    async def _locked(self, id: MachineId) -> None:
        work = self._work(id)
        async with work.lock:
            try:
                await self._make(id, work)
            except ZosError as err:
                self._trouble(id, work, err)
                raise
            else:
                work.trouble = ""
            finally:
                self._say(id, work)
                work.looked.set()

    def _trouble(self, id: MachineId, work: Work, err: ZosError) -> None:
        text = err.explain()
        # A failed start is the run's reason already, and has its own time.
        work.trouble = "" if text == self._run(id).reason else text
        if text != work.trouble or not work.looked.is_set():
            log.warning("machine %s: %s", id, text)

    async def _make(self, id: MachineId, work: Work) -> None:
        for _ in range(ROUNDS):
            wish = self._wishes.get(id)
            if wish is None:
                return
            work.seen = await self._host.observe(wish.machine)
            self._note(id, work.seen)
            steps = plan(wish, work.seen, self._run(id), self._clock.time())
            for step in steps:
                await self._take(step, wish.machine)
                log.info("done: %s", step.describe())
            if not steps:
                return

    def _note(self, id: MachineId, seen: Seen | None) -> None:
        """Write into the story what happened without us."""
        run = self._run(id)
        if seen is None and run.believed_running:
            reason = trace.verdict(self._consoles.boot(id, run.offset)) or "its QEMU ended"
            log.warning("machine %s ended: %s", id, reason)
            self._write(id, model.after_end(run, self._clock.time(), reason))
        elif seen is not None and seen.state in (GuestState.RUNNING, GuestState.PAUSED) and not run.believed_running:
            self._write(id, model.after_start(run, self._clock.time()))

    async def _take(self, step: Step, machine: Machine) -> None:
        match step:
            case Start():
                await self._start(machine)
            case Stop(id, reason, failure):
                if failure:
                    self._host.doubt_acceleration()
                await self._host.stop(id)
                after = model.after_end if failure else model.after_stop
                self._write(id, after(self._run(id), self._clock.time(), reason))
            case Pause(id):
                await self._host.pause(id)
                self._changed(id)
            case Resume(id):
                await self._host.resume(id)
                self._changed(id)
            case GrowDisk(id, index, size):
                await self._host.grow(id, index, size)
            case Forget(id):
                await self._forget(id, machine)
            case _:
                assert_never(step)

    async def _start(self, machine: Machine) -> None:
        run, id = self._run(machine.id), machine.id
        if part := await self._host.missing(machine):
            raise PartsMissing(id=id, part=part)  # no failure either: looked for again soon
        when = datetime.datetime.fromtimestamp(self._clock.time(), datetime.UTC).isoformat(timespec="seconds")
        offset = self._consoles.begin(id, when, run.restarts + (1 if run.started else 0))
        try:
            await self._host.start(machine, self._consoles.path(id))
        except LibvirtUnreachable:
            raise  # no fault of the machine's: tried again as soon as libvirt is back
        except ZosError as err:
            self._write(id, model.after_failed_start(run, self._clock.time(), err.explain()))
            raise
        self._write(id, model.after_start(run, self._clock.time(), offset))

    async def _forget(self, id: MachineId, machine: Machine) -> None:
        await self._host.forget(machine)
        self._consoles.drop(id)
        self._runs.drop(id)
        self._wishes.drop(id)
        self._work(id).phases = (0, {})

    # Looking

    def machine_now(self, id: MachineId) -> MachineInfo:
        """How a machine was when last looked at."""
        info = self._board.get(id)
        if info is None:
            raise NoSuchMachine(id=id)
        return info

    async def machine(self, id: MachineId) -> MachineInfo:
        """One machine, looked at at least once."""
        if id not in self._wishes:
            raise NoSuchMachine(id=id)
        await self._looked(id)
        self._say(id, self._work(id))
        return self.machine_now(id)

    async def machines(self) -> tuple[MachineInfo, ...]:
        """All machines."""
        found = []
        for id in map(MachineId, self._wishes.keys()):
            with contextlib.suppress(NoSuchMachine):  # dropped meanwhile
                found.append(await self.machine(id))
        return tuple(found)

    async def _looked(self, id: MachineId) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK):
                await self._work(id).looked.wait()

    def watch(self) -> AsyncIterator[MachineInfo]:
        """All machines, then each change."""
        return self._board.watch()

    def read_console(self, id: MachineId, max_bytes: int) -> bytes:
        """The console's recent past."""
        self._known(id)
        return self._consoles.tail(id, max_bytes)

    def watch_console(self, id: MachineId, max_bytes: int) -> AsyncIterator[bytes]:
        """The console's recent past, then what comes, until the machine is dropped."""
        self._known(id)
        return self._consoles.follow(id, max_bytes, lambda: id in self._wishes)

    async def send_console(self, id: MachineId, data: bytes) -> None:
        """Type on the console."""
        state = (await self.machine(id)).state
        if state is not MachineState.RUNNING:
            raise MachineNotRunning(id=id, state=state)
        await self._host.send(id, data)

    async def acceleration(self) -> Acceleration:
        """What runs guest code here."""
        return await self._host.acceleration()

    async def tend_consoles(self) -> None:
        """Keep the consoles small, and hear of guests that reach a phase; without end."""
        while True:
            booting = False
            for id in map(MachineId, self._wishes.keys()):
                self._consoles.trim(id)
                work = self._work(id)
                if work.seen is not None and "entrypoint" not in self._phases(id, work):
                    booting = True
                    self._say(id, work)
            await asyncio.sleep(BOOTING if booting else RETRY)

    def _phases(self, id: MachineId, work: Work) -> dict[str, float]:
        offset, phases = work.phases
        run = self._run(id)
        if offset != run.offset or "entrypoint" not in phases:
            phases = trace.phases(self._consoles.boot(id, run.offset)) if run.started else {}
            work.phases = run.offset, phases
        return phases

    def _say(self, id: MachineId, work: Work) -> None:
        """Put the machine on the board as it is."""
        wish = self._wishes.get(id)
        if wish is None:
            if last := self._board.get(id):
                self._board.drop(dataclasses.replace(last, state=MachineState.STOPPED, pid=0, next_try=0.0, detail=""))
            return
        self._board.put(report(wish, work.seen, self._run(id), self._phases(id, work), work.trouble))

    # Small things

    def _known(self, id: MachineId) -> None:
        if id not in self._wishes:
            raise NoSuchMachine(id=id)

    def _work(self, id: MachineId) -> Work:
        if id not in self._works:
            self._works[id] = Work()
        return self._works[id]

    def _rung(self, id: MachineId | None) -> None:
        for each in list(self._works) if id is None else [id]:
            if each in self._works:
                self._works[each].wake.set()

    def _run(self, id: MachineId) -> Run:
        return self._runs.get(id) or Run()

    def _write(self, id: MachineId, run: Run) -> None:
        self._runs.put(id, run)

    def _changed(self, id: MachineId) -> None:
        self._write(id, dataclasses.replace(self._run(id), changed=self._clock.time()))
