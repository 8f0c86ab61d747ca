"""mount(2) and umount2(2), and what /proc says is mounted. No state."""

from __future__ import annotations

import ctypes
import os

from zos.flistd.mountinfo import Mounted, parse

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOATIME, MS_BIND = 1, 2, 4, 1024, 4096
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, point: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)"""
    words = (source.encode(), os.fsencode(point), kind.encode(), flags, os.fsencode(options))
    _check(_LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(words[3]), words[4]), f"mount {point}")


def unmount(point: str) -> None:
    """umount2(2) at once: who still has files open keeps them until they are closed."""
    _check(_LIBC.umount2(os.fsencode(point), MNT_DETACH | UMOUNT_NOFOLLOW), f"unmount {point}")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def mounted() -> list[Mounted]:
    """Everything that is mounted here, in the order of mounting."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return list(parse(file.read()))
