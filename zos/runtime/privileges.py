"""Giving up what a daemon does not need: capabilities leave its bounding, permitted and effective sets for good."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zos.runtime import linux

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


def last_capability() -> int:
    """The highest capability number that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def keep_only(names: Iterable[str]) -> None:
    """Drop every capability but these from all sets of this process; cannot be undone."""
    keep = {CAPABILITIES[name] for name in names}
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(last_capability() + 1):
        if number not in keep:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
    # Nothing is inheritable: programs that a daemon runs get what the bounding set leaves a root user.
    linux.capset(sum(1 << number for number in keep))


def die_with_parent(signal: int) -> None:
    """Ask the kernel for this signal when the parent process ends."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal)
