"""How large the cache's volume is, and what is in it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zos.runtime import subvolume


def share(cache: Path) -> int:
    """Four fifths of the volume, or of the file system when that is all there is; when no limit was given."""
    if not cache.exists():
        return 1 << 40
    limit, _ = volume(cache)
    if not limit:
        seen = os.statvfs(cache)
        limit = seen.f_blocks * seen.f_frsize
    return limit * 4 // 5


def volume(cache: Path) -> tuple[int, int]:
    """The limit of the volume that the cache is (0: none), which statvfs does not tell, and what it holds."""
    try:
        return subvolume.usage(cache, subvolume.fsid(cache))
    except OSError:
        return 0, 0


def free(cache: Path) -> int:
    seen = os.statvfs(cache)
    return seen.f_bavail * seen.f_frsize


def size_of(folder: Path) -> int:
    """Bytes that a flist's files take."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for item in found:
            with contextlib.suppress(OSError):
                total += item.stat(follow_symlinks=False).st_blocks * 512
    return total
