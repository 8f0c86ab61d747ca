"""btrfs by its ioctls, without starting a program: subvolumes, limits, labels. Layouts from linux/btrfs.h."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import uuid
from pathlib import Path

from zos.runtime.subvolume import LIMIT_MAX_RFER, READ, ROOT_INODE, SYSFS, WRITE, number, opened, tree
from zos.runtime.subvolume import fsid as fsid
from zos.runtime.subvolume import usage as usage

_SUBVOL_CREATE = number(WRITE, 14, 4096)
_SNAP_DESTROY = number(WRITE, 15, 4096)
_SUBVOL_GETFLAGS = number(READ, 25, 8)
_SUBVOL_SETFLAGS = number(WRITE, 26, 8)
_QUOTA_CTL = number(READ | WRITE, 40, 16)
_QGROUP_LIMIT = number(READ, 43, 48)
_GET_FSLABEL = number(READ, 49, 256)
_FS_GETFLAGS, _FS_SETFLAGS = 0x80086601, 0x40086602

_QUOTA_ENABLE, _QUOTA_ENABLE_SIMPLE = 1, 4
_SUBVOL_RDONLY = 2
_NOCOW = 0x0080_0000


def label(folder: Path) -> str | None:
    """The label of the btrfs that a folder is on; None when it is none or nothing."""
    try:
        with opened(folder) as at:
            data = bytearray(256)
            fcntl.ioctl(at, _GET_FSLABEL, data)
    except OSError as err:
        if err.errno in (errno.ENOTTY, errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
            return None
        raise
    return bytes(data).split(b"\0", 1)[0].decode(errors="replace")


def create_subvolume(path: Path) -> None:
    """Create an empty subvolume."""
    with opened(path.parent) as at:
        fcntl.ioctl(at, _SUBVOL_CREATE, _named(path.name))


def delete_subvolume(path: Path) -> None:
    """Delete a subvolume; its blocks are freed in the background."""
    with opened(path.parent) as at:
        fcntl.ioctl(at, _SNAP_DESTROY, _named(path.name))


def _named(name: str) -> bytearray:
    # struct btrfs_ioctl_vol_args; its descriptor is for snapshots only.
    return bytearray(struct.pack("<q4088s", 0, os.fsencode(name)))


def is_subvolume(path: Path) -> bool:
    """Whether a path is a subvolume's root (on a file system that is known to be btrfs)."""
    try:
        return os.stat(path, follow_symlinks=False).st_ino == ROOT_INODE
    except FileNotFoundError:
        return False


def set_readonly(path: Path, readonly: bool) -> None:
    """Set or clear a subvolume's read-only flag."""
    with opened(path) as at:
        data = bytearray(8)
        fcntl.ioctl(at, _SUBVOL_GETFLAGS, data)
        (flags,) = struct.unpack("<Q", data)
        wanted = flags | _SUBVOL_RDONLY if readonly else flags & ~_SUBVOL_RDONLY
        if wanted != flags:
            fcntl.ioctl(at, _SUBVOL_SETFLAGS, struct.pack("<Q", wanted))


def enable_quota(folder: Path) -> None:
    """Switch quotas on: simple ones (Linux 6.7), which cost next to nothing, else the classic."""
    with opened(folder) as at:
        try:
            fcntl.ioctl(at, _QUOTA_CTL, bytearray(struct.pack("<QQ", _QUOTA_ENABLE_SIMPLE, 0)))
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            fcntl.ioctl(at, _QUOTA_CTL, bytearray(struct.pack("<QQ", _QUOTA_ENABLE, 0)))


def has_quota(id: uuid.UUID) -> bool:
    """Whether quotas are on."""
    return (SYSFS / str(id) / "qgroups").is_dir()


def set_limit(path: Path, size: int) -> None:
    """Limit what a subvolume may hold."""
    with opened(path) as at:
        # A tree's own qgroup has the level 0 in the upper 16 bits of its id, and so the number of the tree.
        limit = struct.pack("<6Q", tree(at), LIMIT_MAX_RFER, size, 0, 0, 0)
        fcntl.ioctl(at, _QGROUP_LIMIT, limit)


def set_nocow(descriptor: int) -> None:
    """No copy-on-write for a file (while it is empty) or for what is made in a folder."""
    data = bytearray(8)
    fcntl.ioctl(descriptor, _FS_GETFLAGS, data)
    (flags,) = struct.unpack("<q", data)
    if not flags & _NOCOW:
        fcntl.ioctl(descriptor, _FS_SETFLAGS, struct.pack("<q", flags | _NOCOW))


def device_errors(id: uuid.UUID) -> int:
    """What btrfs counted on the file system's devices since they were made."""
    total = 0
    for file in (SYSFS / str(id) / "devinfo").glob("*/error_stats"):
        words = file.read_text().split()
        total += sum(int(word) for word in words[1::2])
    return total
