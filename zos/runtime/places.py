"""Places for the connections of strangers: there always is one for a newcomer, as who is idle makes way for it.

Shares alone do not help where a key costs nothing, as a /64 of an overlay does: whoever has as many keys as there are
places could take them all and say nothing. So a place is lent, until somebody has shown that it is in use.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from zos.runtime.quota import FairQuota

K = TypeVar("K", bound=Hashable)
H = TypeVar("H", bound=Hashable)

KEPT = 4
"""All but one of so many places may be kept; newcomers always have that one."""
MANY = 16
"""A key that has more than one of so many places gives up its own before others' are looked at."""


class _Line(Generic[K, H]):
    """Holders that may have to make way, the longest silent first."""

    def __init__(self, many: int) -> None:
        self._many = many
        self._all: OrderedDict[H, None] = OrderedDict()
        self._of: dict[K, OrderedDict[H, None]] = {}
        self._large: set[K] = set()

    def add(self, key: K, holder: H) -> None:
        self._all[holder] = None
        of = self._of.setdefault(key, OrderedDict())
        of[holder] = None
        if len(of) > self._many:
            self._large.add(key)

    def remove(self, key: K, holder: H) -> None:
        del self._all[holder]
        of = self._of[key]
        del of[holder]
        if len(of) <= self._many:
            self._large.discard(key)
        if not of:
            del self._of[key]

    def heard(self, key: K, holder: H) -> None:
        self._all.move_to_end(holder)
        self._of[key].move_to_end(holder)

    def first(self) -> H | None:
        """Who makes way next."""
        largest = max(self._large, key=lambda key: len(self._of[key]), default=None)
        return next(iter(self._all if largest is None else self._of[largest]), None)


@dataclass(slots=True)
class _Place(Generic[K, H]):
    key: K
    line: _Line[K, H] | None
    kept: Hashable = None


class Places(Generic[K, H]):
    """At most `total` holders, and `each` of one key; when all places are taken, a newcomer takes that of another.

    Idle ones go first, then those in use that are not kept: of a key that has many, else the longest silent. A place
    that is kept is safe. What is kept is shared out by keys that must be proved, or that cost something.
    """

    def __init__(self, total: int, each: int, evict: Callable[[H], object]) -> None:
        self._total = total
        self._each = each
        self._evict = evict
        self._places: dict[H, _Place[K, H]] = {}
        self._counts: dict[K, int] = {}
        many = max(1, total // MANY)
        self._idle: _Line[K, H] = _Line(many)
        self._busy: _Line[K, H] = _Line(many)
        self._kept: FairQuota[Hashable] = FairQuota(total - total // KEPT, total)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, holder: H) -> bool:
        return holder in self._places

    def holds(self, key: K) -> int:
        """How many places the key has."""
        return self._counts.get(key, 0)

    def enter(self, key: K, holder: H) -> bool:
        """Take a place, an idle one; False when there is none for this key."""
        if self.holds(key) >= self._each:
            return False
        if len(self._places) >= self._total:
            first = self._idle.first()
            if first is None:
                first = self._busy.first()
            if first is None:
                return False
            self.leave(first)
            self._evict(first)
        self._places[holder] = _Place(key, self._idle)
        self._counts[key] = self.holds(key) + 1
        self._idle.add(key, holder)
        return True

    def leave(self, holder: H) -> None:
        """Give a place back; nothing for one that has none, because another has taken it."""
        place = self._places.pop(holder, None)
        if place is None:
            return
        self._move(holder, place, None)
        self._counts[place.key] -= 1
        if not self._counts[place.key]:
            del self._counts[place.key]

    def heard(self, holder: H) -> None:
        """It did something: others make way before it."""
        place = self._places.get(holder)
        if place is not None and place.line is not None:
            place.line.heard(place.key, holder)

    def use(self, holder: H, *, is_busy: bool) -> None:
        """Whether it is in use, as far as anybody can say who does not know it."""
        place = self._places.get(holder)
        line = self._busy if is_busy else self._idle
        if place is not None and place.line not in (None, line):
            self._move(holder, place, line)

    def keep(self, holder: H, key: Hashable) -> bool:
        """It need not make way, at the expense of `key`; False when that has its share: then it is in use."""
        place = self._places.get(holder)
        if place is None:
            return False
        if place.kept == key and place.line is None:
            return True
        self._move(holder, place, self._busy)
        if not self._kept.take(key):
            return False
        place.kept = key
        self._move(holder, place, None)
        return True

    def _move(self, holder: H, place: _Place[K, H], line: _Line[K, H] | None) -> None:
        if place.line is not None:
            place.line.remove(place.key, holder)
        elif line is not None or holder not in self._places:
            self._kept.release(place.kept)
        place.line = line
        if line is not None:
            line.add(place.key, holder)
