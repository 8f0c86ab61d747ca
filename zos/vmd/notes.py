"""libvirt's notes of the processes of guests: files that hold a pid.

A QEMU's is named by its machine. A file server's begins with the domain's number, since libvirt cuts long names in it:
`<number>-<at most 20 characters of the name>-fs<n>-fs.pid`.

It imports nothing more than it must: libvirt's hook does, too (see zos.runtime.cgroup).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "/run/libvirt/qemu"


def pid_in(note: str) -> int:
    """The process that a note names; 0 when there is none."""
    try:
        with open(note, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def qemu(folder: str | Path, machine: str) -> int:
    """A machine's QEMU; 0 when there is no note."""
    return pid_in(f"{folder}/{machine}.pid")


def file_servers(folder: str | Path, number: int) -> dict[int, int]:
    """The file servers of the domain of a number: which of its file systems, and the process (0: an empty note)."""
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    found = {}
    for name in names:
        share = _share(name, number)
        # Machines may have names that look so: then it is the note of a QEMU, and libvirt keeps its state beside it.
        if share is not None and not os.path.exists(f"{folder}/{name.removesuffix('.pid')}.xml"):
            found[share] = pid_in(f"{folder}/{name}")
    return found


def _share(name: str, number: int) -> int | None:
    """Of which file system of this domain a note is."""
    end = "-fs.pid"
    if not (name.startswith(f"{number}-") and name.endswith(end)):
        return None
    _, mark, share = name[len(f"{number}-") : -len(end)].rpartition("-fs")
    is_number = share.isascii() and share.isdigit()
    return int(share) if mark and is_number else None
