"""TUN devices in named network namespaces: attaching to one, and moving packets.

The device is somebody else's (networkd's): persistent, with its addresses and routes, so that a machine's network is
the same whether this process lives or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from zos.errors import Status, ZosError
from zos.runtime import linux

NETNS = Path("/run/netns")
TUN = Path("/dev/net/tun")
IPV6_OFF = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
BATCH = 32
"""Packets per turn of the loop, so that no device starves the others."""
_SETIFF = 0x400454CA
_TUN, _NO_PI = 0x0001, 0x1000


class NoDevice(ZosError):
    """The device is not there (yet)."""

    reason = "mycelium.no_device"
    status = Status.UNAVAILABLE
    text = "no TUN {device} in namespace {namespace}: {problem}"


def problem() -> str:
    """What this machine lacks; empty when nothing."""
    if not TUN.exists():
        return f"{TUN} is missing"
    return "" if IPV6_OFF.exists() and IPV6_OFF.read_text().strip() == "0" else "IPv6 is off"


def namespace_inode(namespace: str) -> int:
    """Which namespace stands behind a name now; 0 when none does. The empty name is our own."""
    path = NETNS / namespace if namespace else Path("/proc/self/ns/net")
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def attach(device: str, namespace: str) -> int:
    """A non-blocking descriptor of an existing TUN. NoDevice when it cannot be had now."""
    found: list[int] = []
    problem: list[OSError] = []

    def work() -> None:
        try:
            if namespace:
                linux.setns(NETNS / namespace, linux.CLONE_NEWNET)
            # TUNSETIFF would make a device of that name: a fresh one that nobody configured.
            if not Path(f"/proc/thread-self/net/dev_snmp6/{device}").exists():
                raise FileNotFoundError("it does not exist")
            found.append(_open(device))
        except OSError as err:
            problem.append(err)

    # A thread of its own, so that no other code can ever find itself in a tenant's namespace.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if problem:
        raise NoDevice(device=device, namespace=namespace or "-", problem=problem[0])
    return found[0]


def _open(device: str) -> int:
    handle = os.open(TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(handle, _SETIFF, struct.pack("16sH22x", device.encode(), _TUN | _NO_PI))
    except OSError:
        os.close(handle)
        raise
    return handle


class Tun:
    """An attached device; `take` gets each packet that comes out of it."""

    def __init__(self, device: str, namespace: str, take: Callable[[bytes], None]) -> None:
        self.inode = namespace_inode(namespace)
        self.namespace = namespace
        self._take = take
        self._handle = attach(device, namespace)
        asyncio.get_running_loop().add_reader(self._handle, self._readable)

    @property
    def alive(self) -> bool:
        """Attached, and to the namespace that bears the name now."""
        return self._handle >= 0 and self.inode == namespace_inode(self.namespace)

    def _readable(self) -> None:
        try:
            for _ in range(BATCH):
                self._take(os.read(self._handle, 65536))
        except BlockingIOError:
            pass
        except OSError:  # EBADFD: the device went with its namespace
            self.close()

    def write(self, packet: bytes) -> None:
        """Hand a packet to the kernel; it is dropped when the device is full, down or gone."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.write(self._handle, packet)

    def close(self) -> None:
        """Let go of the device, which stays."""
        if self._handle >= 0:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1
