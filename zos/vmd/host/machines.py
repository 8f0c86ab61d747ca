"""The real host: libvirt's domains, one per machine, transient, marked with the digest of their machine."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import libvirt
import msgspec

from zos.errors import ZosError
from zos.runtime import linux, proc
from zos.runtime.threads import Threads
from zos.vmd import domain, notes, seed
from zos.vmd.api.check import ROOT_TAG
from zos.vmd.api.errors import LibvirtRefused, LibvirtUnreachable, MachineNotRunning, StartFailed
from zos.vmd.api.types import Acceleration, Accelerator, Machine, MachineDisk, MachineId, MachineKind
from zos.vmd.host import kvm
from zos.vmd.host.connection import Connection
from zos.vmd.host.contract import OnChange
from zos.vmd.host.files import BootFiles, format_disk
from zos.vmd.model import GuestState, ObservedGuest

log = logging.getLogger("zos.vmd")

T = TypeVar("T")

LOOK, START, CHANGE = 10.0, 90.0, 30.0
"""Deadlines of libvirt's calls; a start waits for file servers and for QEMU itself, on a busy node for long."""
PROBE_DEADLINE = 5.0
SEND_DEADLINE = 5.0
_SIOCOUTQ = 0x5411
_PAUSED = {
    libvirt.VIR_DOMAIN_PAUSED_USER: (GuestState.PAUSED, ""),
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: (GuestState.STALLED, "a disk refused a write; is the pool full?"),
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: (GuestState.ENDING, "it is being started"),
    libvirt.VIR_DOMAIN_PAUSED_SAVE: (GuestState.ENDING, "it is being saved"),
    libvirt.VIR_DOMAIN_PAUSED_DUMP: (GuestState.ENDING, "it is being dumped"),
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: (GuestState.ENDING, "a snapshot is being taken"),
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: (GuestState.ENDING, "it is being moved"),
    libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN: (GuestState.ENDING, "it is ending"),
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: (GuestState.BROKEN, "the guest crashed"),
}
_INTERNAL = (GuestState.BROKEN, "the hypervisor gave the guest up (internal error)")


WARM = 60.0
"""Seconds that libvirt may take to examine QEMU."""


