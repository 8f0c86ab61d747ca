"""How much one twin, or one relay, may ask for: a rate, a part of a bounded room, and no message twice.

All memory is bounded. Pure but for the clock.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from zos.runtime.clock import Clock

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


class Rate(Generic[K]):
    """A token bucket for each key."""

    def __init__(self, clock: Clock, rate: float = 50.0, burst: float = 200.0) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[K, _Bucket] = OrderedDict()

    def times(self, factor: float) -> Rate[Any]:
        """The same but so many times as high, for keys of another kind."""
        return Rate(self._clock, factor * self._rate, factor * self._burst)

    def has(self, key: K) -> bool:
        """Whether `take` would be."""
        return self._filled(key).tokens >= 1

    def take(self, key: K) -> bool:
        """Whether the key may have one more now."""
        bucket = self._filled(key)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def wait(self, key: K, amount: float = 1.0) -> float:
        """Take in any case; gives the seconds after which the next may be taken."""
        bucket = self._filled(key)
        bucket.tokens -= amount
        return max(0.0, -bucket.tokens / self._rate)

    def _filled(self, key: K) -> _Bucket:
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > KEYS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
            bucket.at = now
        return bucket


class Share(Generic[K]):
    """A bounded room that no key can fill alone.

    A key may hold half of what the others leave, and never more than `each`: one greedy key leaves a half, ten leave
    an eleventh, and who holds nothing gets something as long as there is anything.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._held: dict[K, int] = {}
        self.used = 0

    def holds(self, key: K) -> int:
        """What the key has taken and not given back."""
        return self._held.get(key, 0)

    def fits(self, key: K, amount: int) -> bool:
        """Whether the key may take so much more."""
        held = self._held.get(key, 0)
        free = self._total - self.used
        return amount <= free and held + amount <= self._each and (not held or 2 * (held + amount) <= free + held)

    def take(self, key: K, amount: int = 1) -> bool:
        """Take it if it fits."""
        if not self.fits(key, amount):
            return False
        self._held[key] = self._held.get(key, 0) + amount
        self.used += amount
        return True

    def give(self, key: K, amount: int = 1) -> None:
        """Give back."""
        self.used -= amount
        left = self._held[key] - amount
        if left:
            self._held[key] = left
        else:
            del self._held[key]


class Room(Generic[K]):
    """Messages that are held at the same time: so many, and so many bytes of them."""

    def __init__(self, messages: Share[K], size: Share[K]) -> None:
        self.messages = messages
        self.size = size

    def fits(self, key: K, size: int) -> bool:
        """Whether there is a place for one more message."""
        return self.messages.fits(key, 1) and self.size.fits(key, size)

    def take(self, key: K, size: int) -> bool:
        """Take one, if there is one."""
        return self.fits(key, size) and self.messages.take(key, 1) and self.size.take(key, size)

    def give(self, key: K, size: int) -> None:
        """A message is over."""
        self.messages.give(key, 1)
        self.size.give(key, size)


@dataclass(slots=True)
class _Memory:
    names: set[bytes] = field(default_factory=set)
    ends: list[tuple[float, bytes]] = field(default_factory=list)
    """A heap: what expires next is first."""


class Once:
    """Remembers each twin's messages until they expire, so that none is dealt with twice.

    What is remembered is never given up for newer messages: a twin with too many open ones gets no more in. So
    neither its own nor another's flood makes a replay possible.
    """

    def __init__(self, clock: Clock, total: int = SEEN, each: int = SEEN_PER_TWIN) -> None:
        self._clock = clock
        self._share: Share[int] = Share(total, each)
        self._twins: OrderedDict[int, _Memory] = OrderedDict()

    def __len__(self) -> int:
        return self._share.used

    def has(self, twin: int, session: str, uid: str) -> bool:
        """Whether it is remembered."""
        memory = self._twins.get(twin)
        return memory is not None and _name(session, uid) in memory.names

    def is_new(self, twin: int, session: str, uid: str, until: float) -> bool:
        """Whether it is the first of this name and is remembered now; `until` is when it expires (Unix seconds)."""
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
            self._share.give(twin)
        if not memory.ends:
            del self._twins[twin]


def _name(session: str, uid: str) -> bytes:
    # A digest, because a name may be as long as its sender likes.
    return blake2b(f"{len(session)} {session} {uid}".encode(), digest_size=16).digest()
