"""Decides: which device becomes a pool, where a disk goes, what fits, how the cache grows. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zos.model.units import MiB, show
from zos.storaged.api.errors import DataLost, DiskHasData, DiskShrink, NoPool, PoolFull, VolumeShrink
from zos.storaged.api.types import Kind, PoolKind, PoolState
from zos.storaged.model import (
    SMALLEST_DEVICE,
    Content,
    DeviceSeen,
    DiskSeen,
    Grave,
    Phase,
    PoolRecord,
    PoolSeen,
    Wish,
    is_label,
    key,
)
from zos.storaged.steps import (
    Bury,
    CreateCache,
    CreateDisk,
    CreateVolume,
    DropPart,
    Erase,
    Format,
    GrowDisk,
    LimitCache,
    LimitVolume,
    Measure,
    Mount,
    MountCache,
    Prepare,
    Raise,
    Step,
)

# Random reads: below the first an SSD or something that answers like one, above the second surely a seek.
FAST, SLOW = 0.000_5, 0.003


# Devices and pools


@dataclass(frozen=True, slots=True)
class Place:
    """What is to be done with one device, or that a pool's device is not there."""

    device: DeviceSeen
    label: str
    state: PoolState
    detail: str = ""
    format: Format | None = None


def survey(
    devices: Iterable[DeviceSeen], records: Mapping[str, PoolRecord], fresh: Callable[[], str]
) -> tuple[Place, ...]:
    """Each device's part: a pool, a pool to be made, or left alone. Then the pools whose device is gone."""
    places: list[Place] = []
    taken: set[str] = set()
    for device in devices:
        place = _place(device, records, taken, fresh)
        if place.label:
            taken.add(place.label)
        places.append(place)
    gone = {label: record for label, record in records.items() if label not in taken and record.made}
    lost = {record.device for record in gone.values()}
    places = [p for p in places if p.device.content is not Content.ABSENT or p.device.path not in lost]
    for label, record in gone.items():
        device = DeviceSeen(record.device, record.size, Content.ABSENT)
        places.append(Place(device, label, PoolState.MISSING, f"its device (last {record.device}) is not there"))
    return tuple(places)


def _place(
    device: DeviceSeen, records: Mapping[str, PoolRecord], taken: Collection[str], fresh: Callable[[], str]
) -> Place:
    def left(detail: str, state: PoolState = PoolState.FOREIGN) -> Place:
        return Place(device, "", state, detail)

    label = device.label
    match device.content:
        case Content.POOL if not is_label(label):
            return left(f"it holds a btrfs file system labelled `{label}` that is not ours")
        case Content.POOL if label in taken:
            return left(f"it is a copy of pool {label}")
        case Content.POOL:
            return Place(device, label, PoolState.MAKING)
        case Content.UNFINISHED if label in records and not records[label].made:
            return Place(device, label, PoolState.MAKING, format=Format(label, device.path, again=True))
        case Content.UNFINISHED:
            return left("it holds a btrfs file system whose making was cut off, not by us")
        case Content.BLANK if device.size < SMALLEST_DEVICE:
            return left(f"it has only {show(device.size)}")
        case Content.BLANK:
            label = _decided(device, records, taken) or fresh()
            return Place(device, label, PoolState.MAKING, format=Format(label, device.path))
        case Content.ABSENT:
            return left("there is no such device", PoolState.MISSING)
        case Content.UNREADABLE:
            return left(device.detail, PoolState.BROKEN)
        case _:
            return left(device.detail or "it holds something that is not ours")


def _decided(device: DeviceSeen, records: Mapping[str, PoolRecord], taken: Collection[str]) -> str:
    """The label that an earlier, cut-off look had chosen for this device."""
    for label, record in records.items():
        if not record.made and record.device == device.path and label not in taken:
            return label
    return ""


def set_up(label: str, device: DeviceSeen, have: PoolSeen, kind: PoolKind | None) -> tuple[Step, ...]:
    """From a device with a pool's file system to a pool in use; `kind` when it is known already."""
    steps: list[Step] = []
    if not have.mounted:
        steps.append(Mount(label, device.path))
    elif have.readonly:
        return ()
    else:
        if not have.prepared:
            steps.append(Prepare(label))
        if kind is None and have.kind is None:
            steps.append(Measure(label, device.path, device.rotational))
    return tuple(steps)


