"""libvirt's notes of the processes of guests: files that hold a pid.

A QEMU's is named by its machine. A file server's begins with the domain's number, since libvirt cuts long names in it:
`<number>-<at most 20 characters of the name>-fs<n>-fs.pid`.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path("/run/libvirt/qemu")


def pid_in(note: Path) -> int:
    """The process that a note names; 0 when there is none."""
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0


def qemu(folder: Path, machine: str) -> int:
    """A machine's QEMU; 0 when there is no note."""
    return pid_in(folder / f"{machine}.pid")


def file_servers(folder: Path, number: int) -> dict[int, int]:
    """The file servers of the domain of a number: which of its file systems, and the process (0: an empty note)."""
    name = re.compile(rf"{number}-.*-fs([0-9]+)-fs\.pid")
    found = {}
    for note in folder.glob(f"{number}-*.pid"):
        # Machines may have names that look so: then it is the note of a QEMU, and libvirt keeps its state beside it.
        if (one := name.fullmatch(note.name)) and not note.with_suffix(".xml").exists():
            found[int(one[1])] = pid_in(note)
    return found
