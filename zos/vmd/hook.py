"""libvirt's hook: puts a guest's QEMU and file servers into a control group with limits.

libvirtd runs it, as root, when a machine has started: `hook TREES MACHINE OPERATION …`, with the domain's XML as input
(see zos.vmd.libvirtd, which also writes where the trees of control groups are). The limits stand in our part of it. A
start at which it fails is ended by libvirt: no guest runs outside of its group.

A tenant waits for it at each start: what it imports is chosen for that (see zos.runtime.cgroup).
"""

from __future__ import annotations

import os
import sys
from xml.parsers import expat

from zos.runtime import cgroup
from zos.vmd import notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAMESPACE = "https://zos/vmd/1"
OOM_SCORE = "200"
"""A node in need ends guests before anything of its own."""


class Domain:
    """What the hook takes from a domain's XML."""

    def __init__(self, xml: str) -> None:
        self.number = -1
        """libvirt's, of a domain that runs."""
        self.shares = 0
        """File systems that have a file server."""
        self.limits: cgroup.Limits | None = None
        """None in a domain that a former release wrote."""
        self._path: list[str] = []
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = lambda _name: self._path.pop()
        parser.Parse(xml, True)

    def _begin(self, name: str, values: dict[str, str]) -> None:
        self._path.append(name)
        match self._path:
            case ["domain"]:
                self.number = int(values.get("id", "-1"))
            case ["domain", "devices", "filesystem", "driver"] if values.get("type") == "virtiofs":
                self.shares += 1
            case ["domain", "metadata", mark] if mark == f"{NAMESPACE} machine" and "memory" in values:
                self.limits = cgroup.Limits(int(values["memory"]), int(values["pids"]), int(values["weight"]))


def noted(folder: str | Path, machine: str, domain: Domain) -> tuple[set[int], str]:
    """The processes of a machine by libvirt's notes, and which of them are missing; empty when all are there."""
    shares = range(domain.shares)
    servers = notes.file_servers(folder, domain.number) if shares else {}
    pids = {notes.qemu(folder, machine), *(servers.get(share, 0) for share in shares)}
    known = sum(1 for share in shares if servers.get(share))
    lacking = (
        "" if known == len(shares) else f"{known} of {len(shares)} file servers of domain {domain.number} are noted"
    )
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
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue  # it ended meanwhile
    return found


def main(argv: list[str], xml: str) -> int:
    """libvirt calls this for a domain that runs: its QEMU and file servers get a control group with limits."""
    trees, machine, operation = cgroup.Trees.from_word(argv[1]), *argv[2:4]
    domain = Domain(xml)
    if domain.limits is None:
        return 0
    first, lacking = noted(notes.FOLDER, machine, domain)
    if lacking and operation == "started":
        sys.stderr.write(f"{machine} is not started: {lacking} in {notes.FOLDER}, so it would run without limits\n")
        return 1
    pids = with_children(first, _parents())
    cgroup.place(trees, cgroup.name_of(machine), domain.limits, pids)
    for pid in pids:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write(OOM_SCORE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv, sys.stdin.read()))
