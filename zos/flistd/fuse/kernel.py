"""mount(2) and umount2(2), and what /proc says is mounted. No state."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOATIME, MS_BIND = 1, 2, 4, 1024, 4096
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

_LIBC = ctypes.CDLL(None, use_errno=True)
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """A line of mountinfo."""

    device: str
    """major:minor"""
    point: str
    kind: str
    source: str
    options: str
    """Of the file system."""


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


def mounted(text: str | None = None) -> Iterator[Mounted]:
    """Everything that is mounted here, in the order of mounting; lines that cannot be read are passed over."""
    if text is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    for line in text.splitlines():
        head, dash, tail = line.partition(" - ")
        left, right = head.split(" "), tail.split(" ")
        if dash and len(left) >= 6 and len(right) >= 3:
            yield Mounted(left[2], _plain(left[4]), right[0], _plain(right[1]), _plain(right[2]))


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), text)
