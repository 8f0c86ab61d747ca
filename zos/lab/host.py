"""Everything that building a lab does to this machine: `observe()` and `apply(step)`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from zos.lab import init, tls
from zos.lab import steps as s
from zos.lab.errors import BoxFailed, Busy
from zos.lab.plan import BoxSeen, Have
from zos.lab.script import NODE_FOLDERS, script
from zos.lab.topology import DESK_ADDRESS, DESK_LINK, INTERNET, PREFIX, PUBLIC_NET, Box, Kind, Layout
from zos.lab.units import NODE_UNITS
from zos.runtime import linux, proc
from zos.runtime.files import write_atomic

READY_DEADLINE = 15.0
KILL_DEADLINE = 15.0
LOOPS = Path("/sys/block")


class LinuxHost:
    """This machine."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def observe(self) -> Have:
        """What there is of a lab."""
        layout = self._layout
        targets = [Path(target) for target in NODE_FOLDERS.values()]
        folders = {folder for root in (layout.state, layout.run) for folder in _folders(root)}
        return Have(
            boxes=self._boxes(),
            loops=self._loops(),
            folders=frozenset(folders),
            disks=frozenset(layout.state.glob("*/disk-*.img")),
            mount_points=frozenset(path for path in targets if path.is_dir()),
            made=frozenset(path for path in self._made() if path.is_dir() and not any(path.iterdir())),
            mounts=self._mounts(),
            desk=Path("/sys/class/net", DESK_LINK).exists(),
        )

    async def apply(self, step: s.Step) -> None:
        """Perform one step; each may be repeated."""
        match step:
            case s.MakeFolder(path):
                path.mkdir(parents=True, exist_ok=True)
            case s.MakeMountPoint(path):
                self._remember(path)
                path.mkdir(parents=True, exist_ok=True)
            case s.WriteFile(path, text):
                write_atomic(path, text.encode(), mode=0o644)
            case s.CopyTree(source, target):
                await asyncio.to_thread(_copy, source, target)
            case s.MakeCertificates(folder, addresses):
                await asyncio.to_thread(tls.make, folder, addresses)
            case s.MakeDisk(path, size):
                with path.open("ab") as file:
                    os.truncate(file.fileno(), size)
            case s.AttachLoop(path):
                await proc.run(["losetup", "--find", path])
            case s.StartBox(box):
                await self._start(box)
            case s.PlugDesk():
                await self._plug()
            case s.KillBox(_, pid):
                await _end(pid)
            case s.DropDesk():
                await proc.run(["ip", "link", "del", DESK_LINK], check=False)
            case s.Unmount(path):
                await proc.run(["umount", "--lazy", path], check=False)
            case s.DetachLoop(device):
                # A device that is still in use is released when its last user ends.
                await proc.run(["losetup", "--detach", device], check=False)
            case s.RemoveFolder(path):
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
            case s.RemoveMountPoint(path):
                with contextlib.suppress(OSError):
                    path.rmdir()
            case _:
                assert_never(step)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else builds or removes this lab meanwhile; the lock leaves nothing behind."""
        folder = self._layout.state.parent
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Busy() from None
        finally:
            os.close(handle)

    def _boxes(self) -> dict[str, BoxSeen]:
        found = {}
        for pid in _pids():
            name = self._box_of(pid)
            if name:
                found[name] = BoxSeen(pid, (self._layout.box_run(name) / "ready").exists())
        return found

    def _box_of(self, pid: int) -> str:
        """The box whose first process this is; its command line is the same before and after it becomes init."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if init.__file__ not in words:
                return ""
            at = words.index(init.__file__)
            if words[at + 2] != str(self._layout.run):
                return ""
            status = Path(f"/proc/{pid}/status").read_text()
        except (OSError, IndexError):
            return ""
        (inner,) = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")] or [[]]
        return words[at + 1] if len(inner) == 2 and inner[1] == "1" else ""

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
    def _memory(self) -> Path:
        return self._layout.state / "mount-points.json"

    def _made(self) -> list[Path]:
        try:
            return [Path(text) for text in json.loads(self._memory.read_text())]
        except (OSError, ValueError):
            return []

    def _remember(self, path: Path) -> None:
        made = sorted({str(path), *map(str, self._made())})
        write_atomic(self._memory, json.dumps(made).encode())

    async def _start(self, box: Box) -> None:
        run = self._layout.box_run(box.name)
        log = run / "log" / "init.log"
        internet = None if box.kind is Kind.INTERNET else self._pid(INTERNET)
        units = ["/run/units"] if box.kind is not Kind.NODE else [str(NODE_UNITS), "/run/units"]
        first = [sys.executable, "-I", "-S", init.__file__, box.name, str(self._layout.run)]
        pid = await proc.spawn(
            [
                *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"),
                *("sh", "-c", script(box, self._layout, internet), "box"),
                *(*first, "--python", sys.executable, "--units", *units),
            ],
            log=log,
        )
        deadline = time.monotonic() + READY_DEADLINE
        while not (run / "ready").exists():
            alive = Path(f"/proc/{pid}/cmdline").exists()
            if not alive or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip()[-500:]
                problem = said or ("it ended at once" if not alive else f"not ready after {READY_DEADLINE:.0f} s")
                raise BoxFailed(name=box.name, problem=problem, log=log)
            await asyncio.sleep(0.01)

    async def _plug(self) -> None:
        far = f"/proc/{self._pid(INTERNET)}/ns/net"
        # A cable whose far end died with its box goes by itself, a moment later.
        await proc.run(["ip", "link", "del", DESK_LINK], check=False)
        await proc.run(["ip", "link", "add", DESK_LINK, "type", "veth", "peer", "name", "desk", "netns", far])
        await proc.run(["nsenter", f"--net={far}", "ip", "link", "set", "desk", "master", "world", "up"])
        await proc.run(["ip", "address", "add", f"{DESK_ADDRESS}/{PREFIX}", "dev", DESK_LINK])
        await proc.run(["ip", "link", "set", DESK_LINK, "up"])
        await proc.run(["ip", "route", "add", PUBLIC_NET, "dev", DESK_LINK])

    def _pid(self, name: str) -> int:
        seen = self._boxes().get(name)
        if seen is None:
            raise BoxFailed(name=name, problem="it is not there", log=self._layout.log(name, "init"))
        return seen.pid


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


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
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, gone.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_DEADLINE):
                await gone.wait()
        loop.remove_reader(descriptor)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