def classify(rotational: bool, nvme: bool, median: float) -> PoolKind:
    """SSD or HDD, from the median random read in seconds; the kernel's flag (RAID cards lie) decides in between."""
    if nvme or median < FAST:
        return PoolKind.SSD
    if median > SLOW:
        return PoolKind.HDD
    return PoolKind.HDD if rotational else PoolKind.SSD


# Room


@dataclass(frozen=True, slots=True)
class Account:
    """What is promised on a pool, and of what."""

    promised: int = 0
    system: int = 0
    kept: int = 0
    strays: tuple[str, ...] = ()
    """Disks and volumes that are there and nobody wishes; they are kept and counted."""


@dataclass(frozen=True, slots=True)
class Room:
    """A pool as a place for something new."""

    kind: PoolKind
    usable: int
    promised: int
    kept: int = 0

    @property
    def gap(self) -> int:
        """What it can still promise."""
        return max(0, self.usable - self.promised)


def account(label: str, have: PoolSeen, wishes: Iterable[Wish], graves: Mapping[str, Grave]) -> Account:
    """Add up a pool: disks and volumes count with all that was promised, tombstones with what they occupy."""
    mine = [wish for wish in wishes if wish.pool == label]
    known = {key(wish.kind, wish.id) for wish in mine}
    kept = 0
    for name, grave in graves.items():
        if grave.pool == label and grave.phase is not Phase.RETURNING:
            moving = grave.phase is Phase.BURYING
            kept += grave.size if moving else max(grave.used, have.graves.get(name, 0))
            known |= {key(grave.kind, grave.id)} if moving else set()
    kept += sum(used for name, used in have.graves.items() if name not in graves)
    strays = {key(Kind.DISK, id): max(disk.size, disk.used) for id, disk in have.disks.items()}
    strays |= {key(Kind.VOLUME, id): max(volume.limit, volume.used) for id, volume in have.volumes.items()}
    strays = {name: size for name, size in strays.items() if name not in known}
    system = max(have.cache.limit, have.cache.used) if have.cache else 0
    promised = sum(wish.size for wish in mine) + sum(strays.values()) + system + kept
    return Account(promised, system, kept, tuple(sorted(strays)))


def admit(
    kind: Kind, id: str, size: int, have: Wish | None, rooms: Mapping[str, Room], *, on_hdd: bool = False
) -> Wish:
    """The wish as it is accepted, with its pool; refuses what shrinks or does not fit."""
    if have is not None:
        if size < have.size:
            refusal = DiskShrink if kind is Kind.DISK else VolumeShrink
            raise refusal(id=id, have=show(have.size), want=show(size))
        if size > have.size:
            require(size - have.size, have.pool, rooms)
        return dataclasses.replace(have, size=size)
    return Wish(kind, id, size, choose(size, rooms, on_hdd=on_hdd))


def require(need: int, pool: str, rooms: Mapping[str, Room]) -> None:
    """Refuse what this pool cannot promise in addition."""
    room = rooms.get(pool)
    if room is not None and room.gap < need:
        raise _full(need, (room,), room.kind)


def choose(size: int, rooms: Mapping[str, Room], *, on_hdd: bool = False) -> str:
    """The pool for something new: the emptiest, so that load spreads; HDDs only when that is configured."""
    for kind in (PoolKind.SSD, PoolKind.HDD) if on_hdd else (PoolKind.SSD,):
        fitting = {label: room for label, room in rooms.items() if room.kind is kind and room.gap >= size}
        if fitting:
            return min(fitting, key=lambda label: (-fitting[label].gap, label))
    offered = [room for room in rooms.values() if on_hdd or room.kind is PoolKind.SSD]
    if not offered:
        raise NoPool(kind=PoolKind.SSD, detail="" if not rooms else "; it has only hard disks")
    raise _full(size, offered, PoolKind.SSD)


def _full(need: int, rooms: Collection[Room], kind: PoolKind) -> PoolFull:
    kept = sum(room.kept for room in rooms)
    held = f" (deleted data that is still kept holds {show(kept)})" if kept else ""
    return PoolFull(kind=kind, need=show(need), gap=show(max(room.gap for room in rooms)), kept=held)


