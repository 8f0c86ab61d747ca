"""What a boot needs on disk: kernel and initramfs, the seed, firmware variables; and blank disks get a file system.

A tenant's tree is hostile: names in it are resolved with the tree as root and copied out before anything uses them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from pathlib import Path

from zos.runtime import proc
from zos.runtime.files import write_atomic
from zos.vmd import domain, seed
from zos.vmd.api.errors import GuestAssetsMissing, StartFailed
from zos.vmd.api.types import Machine, MachineId, MachineKind
from zos.vmd.domain import Files, Firmware

OVMF = Path("/usr/share/OVMF")
CODE, VARIABLES = "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
MOST_KERNEL = 512 * 1024 * 1024
FORMAT_DEADLINE = 120.0
_FORMAT_READS = 64 * 1024 * 1024
_PARTITION_TABLE = 34 * 512
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)


class BootFiles:
    """The folders of all machines: volatile ones for a boot, lasting ones for what a guest's firmware remembers."""

    def __init__(self, run_dir: Path, state_dir: Path, guest: Path) -> None:
        self._run = run_dir
        self._state = state_dir
        self._guest = guest

    def volatile(self, id: MachineId) -> Path:
        """Short, since a socket's path has room for 107 bytes."""
        return self._run / domain.uuid_of(id).hex[:16]

    def socket(self, id: MachineId) -> Path:
        """Where the serial port listens."""
        return self.volatile(id) / "tty"

    def _lasting(self, id: MachineId) -> Path:
        return self._state / domain.uuid_of(id).hex[:16]

    def forget(self, id: MachineId) -> None:
        """Remove both."""
        for folder in (self.volatile(id), self._lasting(id)):
            shutil.rmtree(folder, ignore_errors=True)

    async def format_blank(self, machine: Machine) -> None:
        """Give disks that are to be mounted a file system, when nothing was ever written to them."""
        if machine.kind is not MachineKind.CONTAINER:
            return
        for index, disk in enumerate(machine.disks):
            if not disk.target:
                continue
            # Noted before it begins: a disk on which it was interrupted is not blank any more, and no guest has
            # seen it yet.
            note = self._lasting(machine.id) / f"formatting-{index}"
            begun = note.exists() and note.read_text() == str(disk.path)
            if begun or is_blank(disk.path):
                write_atomic(note, str(disk.path).encode())
                words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]
                await proc.run([*words, disk.path], deadline=FORMAT_DEADLINE)
                note.unlink()

    def make(self, machine: Machine, console: Path) -> Files:
        """Make the files of one boot; raises StartFailed when the machine's own are not as they must be."""
        folder = self.volatile(machine.id)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        common = Files(console=console, console_socket=self.socket(machine.id))
        try:
            if machine.kind is MachineKind.IMAGE:
                return self._image(machine, common, folder)
            if machine.root is None or not machine.root.is_dir():
                raise StartFailed(id=machine.id, problem=f"its root {machine.root} is not there")
            if machine.kernel:
                return self._foreign(machine, common, folder, machine.root)
            return self._own(machine, common, folder)
        except OSError as err:
            raise StartFailed(id=machine.id, problem=err) from err

    def _own(self, machine: Machine, common: Files, folder: Path) -> Files:
        kernel, base = self._guest / "vmlinux", self._guest / "initramfs"
        if not kernel.exists() or not base.exists():
            raise GuestAssetsMissing(folder=self._guest)
        initrd = folder / "initrd"
        _write(initrd, base.read_bytes() + seed.initrd_part(machine))
        return Files(common.console, common.console_socket, kernel=kernel, initrd=initrd)

    def _foreign(self, machine: Machine, common: Files, folder: Path, root: Path) -> Files:
        kernel = copy_out(root, machine.kernel, folder / "kernel")
        initrd = copy_out(root, machine.initrd, folder / "initrd") if machine.initrd else None
        return Files(common.console, common.console_socket, kernel, initrd, self._seed(machine, folder))

    def _image(self, machine: Machine, common: Files, folder: Path) -> Files:
        firmware = None
        with machine.disks[0].path.open("rb") as disk:
            if domain.has_efi_partition(disk.read(_PARTITION_TABLE)):
                lasting = self._lasting(machine.id)
                lasting.mkdir(parents=True, exist_ok=True, mode=0o700)
                firmware = Firmware(OVMF / CODE, OVMF / VARIABLES, lasting / "efivars.fd")
        seeded = self._seed(machine, folder)
        return Files(common.console, common.console_socket, seed=seeded, firmware=firmware)

    def _seed(self, machine: Machine, folder: Path) -> Path:
        path = folder / "seed.img"
        _write(path, seed.disk(machine))
        return path


def _write(path: Path, data: bytes) -> None:
    """A file that only root reads: seeds hold environments."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def is_blank(path: Path) -> bool:
    """Whether nothing but zeros was ever written to a disk. In doubt it is not."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end, left = os.lseek(descriptor, 0, os.SEEK_END), _FORMAT_READS
        position = 0
        while position < end:
            try:
                position = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError as err:
                if err.errno == errno.ENXIO:
                    return True
                raise
            extent_end = os.lseek(descriptor, position, os.SEEK_HOLE)
            while position < extent_end:
                data = os.pread(descriptor, min(1 << 20, extent_end - position), position)
                left -= len(data)
                if not data or left < 0 or data.count(0) != len(data):
                    return False
                position += len(data)
        return True
    finally:
        os.close(descriptor)


def copy_out(root: Path, name: str, target: Path) -> Path:
    """Copy a regular file out of a tenant's tree, its name and links resolved inside the tree."""
    source = _open_inside(root, name)
    with os.fdopen(source, "rb") as file:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        if found.st_size > MOST_KERNEL:
            raise OSError(errno.EFBIG, "too large to boot from", name)
        _write(target, file.read(MOST_KERNEL))
    return target


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _open_inside(root: Path, name: str) -> int:
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # O_NONBLOCK: a pipe of that name must not hold us up.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        found = int(_LIBC.syscall(_OPENAT2, folder, name.encode(), ctypes.byref(how), ctypes.sizeof(how)))
        if found < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        return found
    finally:
        os.close(folder)
