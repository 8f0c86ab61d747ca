"""Decides: which device becomes a pool, where a disk goes, what fits, how the cache grows. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zos.model.units import MiB, show
from zos.storaged import steps
from zos.storaged.api.errors import (
    DataLost,
    DiskHasData,
    DiskShrink,
    NoPool,
    PoolFull,
    PoolShort,
    TooManySmall,
    VolumeShrink,
)
from zos.storaged.api.types import Kind, PoolKind, PoolState
from zos.storaged.model import (
    SMALLEST_DEVICE,
    Content,
    ObservedDevice,
    ObservedDisk,
    ObservedPool,
    ObservedVolume,
    Phase,
    PoolRecord,
    StorageRecord,
    TombstoneRecord,
    is_label,
    key,
)
from zos.storaged.steps import Step

# Random reads: below the first an SSD or something that answers like one, above the second surely a seek.
FAST, SLOW = 0.000_5, 0.003


# Devices and pools


@dataclass(frozen=True, slots=True)
class DeviceRole:
    """What one device is to this node; `format` when it is to become a pool."""

    device: ObservedDevice
    label: str
    state: PoolState
    detail: str = ""
    format: steps.FormatDevice | None = None


def survey(
    devices: Collection[ObservedDevice],
    records: Mapping[str, PoolRecord],
    fresh: Callable[[], str],
    replaced: Collection[str] = (),
) -> tuple[DeviceRole, ...]:
    """The role of each device: a pool, a pool to be made, or left alone. Then the pools whose device is gone.

    A device that looks blank where a finished pool was is not formatted, unless the farmer lists that as `replaced`.
    """
    roles: list[DeviceRole] = []
    taken: set[str] = set()
    there = {device.label for device in devices if device.content is Content.POOL}
    lost = {label: record for label, record in records.items() if record.made and label not in there}
    for device in devices:
        role = _role(device, records, taken, fresh)
        before = [label for label, record in lost.items() if record.device == device.path and label not in replaced]
        if role.format is not None and before:
            detail = f"pool {before[0]} was on it and it looks blank now; add that to `replaced` if it is a new device"
            role = DeviceRole(device, "", PoolState.FOREIGN, detail)
        if role.label:
            taken.add(role.label)
        roles.append(role)
    gone = {label: record for label, record in records.items() if label not in taken and record.made}
    away = {record.device for record in gone.values()}
    roles = [p for p in roles if p.device.content is not Content.ABSENT or p.device.path not in away]
    for label, record in gone.items():
        device = ObservedDevice(record.device, record.size, Content.ABSENT)
        roles.append(DeviceRole(device, label, PoolState.MISSING, f"its device (last {record.device}) is not there"))
    return tuple(roles)


def _role(
    device: ObservedDevice, records: Mapping[str, PoolRecord], taken: Collection[str], fresh: Callable[[], str]
) -> DeviceRole:
    def left(detail: str, state: PoolState = PoolState.FOREIGN) -> DeviceRole:
        return DeviceRole(device, "", state, detail)

    label = device.label
    match device.content:
        case Content.POOL if not is_label(label):
            return left(f"it holds a btrfs file system labelled `{label}` that is not ours")
        case Content.POOL if label in taken:
            return left(f"it is a copy of pool {label}")
        case Content.POOL:
            return DeviceRole(device, label, PoolState.MAKING)
        case Content.UNFINISHED if label in records and not records[label].made:
            return DeviceRole(
                device, label, PoolState.MAKING, format=steps.FormatDevice(label, device.path, again=True)
            )
        case Content.UNFINISHED:
            return left("it holds a btrfs file system whose making was cut off, not by us")
        case Content.BLANK if device.size < SMALLEST_DEVICE:
            return left(f"it has only {show(device.size)}")
        case Content.BLANK:
            label = _decided(device, records, taken) or fresh()
            return DeviceRole(device, label, PoolState.MAKING, format=steps.FormatDevice(label, device.path))
        case Content.ABSENT:
            return left("there is no such device", PoolState.MISSING)
        case Content.UNREADABLE:
            return left(device.detail, PoolState.BROKEN)
        case _:
            return left(device.detail or "it holds something that is not ours")


def _decided(device: ObservedDevice, records: Mapping[str, PoolRecord], taken: Collection[str]) -> str:
    """The label that an earlier turn, which was cut off, had chosen for this device."""
    for label, record in records.items():
        if not record.made and record.device == device.path and label not in taken:
            return label
    return ""


def set_up(label: str, device: ObservedDevice, observed: ObservedPool, kind: PoolKind | None) -> tuple[Step, ...]:
    """Steps from a device with a pool's file system to a pool in use; `kind` when it is known already."""
    missing: list[Step] = []
    if not observed.mounted:
        missing.append(steps.MountPool(label, device.path))
    elif observed.readonly:
        return ()
    else:
        if not observed.prepared:
            missing.append(steps.PreparePool(label))
        if kind is None and observed.kind is None:
            missing.append(steps.MeasureDevice(label, device.path, device.rotational))
    return tuple(missing)


