"""libvirt's hook: puts a guest's QEMU and file servers into a control group with limits, and removes it at the end.

libvirtd runs it, as root, for every change of a machine's state: `hook MACHINE OPERATION …`, with the domain's XML as
input. The limits stand in our part of it. A start at which it fails is ended by libvirt: no guest runs outside of its
group.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from zos.runtime import cgroup, linux
from zos.vmd import notes

NAMESPACE = "https://zos/vmd/1"
OOM_SCORE = "200"
"""A node in need ends guests before anything of its own."""
OPERATIONS = ("started", "reconnect", "release")


def limits_of(xml: str) -> cgroup.Limits | None:
    """The limits in a domain's XML; None in one that a former release wrote."""
    mark = ET.fromstring(xml).find(f"metadata/{{{NAMESPACE}}}machine")  # noqa: S314 - libvirt's own output
    if mark is None or mark.get("memory") is None:
        return None
    return cgroup.Limits(int(mark.get("memory", "")), int(mark.get("pids", "")), int(mark.get("weight", "")))


def noted(folder: Path, machine: str, xml: str) -> tuple[set[int], str]:
    """The processes of a machine by libvirt's notes, and which of them are missing; empty when all are there."""
    domain = ET.fromstring(xml)  # noqa: S314 - libvirt's own output
    number = int(domain.get("id", "-1"))
    shares = range(len(domain.findall("devices/filesystem/driver[@type='virtiofs']")))
    servers = notes.file_servers(folder, number) if shares else {}
    pids = {notes.qemu(folder, machine), *(servers.get(share, 0) for share in shares)}
    known = sum(1 for share in shares if servers.get(share))
    lacking = "" if known == len(shares) else f"{known} of {len(shares)} file servers of domain {number} are noted"
    return pids - {0}, lacking if 0 not in pids or lacking else "its QEMU is not noted"


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
    first, lacking = noted(notes.FOLDER, machine, xml)
    if lacking and operation == "started":
        sys.stderr.write(f"{machine} is not started: {lacking} in {notes.FOLDER}, so it would run without limits\n")
        return 1
    pids = with_children(first, _parents())
    cgroup.place(trees, cgroup.name_of(machine), limits, pids)
    for pid in pids:
        Path(f"/proc/{pid}/oom_score_adj").write_text(OOM_SCORE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv, sys.stdin.read()))
