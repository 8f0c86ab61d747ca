"""Control groups: limits on memory, processes, processor and disk time of processes that this node did not write.

One way for both kinds: version 2, one tree with all controllers, and version 1, one tree for each. Groups of ours are
two levels deep, `zos.guests/NAME`, beside the node's own and not below them. A group's name has the process namespace
in it: the nodes of a lab share the machine's trees.

It imports next to nothing: libvirt's hook is a process of its own at each start of a guest, and dataclasses, typing and
pathlib would be most of its time (21 of 31 ms, measured).
"""

from __future__ import annotations

import errno
import os

# ruff: noqa: SIM105 - contextlib takes a tenth of the hook's time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from zos.runtime.linux import Mounted

PARENT = "zos.guests"
TRIES = 100
"""How often a group that somebody sweeps away is made again before that is an error."""
CONTROLLERS = ("memory", "pids", "cpu", "io")
_NAMES_1 = {"blkio": "io"}
"""Version 1's names, where they differ."""


class Limits:
    """What a group may take."""

    __slots__ = ("memory", "pids", "weight")

    def __init__(self, memory: int, pids: int, weight: int) -> None:
        self.memory = memory
        """Bytes; whoever needs more is ended by the kernel."""
        self.pids = pids
        """Processes and threads."""
        self.weight = weight
        """Its share of processors and disks against other groups, from 1 to 100; 1 is the kernel's default."""


class Trees:
    """Where this machine's controllers are."""

    __slots__ = ("roots", "version")

    def __init__(self, version: int, roots: Mapping[str, str]) -> None:
        self.version = version
        """0 on a machine that has none."""
        self.roots = roots
        """The root of the tree of each controller that there is."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The controllers that this machine lacks."""
        return tuple(name for name in CONTROLLERS if name not in self.roots)

    def to_word(self) -> str:
        """The same as one word of a command line."""
        return ":".join((str(self.version), *(f"{name}={root}" for name, root in self.roots.items())))

    @classmethod
    def from_word(cls, word: str) -> Trees:
        """What `to_word` has written; raises ValueError for anything else."""
        version, *roots = word.split(":")
        return cls(int(version), dict(one.split("=", 1) for one in roots))


def find(mounted: Iterable[Mounted]) -> Trees:
    """This machine's trees; version 2's controllers win where both are mounted and it has some."""
    seen = tuple(mounted)
    for one in seen:
        if one.kind == "cgroup2":
            names = _read(f"{one.point}/cgroup.controllers").split()
            if roots := {name: str(one.point) for name in CONTROLLERS if name in names}:
                return Trees(2, roots)
    roots = {}
    for one in seen:
        if one.kind == "cgroup":
            roots.update({_NAMES_1.get(name, name): str(one.point) for name in one.options.split(",")})
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
    for root in set(trees.roots.values()):
        parent = f"{root}/{PARENT}"
        group = f"{parent}/{name}"
        for controller in (one for one, of in trees.roots.items() if of == root):
            for above, folder in ((root, parent), (parent, group)):
                if trees.version == 2:
                    _write(f"{above}/cgroup.subtree_control", f"+{controller}")
                try:
                    os.mkdir(folder)
                except FileExistsError:
                    pass
            for file, value in settings(trees.version, limits)[controller].items():
                if file not in OPTIONAL or os.path.exists(f"{group}/{file}"):
                    _write(f"{group}/{file}", value)
        # One tree after the other: where somebody is, nobody sweeps.
        for pid in pids:
            try:
                _write(f"{group}/cgroup.procs", str(pid))
            except ProcessLookupError:
                pass


def sweep(trees: Trees) -> None:
    """Remove the groups that nobody is in; the kernel keeps the others."""
    for root in set(trees.roots.values()):
        parent = f"{root}/{PARENT}"
        try:
            inside = [f"{parent}/{name}" for name in os.listdir(parent)]
        except OSError:
            continue
        for folder in (*inside, parent):
            try:
                os.rmdir(folder)
            except OSError:
                pass


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def own_limit() -> int:
    """Bytes of memory that this process' group may take; 0 when that is not to be seen, or there is no limit."""
    from zos.runtime import linux

    trees = find(linux.mounts())
    for line in _read("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if "memory" in trees.roots and names == ("" if trees.version == 2 else "memory"):
            name = "memory.max" if trees.version == 2 else "memory.limit_in_bytes"
            told = _read(f"{trees.roots['memory']}{path.rstrip('/')}/{name}").strip()
            return int(told) if told.isdecimal() else 0
    return 0