# Disks, volumes, images


def item(wish: Wish, have: PoolSeen) -> tuple[Step, ...]:
    """One disk or volume as wished."""
    if wish.made and not have.has(wish.kind, wish.id):
        raise DataLost(kind=wish.kind, id=wish.id, pool=wish.pool)
    if wish.kind is Kind.DISK:
        disk = have.disks.get(wish.id)
        if disk is None:
            return (CreateDisk(wish.pool, wish.id, wish.size),)
        return (GrowDisk(wish.pool, wish.id, wish.size),) if disk.size < wish.size else ()
    volume = have.volumes.get(wish.id)
    if volume is None:
        return (CreateVolume(wish.pool, wish.id, wish.size),)
    return (LimitVolume(wish.pool, wish.id, wish.size),) if volume.limit != wish.size else ()


def is_filled(wish: Wish, disk: DiskSeen, image: str) -> bool:
    """Whether the disk holds the image already; refuses one that holds anything else."""
    if disk.image == image:
        return True
    if disk.image is not None or not disk.blank:
        holds = f"image {disk.image}" if disk.image is not None else "data"
        raise DiskHasData(id=wish.id, holds=holds, image=image)
    return False


def litter(label: str, have: PoolSeen, filling: Collection[str]) -> tuple[Step, ...]:
    """Images that were on their way when we were killed."""
    return tuple(DropPart(label, part) for part in sorted(have.parts) if part not in filling)


# Tombstones


def grave(name: str, grave: Grave) -> tuple[Step, ...]:
    """What a tombstone's phase asks for."""
    match grave.phase:
        case Phase.BURYING:
            return (Bury(grave.pool, grave.kind, grave.id, name),)
        case Phase.RETURNING:
            return (Raise(grave.pool, grave.kind, grave.id, name),)
        case Phase.EXPIRED:
            return (Erase(grave.pool, grave.kind, name),)
        case Phase.KEPT:
            return ()


def grave_name(kind: Kind, id: str, now: float, taken: Collection[str]) -> str:
    """A name that no tombstone has; the number is the time of the drop, for people."""
    number = int(now)
    while (name := f"{key(kind, id)}@{number}") in taken:
        number += 1
    return name


def patience(ttl: float) -> float:
    """Seconds for which a tombstone must look expired: a clock that is set wrong at boot must not erase anything."""
    return min(3600.0, ttl / 10)


# Cache


def cache_home(pools: Mapping[str, PoolSeen], rooms: Mapping[str, Room]) -> str:
    """The pool of the cache: where it is, else the emptiest SSD, else the emptiest; empty when there is none."""
    holders = sorted(label for label in rooms if label in pools and pools[label].cache is not None)
    if holders:
        return holders[0]
    return min(rooms, key=lambda label: (rooms[label].kind is PoolKind.HDD, -rooms[label].gap, label), default="")


def cache(label: str, have: PoolSeen, room: Room, unit: int) -> Iterator[Step]:
    """The cache volume on its pool, sized and mounted."""
    if have.cache is None:
        size = first_cache_size(unit, room)
        if size:
            yield CreateCache(label, size)
            yield MountCache(label)
        return
    limit = cache_limit(have.cache.limit, have.cache.used, unit, room.gap) or first_cache_size(unit, room)
    if limit != have.cache.limit:
        yield LimitCache(label, limit)
    if not have.cache_mounted:
        yield MountCache(label)


def first_cache_size(unit: int, room: Room) -> int:
    """One unit, less on a small pool."""
    return min(unit, room.usable // 4, room.gap) // MiB(1) * MiB(1)


def cache_limit(limit: int, used: int, unit: int, gap: int) -> int:
    """A unit more when it is 60 % full and the pool has the room; less when it is mostly empty."""
    if used * 10 >= limit * 6 and limit and gap >= unit:
        return limit + unit
    if used * 10 < limit * 2 and limit > unit:
        return min(limit, used * 2 // unit * unit + unit)
    return limit


def same_device(device: DeviceSeen, names: Collection[str]) -> bool:
    """Whether a configured list names this device."""
    return any(Path(name) in (Path(device.path), Path(device.entry or device.path)) for name in names)
