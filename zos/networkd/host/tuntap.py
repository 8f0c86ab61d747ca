"""Taps and TUNs, which only an ioctl makes."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_SETIFF, _SETPERSIST = 0x400454CA, 0x400454CB
_TUN, _TAP, _NO_PI, _VNET_HDR = 0x0001, 0x0002, 0x1000, 0x4000


def create(name: str) -> None:
    """Make a persistent tap in this thread's namespace; one of this name is taken over."""
    _create(name, _TAP | _NO_PI | _VNET_HDR)


def create_tun(name: str) -> None:
    """Make a persistent TUN in this thread's namespace."""
    try:
        _create(name, _TUN | _NO_PI)
    except OSError as err:
        if err.errno != errno.EBUSY:  # it is there, and in use
            raise


def _create(name: str, flags: int) -> None:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _SETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(device, _SETPERSIST, 1)
    finally:
        os.close(device)
