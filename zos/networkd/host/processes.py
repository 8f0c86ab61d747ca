"""Programs that outlive networkd: finding, watching and ending their processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from zos.networkd.api.errors import KernelRefused
from zos.runtime import threads

T = TypeVar("T")

DEADLINE = 20.0
"""Seconds for finding or ending a process, which may be stuck in the kernel."""
_STOP = 3.0


async def run(work: Callable[[], T]) -> T:
    """Run one of the blocking functions below; raises CallTooSlow after its deadline."""
    return await threads.run("find or end a process", work, DEADLINE)


def listener(path: Path) -> int:
    """The process that listens on a unix socket; 0 when none does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
            client.settimeout(1)
            client.connect(str(path))
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError, TimeoutError):
        return 0  # the last two: the process hangs, and its queue of connections is full
    return int(struct.unpack("3i", credentials)[0])


def running(program: str) -> Mapping[int, tuple[str, ...]]:
    """Every process of a program on this node, with its arguments."""
    # Nodes of a lab share /proc: the network namespace tells whose process it is.
    here = os.stat("/proc/self/ns/net").st_ino
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if words[0].rpartition(b"/")[2] == program.encode() and os.stat(folder / "ns/net").st_ino == here:
                found[int(folder.name)] = tuple(word.decode(errors="replace") for word in words)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def begin_end(pid: int) -> int | None:
    """Tell a process to end; returns its pidfd, for `wait`, or None when it is gone already."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    _signal(process, signal.SIGTERM)
    return process


def wait(process: int, program: str) -> None:
    """Wait until a process that was told to end is gone, by force if it does not go; closes its pidfd."""
    try:
        for number in (signal.SIGKILL, None):
            if select.select([process], [], [], _STOP)[0]:
                return
            if number is not None:
                _signal(process, number)
    finally:
        os.close(process)
    raise KernelRefused(action=f"end {program}", problem="it does not go")


def end(pid: int, program: str) -> None:
    """End a process and wait until it is gone."""
    process = begin_end(pid)
    if process is not None:
        wait(process, f"{program} ({pid})")


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        signal.pidfd_send_signal(process, number)


class Watch:
    """Calls back when a process ends: its pidfd becomes readable."""

    def __init__(self) -> None:
        self.callback: Callable[[], None] = lambda: None
        self._processes: dict[str, int] = {}

    def over(self, name: str, find: Callable[[], int]) -> None:
        """Watch the process that `find` returns under a name, unless that name is watched already; 0 is no process."""
        if name in self._processes or not (pid := find()):
            return
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            self.callback()
            return
        self._processes[name] = process
        asyncio.get_running_loop().add_reader(process, self._ended, name)

    def forget(self, name: str) -> None:
        """Let it end without a call."""
        process = self._processes.pop(name, None)
        if process is not None:
            asyncio.get_running_loop().remove_reader(process)
            os.close(process)

    def _ended(self, name: str) -> None:
        self.forget(name)
        self.callback()

    def close(self) -> None:
        for name in tuple(self._processes):
            self.forget(name)
