"""Decides which daemons to start or to end now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zos.core0.steps import Kill, Start, Step
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
"""A unit that ran this long starts again with the least delay when it ends."""


@dataclass(frozen=True, slots=True)
class ObservedProcess:
    """A unit's process as last observed; times are monotonic seconds."""

    pid: int = 0
    started: float = 0.0
    ended: float = 0.0
    ready: bool = False
    missed: int = 0
    failures: int = 0
    """Ends in a row without a steady run between."""


def plan(units: Sequence[Unit], observed: Mapping[str, ObservedProcess], began: float, now: float) -> tuple[Step, ...]:
    """The steps due at `now`; `began` is when this core-0 started."""
    steps: list[Step] = []
    for unit in units:
        seen = observed.get(unit.name, ObservedProcess())
        if seen.pid:
            if reason := _hung(seen, now):
                steps.append(Kill(unit.name, seen.pid, reason))
        elif now >= next_try(seen) and _may_start(unit, units, observed, began, now):
            steps.append(Start(unit))
    return tuple(steps)


def next_try(seen: ObservedProcess) -> float:
    """When a unit that is down may start again."""
    return seen.ended + BACKOFF.delay(seen.failures) if seen.ended else 0.0


def failures_after(seen: ObservedProcess, now: float) -> int:
    """The count of failures once the unit ends at `now`."""
    return 1 if now - seen.started >= STEADY else seen.failures + 1


def waiting_for(unit: Unit, units: Sequence[Unit], observed: Mapping[str, ObservedProcess]) -> tuple[str, ...]:
    """The units before this one that are not ready."""
    names = {other.name for other in units}
    return tuple(name for name in unit.after if name in names and not observed.get(name, ObservedProcess()).ready)


def _may_start(
    unit: Unit, units: Sequence[Unit], observed: Mapping[str, ObservedProcess], began: float, now: float
) -> bool:
    # Only the first start of a boot waits: a daemon that comes back finds its siblings as they are.
    first = observed.get(unit.name, ObservedProcess()).started == 0.0
    return not first or now - began >= PATIENCE or not waiting_for(unit, units, observed)


def _hung(seen: ObservedProcess, now: float) -> str:
    if seen.missed >= MISSED_LIMIT:
        return f"{seen.missed} health checks in a row unanswered"
    if not seen.ready and now - seen.started >= START_LIMIT:
        return f"not ready after {START_LIMIT:.0f} s"
    return ""