def classify(rotational: bool, nvme: bool, median: float) -> PoolKind:
    """SSD or HDD, from the median random read in seconds; the kernel's flag (RAID cards lie) decides in between."""
    if nvme or median < FAST:
        return PoolKind.SSD
    if median > SLOW:
        return PoolKind.HDD
    return PoolKind.HDD if rotational else PoolKind.SSD


# Space


@dataclass(frozen=True, slots=True)
class Account:
    """What is promised on a pool, and of what."""

    promised: int = 0
    system: int = 0
    kept: int = 0
    strays: tuple[str, ...] = ()
    """Disks and volumes on the pool that have no record; they are kept and counted."""
    small: int = 0
    """Disks and volumes below `SMALL`."""


SMALL, MOST_SMALL = MiB(256), 1024
"""What is smaller pays for next to nothing of what it costs: a subvolume and its accounts, at a 0-db memory and a place
among its namespaces. So a pool has only so many of those, and whoever pays for more finds a place."""


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """What a pool can still take."""

    kind: PoolKind
    usable: int
    promised: int
    kept: int = 0
    lost: int = 0
    """Of `usable`: it is taken by nothing that is known (see `loss`)."""
    small: int = 0
    """How many small disks and volumes it has."""

    @property
    def free(self) -> int:
        """What it can still promise."""
        return max(0, self.usable - self.promised)

    @property
    def room(self) -> int:
        """What it can still promise and hold."""
        return max(0, self.free - self.lost)

    def takes(self, size: int) -> bool:
        """Whether something new of this size can be made on it."""
        return self.room >= size and (size >= SMALL or self.small < MOST_SMALL)


def account(
    label: str, observed: ObservedPool, records: Iterable[StorageRecord], tombstones: Mapping[str, TombstoneRecord]
) -> Account:
    """Add up a pool: disks and volumes count with all that was promised, tombstones with what they occupy."""
    mine = [record for record in records if record.pool == label]
    known = {key(record.kind, record.id) for record in mine}
    kept = 0
    for name, tombstone in tombstones.items():
        if tombstone.pool == label and tombstone.phase is not Phase.RESTORING:
            kept += kept_size(name, tombstone, observed)
            known |= {key(tombstone.kind, tombstone.id)} if tombstone.phase is Phase.MAKING else set()
    kept += sum(used for name, used in observed.tombstones.items() if name not in tombstones)
    strays = {key(Kind.DISK, id): max(disk.size, disk.used) for id, disk in observed.disks.items()}
    strays |= {key(Kind.VOLUME, id): max(volume.limit, volume.used) for id, volume in observed.volumes.items()}
    strays = {name: size for name, size in strays.items() if name not in known}
    system = max(observed.cache.limit, observed.cache.used) if observed.cache else 0
    promised = sum(record.size for record in mine) + sum(strays.values()) + system + kept
    small = sum(record.size < SMALL for record in mine) + sum(size < SMALL for size in strays.values())
    return Account(promised, system, kept, tuple(sorted(strays)), small)


