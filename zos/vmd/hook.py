"""libvirt's hook: puts a guest's QEMU and file servers into a control group with limits, and removes it at the end.

libvirtd runs it, as root, for every change of a machine's state: `hook MACHINE OPERATION …`, with the domain's XML as
input. The limits stand in our part of it.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

from zos.runtime import cgroup, linux

NAMESPACE = "https://zos/vmd/1"
NOTES = Path("/run/libvirt/qemu")
OOM_SCORE = "200"
"""A node in need ends guests before anything of its own."""
OPERATIONS = ("started", "reconnect", "release")


def limits_of(xml: str) -> cgroup.Limits | None:
    """The limits in a domain's XML; None in one that a former release wrote."""
    mark = ET.fromstring(xml).find(f"metadata/{{{NAMESPACE}}}machine")  # noqa: S314 - libvirt's own output
    if mark is None or mark.get("memory") is None:
        return None
    return cgroup.Limits(int(mark.get("memory", "")), int(mark.get("pids", "")), int(mark.get("weight", "")))


def noted(folder: Path, machine: str) -> Iterator[int]:
    """The processes of a machine, by libvirt's notes of their pids."""
    names = re.compile(rf"{re.escape(machine)}\.pid|\d+-{re.escape(machine)}-fs\d+-fs\.pid")
    for path in folder.glob("*.pid"):
        if names.fullmatch(path.name):
            yield int(path.read_text())


def with_children(pids: set[int], parents: Mapping[int, int]) -> set[int]:
    """The same with whatever they have started; `parents` is everybody's."""
    found: set[int] = set()
    more = set(pids)
    while more:
        found |= more
        more = {pid for pid, parent in parents.items() if parent in found} - found
    return found


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it ended meanwhile
    return found


def main(argv: list[str], xml: str) -> int:
    """libvirt calls this for a domain: QEMU and its file servers get a control group with limits, or lose it."""
    machine, operation = argv[1:3]
    trees = cgroup.find(linux.mounts())
    cgroup.sweep(trees)
    if operation == "release" or (limits := limits_of(xml)) is None:
        return 0
    pids = with_children(set(noted(NOTES, machine)), _parents())
    cgroup.place(trees, cgroup.name_of(machine), limits, pids)
    for pid in pids:
        Path(f"/proc/{pid}/oom_score_adj").write_text(OOM_SCORE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv, sys.stdin.read()))
