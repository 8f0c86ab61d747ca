"""The layout of pools, the records that storaged keeps, and what it observes. Pure.

<mount folder>/<label>/        one btrfs per device; the label is a UUID and the pool's name
    vdisks/<id>                a disk: a raw file, no copy-on-write, sparse; `user.zos.image` says what it holds
    vdisks/.part-<id>.<n>      an image on its way to a disk
    volumes/<id>               a volume: a subvolume with a limit
    tombstones/<kind>:<id>@<n> what was dropped, read-only
    zos-cache                  the node's cache volume, on one pool, mounted at the cache folder
    .zos-device.json           how fast the device answered when it was first seen
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from zos.model.evidence import Evidence
from zos.model.units import GiB, MiB
from zos.storaged.api.types import Kind, PoolKind

DISKS, VOLUMES, TOMBSTONES = "vdisks", "volumes", "tombstones"
PART = ".part-"
FRESH = ".new-"
"""A volume that is not whole yet."""
DEVICE_FILE = ".zos-device.json"
IMAGE_ATTRIBUTE = "user.zos.image"

SMALLEST_DEVICE = MiB(256)


class Content(StrEnum):
    """What is on a device."""

    BLANK = "blank"
    POOL = "pool"
    UNFINISHED = "unfinished"
    """A btrfs whose making was cut off: mkfs writes a temporary magic first, which nothing ever mounts."""
    OTHER = "other"
    ABSENT = "absent"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class ObservedDevice:
    """A whole device, as observed."""

    path: str
    size: int
    content: Content
    label: str = ""
    detail: str = ""
    rotational: bool = False
    entry: str = ""
    """How the configuration names it."""


@dataclass(frozen=True, slots=True)
class ObservedDisk:
    """A disk's file, as observed."""

    size: int
    used: int = 0
    image: str | None = None
    blank: bool = True


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """A subvolume, as observed; a limit of 0 is none."""

    limit: int
    used: int = 0


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """A pool's file system, all of it or what was asked for."""

    mounted: bool = False
    readonly: bool = False
    prepared: bool = False
    """Folders and quotas are there."""
    kind: PoolKind | None = None
    """As measured when it was made."""
    errors: int = 0
    """What btrfs counted on the device."""
    disks: Mapping[str, ObservedDisk] = field(default_factory=dict)
    volumes: Mapping[str, ObservedVolume] = field(default_factory=dict)
    tombstones: Mapping[str, int] = field(default_factory=dict)
    """Name to bytes that it occupies."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Images on their way to disks, with the bytes that they occupy."""
    free: int | None = None
    """Bytes that can still be written, as the file system counts them; None when that was not looked at."""
    cache: ObservedVolume | None = None
    cache_mounted: bool = False

    @property
    def occupied(self) -> int:
        """Bytes that all of it together occupies."""
        used = [disk.used for disk in self.disks.values()] + [volume.used for volume in self.volumes.values()]
        used += [self.cache.used] if self.cache else []
        return sum(used) + sum(self.tombstones.values()) + sum(self.parts.values())

    def has(self, kind: Kind, id: str) -> bool:
        """Whether the disk or volume is in its place."""
        return id in (self.disks if kind is Kind.DISK else self.volumes)


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A pool that we made or met (ledger `pools`, by label)."""

    device: str
    size: int
    kind: PoolKind | None = None
    made: bool = False
    """False while only the decision to format is written down."""


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """A disk or volume that was asked for, and its pool (ledger `wishes`, by `<kind>:<id>`)."""

    kind: Kind
    id: str
    size: int
    pool: str
    made: bool = False
    """It was there once: if it is not any more, it is lost, not new."""
    owner: int = 0
    """Of a volume: the user to whom it is given when it is made."""
    found: bool = False
    """It was not made for this record: it lay on its pool, or was a tombstone."""


class Phase(StrEnum):
    """What is being done with a tombstone. The values are those of the first release's ledgers."""

    MAKING = "burying"
    KEPT = "kept"
    RESTORING = "returning"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class TombstoneRecord:
    """A dropped disk or volume (ledger `tombstones`, by its name on the pool)."""

    kind: Kind
    id: str
    size: int
    pool: str
    created: float
    expires: float
    evidence: Evidence
    phase: Phase
    used: int = 0
    dropped_at: float = -1.0
    """The node's age at the drop; negative in a record of a release that did not note it."""

    def is_over(self, age: float) -> bool:
        """Whether it was kept for its time, at this age of the node."""
        return 0 <= self.dropped_at <= age - (self.expires - self.created)


@dataclass(frozen=True, slots=True)
class Fill:
    """An image to be copied to a disk."""

    pool: str
    id: str
    size: int
    """Of the disk."""
    root: Path
    source: str
    image: str
    part: str = ""
    """Where it is copied to; no two copies share one, so that a late thread of a stopped one spoils nothing."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of pools and of what is in them."""

    mounts: Path = Path("/mnt")
    cache: Path = Path("/var/cache/zos")

    def pool(self, label: str) -> Path:
        """The pool's mount point."""
        return self.mounts / label

    def item(self, label: str, kind: Kind, id: str) -> Path:
        """A disk's file or a volume's folder."""
        return self.pool(label) / (DISKS if kind is Kind.DISK else VOLUMES) / id

    def part(self, label: str, part: str) -> Path:
        """An image on its way to a disk."""
        return self.pool(label) / DISKS / f"{PART}{part}"

    def tombstone(self, label: str, name: str) -> Path:
        """A tombstone's file or subvolume."""
        return self.pool(label) / TOMBSTONES / name


def key(kind: Kind, id: str) -> str:
    """The key of a disk's or volume's record in the ledger."""
    return f"{kind}:{id}"


def is_label(text: str) -> bool:
    """Whether a file system's label can be a pool's name: nobody writes a UUID by hand."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def usable(size: int) -> int:
    """What may be promised of a device: the rest is for btrfs' own trees, whose chunks are large on small devices."""
    return max(0, size - size * 3 // 100 - min(GiB(1), size // 5))
