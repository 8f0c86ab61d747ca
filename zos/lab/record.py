"""What a lab is, kept in its state folder; and the other labs of this machine, as their folders show them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

import zos
from zos.lab.addresses import DEFAULT_NUMBER, LIMIT_OF_NUMBERS, Addresses
from zos.lab.errors import TooManyLabs
from zos.lab.topology import DEFAULT_NAME, Layout, Topology
from zos.runtime.files import write_atomic

CODE = str(Path(zos.__file__).resolve().parent.parent)
"""The folder of this copy of the program."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a lab is; survives everything."""

    nodes: int
    farm: int = 0
    number: int = DEFAULT_NUMBER
    """Which network it has (zos.lab.addresses)."""
    code: str = ""
    """The copy of the program that built it."""

    @property
    def topology(self) -> Topology:
        return Topology(nodes=self.nodes, addresses=Addresses(self.number))


def read(layout: Layout) -> Record | None:
    """The lab's record; None when there is no lab."""
    if is_hidden(layout):
        return None
    try:
        return msgspec.json.decode(layout.record.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def is_hidden(layout: Layout) -> bool:
    """Whether there is a record that only root can read."""
    try:
        return layout.record.exists() and not os.access(layout.record, os.R_OK)
    except PermissionError:
        return True


def write(layout: Layout, record: Record) -> None:
    """Replaces the record as a whole; a crash leaves the old one."""
    write_atomic(layout.record, msgspec.json.encode(record))


def neighbours(layout: Layout) -> Iterator[Layout]:
    """The other labs of this machine that have a state folder."""
    for folder in sorted(layout.state.parent.glob(f"zos-{DEFAULT_NAME}*")):
        if folder != layout.state:
            name = folder.name.removeprefix(f"zos-{DEFAULT_NAME}").lstrip("-") or DEFAULT_NAME
            yield Layout(folder, layout.run.parent / folder.name, name)


def free_number(layout: Layout) -> int:
    """The network for a new lab. Call it with `machine_locked` held, and write the record before letting go."""
    if layout.name == DEFAULT_NAME:
        return DEFAULT_NUMBER
    taken = {record.number for record in map(read, neighbours(layout)) if record is not None}
    for number in range(DEFAULT_NUMBER + 1, LIMIT_OF_NUMBERS + 1):
        if number not in taken:
            return number
    raise TooManyLabs(limit=len(taken))


@contextlib.contextmanager
def machine_locked(layout: Layout) -> Iterator[None]:
    """No other lab of this machine looks at or changes what labs share; for moments only."""
    handle = os.open(layout.state.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
