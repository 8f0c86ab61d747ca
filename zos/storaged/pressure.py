"""Decides which tombstones go before their time because a request needs their room. Pure.

A removal is signed: the time after it is grace, and its space is paid by nobody. Each owner has the newest of his
tombstones for sure, up to what he pays for on that pool now; beyond that all owners share a tenth of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

COMMON = 10
"""The part of a pool (one of so many) that tombstones beyond their owners' shares have together."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A tombstone that its record allows to erase."""

    name: str
    owner: str
    size: int
    """Bytes that it occupies."""
    created: float
    is_over: bool = False
    """Its time is over, and only the erasing has not been done."""


def beyond(kept: Iterable[Kept], paid: Mapping[str, int]) -> dict[str, list[Kept]]:
    """By owner, oldest first: what his newest tombstones, up to what he pays for, leave over."""
    left, found = dict(paid), dict[str, list[Kept]]()
    for one in sorted(kept, key=lambda one: (one.created, one.name), reverse=True):
        left[one.owner] = left.get(one.owner, 0) - one.size
        if left[one.owner] < 0:
            found.setdefault(one.owner, []).insert(0, one)
    return found


def victims(
    need: int, requester: str, kept: Collection[Kept], paid: Mapping[str, int], usable: int
) -> tuple[Kept, ...] | None:
    """The tombstones of a pool to erase so that `need` more bytes fit, oldest first; None when they cannot.

    First what is over, then the requester's own; then, while all that is beyond a share takes more than the common
    part of `usable`, the oldest of the owner who has the most of it.
    """
    chosen = [one for one in kept if one.is_over]
    rest = [one for one in kept if not one.is_over]
    chosen += sorted((one for one in rest if one.owner == requester), key=lambda one: (one.created, one.name))
    others = beyond((one for one in rest if one.owner != requester), paid)
    sums = {owner: sum(one.size for one in tombstones) for owner, tombstones in others.items()}
    freed, own = 0, 0
    while own < len(chosen) and freed < need:
        freed, own = freed + chosen[own].size, own + 1
    del chosen[own:]
    while freed < need and sum(sums.values()) > usable // COMMON:
        most = min(sums, key=lambda owner: (-sums[owner], owner))
        chosen.append(others[most].pop(0))
        freed, sums[most] = freed + chosen[-1].size, sums[most] - chosen[-1].size
    if freed < need:
        return None
    for one in tuple(chosen):
        if freed - one.size >= need and not one.is_over:
            chosen.remove(one)
            freed -= one.size
    return tuple(chosen)
