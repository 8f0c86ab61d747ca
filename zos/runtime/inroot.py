"""Opening files below a folder with untrusted content: every path is resolved with that folder as the root.

Absolute links and `..` stay inside, as for a process that was chrooted there; other mounts and the magic links of
/proc are refused. The kernel does it (`openat2`, Linux 5.6), so nothing can change between the check and the use.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from zos.runtime import linux

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

STRICT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
# The kernel says EAGAIN when a rename anywhere on the machine made it unsure about a `..`.
_TRIES = 64


def openat2(folder: int, path: str, flags: int, mode: int = 0, resolve: int = STRICT) -> int:
    """Open `path` relative to the descriptor `folder`; returns a close-on-exec descriptor."""
    for attempt in range(1, _TRIES + 1):
        try:
            return linux.openat2(folder, path, flags, mode, resolve)
        except (BlockingIOError, InterruptedError):
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def open_path(root: Path, path: str, flags: int = os.O_RDONLY, mode: int = 0, resolve: int = STRICT) -> int:
    """Open `path` with `root` as its root; opening a pipe or device may block or act, see `open_file`."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return openat2(folder, path, flags, mode, resolve)
    finally:
        os.close(folder)


def open_file(root: Path, path: str) -> int:
    """Open a regular file for reading; anything else is refused (EINVAL) without having been opened."""
    handle = open_path(root, path, os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        # Through the handle, so it is the very inode that was looked at.
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def read_file(root: Path, path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes (EFBIG when it is longer)."""
    with os.fdopen(open_file(root, path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit} bytes", path)
    return data


def is_file(root: Path, path: str) -> bool:
    """Whether a regular file is there; what cannot be resolved inside the root is not."""
    try:
        handle = open_path(root, path, os.O_PATH)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
