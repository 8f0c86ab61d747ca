"""What is in a mounted pool: disks, volumes, tombstones, the cache. Sees and changes; every change can be repeated."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from zos.runtime import users
from zos.runtime.files import sync_folder, write_atomic
from zos.storaged.api.types import CACHE, Kind, PoolKind
from zos.storaged.host import block, btrfs
from zos.storaged.host.contract import Item
from zos.storaged.model import (
    DEVICE_FILE,
    DISKS,
    FRESH,
    IMAGE_ATTRIBUTE,
    PART,
    TOMBSTONES,
    VOLUMES,
    Layout,
    ObservedDisk,
    ObservedPool,
    ObservedVolume,
)


class Measured(msgspec.Struct):
    """The file that keeps a device's measurement with its pool, so that no busy moment changes its kind."""

    kind: PoolKind
    median: float
    p90: float
    rotational: bool


class Files:
    """The pools below one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def observe(self, pool: str, only: Item | None = None) -> ObservedPool:
        """A pool; of its contents all, or one disk or volume."""
        target = self._layout.pool(pool)
        if btrfs.label(target) != pool:
            return ObservedPool()
        id = btrfs.fsid(target)
        seen = os.statvfs(target)
        readonly = bool(seen.f_flag & os.ST_RDONLY)
        prepared = all(map(_is_right, self._folders(target))) and btrfs.has_quota(id)
        if only is not None:
            kind, name = only
            disks = dict(self._disks(target, (name,))) if kind is Kind.DISK else {}
            volumes = dict(self._volumes(target, (name,), id)) if kind is Kind.VOLUME else {}
            return ObservedPool(True, readonly, prepared, disks=disks, volumes=volumes)
        names = _names(target / DISKS)
        cache = target / CACHE
        return ObservedPool(
            mounted=True,
            readonly=readonly,
            prepared=prepared,
            kind=_kind(target / DEVICE_FILE),
            errors=btrfs.device_errors(id),
            disks=dict(self._disks(target, (name for name in names if not name.startswith(".")))),
            volumes=dict(self._volumes(target, _names(target / VOLUMES), id)),
            tombstones=dict(self._tombstones(target, id)),
            parts=dict(self._parts(target, (name for name in names if name.startswith(PART)))),
            free=seen.f_bavail * seen.f_frsize,
            cache=ObservedVolume(*btrfs.usage(cache, id)) if btrfs.is_subvolume(cache) else None,
            cache_mounted=_is_same(cache, self._layout.cache),
        )

    def _disks(self, target: Path, names: Iterable[str]) -> Iterator[tuple[str, ObservedDisk]]:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield name, _disk(target / DISKS / name)

    def _volumes(self, target: Path, names: Iterable[str], id: UUID) -> Iterator[tuple[str, ObservedVolume]]:
        for name in names:
            path = target / VOLUMES / name
            if not name.startswith(".") and btrfs.is_subvolume(path):
                yield name, ObservedVolume(*btrfs.usage(path, id))

    def _tombstones(self, target: Path, id: UUID) -> Iterator[tuple[str, int]]:
        for name in _names(target / TOMBSTONES):
            path = target / TOMBSTONES / name
            with contextlib.suppress(FileNotFoundError):
                yield name, btrfs.usage(path, id)[1] if btrfs.is_subvolume(path) else os.stat(path).st_blocks * 512

    def _parts(self, target: Path, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield name.removeprefix(PART), os.stat(target / DISKS / name).st_blocks * 512

    def prepare(self, pool: str) -> None:
        """Create the folders and switch quotas on."""
        target = self._layout.pool(pool)
        if not btrfs.has_quota(btrfs.fsid(target)):
            btrfs.enable_quota(target)
        for folder in self._folders(target):
            folder.mkdir(exist_ok=True)
            os.chown(folder, -1, _group(folder))
            folder.chmod(_mode(folder))

    @staticmethod
    def _folders(target: Path) -> tuple[Path, ...]:
        return target, target / DISKS, target / VOLUMES, target / TOMBSTONES

    def measure(self, pool: str, kind: PoolKind, speed: block.Speed, rotational: bool) -> None:
        """Write the measurement to the pool's device file."""
        measured = Measured(kind, speed.median, speed.p90, rotational)
        write_atomic(self._layout.pool(pool) / DEVICE_FILE, msgspec.json.encode(measured) + b"\n")

    def create_disk(self, pool: str, id: str, size: int) -> None:
        """Create a sparse file without copy-on-write; it is whole before it has its name.

        It occupies what was written, and at most its size, as long as nobody makes holes in it (vmd lets no guest).
        """
        path = self._layout.item(pool, Kind.DISK, id)
        if not path.exists():
            fresh = path.with_name(f"{FRESH}{id}")
            fresh.unlink(missing_ok=True)
            _sparse(fresh, size)
            fresh.rename(path)

    def grow_disk(self, pool: str, id: str, size: int) -> None:
        """Make a disk longer; never shorter."""
        path = self._layout.item(pool, Kind.DISK, id)
        if path.stat().st_size < size:
            os.truncate(path, size)

    def open_part(self, pool: str, part: str, size: int) -> int:
        """Create an empty file of the disk's size for an image; returns its descriptor."""
        path = self._layout.part(pool, part)
        path.unlink(missing_ok=True)
        _sparse(path, size)
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def finish_fill(self, pool: str, id: str, part: str, size: int, image: str) -> None:
        """Replace the blank disk by the copied image, in one rename, marked before."""
        path, copy = self._layout.item(pool, Kind.DISK, id), self._layout.part(pool, part)
        if not copy.exists() and _disk(path).image == image:
            return
        if not _disk(path).blank:
            raise OSError(errno.EEXIST, "the disk was written to meanwhile")
        os.truncate(copy, max(size, path.stat().st_size))
        os.setxattr(copy, IMAGE_ATTRIBUTE, image.encode())
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        copy.rename(path)
        sync_folder(path.parent)

    def drop_part(self, pool: str, part: str) -> None:
        """Delete an image whose copy was cut off."""
        self._layout.part(pool, part).unlink(missing_ok=True)

    def create_volume(self, pool: str, id: str, size: int, owner: int) -> None:
        """Create a subvolume; it has its limit and rights before it has its name."""
        path = self._layout.item(pool, Kind.VOLUME, id)
        if path.exists():
            return
        fresh = path.with_name(f"{FRESH}{id}")
        if btrfs.is_subvolume(fresh):
            btrfs.delete_subvolume(fresh)
        btrfs.create_subvolume(fresh)
        # A guest's folder is root's, and other users inside the guest must pass: the folder above keeps others out.
        fresh.chmod(0o700 if owner else 0o755)
        os.chown(fresh, owner, owner)
        btrfs.set_limit(fresh, size)
        fresh.rename(path)

    def limit_volume(self, pool: str, id: str, size: int) -> None:
        """Set a volume's limit."""
        btrfs.set_limit(self._layout.item(pool, Kind.VOLUME, id), size)

    def make_tombstone(self, pool: str, kind: Kind, id: str, name: str) -> None:
        """Move to the tombstones, read-only; what is not there needs none."""
        place, tombstone = self._layout.item(pool, kind, id), self._layout.tombstone(pool, name)
        if not tombstone.exists():
            if not place.exists():
                return
            place.rename(tombstone)
            sync_folder(tombstone.parent)
            sync_folder(place.parent)
        if kind is Kind.DISK:
            tombstone.chmod(0o400)
        else:
            btrfs.set_readonly(tombstone, True)

    def restore_tombstone(self, pool: str, kind: Kind, id: str, name: str) -> None:
        """Move back to its place and make writable."""
        place, tombstone = self._layout.item(pool, kind, id), self._layout.tombstone(pool, name)
        if not tombstone.exists():
            if not place.exists():
                raise OSError(errno.ENOENT, f"{name} is not there any more")
            return
        if place.exists():
            raise OSError(errno.EEXIST, f"there is a {kind} {id} already")
        if kind is Kind.DISK:
            tombstone.chmod(0o600)
        else:
            btrfs.set_readonly(tombstone, False)
        tombstone.rename(place)
        sync_folder(place.parent)
        sync_folder(tombstone.parent)

    def erase_tombstone(self, pool: str, kind: Kind, name: str) -> None:
        """Delete a tombstone for good."""
        tombstone = self._layout.tombstone(pool, name)
        if kind is Kind.DISK:
            tombstone.unlink(missing_ok=True)
        elif btrfs.is_subvolume(tombstone):
            btrfs.delete_subvolume(tombstone)

    def create_cache(self, pool: str, size: int) -> None:
        """Create the node's own volume with its limit."""
        path = self._layout.pool(pool) / CACHE
        if not btrfs.is_subvolume(path):
            btrfs.create_subvolume(path)
        btrfs.set_limit(path, size)

    def limit_cache(self, pool: str, size: int) -> None:
        """Set the cache volume's limit."""
        btrfs.set_limit(self._layout.pool(pool) / CACHE, size)


