"""What vmd can do about one machine: one step, one effect, safe to repeat. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zos.model.units import show
from zos.vmd.api.types import Machine, MachineId


@dataclass(frozen=True, slots=True)
class Start:
    """Start the guest: make its domain."""

    machine: Machine

    def describe(self) -> str:
        return f"start {self.machine.id}"


@dataclass(frozen=True, slots=True)
class Stop:
    """End the domain at once: a cut of power, as far as the guest can tell."""

    id: MachineId
    reason: str
    failure: bool = False
    """The guest was broken: the next start is backed off."""

    def describe(self) -> str:
        return f"stop {self.id}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold the guest; it keeps its memory."""

    id: MachineId

    def describe(self) -> str:
        return f"pause {self.id}"


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a held guest go on."""

    id: MachineId
    is_stalled: bool = False
    """QEMU holds it since a disk refused a write."""

    def describe(self) -> str:
        return f"resume {self.id}"


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """Tell the guest that its disk has become larger."""

    id: MachineId
    index: int
    size: int

    def describe(self) -> str:
        return f"grow disk {self.index} of {self.id} to {show(self.size)}"


@dataclass(frozen=True, slots=True)
class Forget:
    """The machine was dropped and its guest is gone: remove what vmd made for it."""

    id: MachineId

    def describe(self) -> str:
        return f"forget {self.id}"


Step = Start | Stop | Pause | Resume | GrowDisk | Forget
