"""Control groups: limits on memory, processes, processor and disk time of processes that this node did not write.

One way for both kinds: version 2, one tree with all controllers, and version 1, one tree for each. Groups of ours are
two levels deep, `zos.guests/NAME`, beside the node's own and not below them. A group's name has the process namespace
in it: the nodes of a lab share the machine's trees.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zos.runtime import linux

PARENT = "zos.guests"
TRIES = 20
"""How often a group that somebody sweeps away is made again before that is an error."""
CONTROLLERS = ("memory", "pids", "cpu", "io")
_NAMES_1 = {"blkio": "io"}
"""Version 1's names, where they differ."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group may take."""

    memory: int
    """Bytes; whoever needs more is ended by the kernel."""
    pids: int
    """Processes and threads."""
    weight: int
    """Its share of processors and disks against other groups, from 1 to 100; 1 is the kernel's default."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Where this machine's controllers are."""

    version: int
    """0 on a machine that has none."""
    roots: Mapping[str, Path]
    """The root of the tree of each controller that there is."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The controllers that this machine lacks."""
        return tuple(name for name in CONTROLLERS if name not in self.roots)


def find(mounted: Iterable[linux.Mounted]) -> Trees:
    """This machine's trees; version 2's controllers win where both are mounted and it has some."""
    seen = tuple(mounted)
    for one in seen:
        if one.kind == "cgroup2":
            with contextlib.suppress(OSError):
                names = (one.point / "cgroup.controllers").read_text().split()
                if roots := {name: one.point for name in CONTROLLERS if name in names}:
                    return Trees(2, roots)
    roots = {}
    for one in seen:
        if one.kind == "cgroup":
            roots.update({_NAMES_1.get(name, name): one.point for name in one.options.split(",")})
    found = {name: roots[name] for name in CONTROLLERS if name in roots}
    return Trees(1 if found else 0, found)


def settings(version: int, limits: Limits) -> Mapping[str, Mapping[str, str]]:
    """What is written for each controller. Pure."""
    if version == 2:
        weight = str(100 * limits.weight)
        return {
            "memory": {"memory.max": str(limits.memory), "memory.oom.group": "1"},
            "pids": {"pids.max": str(limits.pids)},
            "cpu": {"cpu.weight": weight},
            "io": {"io.weight": weight},
        }
    return {
        "memory": {"memory.limit_in_bytes": str(limits.memory)},
        "pids": {"pids.max": str(limits.pids)},
        "cpu": {"cpu.shares": str(1024 * limits.weight)},
        "io": {"blkio.weight": str(min(1000, 100 * limits.weight)), "blkio.bfq.weight": str(100 * limits.weight)},
    }


OPTIONAL = frozenset({"memory.oom.group", "io.weight", "blkio.weight", "blkio.bfq.weight"})
"""Files that a kernel may not have: weights of disk time depend on its scheduler."""


def name_of(id: str) -> str:
    """The name of a group for something that is unique on this node."""
    return f"{os.stat('/proc/self/ns/pid').st_ino:x}-{id}"


def place(trees: Trees, name: str, limits: Limits, pids: Iterable[int]) -> None:
    """Make a group with these limits, or set them again, and move processes there; takes root."""
    wanted = tuple(pids)
    for left in reversed(range(TRIES)):
        try:
            _place(trees, name, limits, wanted)
            return
        except OSError as err:
            # Another node of this machine swept it away while nobody was in it.
            if err.errno not in (errno.ENOENT, errno.ENODEV) or not left:
                raise


def _place(trees: Trees, name: str, limits: Limits, pids: tuple[int, ...]) -> None:
    for controller, root in trees.roots.items():
        parent = root / PARENT
        for folder in (parent, parent / name):
            if trees.version == 2:
                (folder.parent / "cgroup.subtree_control").write_text(f"+{controller}")
            folder.mkdir(exist_ok=True)
        for file, value in settings(trees.version, limits)[controller].items():
            path = parent / name / file
            if file not in OPTIONAL or path.exists():
                path.write_text(value)
    for root in set(trees.roots.values()):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (root / PARENT / name / "cgroup.procs").write_text(str(pid))


def sweep(trees: Trees) -> None:
    """Remove the groups that nobody is in; the kernel keeps the others."""
    for root in set(trees.roots.values()):
        parent = root / PARENT
        for folder in (*parent.glob("*/"), parent):
            with contextlib.suppress(OSError):
                folder.rmdir()
