"""Mounts of pools and of the cache."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from zos.runtime import linux


def btrfs(device: str, target: Path) -> None:
    """Mount a pool: no access times, no device nodes or set-uid programs of tenants, freed blocks are told."""
    for options in ("discard=async", ""):
        try:
            _mount(device, target, "btrfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOATIME, options)
            return
        except OSError as err:
            # Kernels before 5.6 do not know the option.
            if err.errno != errno.EINVAL or not options:
                raise


def bind(source: Path, target: Path) -> None:
    """Mount a folder at another place too."""
    _mount(str(source), target, "", linux.MS_BIND, "")


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(target):
        raise OSError(errno.EBUSY, f"something else is mounted on {target}")
    linux.mount(source, target, kind, flags, options)
