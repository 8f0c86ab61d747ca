"""What `images/node` says: which files of the packages are in the image, which modules, which programs. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from zos.errors import Status, ZosError


class CannotBuild(ZosError):
    """The image cannot be built."""

    reason = "images.cannot_build_node"
    status = Status.FAILED_PRECONDITION
    text = "{problem}"
    hint = "a Debian 12 that reaches Debian's package archive and Python's is what it takes, and root"


def lines(text: str) -> Iterator[str]:
    """The lines of a recipe without comments."""
    for line in text.splitlines():
        if (kept := line.partition("#")[0].strip()) and not line.startswith("#"):
            yield kept


@dataclass(frozen=True, slots=True)
class Rules:
    """Which paths are kept: the last pattern that matches decides (`*` matches slashes as well)."""

    patterns: tuple[tuple[bool, re.Pattern[str]], ...]

    @staticmethod
    def parse(text: str) -> Rules:
        """The rules of a list in which `!` begins a pattern of what is left out."""
        found = (line for line in lines(text))
        return Rules(tuple((line[0] != "!", re.compile(fnmatch.translate(line.lstrip("!")))) for line in found))

    def keep(self, path: str) -> bool:
        """Whether a path, which begins without a slash, is kept."""
        return self._word(path) is True

    def leave_out(self, path: str) -> bool:
        """Whether a path is left out by a word of its own, and not because nothing asks for it."""
        return self._word(path) is False

    def _word(self, path: str) -> bool | None:
        return next((kept for kept, pattern in reversed(self.patterns) if pattern.match(path)), None)


def programs(text: str) -> dict[str, str]:
    """Each program of the list, and who needs it first."""
    found: dict[str, str] = {}
    for line in lines(text):
        who, *names = line.split()
        for name in names:
            found.setdefault(name, who)
    return found


def module_name(path: str) -> str:
    """A module as the kernel calls it."""
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def modules(text: str, dependencies: Mapping[str, tuple[str, ...]], folder: str = "kernel/") -> tuple[str, ...]:
    """The module files that the list's patterns mean, with those that they need."""
    found: set[str] = set()
    for pattern in " ".join(lines(text)).split():
        matches = fnmatch.filter(dependencies, folder + pattern)
        if not matches:
            raise CannotBuild(problem=f"the kernel has no module {pattern}")
        found.update(matches)
    return tuple(sorted(found | {one for path in found for one in dependencies[path]}))


def load_order(names: Iterable[str], dependencies: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The files of the named modules and of those that they need, each after what it needs."""
    by_name = {module_name(path): path for path in dependencies}
    order: dict[str, None] = {}
    for name in names:
        path = by_name.get(module_name(name))
        if path is None:
            raise CannotBuild(problem=f"the kernel has no module {name}")
        # depmod lists what is needed in the order in which it is taken away again.
        order.update(dict.fromkeys((*reversed(dependencies[path]), path)))
    return tuple(order)


AREAS = (
    ("the kernel's modules", "usr/lib/modules/"),
    ("zos and its Python packages", "opt/zos/"),
    ("Python", "usr/lib/python3"),
    ("Python", "usr/bin/python3"),
    ("guests' kernel and initramfs", "usr/lib/zos/"),
    ("QEMU and firmware", "usr/share/OVMF/"),
    ("QEMU and firmware", "usr/share/qemu/"),
    ("QEMU and firmware", "usr/share/seabios/"),
    ("QEMU and firmware", "usr/bin/qemu"),
    ("QEMU and firmware", "usr/libexec/virtiofsd"),
    ("libvirt", "usr/share/libvirt/"),
    ("libvirt", "usr/sbin/libvirtd"),
    ("libvirt", "usr/lib/x86_64-linux-gnu/libvirt"),
    ("yggdrasil", "usr/sbin/yggdrasil"),
    ("systemd", "usr/lib/systemd/"),
    ("systemd", "usr/lib/x86_64-linux-gnu/systemd/"),
    ("systemd", "usr/lib/x86_64-linux-gnu/libsystemd"),
    ("systemd", "usr/lib/udev/"),
    ("libraries", "usr/lib/"),
    ("programs", "usr/"),
    ("configuration", ""),
)
"""What the table of sizes calls the paths that begin so; the first that matches."""


def sizes(files: Mapping[str, int]) -> dict[str, int]:
    """Bytes of each area, largest first; `files` are paths and their bytes."""
    found: dict[str, int] = {}
    for path, size in files.items():
        area = next(name for name, start in AREAS if path.startswith(start))
        found[area] = found.get(area, 0) + size
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def table(rows: Mapping[str, int], packed: Mapping[str, int]) -> str:
    """The table of what takes the space, in MB."""
    total = {**rows, "all, as files": sum(rows.values()), **packed}
    return "".join(f"{size / 1e6:8.1f} MB  {name}\n" for name, size in total.items())


def unnamed(kept: Collection[str], wanted: Collection[str]) -> list[str]:
    """The programs of the list that no package brought."""
    names = {path.rpartition("/")[2] for path in kept}
    return sorted(set(wanted) - names)
