"""Block devices: which there are, what is on them, how fast they answer. Reads only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import random
import stat
import statistics
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zos.model.units import MiB
from zos.runtime import linux
from zos.storaged.model import Content, Layout, ObservedDevice

_BLOCK, _DEV = Path("/sys/block"), Path("/sys/dev/block")
_NO_DISKS = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "rbd", "mtdblock")

_SUPERBLOCK, _SUPERBLOCK_SIZE = 64 * 1024, 4096
# mkfs.btrfs writes the second as long as it works, and the first when all else is on the device.
_MAGIC, _UNFINISHED_MAGIC = b"_BHRfS_M", b"!BHRfS_M"
_LOOP_GET_STATUS64 = 0x4C05
_PIECE = MiB(1)
_MIRRORS = (64 * 1024 * 1024, 256 * 1024 * 1024 * 1024)
"""Where btrfs keeps copies of its superblock."""
_LOOKS, _LOOK = 128, 64 * 1024
"""Pieces over the whole device that are read as well, and the bytes of one."""

_SAMPLES, _PATIENCE = 64, 4.0


@dataclass(frozen=True, slots=True)
class Superblock:
    """What btrfs says of itself on the device."""

    finished: bool
    label: str
    devices: int


def parse_superblock(data: bytes) -> Superblock | None:
    """Parse a btrfs superblock; None when there is none."""
    magic = data[0x40:0x48]
    if len(data) < _SUPERBLOCK_SIZE or magic not in (_MAGIC, _UNFINISHED_MAGIC):
        return None
    (devices,) = struct.unpack_from("<Q", data, 0x88)
    label = data[0x12B : 0x12B + 256].split(b"\0", 1)[0].decode(errors="replace")
    return Superblock(magic == _MAGIC, label, devices)


def candidates(entries: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Device paths with the names that the configuration gives them; every fixed disk when it names none."""
    if entries:
        return tuple((_resolve(entry), entry) for entry in entries)
    names = sorted(path.name for path in _BLOCK.iterdir() if not path.name.startswith(_NO_DISKS))
    return tuple((f"/dev/{name}", "") for name in names if _is_fixed(_BLOCK / name) and Path("/dev", name).exists())


def _is_fixed(folder: Path) -> bool:
    usb = "/usb" in str(folder.resolve())
    return not usb and _flag(folder / "removable") == 0 and _flag(folder / "size") > 0


