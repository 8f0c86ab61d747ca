"""What core-0 can do about a daemon: start it, or end one that hangs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zos.core0.units import Unit


@dataclass(frozen=True, slots=True)
class Start:
    """core-0 forks the daemon."""

    unit: Unit

    def describe(self) -> str:
        return f"start {self.unit.name}"


@dataclass(frozen=True, slots=True)
class Kill:
    """End a daemon that no longer answers; it starts again like any that ended."""

    name: str
    pid: int
    reason: str

    def describe(self) -> str:
        return f"kill {self.name} ({self.pid}): {self.reason}"


Step = Start | Kill
