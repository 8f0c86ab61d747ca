"""The types of storaged's API: pools, disks, volumes, tombstones. Sizes are in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NewType

from zos.model.evidence import Evidence
from zos.model.units import Bytes

DiskId = NewType("DiskId", str)
"""From the caller, e.g. a workload id: `<twin>-<contract>-<name>`."""
VolumeId = NewType("VolumeId", str)
"""From the caller; disks and volumes have separate name spaces."""

NOTHING = Bytes(0)

CACHE = VolumeId("zos-cache")
"""The node's own volume."""


class PoolKind(StrEnum):
    """The kind of a pool's device."""

    SSD = "ssd"
    HDD = "hdd"


class PoolState(StrEnum):
    """The state of a device or pool."""

    READY = "ready"
    """Mounted and writable."""
    MAKING = "making"
    """Blank, being formatted, mounted or looked at."""
    READONLY = "readonly"
    """The kernel went read-only on it: nothing new, what is there is kept."""
    MISSING = "missing"
    """It was here once and its device is gone; what is recorded on it stays."""
    BROKEN = "broken"
    """It is there and cannot be used; `detail` says why."""
    FOREIGN = "foreign"
    """A device that holds something that is not ours: never touched."""


class Kind(StrEnum):
    DISK = "disk"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Disk:
    """A raw block file for a guest."""

    id: DiskId
    size: Bytes


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """A disk as observed."""

    id: DiskId
    size: Bytes
    path: Path
    pool: str
    image: str | None = None
    """What `fill_disk` wrote to it, by the identity that it was given."""
    used: Bytes = NOTHING
    """What it occupies of the pool."""
    detail: str = ""
    """Why it is not what was asked for; empty when it is."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder with a limit."""

    id: VolumeId
    size: Bytes
    kind: PoolKind = PoolKind.SSD
    """Of the pool that a new one is made on."""
    owner: int = 0
    """The user whose a new one is: root, for guests, or the daemon that keeps something in it."""


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A volume as observed."""

    id: VolumeId
    size: Bytes
    path: Path
    pool: str
    used: Bytes = NOTHING
    detail: str = ""
    """Why it is not what was asked for; empty when it is."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool, or a device that is none."""

    name: str
    """The file system's label, a UUID; empty for a device that is no pool of ours."""
    kind: PoolKind
    device: str
    size: Bytes
    """Of the device."""
    usable: Bytes
    """What may be promised: the size without what btrfs needs for itself; 0 when it is no pool."""
    promised: Bytes
    """Sizes of all disks and volumes, the cache, and what deleted ones still occupy (`system` and `kept` included)."""
    system: Bytes
    """Of `promised`, the node's own: the cache volume's limit."""
    kept: Bytes
    """Of `promised`, what tombstones occupy."""
    state: PoolState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A disk or volume that was dropped, and is kept for a while."""

    id: str
    """The disk's or volume's id; not unique, since a name may be used and dropped again."""
    kind: Kind
    size: Bytes
    """Its size while it lived, which undeleting promises again."""
    created: float
    """Seconds since the epoch."""
    expires: float
    pool: str
    evidence: Evidence
    key: str
    """Unique: `<kind>:<id>@<number>`."""
    used: Bytes = NOTHING
    """What it occupies."""