def kept_size(name: str, record: TombstoneRecord, observed: ObservedPool) -> int:
    """With how much a tombstone counts; what is still being moved to its place may occupy all of its size."""
    return record.size if record.phase is Phase.MAKING else max(record.used, observed.tombstones.get(name, 0))


def admit(
    kind: Kind,
    id: str,
    size: int,
    known: StorageRecord | None,
    spaces: Mapping[str, PoolSpace],
    kinds: Sequence[PoolKind] = (PoolKind.SSD,),
    owner: int = 0,
) -> StorageRecord:
    """The record of an accepted disk or volume, with its pool; `known` is its record so far. Refuses to shrink."""
    if known is not None:
        if size < known.size:
            refusal = DiskShrink if kind is Kind.DISK else VolumeShrink
            raise refusal(id=id, have=show(known.size), want=show(size))
        if size > known.size:
            require(size - known.size, known.pool, spaces)
        return dataclasses.replace(known, size=size)
    return StorageRecord(kind, id, size, choose(size, spaces, kinds), owner=owner)


def require(need: int, pool: str, spaces: Mapping[str, PoolSpace]) -> None:
    """Refuse what this pool cannot promise in addition."""
    space = spaces.get(pool)
    if space is not None and space.free < need:
        raise _full(need, (space,), space.kind)
    if space is not None and space.room < need:
        raise PoolShort(pool=pool, need=show(need), lost=show(space.lost))


def choose(size: int, spaces: Mapping[str, PoolSpace], kinds: Sequence[PoolKind] = (PoolKind.SSD,)) -> str:
    """The pool for something new, of the first kind that has room: the emptiest, so that load spreads."""
    for kind in kinds:
        fitting = {label: space for label, space in spaces.items() if space.kind is kind and space.takes(size)}
        if fitting:
            return min(fitting, key=lambda label: (-fitting[label].room, label))
    if any(space.kind in kinds and space.room >= size for space in spaces.values()):
        raise TooManySmall(kind=kinds[0], most=MOST_SMALL, least=show(SMALL))
    offered = [space for space in spaces.values() if space.kind in kinds]
    if not offered:
        other = {PoolKind.SSD: "hard disks", PoolKind.HDD: "SSDs"}[kinds[0]]
        raise NoPool(kind=kinds[0], detail="" if not spaces else f"; it has only {other}")
    if short := [label for label, space in spaces.items() if space.kind in kinds and space.free >= size]:
        raise PoolShort(pool=short[0], need=show(size), lost=show(spaces[short[0]].lost))
    raise _full(size, offered, kinds[0])


def _full(need: int, spaces: Collection[PoolSpace], kind: PoolKind) -> PoolFull:
    kept = sum(space.kept for space in spaces)
    held = f" (deleted data that is still kept holds {show(kept)})" if kept else ""
    return PoolFull(kind=kind, need=show(need), gap=show(max(space.free for space in spaces)), kept=held)


# Disks, volumes, images


def item(record: StorageRecord, observed: ObservedPool) -> tuple[Step, ...]:
    """Steps that make one disk or volume what its record says; raises DataLost when it was made and is gone."""
    if record.made and not observed.has(record.kind, record.id):
        raise DataLost(kind=record.kind, id=record.id, pool=record.pool)
    if record.kind is Kind.DISK:
        disk = observed.disks.get(record.id)
        if disk is None:
            return (steps.CreateDisk(record.pool, record.id, record.size),)
        return (steps.GrowDisk(record.pool, record.id, record.size),) if disk.size < record.size else ()
    volume = observed.volumes.get(record.id)
    if volume is None:
        return (steps.CreateVolume(record.pool, record.id, record.size, record.owner),)
    return (steps.LimitVolume(record.pool, record.id, record.size),) if volume.limit != record.size else ()


