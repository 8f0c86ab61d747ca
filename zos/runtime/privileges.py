"""Giving up what a daemon does not need: capabilities leave its bounding, permitted and effective sets for good."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

# capability.h's numbers, for the ones that some daemon of ours keeps.
CAPABILITIES = {
    "chown": 0,
    "dac_override": 1,
    "dac_read_search": 2,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "setgid": 6,
    "setuid": 7,
    "setpcap": 8,
    "linux_immutable": 9,
    "net_bind_service": 10,
    "net_admin": 12,
    "net_raw": 13,
    "ipc_lock": 14,
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_chroot": 18,
    "sys_ptrace": 19,
    "sys_admin": 21,
    "sys_nice": 23,
    "sys_resource": 24,
    "mknod": 27,
    "setfcap": 31,
}

_LIBC = ctypes.CDLL(None, use_errno=True)


def last_capability() -> int:
    """The highest capability number that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def keep_only(names: Iterable[str]) -> None:
    """Drop every capability but these from all sets of this process; cannot be undone."""
    keep = {CAPABILITIES[name] for name in names}
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(last_capability() + 1):
        if number not in keep:
            _prctl(_PR_CAPBSET_DROP, number)
    mask = sum(1 << number for number in keep)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    # Inheritable stays empty: programs that a daemon runs get what the bounding set leaves a root user.
    data = struct.pack("<6I", low, low, 0, high, high, 0)
    if _LIBC.capset(header, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "capset")


def die_with_parent(signal: int) -> None:
    """Ask the kernel for this signal when the parent process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def _prctl(option: int, argument: int) -> None:
    if _LIBC.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"prctl({option}, {argument})")
