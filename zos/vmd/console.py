"""Owns the machines' consoles: one file each, which QEMU appends to and which outlives every boot of the guest.

QEMU writes the file by itself, so that no byte is lost while vmd is away. It is kept small from its beginning: what is
old is punched out of the file, so offsets stay what they were. Files are looked at in a fixed rhythm, not at every
write: a guest that writes without end costs vmd no more than a silent one.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from zos.runtime import linux
from zos.vmd import trace
from zos.vmd.api.types import MachineId

KEEP = 256 * 1024
"""So much of the past is kept at least."""
SLACK = 1024 * 1024
"""So much more may gather before the past is cut."""
CHUNK = 64 * 1024
BOOT_HEAD = 64 * 1024
BOOT_TAIL = 16 * 1024
RHYTHM = 0.1
_BLOCK = 4096


class Consoles:
    """The console files of a node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, id: MachineId) -> Path:
        """Where a machine's console is written."""
        return self._folder / f"{id}.log"

    def begin(self, id: MachineId, when: str, number: int) -> int:
        """Mark a start in the file; returns where it stands."""
        descriptor = os.open(self.path(id), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            line = trace.start_line(when, number)
            os.write(descriptor, line)
            return os.lseek(descriptor, 0, os.SEEK_CUR) - len(line)
        finally:
            os.close(descriptor)

    def drop(self, id: MachineId) -> None:
        """Remove a machine's console."""
        self.path(id).unlink(missing_ok=True)

    def tail(self, id: MachineId, max_bytes: int) -> bytes:
        """The last bytes that were written."""
        return self._read(id, lambda size: size - min(max_bytes, KEEP + SLACK), max_bytes)

    def boot(self, id: MachineId, offset: int) -> bytes:
        """How the boot that began at `offset` went: its beginning and its end."""
        head = self._read(id, lambda size: offset if offset <= size else 0, BOOT_HEAD)
        if len(head) < BOOT_HEAD:
            return head
        return head + b"\n" + self.tail(id, BOOT_TAIL)

    def size(self, id: MachineId) -> int:
        """How much was ever written; 0 without a file."""
        try:
            return self.path(id).stat().st_size
        except FileNotFoundError:
            return 0

    def _read(self, id: MachineId, start: Callable[[int], int], most: int) -> bytes:
        try:
            descriptor = os.open(self.path(id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            size = os.fstat(descriptor).st_size
            first = _written_from(descriptor, max(start(size), 0))
            return os.pread(descriptor, min(most, size - first), first)
        finally:
            os.close(descriptor)

    def trim(self, id: MachineId) -> None:
        """Give the disk space of the old past back."""
        try:
            descriptor = os.open(self.path(id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            size = os.fstat(descriptor).st_size
            first = _written_from(descriptor, 0)
            if size - first > KEEP + SLACK:
                end = (size - KEEP) // _BLOCK * _BLOCK
                linux.punch_hole(descriptor, first // _BLOCK * _BLOCK, end)
        finally:
            os.close(descriptor)

    async def follow(
        self, id: MachineId, max_bytes: int, goes_on: Callable[[], bool], since: int | None = None
    ) -> AsyncIterator[tuple[int, bytes]]:
        """What was written after `since`, else the recent past, then what comes, until `goes_on` says no.

        Yields where each piece ends, and the piece.
        """
        position = max(self.size(id) - max_bytes, 0) if since is None else since
        while True:
            last = not goes_on()
            size = self.size(id)
            if size < position:
                position = 0  # a new file: the machine was dropped and asked for again
            if data := self._since(id, position):
                position, chunk = data
                yield position, chunk
                continue
            if last:
                return
            await asyncio.sleep(RHYTHM)

    def _since(self, id: MachineId, position: int) -> tuple[int, bytes] | None:
        try:
            descriptor = os.open(self.path(id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            first = _written_from(descriptor, position)
            data = os.pread(descriptor, CHUNK, first)
        finally:
            os.close(descriptor)
        return (first + len(data), data) if data else None


def _written_from(descriptor: int, offset: int) -> int:
    """The first offset from there on that was not cut away."""
    try:
        return max(offset, os.lseek(descriptor, offset, os.SEEK_DATA))
    except OSError as err:
        if err.errno == errno.ENXIO:  # nothing there, or offset at the end
            return os.fstat(descriptor).st_size
        raise
