"""Open files: those of one kind of one namespace, and how many of all stay open."""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

MOST_OPEN = 64
"""Descriptors kept open for each kind of file of a namespace."""
FOLDER = -1
"""Stands for the folder among the numbers of files to sync: which files there are."""
MOST_SHARED = 2048
"""The same for all namespaces of a server."""


def most_open() -> int:
    """How many descriptors this process may have; half of them are for connections, a quarter for shared files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Recent:
    """Which files of many namespaces were used last: only so many stay open, in one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used: OrderedDict[tuple[Descriptors, int], None] = OrderedDict()
        self.is_tight = False
        """So many are open that their order matters."""

    def use(self, kind: Descriptors, number: int) -> None:
        """A file is used; the one that was not for the longest time is closed when there are too many."""
        self._used[kind, number] = None
        self._used.move_to_end((kind, number))
        self.is_tight = 2 * len(self._used) > self._most
        for _ in range(len(self._used) - self._most):
            (old, other), _ = self._used.popitem(last=False)
            old.close_one(other)

    def forget(self, kind: Descriptors, number: int) -> None:
        """A file was closed."""
        self._used.pop((kind, number), None)


class Descriptors:
    """Open files of one kind, the least used closed first."""

    def __init__(self, folder: Path, letter: str) -> None:
        self.folder = folder
        self._letter = letter
        self._open: OrderedDict[int, int] = OrderedDict()
        self.unsynced: set[int] = set()
        self.recent: Recent | None = None
        """Shared with other namespaces."""

    def path(self, number: int) -> Path:
        """Where the file of this number is."""
        return self.folder / f"{self._letter}{number}"

    def numbers(self) -> list[int]:
        """The files that are there, in order."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return sorted(int(name[1:]) for name in names if name[:1] == self._letter and name[1:].isdecimal())

    def get(self, number: int) -> int:
        """A descriptor; FileNotFoundError when there is no such file."""
        found = self._open.get(number)
        if found is not None:
            self._open.move_to_end(number)
            if self.recent is not None and self.recent.is_tight:
                self.recent.use(self, number)
            return found
        return self._keep(number, os.open(self.path(number), os.O_RDWR | os.O_CLOEXEC))

    def create(self, number: int, header: bytes) -> int:
        """Make a file with its header, over what a crash left of one."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = self._keep(number, os.open(self.path(number), flags, 0o600))
        os.pwrite(descriptor, header, 0)
        # Whoever syncs what is written to it syncs its name, too; nobody waits for that now.
        self.unsynced.update((number, FOLDER))
        return descriptor

    def _keep(self, number: int, descriptor: int) -> int:
        self.close_one(number)
        self._open[number] = descriptor
        if len(self._open) > MOST_OPEN:
            self.close_one(next(iter(self._open)))
        if self.recent is not None:
            self.recent.use(self, number)
        return descriptor

    def close_one(self, number: int) -> None:
        """Close a file, which is opened again when it is used; what was written to it is synced by any descriptor."""
        descriptor = self._open.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)
            if self.recent is not None:
                self.recent.forget(self, number)

    def leave_before(self, number: int) -> list[Path]:
        """Have nothing to do with the files with lower numbers any more; returns where they are."""
        left = [old for old in self.numbers() if old < number]
        for old in left:
            self.unsynced.discard(old)
            self.close_one(old)
        return [self.path(old) for old in left]

    def take_unsynced(self) -> tuple[int, ...]:
        """The files that were written to since it was asked for the last time."""
        taken = tuple(sorted(self.unsynced, reverse=True))
        self.unsynced.clear()
        return taken

    def again(self, numbers: Iterable[int]) -> list[int]:
        """Descriptors of their own for whoever syncs these files; he closes them."""
        return [self._folder() if number == FOLDER else os.dup(self.get(number)) for number in numbers]

    def _folder(self) -> int:
        return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        for number in tuple(self._open):
            self.close_one(number)
