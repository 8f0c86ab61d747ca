"""Which networks are built when more are asked for than the node builds. Pure.

A network costs its twin nothing. When all places are taken, one without machines gives way, of whoever has most: its
record stays, nothing of it is built, and it is built again when a machine comes into it or there is a place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping

from zos.networkd import model
from zos.networkd.api.errors import TooManyNetworks
from zos.networkd.api.types import NetId, Network
from zos.networkd.model import NetworkRecord

QUIET = 600.0
"""Seconds without a machine and without a WireGuard handshake after which nobody uses a network."""
KEPT = 8
"""Networks of a twin that do not give way while they are used; some lead others' machines to where they have none."""


def give_way(
    network: Network,
    records: Collection[NetworkRecord],
    with_taps: Container[NetId],
    quiet: Mapping[NetId, float],
    lead: int | None,
) -> NetworkRecord | None:
    """The network that gives its place to this one; None when a place is free. Raises TooManyNetworks.

    `quiet` has the seconds since each was used. Its twin has at least `lead` networks more than this one's has now;
    None: any number, for a machine comes into it.
    """
    built = [one for one in records if not one.parked and one.network.id != network.id]
    if len(built) < model.MOST_NETWORKS:
        return None
    held = Counter(one.network.twin for one in built)
    found = [
        one
        for one in built
        if one.network.id not in with_taps
        and (lead is None or held[one.network.twin] >= held[network.twin] + lead)
        and (held[one.network.twin] > KEPT or quiet.get(one.network.id, 0.0) >= QUIET)
    ]
    if not found:
        raise TooManyNetworks(network=network.name, count=len(built), whose="all twins")

    def order(one: NetworkRecord) -> tuple[int, float]:
        return held[one.network.twin], quiet.get(one.network.id, 0.0)

    return max(found, key=order)


def next_built(records: Collection[NetworkRecord]) -> NetId | None:
    """The network for which there is a place again: of the twin that has fewest; None when there is none."""
    held = Counter(one.network.twin for one in records if not one.parked)
    parked = [one for one in records if one.parked]
    if not parked or held.total() >= model.MOST_NETWORKS:
        return None
    return min(parked, key=lambda one: held[one.network.twin]).network.id


class Use:
    """When each network was used last, on the monotonic clock."""

    def __init__(self) -> None:
        self._last: dict[NetId, float] = {}

    def note(self, id: NetId, now: float, *, is_used: bool) -> None:
        """What is seen for the first time counts as used: its machines and peers may be on their way."""
        if is_used or id not in self._last:
            self._last[id] = now

    def quiet(self, now: float) -> dict[NetId, float]:
        """Seconds since each was used."""
        return {id: now - last for id, last in self._last.items()}

    def keep(self, ids: Iterable[NetId]) -> None:
        """Forget all others."""
        self._last = {id: self._last[id] for id in ids if id in self._last}
