"""Owns the records of machines and reconciles each with its guest: observe, plan, apply.

Each machine has its own lock and its own loop, so that one which hangs in libvirt holds up no other. A guest that is
what its record says is not touched. One that ends is started again with back-off, for ever; only a drop ends a machine
for good.
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
from zos.runtime.locks import Locks
from zos.runtime.loops import Wake
from zos.vmd import model, seed, trace
from zos.vmd.api.check import ID, check
from zos.vmd.api.errors import LibvirtUnreachable, MachineNotRunning, NoSuchMachine, PartsMissing
from zos.vmd.api.types import Acceleration, Machine, MachineId, MachineInfo, MachineKind, MachineState
from zos.vmd.console import Consoles
from zos.vmd.digest import digest
from zos.vmd.host.contract import Host
from zos.vmd.model import Boot, GuestState, MachineRecord, ObservedGuest, RunState
from zos.vmd.plan import check_alone, plan, report
from zos.vmd.steps import Forget, GrowDisk, Pause, Resume, Start, Step, Stop

log = logging.getLogger("zos.vmd")

ROUNDS = 4
"""Steps change what is observed: a round observes and plans at most this often."""
RETRY = 1.0
FIRST_OBSERVATION = 5.0
BOOTING = 0.2
LONGEST_BOOT = 300.0
"""Seconds for which a boot is watched closely; after that its phases are read with its rounds."""
LATE_WORDS = 180.0
"""Seconds after a start in which our init may still say what it could not do."""


class MachineLoop:
    """The loop of one machine: its task, what wakes it, and what it saw last."""

    def __init__(self) -> None:
        self.wake = Wake()
        self.observed_once = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.problem = ""
        self.observed: ObservedGuest | None = None
        self.boot = Boot()

    @property
    def is_over(self) -> bool:
        """Whether no task turns it."""
        return self.task is None or self.task.done()


class MachineManager:
    """All machines of the node, and their consoles."""

    def __init__(
        self,
        host: Host,
        consoles: Consoles,
        records: Ledger[MachineRecord],
        runs: Ledger[RunState],
        clock: Clock,
        every: float,
    ) -> None:
        self._host = host
        self._consoles = consoles
        self._records = records
        self._runs = runs
        self._clock = clock
        self._every = every
        self._infos: dict[MachineId, MachineInfo] = {}
        self._loops: dict[MachineId, MachineLoop] = {}
        self._locks = Locks[MachineId]()
        self._added = Wake()
        self._running: set[asyncio.Task[None]] = set()
        host.on_change(self._on_change)

    # Changes

    async def ensure(self, desired: Machine) -> MachineInfo:
        """Accept a machine and start it, or restart it when its definition changed."""
        check(desired, self._host.processors)
        seed.check(desired)
        check_alone(desired, [record.machine for _, record in self._records.items()])
        before = self._records.get(desired.id)
        self._records.put(desired.id, MachineRecord(desired))
        self._added.set()
        if before is None or digest(before.machine) != digest(desired):
            # A new definition deserves a try at once, whatever became of the old one.
            self._put_run(desired.id, dataclasses.replace(self._run(desired.id), next_try=0.0))
        await self._reconcile(desired.id)
        return self.last_info(desired.id)

    async def drop(self, id: MachineId) -> None:
        """End a machine for good; its disks and directories are not ours to touch."""
        record = self._records.get(id)
        if record is None:
            # A guest of ours whose record was lost (it was corrupt): whoever knows its name may still end it.
            stray = Machine(id, "stray", MachineKind.CONTAINER, 1, Bytes(0))
            if not ID.fullmatch(id) or await self._host.observe(stray) is None:
                return
            record = MachineRecord(stray)
        self._records.put(id, dataclasses.replace(record, dropping=True))
        await self._reconcile(id)

    # Reconciling

    async def run(self) -> None:
        """Run one loop per recorded machine, until cancelled."""
        try:
            while True:
                for id in map(MachineId, self._records.keys()):
                    loop = self._loop(id)
                    if loop.is_over:
                        loop.task = asyncio.create_task(self._run_loop(id, loop), name=f"machine {id}")
                for id in [id for id, loop in self._loops.items() if id not in self._records and loop.is_over]:
                    del self._loops[id]
                await self._added.wait(self._every)
        finally:
            tasks = [loop.task for loop in self._loops.values() if loop.task is not None]
            for task in (*tasks, *self._running):
                task.cancel()
            await asyncio.gather(*tasks, *self._running, return_exceptions=True)

    async def _run_loop(self, id: MachineId, loop: MachineLoop) -> None:
        while id in self._records:
            try:
                await self._reconcile(id)
            except ZosError:
                pass  # the round has logged and published it
            except Exception:
                log.exception("machine %s", id)
                loop.problem = "a fault of vmd's, see its journal"
            await loop.wake.wait(self._pause(id, loop))

    def _pause(self, id: MachineId, loop: MachineLoop) -> float:
        if loop.problem:
            return RETRY
        if loop.observed is None and id in self._records:
            return self._until(self._run(id).next_try)
        if loop.observed is not None and loop.observed.state is GuestState.STALLED:
            return self._until(self._run(id).next_resume)
        return self._every

    def _until(self, time: float) -> float:
        return min(max(time - self._clock.time(), 0.01), self._every)

    async def _reconcile(self, id: MachineId) -> None:
        """One round, to its end even if the caller goes away: half a start helps nobody."""
        task = asyncio.create_task(self._reconcile_locked(id), name=f"round of {id}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio would complain of it when the caller went away

    async def _reconcile_locked(self, id: MachineId) -> None:
        async with self._locks.of(id):
            loop = self._loop(id)
            try:
                await self._apply_until_done(id, loop)
            except ZosError as err:
                self._note_problem(id, loop, err)
                raise
            else:
                loop.problem = ""
            finally:
                self._publish(id, loop)
                loop.observed_once.set()

    def _note_problem(self, id: MachineId, loop: MachineLoop, err: ZosError) -> None:
        text = err.explain()
        # A failed start is the run's reason already, and has its own time.
        loop.problem = "" if text == self._run(id).reason else text
        if text != loop.problem or not loop.observed_once.is_set():
            log.warning("machine %s: %s", id, text)

    async def _apply_until_done(self, id: MachineId, loop: MachineLoop) -> None:
        for _ in range(ROUNDS):
            record = self._records.get(id)
            if record is None:
                return
            loop.observed = await self._host.observe(record.machine)
            self._record_changes(id, loop.observed)
            steps = plan(record, loop.observed, self._run(id), self._clock.time())
            for step in steps:
                await self._apply(step, record.machine)
                log.info("done: %s", step.describe())
            if not steps:
                return

    def _record_changes(self, id: MachineId, observed: ObservedGuest | None) -> None:
        """Record ends and starts of the guest that vmd did not cause."""
        run = self._run(id)
        if observed is None and run.believed_running:
            reason = trace.verdict(self._consoles.boot(id, run.offset)) or "its QEMU ended"
            log.warning("machine %s ended: %s", id, reason)
            self._put_run(id, model.after_end(run, self._clock.time(), reason))
        elif (
            observed is not None
            and observed.state in (GuestState.RUNNING, GuestState.PAUSED, GuestState.STALLED)
            and not run.believed_running
        ):
            self._put_run(id, model.after_start(run, self._clock.time()))

    async def _apply(self, step: Step, machine: Machine) -> None:
        match step:
            case Start():
                await self._start(machine)
            case Stop(id, reason, failure):
                if failure:
                    self._host.doubt_acceleration()
                await self._host.stop(id)
                after = model.after_end if failure else model.after_stop
                self._put_run(id, after(self._run(id), self._clock.time(), reason))
            case Pause(id):
                await self._host.pause(id)
                self._changed(id)
            case Resume(id, is_stalled):
                await self._host.resume(id)
                if is_stalled:
                    self._put_run(id, model.after_resume(self._run(id), self._clock.time()))
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
        mounts = await self._host.mounts(machine)
        offset = self._consoles.begin(id, when, run.restarts + (1 if run.started else 0))
        try:
            await self._host.start(machine, self._consoles.path(id))
        except LibvirtUnreachable:
            raise  # no fault of the machine's: tried again as soon as libvirt is back
        except ZosError as err:
            self._put_run(id, model.after_failed_start(run, self._clock.time(), err.explain()))
            raise
        self._put_run(id, model.after_start(run, self._clock.time(), offset, mounts))

    async def _forget(self, id: MachineId, machine: Machine) -> None:
        await self._host.forget(machine)
        self._consoles.drop(id)
        self._runs.drop(id)
        self._records.drop(id)
        self._loop(id).boot = Boot()

    # Views

    def last_info(self, id: MachineId) -> MachineInfo:
        """A machine as last observed."""
        info = self._infos.get(id)
        if info is None:
            raise NoSuchMachine(id=id)
        return info

    async def machine(self, id: MachineId) -> MachineInfo:
        """One machine, once it was observed for the first time."""
        if id not in self._records:
            raise NoSuchMachine(id=id)
        await self._wait_observed(id)
        self._publish(id, self._loop(id))
        return self.last_info(id)

    async def machines(self) -> tuple[MachineInfo, ...]:
        found = []
        for id in map(MachineId, self._records.keys()):
            with contextlib.suppress(NoSuchMachine):  # dropped meanwhile
                found.append(await self.machine(id))
        return tuple(found)

    async def _wait_observed(self, id: MachineId) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_OBSERVATION):
                await self._loop(id).observed_once.wait()

    def read_console(self, id: MachineId, max_bytes: int) -> bytes:
        """The console's recent past."""
        self._known(id)
        return self._consoles.tail(id, max_bytes)

    def watch_console(self, id: MachineId, max_bytes: int, since: int | None) -> AsyncIterator[tuple[int, bytes]]:
        """The console's recent past or what came after `since`, then what comes, until the machine is dropped."""
        self._known(id)
        return self._consoles.follow(id, max_bytes, lambda: id in self._records, since)

    async def send_console(self, id: MachineId, data: bytes) -> None:
        """Type on the console."""
        state = (await self.machine(id)).state
        if state is not MachineState.RUNNING:
            raise MachineNotRunning(id=id, state=state)
        await self._host.send(id, data)

    async def acceleration(self) -> Acceleration:
        return await self._host.acceleration()

    async def maintain_consoles(self) -> None:
        """Cut the consoles' past, and publish the phases that booting guests reach; without end."""
        while True:
            booting = False
            for id in map(MachineId, self._records.keys()):
                self._consoles.trim(id)
                loop = self._loop(id)
                if loop.observed is not None and self._is_booting(id, loop):
                    booting = True
                    self._publish(id, loop)
            await asyncio.sleep(BOOTING if booting else RETRY)

    def _is_booting(self, id: MachineId, loop: MachineLoop) -> bool:
        """Whether a phase may come soon: our own init tells of them, and a guest without it (a full image) never."""
        record, run = self._records.get(id), self._run(id)
        if record is None or record.machine.kind is not MachineKind.CONTAINER or record.machine.kernel:
            return False
        is_young = 0 <= self._clock.time() - run.started <= LONGEST_BOOT
        return is_young and "entrypoint" not in self._boot(id, loop).phases

    def _boot(self, id: MachineId, loop: MachineLoop) -> Boot:
        """What the console tells of the last boot; read again when more was written, until the entrypoint runs and what
        our init began beside it is over.
        """
        boot, run = loop.boot, self._run(id)
        size = self._consoles.size(id)
        has_more = "entrypoint" not in boot.phases or 0 <= self._clock.time() - run.started <= LATE_WORDS
        if boot.offset != run.offset or (has_more and boot.size != size):
            console = self._consoles.boot(id, run.offset) if run.started else b""
            boot = loop.boot = Boot(run.offset, trace.phases(console), trace.warnings(console), size)
        return boot

    def _publish(self, id: MachineId, loop: MachineLoop) -> None:
        record = self._records.get(id)
        if record is None:
            self._infos.pop(id, None)
            return
        boot = self._boot(id, loop)
        self._infos[id] = report(record, loop.observed, self._run(id), boot, loop.problem)

    # Helpers

    def _known(self, id: MachineId) -> None:
        if id not in self._records:
            raise NoSuchMachine(id=id)

    def _loop(self, id: MachineId) -> MachineLoop:
        if id not in self._loops:
            self._loops[id] = MachineLoop()
        return self._loops[id]

    def _on_change(self, id: MachineId | None) -> None:
        for each in list(self._loops) if id is None else [id]:
            if each in self._loops:
                self._loops[each].wake.set()

    def _run(self, id: MachineId) -> RunState:
        return self._runs.get(id) or RunState()

    def _put_run(self, id: MachineId, run: RunState) -> None:
        self._runs.put(id, run)

    def _changed(self, id: MachineId) -> None:
        self._put_run(id, dataclasses.replace(self._run(id), changed=self._clock.time()))
