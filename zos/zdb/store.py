"""All namespaces of one server: found in its folders, made, removed, reloaded."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from zos.errors import Status, ZosError
from zos.zdb import format as fmt
from zos.zdb.command import DATA_SIZE
from zos.zdb.descriptors import MOST_SHARED, Recent, most_open
from zos.zdb.memory import Share
from zos.zdb.namespace import Namespace
from zos.zdb.parts import RECORD, Refused, Statistics
from zos.zdb.recovery import open_namespace

log = logging.getLogger("zos.zdb")

DEFAULT = b"default"
LOCK = ".lockfile"


class InUse(ZosError):
    """Another process writes there."""

    reason = "zdb.in_use"
    status = Status.FAILED_PRECONDITION
    text = "{folder} is in use by another process"
    hint = "stop it, or choose another folder"


def _lock(folder: Path) -> int:
    """A descriptor that keeps other processes out of a folder."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InUse(folder=folder) from None
    return handle


def open_apart(
    name: bytes, folder: Path, *, is_sequential: bool, data_size: int = DATA_SIZE, share: Share | None = None
) -> Namespace:
    """A namespace in a folder of its own, which any 0-db can serve by itself: it has `index` and `data` in it.

    Blocking, in any thread. The folder must be there; raises InUse, BadFile, TooManyKeys and OSError.
    """
    roots = folder / "index", folder / "data"
    for root in roots:
        root.mkdir(exist_ok=True)
    # Any 0-db wants both locks, so one keeps it out; there are thousands of namespaces, and each holds its lock.
    lock = _lock(roots[0])
    try:
        index, data = (root / os.fsdecode(name) for root in roots)
        space = open_namespace(name, index, data, is_sequential=is_sequential, data_size=data_size, share=share)
    except BaseException:
        if share is not None:
            share.shrink(0)
        os.close(lock)
        raise
    space.locks = [lock]
    space.files.close()
    return space


class Store:
    """Namespaces below an index folder and a data folder. Blocking, for one thread."""

    def __init__(
        self, index: Path, data: Path, *, is_sequential: bool | None = None, data_size: int = DATA_SIZE
    ) -> None:
        self.index, self.data = index, data
        self.is_sequential = is_sequential
        """None: each namespace chooses."""
        self._data_size = data_size
        self._locks: list[int] = []
        self.spaces: dict[bytes, Namespace] = {}
        self.totals = Statistics()
        """Over all namespaces; nobody adds thousands up to say them."""
        self._recent = Recent(min(MOST_SHARED, most_open() // 4))

    def open(self) -> None:
        """Lock the folders and open what is there; raises InUse and BadFile."""
        for folder in (self.index, self.data):
            folder.mkdir(parents=True, exist_ok=True)
            self._locks.append(_lock(folder))
        self._open(DEFAULT)
        for name in sorted(os.listdir(os.fsencode(self.index))):
            if name != DEFAULT and (self.index / os.fsdecode(name) / RECORD).is_file():
                self._open(name)

    def _open(self, name: bytes) -> Namespace:
        folder = os.fsdecode(name)
        space = open_namespace(
            name,
            self.index / folder,
            self.data / folder,
            is_sequential=self.is_sequential,
            data_size=self._data_size,
        )
        self._serve(name, space)
        return space

    def adopt(self, space: Namespace) -> None:
        """Serve a namespace that `open_apart` opened."""
        self._serve(space.settings.name, space)

    def _serve(self, name: bytes, space: Namespace) -> None:
        space.files.share(self._recent)
        space.totals = self.totals
        self.spaces[name] = space

    def get(self, name: bytes) -> Namespace:
        """A namespace; raises Refused."""
        if len(name) > fmt.MAX_NAME:
            raise Refused("Namespace too long")
        found = self.spaces.get(name)
        if found is None:
            raise Refused("Namespace not found")
        return found

    def create(self, name: bytes) -> Namespace:
        """A new, empty namespace; raises Refused."""
        if len(name) > fmt.MAX_NAME:
            raise Refused("Namespace too long")
        if name in (b".", b"..", DEFAULT) or b"/" in name or b"\0" in name:
            raise Refused("This name is not allowed")
        if name in self.spaces:
            raise Refused("This namespace is not available")
        return self._open(name)

    def remove(self, name: bytes) -> Namespace:
        """Erase a namespace; raises Refused."""
        if len(name) > fmt.MAX_NAME:
            raise Refused("Namespace too long")
        if name not in self.spaces:
            raise Refused("This namespace doesn't exists")
        if name == DEFAULT:
            raise Refused("Cannot remove default namespace")
        space = self.spaces.pop(name)
        space.destroy()
        return space

    def reload(self, name: bytes) -> Namespace:
        """Close a namespace and read its files again; raises Refused."""
        self.get(name).close()
        return self._open(name)

    def set_mode(self, space: Namespace, is_sequential: bool) -> None:
        """Change the mode of an empty namespace; raises Refused."""
        if space.next_id:
            raise Refused("Cannot change mode of used namespace")
        if space.is_sequential != is_sequential:
            space.is_sequential = is_sequential
            space.files.close()
            space.begin()

    def close(self) -> None:
        """Bring everything to the disk and let go of the folders."""
        for space in self.spaces.values():
            space.close()
        self.spaces.clear()
        while self._locks:
            os.close(self._locks.pop())