def _mode(folder: Path) -> int:
    """Guests' QEMUs, each a user of its own, pass to their disks. In a volume any user could read what a guest allows
    its own users: there nobody passes but zdbd, to volumes of its own, and who may pass everywhere."""
    return {TOMBSTONES: 0o700, VOLUMES: 0o710}.get(folder.name, 0o711)


def _group(folder: Path) -> int:
    return users.ZDBD if folder.name == VOLUMES else 0


def _is_right(folder: Path) -> bool:
    try:
        seen = folder.stat()
    except FileNotFoundError:
        return False
    is_right = stat.S_IMODE(seen.st_mode) == _mode(folder) and seen.st_gid == _group(folder)
    return stat.S_ISDIR(seen.st_mode) and is_right


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _disk(path: Path) -> ObservedDisk:
    seen = os.stat(path, follow_symlinks=False)
    image = None
    try:
        image = os.getxattr(path, IMAGE_ATTRIBUTE).decode()
    except OSError as err:
        if err.errno != errno.ENODATA:
            raise
    return ObservedDisk(seen.st_size, seen.st_blocks * 512, image, image is None and _is_hole(path, seen.st_blocks))


def _is_hole(path: Path, blocks: int) -> bool:
    """Whether nothing was ever written (reserved blocks count as nothing)."""
    if not blocks:
        return True
    with path.open("rb") as file:
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError as err:
            if err.errno == errno.ENXIO:
                return True
            raise
    return False


def _sparse(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        btrfs.set_nocow(descriptor)
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _kind(file: Path) -> PoolKind | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Measured).kind
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _is_same(left: Path, right: Path) -> bool:
    try:
        return os.path.samestat(os.stat(left), os.stat(right))
    except OSError:
        return False
