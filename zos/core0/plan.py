"""Which daemon to start or to end now. Pure: processes as seen in, steps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zos.core0.units import Unit
from zos.runtime.backoff import Backoff

BACKOFF = Backoff(first=0.1, cap=30.0, jitter=0.0)
PATIENCE = 10.0
"""Seconds that a unit waits for the ones before it."""
START_LIMIT = 60.0
"""Seconds that a unit may take to become ready."""
MISSED_LIMIT = 3
"""Unanswered health questions in a row after which a daemon is taken for hung."""
STEADY = 30.0
"""A unit that ran this long starts again without delay when it ends."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A unit's process as last seen; times are monotonic seconds."""

    pid: int = 0
    started: float = 0.0
    ended: float = 0.0
    ready: bool = False
    missed: int = 0
    failures: int = 0
    """Ends in a row without a steady run between."""


@dataclass(frozen=True, slots=True)
class Start:
    """Fork the daemon."""

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


def plan(units: Sequence[Unit], have: Mapping[str, Seen], began: float, now: float) -> tuple[Step, ...]:
    """The steps due at `now`; `began` is when this core-0 started."""
    steps: list[Step] = []
    for unit in units:
        seen = have.get(unit.name, Seen())
        if seen.pid:
            if reason := _hung(seen, now):
                steps.append(Kill(unit.name, seen.pid, reason))
        elif now >= next_try(seen) and _may_start(unit, units, have, began, now):
            steps.append(Start(unit))
    return tuple(steps)


def next_try(seen: Seen) -> float:
    """When a unit that is down may start again."""
    return seen.ended + BACKOFF.delay(seen.failures) if seen.ended else 0.0


def failures_after(seen: Seen, now: float) -> int:
    """The count of failures once the unit ends at `now`."""
    return 1 if now - seen.started >= STEADY else seen.failures + 1


def waiting_for(unit: Unit, units: Sequence[Unit], have: Mapping[str, Seen]) -> tuple[str, ...]:
    """The units before this one that are not ready."""
    names = {other.name for other in units}
    return tuple(name for name in unit.after if name in names and not have.get(name, Seen()).ready)


def _may_start(unit: Unit, units: Sequence[Unit], have: Mapping[str, Seen], began: float, now: float) -> bool:
    # Only the first start of a boot waits: a daemon that comes back finds its siblings as they are.
    first = have.get(unit.name, Seen()).started == 0.0
    return not first or now - began >= PATIENCE or not waiting_for(unit, units, have)


def _hung(seen: Seen, now: float) -> str:
    if seen.missed >= MISSED_LIMIT:
        return f"{seen.missed} health checks in a row unanswered"
    if not seen.ready and now - seen.started >= START_LIMIT:
        return f"not ready after {START_LIMIT:.0f} s"
    return ""