def is_filled(record: StorageRecord, disk: ObservedDisk, image: str) -> bool:
    """Whether the disk holds the image already; refuses one that holds anything else."""
    if disk.image == image:
        return True
    if disk.image is not None or not disk.blank:
        holds = f"image {disk.image}" if disk.image is not None else "data"
        raise DiskHasData(id=record.id, holds=holds, image=image)
    return False


def leftovers(label: str, observed: ObservedPool, filling: Collection[str]) -> tuple[Step, ...]:
    """Steps that remove images whose copy a kill cut off."""
    return tuple(steps.DropPart(label, part) for part in sorted(observed.parts) if part not in filling)


# Tombstones


def tombstone(name: str, record: TombstoneRecord) -> tuple[Step, ...]:
    """The step that a tombstone's phase still needs."""
    match record.phase:
        case Phase.MAKING:
            return (steps.MakeTombstone(record.pool, record.kind, record.id, name),)
        case Phase.RESTORING:
            return (steps.RestoreTombstone(record.pool, record.kind, record.id, name),)
        case Phase.EXPIRED:
            return (steps.EraseTombstone(record.pool, record.kind, name),)
        case Phase.KEPT:
            return ()


def tombstone_name(kind: Kind, id: str, now: float, taken: Collection[str]) -> str:
    """A name that no tombstone has; the number is the time of the drop, for people."""
    number = int(now)
    while (name := f"{key(kind, id)}@{number}") in taken:
        number += 1
    return name


# Cache


def cache_home(pools: Mapping[str, ObservedPool], spaces: Mapping[str, PoolSpace]) -> str:
    """The pool of the cache: where it is, else the emptiest SSD, else the emptiest; empty when there is none."""
    holders = sorted(label for label in spaces if label in pools and pools[label].cache is not None)
    if holders:
        return holders[0]
    return min(spaces, key=lambda label: (spaces[label].kind is PoolKind.HDD, -spaces[label].free, label), default="")


def cache(
    label: str, observed: ObservedPool, space: PoolSpace, unit: int, part: int, *, may_grow: bool = True
) -> Iterator[Step]:
    """Steps that create, resize and mount the cache volume."""
    if observed.cache is None:
        size = first_cache_size(unit, space)
        if size:
            yield steps.CreateCache(label, size)
            yield steps.MountCache(label)
        return
    most, free = max(unit, space.usable // part), space.free if may_grow else 0
    limit = cache_limit(observed.cache.limit, observed.cache.used, unit, free, most) or first_cache_size(unit, space)
    if limit != observed.cache.limit:
        yield steps.LimitCache(label, limit)
    if not observed.cache_mounted:
        yield steps.MountCache(label)


def first_cache_size(unit: int, space: PoolSpace) -> int:
    """One unit, less on a small pool."""
    return min(unit, space.usable // 4, space.free) // MiB(1) * MiB(1)


def cache_limit(limit: int, used: int, unit: int, free: int, most: int) -> int:
    """A unit more when it is 60 % full and the pool has the room; less when it is mostly empty, or more than `most`."""
    if used * 10 >= limit * 6 and limit and free >= unit and limit + unit <= most:
        return limit + unit
    if used * 10 < limit * 2 and limit > unit:
        return min(limit, used * 2 // unit * unit + unit, most)
    return min(limit, most)


def cache_gives(need: int, seen: ObservedVolume, space: PoolSpace, unit: int) -> int:
    """The cache's limit with which so much more fits on its pool; its limit as it is when that does not help."""
    least = min(unit, space.usable // 4)
    missing, can = need - (space.usable - space.promised), max(seen.limit, seen.used) - least
    if can <= 0 or not 0 < missing <= can + space.kept:
        return seen.limit
    return min(seen.limit, least + (can - min(missing, can)) // MiB(1) * MiB(1))


def same_device(device: ObservedDevice, names: Collection[str]) -> bool:
    """Whether a configured list names this device."""
    return any(Path(name) in (Path(device.path), Path(device.entry or device.path)) for name in names)
