"""Remembers which messages of each twin were seen, so that none is dealt with twice. Pure but for the clock.

A message is known by its challenge, the digest that its twin signed: bytes that are moved from one field to the next
make the same message. A full memory never refuses whoever comes: the twin that fills it most pays, by its oldest
messages. What is forgotten of a twin leaves a floor, and its messages of that time or an earlier one are refused.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from zos.runtime.clock import Clock

SEEN = 65_536
SEEN_PER_TWIN = 16_384
"""Messages that are remembered as seen, of all twins and of one (its rate for five minutes)."""
FLOORS = 65_536
"""Twins of which something was forgotten before its time."""


class Seen(Enum):
    """What is known of a message."""

    NEW = auto()
    KNOWN = auto()
    PENDING = auto()
    """Somebody is at it, and may fail."""
    FORGOTTEN = auto()
    """It is older than what is remembered of its twin, so it may have been seen."""


@dataclass(slots=True)
class _Memory:
    names: set[bytes] = field(default_factory=set)
    times: list[tuple[int, float, bytes]] = field(default_factory=list)
    """A heap of timestamp, end and name: what was sent first is first."""


class ReplayMemory:
    """Bounded in messages, of all twins and of each."""

    def __init__(self, clock: Clock, total: int = SEEN, each: int = SEEN_PER_TWIN, floors: int = FLOORS) -> None:
        self._clock = clock
        self._total = total
        self._each = each
        self._most_floors = floors
        self._used = 0
        self._twins: OrderedDict[int, _Memory] = OrderedDict()
        self._sizes: dict[int, dict[int, None]] = {}
        """Twins by how many of their messages are remembered."""
        self._largest = 0
        self._pending: set[tuple[int, bytes]] = set()
        self._floors: dict[int, int] = {}
        self._floor = -1
        """Everybody's, once there are too many."""

    def __len__(self) -> int:
        return self._used

    def judge(self, twin: int, name: bytes, timestamp: int) -> Seen:
        """Whether a message was seen; `name` is its challenge, `timestamp` its own (Unix seconds)."""
        memory = self._twins.get(twin)
        if memory is not None and name in memory.names:
            return Seen.KNOWN
        if (twin, name) in self._pending:
            return Seen.PENDING
        return Seen.FORGOTTEN if timestamp <= max(self._floor, self._floors.get(twin, -1)) else Seen.NEW

    @contextmanager
    def once(self, twin: int, name: bytes, timestamp: int, until: float) -> Iterator[Seen]:
        """Judge a message; a new one is remembered when the block succeeds, and its copies are pending till then."""
        verdict = self.judge(twin, name, timestamp)
        if verdict is not Seen.NEW:
            yield verdict
            return
        self._pending.add((twin, name))
        try:
            yield verdict
            self.add(twin, name, timestamp, until)
        finally:
            self._pending.discard((twin, name))

    def add(self, twin: int, name: bytes, timestamp: int, until: float) -> None:
        """Remember a message until it expires (Unix seconds)."""
        self._expire(twin)
        # The one that has not been looked at for longest: whoever went away is forgotten in turn.
        if self._twins:
            oldest = next(iter(self._twins))
            self._twins.move_to_end(oldest)
            self._expire(oldest)
        memory = self._twins.setdefault(twin, _Memory())
        before = len(memory.times)
        memory.names.add(name)
        heapq.heappush(memory.times, (timestamp, until, name))
        self._resized(twin, before)
        if len(memory.times) > self._each:
            self._shed(twin)
        elif self._used > self._total:
            self._shed(next(iter(self._sizes[self._largest])))

    def _expire(self, twin: int) -> None:
        now, memory = self._clock.time(), self._twins.get(twin)
        if memory is None:
            return
        before = len(memory.times)
        while memory.times and memory.times[0][1] <= now:
            memory.names.discard(heapq.heappop(memory.times)[2])
        self._resized(twin, before)

    def _shed(self, twin: int) -> None:
        """Forget the oldest second of a twin."""
        memory = self._twins[twin]
        before, floor = len(memory.times), memory.times[0][0]
        while memory.times and memory.times[0][0] <= floor:
            memory.names.discard(heapq.heappop(memory.times)[2])
        self._resized(twin, before)
        self._floors[twin] = max(floor, self._floors.get(twin, -1))
        if len(self._floors) > self._most_floors:
            self._floor = max(self._floor, sorted(self._floors.values())[self._most_floors // 2])
            self._floors = {one: floor for one, floor in self._floors.items() if floor > self._floor}

    def _resized(self, twin: int, before: int) -> None:
        now = len(self._twins[twin].times)
        self._used += now - before
        if now == before:
            return
        if before:
            del self._sizes[before][twin]
            if not self._sizes[before]:
                del self._sizes[before]
        if now:
            self._sizes.setdefault(now, {})[twin] = None
        else:
            del self._twins[twin]
        self._largest = max(self._largest, now)
        while self._largest and self._largest not in self._sizes:
            self._largest -= 1