def _flag(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _resolve(entry: str) -> str:
    """A device by its name or a link to it; a plain file stands for the loop device that shows it."""
    path = os.path.realpath(entry)
    with contextlib.suppress(OSError):
        seen = os.stat(path)
        if stat.S_ISREG(seen.st_mode):
            return _loop_of(seen) or path
    return path


def _loop_of(file: os.stat_result) -> str:
    # By inode: the kernel's `backing_file` is a path of whatever mount namespace asks.
    for folder in sorted(_BLOCK.glob("loop*/loop")):
        path = f"/dev/{folder.parent.name}"
        with contextlib.suppress(OSError):
            device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                info = bytearray(232)
                fcntl.ioctl(device, _LOOP_GET_STATUS64, info)
            finally:
                os.close(device)
            if struct.unpack_from("<QQ", info) == (file.st_dev, file.st_ino):
                return path
    return ""


def look(path: str, entry: str, layout: Layout) -> ObservedDevice:
    """Observe what is on a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        gone = err.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)
        return ObservedDevice(path, 0, Content.ABSENT if gone else Content.UNREADABLE, detail=_said(err), entry=entry)
    try:
        return _look(descriptor, path, entry, layout)
    except OSError as err:
        return ObservedDevice(path, 0, Content.UNREADABLE, detail=_said(err), entry=entry)
    finally:
        os.close(descriptor)


def _look(descriptor: int, path: str, entry: str, layout: Layout) -> ObservedDevice:
    seen = os.fstat(descriptor)
    if not stat.S_ISBLK(seen.st_mode):
        absent = stat.S_ISREG(seen.st_mode)
        detail = "no loop device shows this file" if absent else "it is no block device"
        return ObservedDevice(path, 0, Content.ABSENT if absent else Content.OTHER, detail=detail, entry=entry)
    size = os.lseek(descriptor, 0, os.SEEK_END)
    rotational = _flag(_sys(seen.st_rdev) / "queue/rotational") == 1

    def found(content: Content, detail: str = "", label: str = "") -> ObservedDevice:
        return ObservedDevice(path, size, content, label, detail, rotational, entry)

    if size == 0:
        return found(Content.ABSENT, "there is no medium in it")
    at = [mounted.point for mounted in linux.mounts() if _is_source(mounted.source, seen.st_rdev)]
    block = parse_superblock(os.pread(descriptor, _SUPERBLOCK_SIZE, _SUPERBLOCK))
    if block is not None and block.finished:
        ours = {layout.pool(block.label), layout.cache}
        if block.devices != 1:
            return found(Content.OTHER, f"it is one of {block.devices} devices of a btrfs file system")
        if at and not ours.intersection(at):
            return found(Content.OTHER, f"it is mounted on {at[0]}")
        return found(Content.POOL, label=block.label)
    if user := _user(path, seen.st_rdev, at):
        return found(Content.OTHER, user)
    if block is not None:
        return found(Content.UNFINISHED, label=block.label)
    blank = is_blank(descriptor, size)
    return found(Content.BLANK if blank else Content.OTHER, "" if blank else "it is not blank and holds no pool")


def is_blank(descriptor: int, size: int) -> bool:
    """Whether a device looks as if nothing was ever written to it: at both ends, where btrfs has copies, and between.

    A pool whose beginning was overwritten is none.
    """
    ends = ((0, _PIECE), (max(0, size - _PIECE), _PIECE))
    mirrors = ((offset, _PIECE) for offset in _MIRRORS)
    between = ((size // _LOOKS * number, _LOOK) for number in range(1, _LOOKS))
    return not any(_holds_data(descriptor, *piece) for piece in (*ends, *mirrors, *between))


def _holds_data(descriptor: int, offset: int, length: int) -> bool:
    data = os.pread(descriptor, length, offset)
    return data.count(0) != len(data)


def _user(path: str, number: int, at: Sequence[Path]) -> str:
    """Who uses the device; empty when nobody does."""
    if at:
        return f"it is mounted on {at[0]}"
    folder = _sys(number)
    if any(folder.glob("*/partition")):
        return "it has partitions"
    holders = sorted(holder.name for holder in folder.glob("holders/*"))
    if holders:
        return f"it is part of {holders[0]}"
    if _flag(folder / "ro") == 1:
        return "it is read-only"
    try:
        # Refused by the kernel while anything in any mount namespace, swap or RAID has it.
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as err:
        return f"it is in use ({_said(err)})"
    return ""


def _sys(number: int) -> Path:
    return _DEV / f"{os.major(number)}:{os.minor(number)}"


def _is_source(source: str, number: int) -> bool:
    if not source.startswith("/"):
        return False
    try:
        return os.stat(source).st_rdev == number
    except OSError:
        return False


def _said(err: OSError) -> str:
    return err.strerror or str(err)


def is_nvme(path: str) -> bool:
    """Whether the device sits on NVMe, where nothing rotates."""
    return os.path.basename(path).startswith("nvme")


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds that random reads over the whole device take."""

    median: float
    p90: float


def measure(path: str, seed: int | None = None) -> Speed:
    """Read 4 KiB at random places past the page cache, timed by the monotonic clock."""
    chance = random.Random(seed)
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_DIRECT)
    except OSError:
        descriptor = os.open(path, flags)
    taken: list[float] = []
    try:
        blocks = max(1, os.lseek(descriptor, 0, os.SEEK_END) // 4096)
        # O_DIRECT reads into aligned memory only, which mmap gives and bytearray does not.
        with mmap.mmap(-1, 4096) as buffer:
            end = time.monotonic() + _PATIENCE
            while len(taken) < _SAMPLES and (not taken or time.monotonic() < end):
                offset = chance.randrange(blocks) * 4096
                before = time.monotonic()
                os.preadv(descriptor, [buffer], offset)
                taken.append(time.monotonic() - before)
    finally:
        os.close(descriptor)
    taken.sort()
    return Speed(statistics.median(taken), taken[len(taken) * 9 // 10])
