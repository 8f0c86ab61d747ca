"""What a boot needs on disk: kernel and initramfs, the seed, firmware variables; and blank disks get a file system.

A tenant's tree is hostile: names in it are resolved with the tree as root and copied out before anything uses them.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import socket
import threading
from pathlib import Path

from zos.model.units import show
from zos.runtime import inroot, proc, threads, users
from zos.runtime.files import sync_folder, write_atomic
from zos.vmd import domain, seed
from zos.vmd.api.errors import GuestAssetsMissing, StartFailed
from zos.vmd.api.types import Machine, MachineId, MachineKind
from zos.vmd.domain import Files, Firmware

OVMF = Path("/usr/share/OVMF")
CODE, VARIABLES = "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
MOST_KERNEL = 64 * 1024 * 1024
"""Bytes of a flist's kernel; distributions' have 8 to 20 MiB, with everything built in 50."""
MOST_INITRD = 256 * 1024 * 1024
"""Bytes of a flist's initramfs; Ubuntu's, with every driver, has 60 to 150 MiB."""
_CHUNK = 1024 * 1024
FORMAT_DEADLINE = 120.0
SYNC_DEADLINE = 60.0
_FORMAT_READS = 64 * 1024 * 1024
_PARTITION_TABLE = 34 * 512


class BootFiles:
    """The folders of all machines: volatile ones for a boot, lasting ones for what a guest's firmware remembers."""

    def __init__(self, run_dir: Path, state_dir: Path, guest: Path) -> None:
        self._run = run_dir
        self._state = state_dir
        self._guest = guest
        self._choosing = threading.Lock()
        for folder in (run_dir, state_dir):
            _passage(folder)

    def user(self, id: MachineId) -> int:
        """The user of a machine's QEMU: a number of its own for as long as the machine is known here."""
        note = self._lasting(id) / "user"
        with self._choosing:
            if (known := _number(note)) in users.GUESTS:
                return known
            taken = {_number(path) for path in self._state.glob("*/user")}
            first = domain.uuid_of(id).int % len(users.GUESTS)
            free = (users.GUESTS[at % len(users.GUESTS)] for at in range(first, first + len(users.GUESTS)))
            found = next(user for user in free if user not in taken)
            _passage(note.parent)
            write_atomic(note, str(found).encode())
            return found

    def volatile(self, id: MachineId) -> Path:
        """Short, since a socket's path has room for 107 bytes."""
        return self._run / domain.uuid_of(id).hex[:16]

    def socket(self, id: MachineId) -> Path:
        """Where the serial port listens."""
        return self.volatile(id) / "tty"

    def _lasting(self, id: MachineId) -> Path:
        return self._state / domain.uuid_of(id).hex[:16]

    def release(self, id: MachineId) -> None:
        """QEMU has read kernel and initramfs, or will not: they go, taking room and holding a guest's secrets."""
        for folder in (self.volatile(id), self._lasting(id)):
            for name in ("kernel", "initrd"):
                (folder / name).unlink(missing_ok=True)

    def forget(self, id: MachineId) -> None:
        """Remove both folders of a machine."""
        for folder in (self.volatile(id), self._lasting(id)):
            shutil.rmtree(folder, ignore_errors=True)

    def to_format(self, machine: Machine) -> tuple[tuple[Path, Path], ...]:
        """The disks that are to be mounted and hold nothing yet, each with the note that its formatting began.

        A disk on which that was interrupted is not blank any more, yet no guest has seen it: the note tells.
        """
        found = []
        for index, disk in enumerate(machine.disks):
            if machine.kind is MachineKind.CONTAINER and disk.target:
                note = self._lasting(machine.id) / f"formatting-{index}"
                begun = note.exists() and note.read_text() == str(disk.path)
                if begun or is_blank(disk.path):
                    found.append((disk.path, note))
        return tuple(found)

    def missing(self, machine: Machine) -> str:
        """What of the machine's parts is not there. A directory that is empty is a mount that did not come yet."""
        for disk in machine.disks:
            if not disk.path.exists():
                return f"its disk {disk.path}"
        if machine.root is not None and not _holds_something(machine.root):
            return f"its root {machine.root}"
        for share in machine.shares:
            if not share.path.is_dir():
                return f"its share {share.path}"
        for nic in machine.nics:
            if not _is_link(nic.tap):
                return f"its network device {nic.tap}"
        return ""

    def make(self, machine: Machine, console: Path) -> Files:
        """Make the files of one boot; raises StartFailed when the machine's own are not as they must be."""
        folder = self.volatile(machine.id)
        shutil.rmtree(folder, ignore_errors=True)
        self.release(machine.id)
        _passage(folder)
        common = Files(console=console, console_socket=self.socket(machine.id), user=self.user(machine.id))
        try:
            if machine.kind is MachineKind.IMAGE:
                return self._image(machine, common, folder)
            if machine.kernel and machine.root is not None:
                return self._foreign(machine, common, folder, machine.root)
            return self._own(machine, common, folder)
        except OSError as err:
            self.release(machine.id)
            raise StartFailed(id=machine.id, problem=err) from err

    def _own(self, machine: Machine, common: Files, folder: Path) -> Files:
        kernel, base = self._guest / "vmlinux", self._guest / "initramfs"
        if not kernel.exists() or not base.exists():
            raise GuestAssetsMissing(folder=self._guest)
        initrd = folder / "initrd"
        _write(initrd, base.read_bytes() + seed.initrd_part(machine))
        return dataclasses.replace(common, kernel=kernel, initrd=initrd)

    def _foreign(self, machine: Machine, common: Files, folder: Path, root: Path) -> Files:
        # On disk: what is in the run folder is memory of the node.
        lasting = self._lasting(machine.id)
        _passage(lasting)
        kernel = copy_out(root, machine.kernel, lasting / "kernel", MOST_KERNEL)
        initrd = copy_out(root, machine.initrd, lasting / "initrd", MOST_INITRD) if machine.initrd else None
        return dataclasses.replace(common, kernel=kernel, initrd=initrd, seed=self._seed(machine, folder))

    def _image(self, machine: Machine, common: Files, folder: Path) -> Files:
        firmware = None
        with machine.disks[0].path.open("rb") as disk:
            if domain.has_efi_partition(disk.read(_PARTITION_TABLE)):
                lasting = self._lasting(machine.id)
                _passage(lasting)
                firmware = Firmware(OVMF / CODE, OVMF / VARIABLES, lasting / "efivars.fd")
        seeded = self._seed(machine, folder)
        return dataclasses.replace(common, seed=seeded, firmware=firmware)

    def _seed(self, machine: Machine, folder: Path) -> Path:
        path = folder / "seed.img"
        _write(path, seed.disk(machine))
        return path


