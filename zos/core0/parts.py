"""A daemon's own child, which does a part of its work for strangers: its control group, with limits.

To make one takes root, and a daemon has no right to it: it asks, and gets what its unit says, for its own children.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from pathlib import Path

from zos.core0.api.errors import BadPart, NotYourPart
from zos.core0.units import Parts, Unit
from zos.runtime import cgroup, linux, threads

log = logging.getLogger("zos.core0")

DEADLINE = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
"""A machine that is a container may show control groups, and permit none."""


def limits(parts: Parts, memory: int) -> cgroup.Limits:
    """What each of a unit's parts may take, on a machine with so much memory. Pure."""
    return cgroup.Limits(max(parts.least_memory, memory // parts.memory_share), parts.pids, 1)


async def confine(unit: Unit | None, parent: int, pid: int, name: str) -> tuple[str, ...]:
    """Put a child of a unit's process into a group of its own; returns the controllers that this machine lacks."""
    if unit is None or unit.parts is None or not parent:
        raise NotYourPart(pid=pid, caller=unit.name if unit is not None else "an unknown process")
    if not _NAME.fullmatch(name):
        raise BadPart(name=name)
    wanted = limits(unit.parts, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))

    def place() -> tuple[str, ...]:
        if _parent(pid) != parent:
            raise NotYourPart(pid=pid, caller=unit.name)
        trees = cgroup.find(linux.mounts())
        cgroup.sweep(trees)
        try:
            cgroup.place(trees, cgroup.name_of(f"{unit.name}-{name}"), wanted, (pid,))
        except OSError as err:
            if err.errno not in _FORBIDDEN:
                raise
            log.warning("%s of %s has no limits: %s", name, unit.name, err)
            return cgroup.CONTROLLERS
        return trees.missing

    if os.geteuid() != 0:
        return cgroup.CONTROLLERS
    return await threads.run(f"limit {name} of {unit.name}", place, DEADLINE)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0  # it ended
