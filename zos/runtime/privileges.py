"""Giving up what a daemon does not need: uid 0, and capabilities, which leave all its sets for good."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
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


def become(user: int, groups: Collection[int], names: Iterable[str]) -> None:
    """Turn this process, which is root's, into the user's (and his group's), with these capabilities alone, for good.

    Programs that it starts have them too. The kernel forgets who wanted a signal of the parent's end.
    """
    keep = {CAPABILITIES[name] for name in names}
    mask = sum(1 << number for number in keep)
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(last_capability() + 1):
        if number not in keep:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
    linux.prctl(linux.PR_SET_KEEPCAPS, 1)
    os.setgroups(sorted(groups))
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    linux.prctl(linux.PR_SET_KEEPCAPS, 0)
    linux.capset(mask, mask)
    for number in keep:
        linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_RAISE, number)


def holds(*names: str) -> bool:
    """Whether this process has these capabilities in effect."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")]
    mask = int(line.split()[1], 16)
    return all(mask >> CAPABILITIES[name] & 1 for name in names)


def drop_all() -> None:
    """Keep no capability. Who was never root does not lose them by becoming somebody else."""
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    linux.capset(0)


def die_with_parent(signal: int) -> None:
    """Ask the kernel for this signal when the parent process ends."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal)
