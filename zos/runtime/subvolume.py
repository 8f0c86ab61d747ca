"""What a btrfs subvolume holds and may hold, by ioctls and what the kernel shows. Layouts from linux/btrfs.h."""

from __future__ import annotations

import fcntl
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSFS = Path("/sys/fs/btrfs")
ROOT_INODE = 256
"""Of every subvolume."""
LIMIT_MAX_RFER = 1

WRITE, READ = 1, 2


def number(direction: int, call: int, size: int) -> int:
    """The number of one of btrfs' ioctls."""
    return direction << 30 | size << 16 | 0x94 << 8 | call


_INO_LOOKUP = number(READ | WRITE, 18, 4096)
_FS_INFO = number(READ, 31, 1024)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """The descriptor of a folder, closed at the end of the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def fsid(folder: Path) -> uuid.UUID:
    """The file system's id."""
    with opened(folder) as at:
        data = bytearray(1024)
        fcntl.ioctl(at, _FS_INFO, data)
    return uuid.UUID(bytes=bytes(data[16:32]))


def usage(path: Path, id: uuid.UUID) -> tuple[int, int]:
    """A subvolume's limit (0: none) and what it holds."""
    with opened(path) as at:
        folder = SYSFS / str(id) / "qgroups" / f"0_{tree(at)}"
    try:
        used = int((folder / "referenced").read_text())
        limited = int((folder / "limit_flags").read_text()) & LIMIT_MAX_RFER
        return (int((folder / "max_referenced").read_text()) if limited else 0), used
    except FileNotFoundError:
        return 0, 0


def tree(at: int) -> int:
    """The tree of the subvolume in which a descriptor is."""
    # Asked about tree 0, btrfs answers for the tree in which the descriptor is.
    data = bytearray(struct.pack("<QQ4080s", 0, ROOT_INODE, b""))
    fcntl.ioctl(at, _INO_LOOKUP, data)
    return int(struct.unpack_from("<Q", data)[0])
