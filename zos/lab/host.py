"""Everything that building a lab does to this machine: `observe()` and `apply(step)`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import assert_never

from zos.lab import init, record, tls
from zos.lab import steps as s
from zos.lab.addresses import DEFAULT_NUMBER, PREFIX, PUBLIC_NET, Addresses
from zos.lab.errors import BoxFailed, Busy
from zos.lab.plan import Observed, ObservedBox
from zos.lab.script import NODE_FOLDERS, script
from zos.lab.topology import DEFAULT_NAME, INTERNET, Box, Kind, Layout
from zos.lab.units import NODE_UNITS
from zos.model.units import Bytes
from zos.runtime import cgroup, linux, proc, threads
from zos.runtime.files import write_atomic

READY_DEADLINE = 15.0
KILL_DEADLINE = 15.0
FILES = 600.0
"""Seconds for one folder of the lab."""
LOOPS = Path("/sys/block")
INIT = "/zos/lab/init.py"
"""How the path of a box's init ends, in every copy of the program."""


class LinuxHost:
    """Applies the steps on this machine: starts, cables and ends boxes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def observe(self) -> Observed:
        """What this machine shows of the lab."""
        layout = self._layout
        targets = {Path(target) for target in NODE_FOLDERS.values()}
        folders = {folder for root in (layout.state, layout.run) for folder in _folders(root)}
        claimed = _claims(layout)
        return Observed(
            boxes={name: box for name, (box, _) in self._boxes().items()},
            loops=self._loops(),
            folders=frozenset(folders),
            disks=frozenset(layout.state.glob("*/disk-*.img")),
            mount_points=frozenset(
                path for path in targets if path.is_dir() and (path in claimed or path not in _others_claims(layout))
            ),
            has_claims=layout.mount_points.exists(),
            mounts=self._mounts(),
            host_link=self._host_link in {name for _, name in socket.if_nameindex()},
        )

    def room(self) -> tuple[Bytes, Bytes]:
        """Bytes of disk and of memory that a lab could take."""
        lines = Path("/proc/meminfo").read_text().splitlines()
        (available,) = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
        return Bytes(shutil.disk_usage(self._layout.state).free), Bytes(int(available) * 1024)

    def codes(self) -> frozenset[str]:
        """The copies of the program that the lab's boxes run."""
        return frozenset(code for _, code in self._boxes().values())

    async def apply(self, step: s.Step) -> None:
        """Perform one step; each may be repeated."""
        match step:
            case s.MakeFolder(path):
                path.mkdir(parents=True, exist_ok=True)
            case s.MakeMountPoint(path):
                self._claim(path)
            case s.WriteFile(path, text):
                write_atomic(path, text.encode(), mode=0o644)
            case s.CopyTree(source, target):
                await threads.run(f"copy {source}", lambda: _copy(source, target), FILES)
            case s.MakeCertificates(folder, addresses):
                await threads.run("make certificates", partial(tls.make, folder, addresses), FILES)
            case s.MakeDisk(path, size):
                with path.open("ab") as file:
                    os.truncate(file.fileno(), size)
            case s.AttachLoop(path):
                await proc.run(["losetup", "--find", path])
            case s.StartBox(box, addresses):
                await self._start(box, addresses)
            case s.ConnectHost(addresses):
                await self._connect(addresses)
            case s.KillBox(_, pid):
                await _end(pid)
                work = partial(cgroup.sweep, cgroup.find(linux.mounts()))
                await threads.run("end the control groups of a box", work, FILES)
            case s.DisconnectHost():
                await proc.run(["ip", "link", "del", self._host_link], check=False)
            case s.Unmount(path):
                await proc.run(["umount", "--lazy", path], check=False)
            case s.DetachLoop(device):
                # A device that is still in use is released when its last user ends.
                await proc.run(["losetup", "--detach", device], check=False)
            case s.RemoveFolder(path):
                await threads.run(f"remove {path}", lambda: shutil.rmtree(path, ignore_errors=True), FILES)
            case s.ReleaseMountPoints():
                self._release()
            case _:
                assert_never(step)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else builds or removes this lab meanwhile; the lock leaves nothing behind."""
        # What is locked is the state folder: it goes with the lab, so it may be another one when the lock is held.
        while True:
            self._layout.state.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._layout.state, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), os.stat(self._layout.state)):
                        break
            except BlockingIOError:
                os.close(handle)
                raise Busy(name=self._layout.name) from None
            os.close(handle)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), os.stat(self._layout.state)):
                    self._layout.state.rmdir()  # which succeeds when it is empty
            os.close(handle)

    def _boxes(self) -> dict[str, tuple[ObservedBox, str]]:
        """Each box by its name, with the copy of the program that it runs."""
        found = {}
        for pid in _pids():
            name, code = self._box_of(pid)
            if name:
                found[name] = ObservedBox(pid, (self._layout.box_run(name) / "ready").exists()), code
        return found

    def _box_of(self, pid: int) -> tuple[str, str]:
        """The box whose first process this is; its command line is the same before and after it becomes init.

        Any copy of the program may have started it: a box is this lab's when its run folder is.
        """
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            at = next((at for at, word in enumerate(words) if word.endswith(INIT)), -1)
            if at < 0 or words[at + 2] != str(self._layout.run):
                return "", ""
            status = Path(f"/proc/{pid}/status").read_text()
        except (OSError, IndexError):
            return "", ""
        # The process in every PID namespace, outermost first: `unshare` around it has the same words and is no init.
        pids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        is_init = len(pids) > 1 and pids[-1] == "1"
        return (words[at + 1], words[at].removesuffix(INIT)) if is_init else ("", "")

    def _loops(self) -> dict[Path, Path]:
        found = {}
        for backing in LOOPS.glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                file = Path(backing.read_text().strip().removesuffix(" (deleted)"))
                if file.is_relative_to(self._layout.state):
                    found[file] = Path("/dev", backing.parent.parent.name)
        return found

    def _mounts(self) -> tuple[Path, ...]:
        points = (mounted.point for mounted in linux.mounts())
        ours = (self._layout.state, self._layout.run)
        return tuple(point for point in points if any(point.is_relative_to(folder) for folder in ours))

    @property
    def _host_link(self) -> str:
        """The machine's interface in the lab's network; "" while nothing says which network it has."""
        if found := record.read(self._layout):
            return Addresses(found.number).host_link
        return Addresses().host_link if self._layout.name == DEFAULT_NAME else ""

    def _claim(self, path: Path) -> None:
        """Make a mount point, or share the one that another lab made."""
        with record.machine_locked(self._layout):
            if not path.is_dir() or path in _others_claims(self._layout):
                claims = {str(path), *map(str, _claims(self._layout))}
                write_atomic(self._layout.mount_points, json.dumps(sorted(claims)).encode())
            path.mkdir(parents=True, exist_ok=True)

    def _release(self) -> None:
        """Remove the mount points that no other lab needs.

        A folder that is removed takes the mounts over it along, in every mount namespace: other labs' boxes have some.
        """
        with record.machine_locked(self._layout):
            for path in sorted(_claims(self._layout) - _others_claims(self._layout), reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()
            self._layout.mount_points.unlink(missing_ok=True)

    async def _start(self, box: Box, addresses: Addresses) -> None:
        run = self._layout.box_run(box.name)
        log = run / "log" / "init.log"
        internet = None if box.kind is Kind.INTERNET else self._pid(INTERNET)
        units = ["/run/units"] if box.kind is not Kind.NODE else [str(NODE_UNITS), "/run/units"]
        first = [sys.executable, "-I", "-S", init.__file__, box.name, str(self._layout.run)]
        pid = await proc.spawn(
            [
                *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"),
                *("sh", "-c", script(box, self._layout, addresses, internet), "box"),
                *(*first, "--python", sys.executable, "--units", *units),
            ],
            log=log,
        )
        deadline = time.monotonic() + READY_DEADLINE
        while not (run / "ready").exists():
            alive = Path(f"/proc/{pid}/cmdline").exists()
            if not alive or time.monotonic() > deadline:
                output = log.read_text(errors="replace").strip()[-500:]
                problem = output or ("it ended at once" if not alive else f"not ready after {READY_DEADLINE:.0f} s")
                raise BoxFailed(name=box.name, problem=problem, log=log)
            await asyncio.sleep(0.01)

    async def _connect(self, addresses: Addresses) -> None:
        far, link = f"/proc/{self._pid(INTERNET)}/ns/net", addresses.host_link
        inside = ["nsenter", f"--net={far}", "ip", "link"]
        # A link whose far end died with its box goes by itself, a moment later. One from another network namespace,
        # from which the lab was built, makes way for ours.
        await proc.run(["ip", "link", "del", link], check=False)
        await proc.run([*inside, "del", "host"], check=False)
        await proc.run(["ip", "link", "add", link, "type", "veth", "peer", "name", "host", "netns", far])
        await proc.run([*inside, "set", "host", "master", "world", "up"])
        await proc.run(["ip", "address", "add", f"{addresses.host}/{PREFIX}", "dev", link])
        await proc.run(["ip", "link", "set", link, "up"])
        if addresses.number == DEFAULT_NUMBER:
            await proc.run(["ip", "route", "add", PUBLIC_NET, "dev", link])

    def _pid(self, name: str) -> int:
        if name not in (boxes := self._boxes()):
            raise BoxFailed(name=name, problem="it is not there", log=self._layout.log(name, "init"))
        return boxes[name][0].pid


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _claims(layout: Layout) -> frozenset[Path]:
    try:
        return frozenset(map(Path, json.loads(layout.mount_points.read_text())))
    except (OSError, ValueError):
        return frozenset()


def _others_claims(layout: Layout) -> frozenset[Path]:
    return frozenset(path for other in record.neighbours(layout) for path in _claims(other))


def _folders(root: Path) -> Iterator[Path]:
    """The root and two levels below."""
    if root.is_dir():
        yield root
        for pattern in ("*", "*/*"):
            yield from (path for path in root.glob(pattern) if path.is_dir())


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)


async def _end(pid: int) -> None:
    """Kill a box's init and wait until it is gone: the kernel lets it go after all others in the box."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        gone = asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_DEADLINE):
                await gone.wait()
    except ProcessLookupError:
        return
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
