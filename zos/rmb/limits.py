"""Limits of one twin or one relay: rates, and fair quotas of bounded memory.

All memory is bounded. Pure but for the clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from zos.runtime.clock import Clock
from zos.runtime.quota import FairQuota

KEYS = 10_000
"""Twins (or whatever a rate is kept for) that are remembered."""


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
        self.messages.release(key, 1)
        self.size.release(key, size)
