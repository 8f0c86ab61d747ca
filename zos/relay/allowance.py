"""How much a twin may send in a minute, where whoever runs the relay has set a limit. Pure but for the clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from zos.runtime.clock import Clock

MINUTE = 60.0
TWINS = 10_000
"""Twins whose spending is remembered."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Per twin and minute."""

    count: int
    bytes: int


class Allowance:
    """What twins have spent of it, in windows of a minute as the grid's relays count; without a limit all may all."""

    def __init__(self, limit: Limit | None, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._spent: OrderedDict[int, tuple[float, int, int]] = OrderedDict()

    def take(self, twin: int, size: int) -> bool:
        """Whether the twin may send one more message of so many bytes."""
        if self._limit is None:
            return True
        now = self._clock.monotonic()
        began, count, spent = self._spent.get(twin, (now, 0, 0))
        if now - began >= MINUTE:
            began, count, spent = now, 0, 0
        if count + 1 > self._limit.count or spent + size > self._limit.bytes:
            return False
        self._spent[twin] = (began, count + 1, spent + size)
        self._spent.move_to_end(twin)
        while len(self._spent) > TWINS:
            self._spent.popitem(last=False)
        return True