async def format_disk(disk: Path, note: Path) -> None:
    """Make an ext4 (with a journal: a guest's end is a cut of power)."""
    write_atomic(note, str(disk).encode())
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]
    # A hole in the disk would keep the blocks around it beside those that fill it later (see `domain.NO_HOLES`).
    await proc.run([*words, disk], deadline=FORMAT_DEADLINE, env={**os.environ, "UNIX_IO_NOZEROOUT": "1"})
    await threads.run(f"sync {disk}", lambda: _end(disk, note), SYNC_DEADLINE)


def _end(disk: Path, note: Path) -> None:
    # A guest writes from here on: after a cut of power neither the note may be there nor the file system be missing.
    with disk.open("rb") as file:
        os.fsync(file.fileno())
    note.unlink()
    sync_folder(note.parent)


def _passage(folder: Path) -> None:
    """Make a folder that QEMU passes as its own user, to files that are his alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _holds_something(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_link(name: str) -> bool:
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    """A file that only its owner reads, who will be its QEMU: seeds hold environments."""
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


def copy_out(root: Path, name: str, target: Path, most: int) -> Path:
    """Copy a regular file out of a tenant's tree, its name and links resolved inside the tree.

    EFBIG when it has more than `most` bytes; nothing is left of a copy that did not end.
    """
    source = inroot.open_file(root, name)
    try:
        left = os.fstat(source).st_size
        if left > most:
            raise OSError(errno.EFBIG, f"it has {show(left)}, the most is {show(most)}", name)
        _write(target, b"")
        with target.open("r+b") as copy:
            # No more than was there at first: it may be written to meanwhile.
            while left > 0 and (data := os.read(source, min(_CHUNK, left))):
                copy.write(data)
                left -= len(data)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(source)
    return target
