"""For how long this node has lived, by the kernel's monotonic clock: a wall clock that is set cannot change it."""

from __future__ import annotations

from dataclasses import dataclass

from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger

_KEY = "node"


@dataclass(frozen=True, slots=True)
class AgeRecord:
    """Seconds lived, and the monotonic clock when they were noted (ledger `age`)."""

    lived: float
    at: float


class Age:
    """Counts while the node is on, and is noted every `step` seconds.

    The seconds since a note count where the monotonic clock shows them: after a reboot it began anew, and at least
    what it shows has gone by. So the age is never ahead of real time, and behind it by what the node was off.
    """

    def __init__(self, records: Ledger[AgeRecord], clock: Clock, step: float) -> None:
        self._records = records
        self._clock = clock
        self._step = step
        noted, now = records.get(_KEY) or AgeRecord(0.0, 0.0), clock.monotonic()
        self._start = AgeRecord(noted.lived + (now - noted.at if 0 < noted.at <= now else 0.0), now)
        records.put(_KEY, self._start)

    def now(self) -> float:
        """Seconds lived; never less than it ever was."""
        return self._start.lived + self._clock.monotonic() - self._start.at

    def note(self) -> None:
        """Write it down when it is time."""
        noted, now = self._records.get(_KEY), self._clock.monotonic()
        if noted is None or now - noted.at >= self._step:
            self._records.put(_KEY, AgeRecord(self.now(), now))
