"""Attaching to TUN devices in named network namespaces, and moving packets.

networkd owns the device: it is persistent, with addresses and routes, so that a machine's network stays the same
when this process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from zos.errors import Status, ZosError
from zos.mycelium import offload
from zos.runtime import linux

NETNS = Path("/run/netns")
TUN = Path("/dev/net/tun")
IPV6_OFF = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
BATCH = 32
"""Packets per turn of the event loop, after which no more is read, so that no device starves the others."""
PENDING = 256 << 10
"""Bytes that wait for the end of the turn to be written together."""
FRAME = offload.HEADER.size + 40 + offload.LARGEST
QUEUE, QUEUE_OF_FRAMES = 500, 128
"""Packets that the kernel keeps for us: its own default, and fewer where each may have 64 KiB nobody pays for."""
_SETIFF, _GETFEATURES, _SETOFFLOAD, _SETHEADER = 0x400454CA, 0x800454CF, 0x400454D0, 0x400454D8
_SIOCSIFTXQLEN = 0x8943
_TUN, _NO_PI, _VNET_HDR = 0x0001, 0x1000, 0x4000
_CHECKSUMS, _TCP6, _TCP_ECN = 0x01, 0x04, 0x08


class NoDevice(ZosError):
    """The device is not there (yet)."""

    reason = "mycelium.no_device"
    status = Status.UNAVAILABLE
    text = "no TUN {device} in namespace {namespace}: {problem}"


def problem() -> str:
    """What this machine lacks for the overlay; empty when nothing."""
    if not TUN.exists():
        return f"{TUN} is missing"
    return "" if IPV6_OFF.exists() and IPV6_OFF.read_text().strip() == "0" else "IPv6 is off"


def namespace_inode(namespace: str) -> int:
    """The inode of a named namespace; 0 when it does not exist. The empty name is this process's namespace."""
    path = NETNS / namespace if namespace else Path("/proc/self/ns/net")
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def attach(device: str, namespace: str) -> tuple[int, bool]:
    """A non-blocking descriptor of an existing TUN, and whether its packets have `offload`'s header.

    NoDevice when it cannot be had now.
    """
    found: list[tuple[int, bool]] = []
    problem: list[OSError] = []

    def work() -> None:
        try:
            if namespace:
                linux.setns(NETNS / namespace, linux.CLONE_NEWNET)
            # TUNSETIFF would create a missing device, without addresses and routes.
            if not Path(f"/proc/thread-self/net/dev_snmp6/{device}").exists():
                raise FileNotFoundError("it does not exist")
            found.append(_open(device))
        except OSError as err:
            problem.append(err)

    # setns changes the namespace of the thread. This one ends here, so no other code ever runs in a tenant's namespace.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if problem:
        raise NoDevice(device=device, namespace=namespace or "-", problem=problem[0])
    return found[0]


def _open(device: str) -> tuple[int, bool]:
    handle = os.open(TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        (features,) = struct.unpack("I", fcntl.ioctl(handle, _GETFEATURES, bytes(4)))
        header = features & _VNET_HDR
        fcntl.ioctl(handle, _SETIFF, struct.pack("16sH22x", device.encode(), _TUN | _NO_PI | header))
        if header:
            fcntl.ioctl(handle, _SETHEADER, struct.pack("i", offload.HEADER.size))
        # The device remembers what the last one took: without the header nobody could tell what to cut.
        _offer(handle, _CHECKSUMS | _TCP6 | _TCP_ECN if header else 0)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
            queue = QUEUE_OF_FRAMES if header else QUEUE
            fcntl.ioctl(any_socket, _SIOCSIFTXQLEN, struct.pack("16si20x", device.encode(), queue))
    except OSError:
        os.close(handle)
        raise
    return handle, bool(header)


def _offer(handle: int, offloads: int) -> None:
    """Have the kernel leave these to us; all of it stays with a kernel that cannot."""
    try:
        fcntl.ioctl(handle, _SETOFFLOAD, offloads)
    except OSError:
        fcntl.ioctl(handle, _SETOFFLOAD, 0)


class Tun:
    """An attached device; `receive` is called with the packets that the kernel sends into it, all of a flow."""

    def __init__(self, device: str, namespace: str, receive: Callable[[Sequence[bytes]], None]) -> None:
        self.inode = namespace_inode(namespace)
        self.namespace = namespace
        self._device = device
        self._receive = receive
        self._pending: list[bytes] = []
        self._size = 0
        self._handle, self._has_header = attach(device, namespace)
        asyncio.get_running_loop().add_reader(self._handle, self._readable)

    def leads_to(self, device: str, namespace: str) -> bool:
        """Whether it is this device."""
        return (self._device, self.namespace) == (device, namespace)

    @property
    def alive(self) -> bool:
        """Attached, and the namespace is still the one of that name (a rebuilt one has another inode)."""
        return self._handle >= 0 and self.inode == namespace_inode(self.namespace)

    def _readable(self) -> None:
        room = BATCH
        try:
            while room > 0 and self._handle >= 0:
                frame = os.read(self._handle, FRAME)
                packets = offload.cut(frame) if self._has_header else [frame]
                room -= len(packets) or 1
                if packets:
                    self._receive(packets)
        except BlockingIOError:
            pass
        except OSError:  # EBADFD: the device went with its namespace
            self.close()

    def write(self, packets: Sequence[bytes]) -> None:
        """Send packets to the kernel; they are lost when the device is full, down or gone."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending += packets
        self._size += sum(map(len, packets))
        if self._size > PENDING:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._size = self._pending, [], 0
        for pieces in offload.merged(pending) if self._has_header else ([packet] for packet in pending):
            if self._handle >= 0:
                with contextlib.suppress(OSError):
                    os.writev(self._handle, pieces)

    def close(self) -> None:
        """Detach; the device stays."""
        if self._handle >= 0:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1