class LinuxHost:
    """The machines of this node's libvirtd."""

    def __init__(self, uri: str, guest: Path, forced: str, run_dir: Path, state_dir: Path) -> None:
        self.processors = os.cpu_count() or 1
        self._files = BootFiles(run_dir, state_dir, guest)
        self._connection = Connection(uri, self._changed)
        self._threads = Threads()
        self._forced = forced
        self._acceleration: Acceleration | None = None
        self._probing = asyncio.Lock()
        self._callback: OnChange = lambda _id: None
        self._loop = asyncio.get_running_loop()
        self._told: dict[tuple[MachineId, int], int] = {}

    def on_change(self, callback: OnChange) -> None:
        self._callback = callback

    def _changed(self, id: MachineId | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._callback, id)

    async def close(self) -> None:
        await self._connection.close()

    # Seeing

    async def observe(self, machine: Machine) -> ObservedGuest | None:
        return await self._connection.run(machine.id, "look at", lambda link: self._look(link, machine), LOOK)

    def _look(self, link: Any, machine: Machine) -> ObservedGuest | None:
        found = _domain(link, machine.id)
        if found is None:
            self._told = {key: size for key, size in self._told.items() if key[0] != machine.id}
            return None
        try:
            mark = domain.parse_mark(found.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain.NAMESPACE))
            code, reason = found.state()
            if code in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_NOSTATE):
                return None
            state, detail = judge(code, reason)
            growth = self._growth(found, machine) if state is GuestState.RUNNING else {}
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                raise LibvirtRefused(problem=f"the domain {machine.id} is not one of ours") from None
            if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        dead = dead_shares(notes.FOLDER, found.ID(), machine)
        pid, mounts = notes.qemu(notes.FOLDER, machine.id), mounts_of(machine)
        return ObservedGuest(state, mark.digest, pid, mark.accel, detail, growth, dead, mounts)

    def _growth(self, found: Any, machine: Machine) -> dict[int, int]:
        growth = {}
        for index, disk in enumerate(machine.disks):
            size = _size(disk)
            if self._told.get((machine.id, index)) == size:
                continue
            capacity = int(found.blockInfo(seed.disk_name(index))[0])
            if size > capacity:
                growth[index] = size
            else:
                self._told[machine.id, index] = size
        return growth

    # Changing

    async def start(self, machine: Machine, console: Path) -> None:
        """Make its files and its domain."""
        accelerator = (await self.acceleration()).kind
        try:
            for disk, note in await self._disk_work(machine, "look at", self._files.to_format):
                await format_disk(disk, note)
            files = await self._disk_work(machine, "prepare", lambda m: self._files.make(m, console))
            xml = domain.render(machine, files, accelerator)
            if pid := await self._disk_work(machine, "look for", stray):
                raise StartFailed(id=machine.id, problem=f"its QEMU {pid} runs and libvirt does not know it")
            await self._connection.run(machine.id, "start", lambda link: link.createXML(xml, 0), START)
        except (LibvirtUnreachable, StartFailed):
            raise
        except ZosError as err:
            raise StartFailed(id=machine.id, problem=err) from None
        finally:
            self._files.release(machine.id)

    async def missing(self, machine: Machine) -> str:
        return await self._disk_work(machine, "look for the parts of", self._files.missing)

    async def mounts(self, machine: Machine) -> str:
        return mounts_of(machine)

    async def _disk_work(self, machine: Machine, what: str, action: Callable[[Machine], T]) -> T:
        # Even a look at a path can hang, when a file server behind a mount does.
        return await self._threads.run(
            f"files of {machine.id}", f"{what} {machine.id}", lambda: action(machine), CHANGE
        )

    async def stop(self, id: MachineId) -> None:
        await self._change(id, "stop", lambda found: found.destroy())

    async def pause(self, id: MachineId) -> None:
        await self._change(id, "pause", lambda found: found.suspend())

    async def resume(self, id: MachineId) -> None:
        await self._change(id, "resume", lambda found: found.resume())

    async def grow(self, id: MachineId, index: int, size: int) -> None:
        name, unit = seed.disk_name(index), libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        await self._change(id, "grow a disk of", lambda found: found.blockResize(name, size, unit))

    async def _change(self, id: MachineId, what: str, action: Any) -> None:
        def change(link: Any) -> None:
            found = _domain(link, id)
            if found is None:
                return
            try:
                action(found)
            except libvirt.libvirtError as err:
                # It ended meanwhile: the next look shows that.
                if err.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                    raise

        await self._connection.run(id, what, change, CHANGE)

    async def forget(self, machine: Machine) -> None:
        await self._disk_work(machine, "forget", lambda m: self._files.forget(m.id))

    async def send(self, id: MachineId, data: bytes) -> None:
        """Type on the serial port; returns when the guest's end has taken it all."""
        try:
            async with asyncio.timeout(SEND_DEADLINE):
                reader, writer = await asyncio.open_unix_connection(self._files.socket(id))
                try:
                    await _typed(reader, writer, data)
                finally:
                    writer.close()
        except TimeoutError:
            raise LibvirtRefused(problem=f"the guest of {id} takes no input") from None
        except (ConnectionError, FileNotFoundError):
            raise MachineNotRunning(id=id, state="its serial port is closed") from None

    # Acceleration

    async def acceleration(self) -> Acceleration:
        """By configuration, else by running a trial guest; once, until it is doubted."""
        if self._forced:
            return Acceleration(Accelerator(self._forced), "the configuration says so")
        async with self._probing:
            if self._acceleration is None:
                self._acceleration = await _probe()
                log.info("machines use %s: %s", self._acceleration.kind, self._acceleration.why)
            return self._acceleration

    async def warm(self) -> None:
        """Make libvirt examine QEMU now: it does so once after its install, for several seconds."""
        kind = (await self.acceleration()).kind
        virt = "kvm" if kind is Accelerator.KVM else "qemu"
        none = MachineId("(none)")
        await self._connection.run(
            none, "warm up", lambda link: link.getDomainCapabilities(None, "x86_64", "q35", virt), WARM
        )

    def doubt_acceleration(self) -> None:
        self._acceleration = None


