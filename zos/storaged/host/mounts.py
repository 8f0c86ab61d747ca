"""mount(2) and the table of what is mounted."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

NOSUID, NODEV, NOATIME, BIND = 0x2, 0x4, 0x400, 0x1000

_TABLE = Path("/proc/self/mountinfo")
_LIBC = ctypes.CDLL(None, use_errno=True)
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of the table."""

    target: Path
    kind: str
    source: str


def table(text: str | None = None) -> tuple[Mounted, ...]:
    """Everything that is mounted, in order."""
    found = []
    for line in (text if text is not None else _TABLE.read_text()).splitlines():
        left, _, right = line.partition(" - ")
        kind, source = right.split(" ")[:2]
        found.append(Mounted(Path(_plain(left.split(" ")[4])), kind, _plain(source)))
    return tuple(found)


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def btrfs(device: str, target: Path) -> None:
    """Mount a pool: no access times, no device nodes or set-uid programs of tenants, freed blocks are told."""
    for data in (b"discard=async", b""):
        try:
            _mount(device, target, b"btrfs", NOSUID | NODEV | NOATIME, data)
            return
        except OSError as err:
            if err.errno != errno.EINVAL or not data:
                raise


def bind(source: Path, target: Path) -> None:
    """Show a folder at another place too."""
    _mount(str(source), target, b"", BIND, b"")


def _mount(source: str, target: Path, kind: bytes, flags: int, data: bytes) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(target):
        raise OSError(errno.EBUSY, f"something else is mounted on {target}")
    if _LIBC.mount(os.fsencode(source), os.fsencode(target), kind, flags, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))
