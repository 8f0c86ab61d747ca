"""FakeHost: the host's promise kept over a dictionary, for tests and sim/."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from zos.vmd.api.errors import LibvirtUnreachable, MachineNotRunning, StartFailed
from zos.vmd.api.types import Acceleration, Accelerator, Machine, MachineId
from zos.vmd.digest import digest
from zos.vmd.host.contract import OnChange
from zos.vmd.model import GuestState, ObservedGuest

BOOT = "[zos] phase userland 0.60\r\n[zos] phase root 0.70\r\n[zos] phase entrypoint 0.90\r\n"


class FakeHost:
    """A hypervisor whose guests do what a test says."""

    def __init__(self) -> None:
        self.processors = 8
        self.guests: dict[MachineId, ObservedGuest] = {}
        self.consoles: dict[MachineId, Path] = {}
        self.typed: dict[MachineId, bytes] = {}
        self.done: list[str] = []
        self.broken: str = ""
        """Starts fail with this text."""
        self.lacking = ""
        """What machines are made of is not there."""
        self.away = False
        """libvirtd does not answer."""
        self.hung: set[MachineId] = set()
        """Machines on which every call hangs."""
        self.full = False
        """A guest that goes on stalls at once: its pool is full."""
        self.standing = ""
        """Which mounts the folders of all machines are."""
        self.doubts = 0
        self._pid = 100
        self._callback: OnChange = lambda _id: None

    def on_change(self, callback: OnChange) -> None:
        self._callback = callback

    # What happens to guests

    def end(self, id: MachineId, last_words: str = "") -> None:
        """As if the guest ended by itself."""
        self.say(id, last_words)
        del self.guests[id]
        self._callback(id)

    def say(self, id: MachineId, text: str) -> None:
        """As if the guest wrote to its console."""
        with self.consoles[id].open("ab") as file:
            file.write(text.encode())

    def change(self, id: MachineId, **changes: object) -> None:
        """As if a guest's state changed."""
        self.guests[id] = dataclasses.replace(self.guests[id], **changes)  # type: ignore[arg-type]
        self._callback(id)

    def lose_connection(self) -> None:
        """As if the connection to libvirtd ended."""
        self._callback(None)

    # The promise

    async def _reached(self, id: MachineId) -> None:
        if id in self.hung:
            await asyncio.Event().wait()
        if self.away:
            raise LibvirtUnreachable(uri="fake", problem="the fake was told to")

    async def observe(self, machine: Machine) -> ObservedGuest | None:
        await self._reached(machine.id)
        guest = self.guests.get(machine.id)
        return None if guest is None else dataclasses.replace(guest, mounts=self.standing)

    async def mounts(self, machine: Machine) -> str:
        return self.standing

    async def missing(self, machine: Machine) -> str:
        return self.lacking

    async def start(self, machine: Machine, console: Path) -> None:
        await self._reached(machine.id)
        self.done.append(f"start {machine.id}")
        if self.broken:
            raise StartFailed(id=machine.id, problem=self.broken)
        self._pid += 1
        self.guests[machine.id] = ObservedGuest(GuestState.RUNNING, digest(machine), self._pid, Accelerator.TCG)
        self.consoles[machine.id] = console
        self.say(machine.id, BOOT)

    async def stop(self, id: MachineId) -> None:
        await self._act("stop", id)
        self.guests.pop(id, None)

    async def pause(self, id: MachineId) -> None:
        await self._act("pause", id)
        self.guests[id] = dataclasses.replace(self.guests[id], state=GuestState.PAUSED)

    async def resume(self, id: MachineId) -> None:
        await self._act("resume", id)
        state = GuestState.STALLED if self.full else GuestState.RUNNING
        self.guests[id] = dataclasses.replace(self.guests[id], state=state)
        if self.full:
            self._callback(id)

    async def grow(self, id: MachineId, index: int, size: int) -> None:
        await self._act(f"grow {index} to {size}", id)
        growth = {other: to for other, to in self.guests[id].growth.items() if other != index}
        self.guests[id] = dataclasses.replace(self.guests[id], growth=growth)

    async def _act(self, what: str, id: MachineId) -> None:
        await self._reached(id)
        self.done.append(f"{what} {id}")

    async def forget(self, machine: Machine) -> None:
        self.done.append(f"forget {machine.id}")

    async def send(self, id: MachineId, data: bytes) -> None:
        if id not in self.guests:
            raise MachineNotRunning(id=id, state="its serial port is closed")
        self.typed[id] = self.typed.get(id, b"") + data

    async def warm(self) -> None:
        """Nothing to examine."""

    async def acceleration(self) -> Acceleration:
        return Acceleration(Accelerator.TCG, "a fake has no processor")

    def doubt_acceleration(self) -> None:
        self.doubts += 1

    async def close(self) -> None:
        """There is no connection to libvirt here."""