async def _probe() -> Acceleration:
    # A program of the standard library alone, in a process that can be killed when the kernel does not come back.
    try:
        done = await proc.run([sys.executable, "-I", "-S", kvm.__file__], deadline=PROBE_DEADLINE)
        verdict = msgspec.json.decode(done.stdout, type=dict[str, Any])
    except (ZosError, msgspec.MsgspecError) as err:
        return Acceleration(Accelerator.TCG, f"the trial guest did not end well: {err}")
    return Acceleration(Accelerator.KVM if verdict["usable"] else Accelerator.TCG, str(verdict["why"]))


async def _typed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
    """QEMU drops what it has not read when we hang up, and it reads as fast as the guest's UART: wait for that.

    What the guest says meanwhile comes here too and is passed over: the console's file has it.
    """

    async def pass_over() -> None:
        while await reader.read(65536):
            pass

    passing = asyncio.create_task(pass_over())
    try:
        writer.write(data)
        await writer.drain()
        line: socket.socket = writer.get_extra_info("socket")
        while _unread(line):  # noqa: ASYNC110 - the kernel tells nobody when it is read
            await asyncio.sleep(0.01)
    finally:
        passing.cancel()


def _unread(line: socket.socket) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(line.fileno(), _SIOCOUTQ, b"\0" * 4))
    return int(count)


def _domain(link: Any, id: MachineId) -> Any:
    try:
        return link.lookupByName(id)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _size(disk: MachineDisk) -> int:
    with disk.path.open("rb") as file:
        return os.lseek(file.fileno(), 0, os.SEEK_END)


def judge(state: int, reason: int) -> tuple[GuestState, str]:
    """What libvirt's state and reason mean here."""
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return _PAUSED.get(reason, _INTERNAL)
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return GuestState.BROKEN, "the guest crashed"
    if state == libvirt.VIR_DOMAIN_SHUTDOWN:
        return GuestState.ENDING, "it is ending"
    return GuestState.RUNNING, ""


def dead_shares(folder: str | Path, number: int, machine: Machine) -> tuple[str, ...]:
    """The shares whose file server has ended: libvirt notes their pids, and does not watch them."""
    names: Sequence[str] = [share.tag for share in machine.shares]
    if machine.kind is MachineKind.CONTAINER:
        names = [ROOT_TAG, *names]
    noted = notes.file_servers(folder, number) if names else {}
    return tuple(name for index, name in enumerate(names) if (pid := noted.get(index, 0)) and not _runs(pid))


def mounts_of(machine: Machine) -> str:
    """The mounts of a machine's folders, by source and device: one that flistd makes anew has another source."""
    folders = [folder for folder in (machine.root, *(share.path for share in machine.shares)) if folder is not None]
    mounted = {one.point: f"{one.source} {one.device}" for one in linux.mounts()}
    if machine.root is not None and machine.root not in mounted:
        return ""
    return "\n".join(mounted[folder] for folder in folders if folder in mounted)


def stray(machine: Machine) -> int:
    """The process of a QEMU that has this machine's UUID. A second one would share its disks and directories."""
    words = b"-uuid\0" + str(domain.uuid_of(machine.id)).encode() + b"\0"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_bytes():
                return int(path.parent.name)
        except OSError:
            continue  # it ended meanwhile
    return 0


def _runs(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The program's name stands in parentheses and may have some of its own; the state follows the last.
    return text.rpartition(")")[2].split()[0] not in "ZX"
