"""Taps, which only an ioctl makes."""

from __future__ import annotations

import fcntl
import os
import struct

_SETIFF, _SETPERSIST = 0x400454CA, 0x400454CB
_TAP, _NO_PI, _VNET_HDR = 0x0002, 0x1000, 0x4000


def create(name: str) -> None:
    """Make a persistent tap in this thread's namespace; one of this name is taken over."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _SETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_PI | _VNET_HDR))
        fcntl.ioctl(device, _SETPERSIST, 1)
    finally:
        os.close(device)
