"""Decides which pool bears the node's state, and when a node may begin one anew. Pure.

The state has the node's key. A second key is another node, without the twin, the contracts and the tenants of the
first: one is only begun where every disk could be read and none of them shows that there ever was another.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from zos.storaged.model import SMALLEST_DEVICE, Content, ObservedDevice, ObservedPool, is_label

STATE = "zos-state"
"""The subvolume of a pool that has the state."""


@dataclass(frozen=True, slots=True)
class Bears:
    """This pool has the state."""

    label: str


@dataclass(frozen=True, slots=True)
class Begin:
    """The state is made on this pool, which is a blank node's own and mounted."""

    label: str


@dataclass(frozen=True, slots=True)
class Format:
    """This device becomes the first pool."""

    device: ObservedDevice


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be done before somebody or something changes this."""

    reason: str


FIRST = 8
"""The version in the UUID of a pool that was made before there was a state; those of storaged have 4. A pool of either
kind may have nothing on it, and only of the first is that no sign of a node whose state is away."""


def first_label() -> str:
    """A name for a pool that is made for the state."""
    return str(uuid.UUID(int=uuid.uuid4().int & ~(0xF << 76) | FIRST << 76))


def is_first(label: str) -> bool:
    """Whether a pool has such a name."""
    return is_label(label) and uuid.UUID(label).version == FIRST


Choice = Bears | Begin | Format | Wait


def pools(devices: Sequence[ObservedDevice]) -> dict[str, ObservedDevice]:
    """The pools among the devices by label; of a copy of one, the first."""
    found: dict[str, ObservedDevice] = {}
    for device in devices:
        if device.content is Content.POOL and is_label(device.label):
            found.setdefault(device.label, device)
    return found


def choose(
    devices: Sequence[ObservedDevice], seen: Mapping[str, ObservedPool], bearers: Collection[str], broken: Sequence[str]
) -> Choice:
    """What is next: `seen` are the mounted pools, `bearers` those with a state, `broken` why others are not mounted."""
    if len(bearers) > 1:
        listed = ", ".join(sorted(bearers))
        return Wait(f"{len(bearers)} pools have a node's state ({listed}): take out the disk that is another node's")
    if bearers:
        (label,) = bearers
        return Wait(f"pool {label} has the state and is read-only") if seen[label].readonly else Bears(label)
    bad = [f"{one.path} cannot be read ({one.detail})" for one in devices if one.content is Content.UNREADABLE]
    if unsure := [*bad, *broken]:
        return Wait(f"no disk has the node's state, and {unsure[0]}: a new node begins only when all are readable")
    begun = [one.label for one in devices if one.content is Content.UNFINISHED and is_label(one.label)]
    used = [label for label, pool in seen.items() if not (is_first(label) and _is_bare(pool))]
    if used := [*used, *(label for label in begun if not is_first(label))]:
        return Wait(f"pool {used[0]} was a node's, whose state is on no disk that is here: bring the missing disk back")
    if ready := sorted(label for label, pool in seen.items() if not pool.readonly):
        return Begin(ready[0])
    blank = [one for one in devices if _may_become_one(one)]
    if not blank:
        return Wait("there is no disk that is blank or has the node's state")
    return Format(min(blank, key=lambda one: (one.rotational, -one.size, one.path)))


def _is_bare(pool: ObservedPool) -> bool:
    # The kind is measured by storaged, which starts when there is a state.
    return pool.kind is None and not (pool.disks or pool.volumes or pool.tombstones or pool.parts or pool.cache)


def _may_become_one(device: ObservedDevice) -> bool:
    """Blank, or a pool whose making was cut off: mkfs had not written its name, so nothing ever was on it."""
    unfinished = device.content is Content.UNFINISHED and is_first(device.label)
    return (device.content is Content.BLANK or unfinished) and device.size >= SMALLEST_DEVICE
