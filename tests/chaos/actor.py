"""Does what the schedule says to a lab, and undoes it; each fault is as real as this machine allows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from labs import LAYOUT, core0_pid, guests, unit_pid, zos
from schedule import Fault, Kind

from zos.lab.manager import Lab

COPIES = 6
"""Tries to copy a disk while nothing writes to it."""
DETACH = 30.0
MISBEHAVE = {"lag": "8", "delay": "2", "fork": "3"}


class Actor:
    """Whoever harms the lab."""

    def __init__(self, state: Path, say: Callable[[str], None]) -> None:
        self.lab = Lab(LAYOUT)
        self.lost_caches = 0
        """Disks that came back without what they had not synced."""
        self._state = state
        self._say = say
        self._off: set[str] = set()
        self._power = asyncio.Lock()

    async def act(self, fault: Fault) -> bool:
        """Do it, and undo it when its time is over; whether there was anything to be harmed."""
        actions: dict[Kind, Callable[[Fault], Awaitable[bool]]] = {
            Kind.KILL: self._kill,
            Kind.STOP: self._stop,
            Kind.KILL_GUEST: self._kill_guest,
            Kind.STOP_GUEST: self._stop_guest,
            Kind.CUT: self._cut,
            Kind.LIE: self._lie,
            Kind.DOWN: self._down,
        }
        return await actions[fault.kind](fault)

    async def _pid(self, box: str, unit: str) -> int:
        """A daemon's process as the node counts; core-0's as this machine counts, negative."""
        return -core0_pid(box) if unit == "core0" else await unit_pid(box, unit)

    async def _signal(self, box: str, pid: int, name: str) -> bool:
        with contextlib.suppress(Exception):
            if pid < 0:
                os.kill(-pid, getattr(signal, name))
                return True
            if pid > 0:
                await self.lab.run(box, ["kill", f"-{name.removeprefix('SIG')}", str(pid)])
                return True
        return False

    async def _kill(self, fault: Fault) -> bool:
        return await self._signal(fault.box, await self._try_pid(fault), "SIGKILL")

    async def _stop(self, fault: Fault) -> bool:
        return await self._stop_pid(fault, await self._try_pid(fault))

    async def _try_pid(self, fault: Fault) -> int:
        with contextlib.suppress(Exception):
            return await self._pid(fault.box, fault.what)
        return 0

    async def _stop_pid(self, fault: Fault, pid: int) -> bool:
        if not await self._signal(fault.box, pid, "SIGSTOP"):
            return False
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await self._signal(fault.box, pid, "SIGCONT")
        return True

    async def _guest(self, fault: Fault) -> int:
        with contextlib.suppress(Exception):
            found = await guests(fault.box)
            if pids := [found[id] for id in sorted(found)]:
                return pids[int(fault.what) % len(pids)]
        return 0

    async def _kill_guest(self, fault: Fault) -> bool:
        return await self._signal(fault.box, await self._guest(fault), "SIGKILL")

    async def _stop_guest(self, fault: Fault) -> bool:
        return await self._stop_pid(fault, await self._guest(fault))

    async def _lie(self, fault: Fault) -> bool:
        words = [fault.what, *([MISBEHAVE[fault.what]] if fault.what in MISBEHAVE else [])]
        done = await asyncio.to_thread(
            lambda: zos("devchain", "misbehave", *words, state=self._state, check=False).returncode == 0
        )
        try:
            await asyncio.sleep(fault.seconds if done else 0)
        finally:
            await self.behave()
        return bool(done)

    async def behave(self) -> None:
        """The chain does right again."""
        for _ in range(20):
            done = await asyncio.to_thread(
                lambda: zos("devchain", "misbehave", "behave", state=self._state, check=False)
            )
            if done.returncode == 0:
                return
            await asyncio.sleep(1.0)

    async def _down(self, fault: Fault) -> bool:
        await self._switch(fault.box, is_off=True)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await self._switch(fault.box, is_off=False)
        return True

    async def _switch(self, box: str, *, is_off: bool) -> None:
        async with self._power:
            (self._off.add if is_off else self._off.discard)(box)
            await self.lab.power(frozenset(self._off), lambda _: None)

    async def _cut(self, fault: Fault) -> bool:
        """Everything stops; the disks are copied as they are, without what is only in the node's cache; power off."""
        box, files = fault.box, sorted(LAYOUT.box_state(fault.box).glob("disk-*.img"))
        loops = self.lab.host.observe().loops
        async with self._power:
            for pid in _inside(self.lab.pid(box)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            copies = await asyncio.gather(*(asyncio.to_thread(_copy, file, loops[file]) for file in files))
            self._off.add(box)
            await self.lab.power(frozenset(self._off), lambda _: None)
            await asyncio.to_thread(self._replace, dict(zip(files, copies, strict=True)))
        await asyncio.sleep(fault.seconds)
        await self._switch(box, is_off=False)
        return True

    def _replace(self, copies: dict[Path, Path | None]) -> None:
        for file, copy in copies.items():
            if copy is None:
                self._say(f"{file.name} was written to all the while: it keeps its cache")
                continue
            if self._detached(file):
                copy.replace(file)
                self.lost_caches += 1
            else:
                copy.unlink()
                self._say(f"{file.name} is still in use: it keeps its cache")

    def _detached(self, file: Path) -> bool:
        end = time.monotonic() + DETACH
        while (device := self.lab.host.observe().loops.get(file)) is not None:
            os.system(f"losetup --detach {device} 2> /dev/null")
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True


def _inside(init: int) -> list[int]:
    """The processes of a box, its first one first, as this machine counts."""
    space = os.readlink(f"/proc/{init}/ns/pid")
    found = [init]
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != init:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{name}/ns/pid") == space:
                    found.append(int(name))
    return found


def _copy(file: Path, device: Path) -> Path | None:
    """A disk's file as it is between two writes; None when the kernel went on writing."""
    copy, counters = file.with_suffix(".copy"), Path("/sys/block", device.name, "stat")
    for _ in range(COPIES):
        before = counters.read_text().split()[4:7]
        copy.unlink(missing_ok=True)
        _copy_sparse(file, copy)
        if counters.read_text().split()[4:7] == before:
            return copy
    copy.unlink(missing_ok=True)
    return None


def _copy_sparse(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        end = read.seek(0, os.SEEK_END)
        write.truncate(end)
        position = 0
        while position < end:
            try:
                start = os.lseek(read.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            stop = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            read.seek(start)
            write.seek(start)
            left = stop - start
            while left > 0 and (data := read.read(min(left, 1 << 20))):
                write.write(data)
                left -= len(data)
            position = stop
    shutil.copystat(source, target)
