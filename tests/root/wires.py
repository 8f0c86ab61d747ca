"""Ends of wires inside a node: taps as QEMU holds them, the cable, the node's own sockets. All in this process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from zos.runtime import linux

T = TypeVar("T")
_TUNSETIFF = 0x400454CA
_TAP, _TUN, _BARE = 0x0002, 0x0001, 0x1000
_ALL = 0x0003


def inside(pid: int, work: Callable[[], T], namespace: str = "") -> T:
    """Do something in a process's network namespace, or in a named one of its node."""
    done: list[T] = []

    def entered() -> None:
        linux.setns(Path(f"/proc/{pid}/ns/net"), linux.CLONE_NEWNET)
        if namespace:
            linux.setns(Path(f"/proc/{pid}/root/run/netns/{namespace}"), linux.CLONE_NEWNET)
        done.append(work())

    thread = threading.Thread(target=entered)
    thread.start()
    thread.join()
    return done[0]


class Wires:
    """What can be written to, and where frames are seen."""

    def __init__(self, folder: Path) -> None:
        self.ends: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._device = folder / "tun"
        os.mknod(self._device, stat.S_IFCHR | 0o600, os.makedev(10, 200))

    def tap(self, name: str, pid: int, device: str) -> None:
        """Hold a tap's end, as QEMU does."""
        self._add(name, inside(pid, lambda: self._tun(device, _TAP)))

    def tun(self, name: str, pid: int, namespace: str, device: str) -> None:
        """Hold a TUN's end, as a router does."""
        self._add(name, inside(pid, lambda: self._tun(device, _TUN), namespace))

    def cable(self, name: str, pid: int, link: str, namespace: str = "") -> None:
        """Send and see frames on a link."""

        def opened() -> int:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            raw.bind((link, _ALL))
            return raw.detach()

        self._add(name, inside(pid, opened, namespace))

    def listen(self, name: str, pid: int, port: int) -> None:
        """See what comes to a UDP port of a node, by either family."""

        def opened() -> int:
            both = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            both.bind(("::", port))
            return both.detach()

        self._add(name, inside(pid, opened))

    def _tun(self, device: str, kind: int) -> int:
        end = os.open(self._device, os.O_RDWR)
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", device.encode(), kind | _BARE))
        return end

    def _add(self, name: str, end: int) -> None:
        os.set_blocking(end, False)
        self.ends[name] = end
        self._names[end] = name

    def send(self, name: str, *frames: bytes) -> None:
        """Send frames from an end; the kernel has carried each as far as it goes when this returns."""
        for frame in frames:
            os.write(self.ends[name], frame)

    def seen(self, fence: bytes, deadline: float = 5.0) -> list[tuple[str, bytes]]:
        """Everything that arrived anywhere, up to a frame that holds the fence and is sure to come."""
        found: list[tuple[str, bytes]] = []
        end = time.monotonic() + deadline
        while not any(fence in data for _, data in found):
            assert time.monotonic() < end, "the fence did not arrive"
            select.select(list(self.ends.values()), [], [], 0.5)
            found += self._drained()
        return [*found, *self._drained()]

    def _drained(self) -> Iterator[tuple[str, bytes]]:
        for end, name in self._names.items():
            with contextlib.suppress(BlockingIOError, OSError):
                while data := os.read(end, 70000):
                    yield name, data

    def close(self) -> None:
        """Let go of all ends."""
        for end in self.ends.values():
            os.close(end)
