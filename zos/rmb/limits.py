"""How much one twin may ask: a rate, a number at once, and no message twice. Bounded memory. Pure but for the clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from zos.runtime.clock import Clock

TWINS = 10_000
"""Twins whose rate is remembered."""
SEEN = 50_000
"""Messages that are remembered as seen."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Rate:
    """A token bucket per twin."""

    def __init__(self, clock: Clock, rate: float = 50.0, burst: float = 200.0) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()

    def take(self, twin: int) -> bool:
        """Whether the twin may send one more message now."""
        now = self._clock.monotonic()
        bucket = self._buckets.get(twin)
        if bucket is None:
            bucket = self._buckets[twin] = _Bucket(self._burst, now)
            if len(self._buckets) > TWINS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(twin)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class Once:
    """Remembers messages until they expire, so that none is dealt with twice."""

    def __init__(self, clock: Clock, limit: int = SEEN) -> None:
        self._clock = clock
        self._limit = limit
        self._seen: OrderedDict[tuple[int, str, str], float] = OrderedDict()

    def is_new(self, twin: int, session: str, uid: str, until: float) -> bool:
        """Whether this is the first time; `until` is when the message expires (Unix seconds)."""
        now = self._clock.time()
        while self._seen and (len(self._seen) >= self._limit or next(iter(self._seen.values())) <= now):
            self._seen.popitem(last=False)
        key = (twin, session, uid)
        if self._seen.get(key, 0.0) > now:
            return False
        self._seen[key] = until
        return True
