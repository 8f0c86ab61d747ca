"""What vmd needs of a host; libvirt's and the fake keep the same promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from zos.vmd.api.types import Acceleration, Machine, MachineId
from zos.vmd.model import ObservedGuest

OnChange = Callable[[MachineId | None], None]
"""Gets the machine that changed by itself; None when any may have."""


class Host(Protocol):
    """Observes and changes machines. Every call is about one machine and holds up no other."""

    processors: int

    def on_change(self, callback: OnChange) -> None:
        """Call `callback` when a machine changes by itself."""

    async def observe(self, machine: Machine) -> ObservedGuest | None:
        """The machine's guest; None when there is none."""

    async def missing(self, machine: Machine) -> str:
        """The part of the machine that does not exist yet; "" when all are there."""

    async def mounts(self, machine: Machine) -> str:
        """Which mounts the machine's folders are, as `ObservedGuest.mounts` has it."""

    async def start(self, machine: Machine, console: Path) -> None:
        """Make its guest, its serial port appended to `console`."""

    async def stop(self, id: MachineId) -> None:
        """End the guest at once; one that is gone is fine."""

    async def pause(self, id: MachineId) -> None:
        """Hold the guest; it keeps its memory."""

    async def resume(self, id: MachineId) -> None:
        """Let a held guest go on."""

    async def grow(self, id: MachineId, index: int, size: int) -> None:
        """Tell the guest the new size of a disk."""

    async def forget(self, machine: Machine) -> None:
        """Remove the files that were made for its boots."""

    async def send(self, id: MachineId, data: bytes) -> None:
        """Type on the serial port."""

    async def acceleration(self) -> Acceleration:
        """What runs guest code here."""

    async def warm(self) -> None:
        """Have libvirt examine QEMU, so that the first machine need not wait for it."""

    def doubt_acceleration(self) -> None:
        """A guest broke inside the hypervisor: probe the acceleration again before the next start."""

    async def close(self) -> None:
        """Close the connection to libvirt; guests go on."""
