"""The types of flistd's API: mounts of flists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

MountId = NewType("MountId", str)
"""From the caller, e.g. a workload id: letters, digits, `.`, `_`, `-`; it becomes a folder's name."""


class MountKind(StrEnum):
    """What a flist is for."""

    CONTAINER = "container"
    """A root file system."""
    IMAGE = "image"
    """It holds a disk image, `/image.raw`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A flist to be seen as a folder."""

    id: MountId
    url: str
    """Of the `.fl`; without a host it is the node's hub."""
    upper: Path | None = None
    """A folder on a volume that takes what is written (in `rw` and `wd`); None is a read-only mount."""
    hash: str = ""
    """What the `.fl`'s blake2b-256 must be, in hex; "" takes what is there at the first time, and keeps it."""


@dataclass(frozen=True, slots=True)
class MountInfo:
    """A mount as it stands. Paths of image, kernel and initrd are inside it, links resolved with it as the root."""

    id: MountId
    url: str
    path: Path
    flist: str
    """blake2b-256 of the `.fl`, in hex; "" while it is not fetched yet."""
    kind: MountKind
    entrypoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    """From `/.startup.toml`, as the entrypoint."""
    image: str = ""
    image_size: int = 0
    kernel: str = ""
    initrd: str = ""
    """What `/boot/vmlinuz` and `/boot/initrd.img` lead to; "" when there is none."""
    detail: str = ""
    """Why it is not what was asked for, or what of it could not be used; empty when all is well."""
