"""System calls that Python 3.11 does not offer, and the table of mounts. The one binding to the C library."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME = 0x1, 0x2, 0x4, 0x8, 0x20, 0x400
MS_BIND, MS_REC, MS_SLAVE, MS_SHARED = 0x1000, 0x4000, 1 << 19, 1 << 20
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWNET = 0x00020000, 0x08000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4

_SYS_OPENAT2 = 437
"""The same on every architecture, as for all calls from 424 on."""
_M_ARENA_MAX = -8
_CAPABILITY_VERSION_3 = 0x20080522
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01
_OCTAL = re.compile(r"\\([0-7]{3})")

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_LIBC.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_LIBC.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_LIBC.unshare.argtypes = (ctypes.c_int,)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_LIBC.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_LIBC.capset.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
_LIBC.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_LIBC.syscall.restype = ctypes.c_long


def _check(result: int, what: str | Path) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(what))
    return result


def keep_one_heap() -> None:
    """Serve the threads of this process, and of those forked from it, from one heap; glibc's default is one for each.

    For programs whose threads mostly wait: a heap that nobody fills takes up to a megabyte. No effect with other C
    libraries. Call it before there are threads.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_ARENA_MAX, 1)


# Mounts


@dataclass(frozen=True, slots=True)
class Mounted:
    """A line of mountinfo."""

    device: str
    """major:minor"""
    point: Path
    kind: str
    """Type of the file system."""
    source: str
    options: str
    """Of the file system, not of the mount."""


def mount(source: str | Path, point: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); `flags` are the MS_ constants."""
    words = (os.fsencode(source), os.fsencode(point), kind.encode(), flags, os.fsencode(options))
    _check(_LIBC.mount(*words), point)


def unmount(point: str | Path) -> None:
    """umount2(2) at once, also of what is in use: who has files open there keeps them until they are closed."""
    _check(_LIBC.umount2(os.fsencode(point), MNT_DETACH | UMOUNT_NOFOLLOW), point)


def mounts() -> tuple[Mounted, ...]:
    """Everything that is mounted in this process's namespace, in the order of mounting."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return tuple(parse_mountinfo(file.read()))


def parse_mountinfo(text: str) -> Iterator[Mounted]:
    """The lines of mountinfo; what cannot be read is passed over."""
    for line in text.splitlines():
        head, dash, tail = line.partition(" - ")
        left, right = head.split(" "), tail.split(" ")
        if dash and len(left) >= 6 and len(right) >= 3:
            yield Mounted(left[2], Path(_plain(left[4])), right[0], _plain(right[1]), _plain(right[2]))


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)


# Namespaces


def setns(namespace: Path, kind: int) -> None:
    """Move this thread into the namespace behind a path, for good."""
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_LIBC.setns(handle, kind), namespace)
    finally:
        os.close(handle)


def unshare(kind: int) -> None:
    """Move this thread into a new namespace, for good."""
    _check(_LIBC.unshare(kind), "unshare")


# Files


def openat2(folder: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """Open `path` relative to the descriptor `folder`; returns a close-on-exec descriptor. Linux 5.6."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return _check(_LIBC.syscall(_SYS_OPENAT2, folder, os.fsencode(path), how, len(how)), path)


def punch_hole(descriptor: int, start: int, end: int) -> None:
    """Give the blocks of a part of a file back to the file system; the file keeps its size."""
    _check(_LIBC.fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, start, end - start), "fallocate")


# Processes


def prctl(option: int, argument: int, second: int = 0) -> None:
    """prctl(2) with one or two arguments."""
    _check(_LIBC.prctl(option, argument, second, 0, 0), f"prctl({option}, {argument})")


def capset(mask: int, inheritable: int = 0) -> None:
    """Set this thread's effective and permitted capabilities (bits by number), and the inheritable ones."""
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    words = (low, low, inheritable & 0xFFFFFFFF, high, high, inheritable >> 32)
    _check(_LIBC.capset(header, struct.pack("<6I", *words)), "capset")
