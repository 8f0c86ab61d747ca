"""Limits of one twin or one relay: rates, fair quotas of bounded memory, and a memory against replays.

All memory is bounded. Pure but for the clock.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from zos.runtime.clock import Clock
from zos.runtime.quota import FairQuota

KEYS = 10_000
"""Twins (or whatever a rate is kept for) that are remembered."""
SEEN = 65_536
SEEN_PER_TWIN = 16_384
"""Messages that are remembered as seen, of all twins and of one (its rate for five minutes)."""


K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter(Generic[K]):
    """A token bucket for each key."""

    def __init__(self, clock: Clock, rate: float = 50.0, burst: float = 200.0) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._buckets: LRUCache[K, _Bucket] = LRUCache(KEYS)

    def times(self, factor: float) -> RateLimiter[Any]:
        """A limiter with `factor` times the rate and burst, for keys of another kind."""
        return RateLimiter(self._clock, factor * self._rate, factor * self._burst)

    def has(self, key: K) -> bool:
        """Whether `take` would succeed now."""
        return self._filled(key).tokens >= 1

    def take(self, key: K) -> bool:
        """Take one token; False when the bucket is empty."""
        bucket = self._filled(key)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def wait(self, key: K, amount: float = 1.0) -> float:
        """Take tokens even when the bucket is empty; returns the seconds until it is above zero again."""
        bucket = self._filled(key)
        bucket.tokens -= amount
        return max(0.0, -bucket.tokens / self._rate)

    def _filled(self, key: K) -> _Bucket:
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
        else:
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
            bucket.at = now
        return bucket


class MessageQuota(Generic[K]):
    """Limits messages held at the same time, by their number and by their bytes."""

    def __init__(self, messages: FairQuota[K], size: FairQuota[K]) -> None:
        self.messages = messages
        self.size = size

    def fits(self, key: K, size: int) -> bool:
        """Whether `take` would succeed now."""
        return self.messages.fits(key, 1) and self.size.fits(key, size)

    def take(self, key: K, size: int) -> bool:
        """Take a place for one message; False when there is none."""
        return self.fits(key, size) and self.messages.take(key, 1) and self.size.take(key, size)

    def release(self, key: K, size: int) -> None:
        """Give a message's place back."""
        self.messages.release(key, 1)
        self.size.release(key, size)


@dataclass(slots=True)
class _Memory:
    names: set[bytes] = field(default_factory=set)
    ends: list[tuple[float, bytes]] = field(default_factory=list)
    """A heap: what expires next is first."""


class ReplayMemory:
    """Remembers each twin's messages until they expire, so that none is processed twice.

    A full memory refuses new messages and keeps the old ones, so that no flood, by the twin itself or by another,
    makes a replay possible.
    """

    def __init__(self, clock: Clock, total: int = SEEN, each: int = SEEN_PER_TWIN) -> None:
        self._clock = clock
        self._share: FairQuota[int] = FairQuota(total, each)
        self._twins: OrderedDict[int, _Memory] = OrderedDict()

    def __len__(self) -> int:
        return self._share.used

    def has(self, twin: int, session: str, uid: str) -> bool:
        """Whether this message was seen and has not expired."""
        memory = self._twins.get(twin)
        return memory is not None and _name(session, uid) in memory.names

    def is_new(self, twin: int, session: str, uid: str, until: float) -> bool:
        """Remember a message until it expires (Unix seconds); False when it is known already or there is no room."""
        key = _name(session, uid)
        now = self._clock.time()
        self._forget(twin, now)
        # The one that has not been looked at for longest: whoever went away is forgotten in turn.
        if self._twins:
            oldest = next(iter(self._twins))
            self._twins.move_to_end(oldest)
            self._forget(oldest, now)
        memory = self._twins.setdefault(twin, _Memory())
        if key in memory.names:
            return False
        if not self._share.take(twin):
            if not memory.names:
                del self._twins[twin]
            return False
        memory.names.add(key)
        heapq.heappush(memory.ends, (until, key))
        return True

    def _forget(self, twin: int, now: float) -> None:
        memory = self._twins.get(twin)
        if memory is None:
            return
        while memory.ends and memory.ends[0][0] <= now:
            memory.names.discard(heapq.heappop(memory.ends)[1])
            self._share.release(twin)
        if not memory.ends:
            del self._twins[twin]


def _name(session: str, uid: str) -> bytes:
    # A digest, because a name may be as long as its sender likes.
    return blake2b(f"{len(session)} {session} {uid}".encode(), digest_size=16).digest()
