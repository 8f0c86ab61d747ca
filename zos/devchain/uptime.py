"""Owns how long a node was up: which of its reports count, and which are violations. Pure.

A report is the time it stands in the chain and the seconds since the node's boot. Two reports are continuous when
both grew alike; a smaller uptime is a reboot when the boot lies between them. Sleep on the farmer's order counts.
"""

from __future__ import annotations

SLACK = 60
LONGEST = 41 * 60
"""Credit for one interval."""
DRIFT = 120
WAKING = 30 * 60
SLEEP = 24 * 3600


class Uptime:
    """One node's, counted within [start, end)."""

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._end = end
        self.credited = 0
        """Seconds."""
        self.violation = ""
        """The first one found."""
        self._last: tuple[int, int] | None = None
        self._boot = 0
        self._wants_sleep = False
        self._asleep: int | None = None
        self._called: int | None = None
        self._late = 0

    def report(self, at: int, uptime: int) -> None:
        """The node says how long it has been up."""
        last, self._last = self._last, (at, uptime)
        boot = at - uptime
        if last is None:
            self._began(boot, at)
            return
        clock, grown = at - last[0], uptime - last[1]
        if abs(grown - clock) <= SLACK:
            self._credit(at - min(clock, LONGEST), at)
            if abs(boot - self._boot) >= DRIFT:
                self._blame("ClockSkew", at)
        elif uptime <= clock:
            self._began(boot, at)
        elif uptime < last[1]:
            self._blame("InvalidReboot", at)
        else:
            self._blame("UptimeTooHigh" if grown > clock else "UptimeTooLow", at)

    def target(self, at: int, power: str) -> None:
        """The farmer wants it up or down."""
        self._wants_sleep = power == "Down"
        if power == "Up" and self._asleep is not None and self._called is None:
            self._called = at

    def state(self, at: int, power: object) -> None:
        """The node says that it goes down (a dict with the block), or is up."""
        if power != "Up" and self._wants_sleep and self._asleep is None:
            self._asleep, self._called = at, None

    def _began(self, boot: int, at: int) -> None:
        self._boot = boot
        self._credit(max(boot, at - LONGEST), at)
        asleep, called = self._asleep, self._called
        self._asleep = self._called = None
        if asleep is None or called is None:
            return
        if boot - called > WAKING:
            self._late += 1
            if self._late > 1:
                self._blame("BootRequestExpired", at)
        elif boot - asleep <= SLEEP:
            self._credit(asleep, boot)

    def _credit(self, since: int, until: int) -> None:
        self.credited += max(0, min(until, self._end) - max(since, self._start))

    def _blame(self, violation: str, at: int) -> None:
        # What came before the period was judged in its own.
        if at >= self._start:
            self.violation = self.violation or violation
