"""The daemons that core-0 supervises: their order, their users, and what each may keep of root's powers. Pure.

A stage is what `after` says: a unit waits until those are ready, but not for ever (a broken sibling must not keep
the rest of the node down; every daemon copes with an absent one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zos.core0.api.types import KeyUse, Purpose
from zos.runtime import users
from zos.runtime.calls import CALLS
from zos.zdbd.api.types import DISK_LEAST_MEMORY, DISK_MEMORY_SHARE

_FILES = ("chown", "dac_override", "fowner", "fsetid")
_NETWORK = ("net_admin", "net_raw", "net_bind_service")


@dataclass(frozen=True, slots=True)
class Parts:
    """What each of the processes may take that a daemon starts for strangers' work (`parts.py`)."""

    memory_share: int
    """One in so many of the machine's bytes, but not less than:"""
    least_memory: int
    pids: int
    """Processes and threads."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One daemon, started as `python -m zos.<name>`."""

    name: str
    id: int = 0
    """Its user and its group (`runtime/users.py`)."""
    after: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    """What it keeps (capabilities(7) in lower case without `cap_`)."""
    key_uses: tuple[Purpose | KeyUse, ...] = ()
    """What core-0 does for it with the node's key; nothing else for this daemon, and nothing of it for another."""
    parts: Parts | None = None
    """None: it starts none for which core-0 makes control groups."""
    guests_pass: bool = False
    """Whether guests' processes, each with a user of its own, come through its folders (to files of their own)."""

    @property
    def calls(self) -> Mapping[str, frozenset[str]]:
        """The daemons whose API it uses, and the methods of each that it may call."""
        return CALLS.get(self.name, {})

    @property
    def walled(self) -> bool:
        """Whether it lives behind `walls`: what administers mounts or networks can undo them and would not work."""
        return "sys_admin" not in self.capabilities


UNITS = (
    Unit(
        "storaged",
        users.STORAGED,
        (),
        (*_FILES, "sys_admin", "mknod", "linux_immutable", "sys_rawio", "setfcap"),
    ),
    # The last three let it start yggdrasil as a user that can do nothing else.
    Unit(
        "networkd",
        users.NETWORKD,
        (),
        (*_FILES, *_NETWORK, "sys_admin", "sys_ptrace", "kill", "setgid", "setuid", "setpcap"),
        key_uses=(KeyUse.PLANETARY,),
    ),
    # It enters the networks' namespaces for their devices.
    Unit(
        "mycelium",
        users.MYCELIUM,
        ("networkd",),
        ("sys_admin", "net_admin", "dac_override"),
        key_uses=(KeyUse.MYCELIUM,),
    ),
    Unit("chain", users.CHAIN, key_uses=(Purpose.CHAIN,)),
    # The last three let it parse untrusted files as a user that can do nothing else.
    Unit(
        "flistd",
        users.FLISTD,
        ("storaged",),
        (*_FILES, "sys_admin", "mknod", "setfcap", "kill", "setgid", "setuid", "sys_chroot"),
    ),
    Unit("vmd", users.VMD, ("storaged", "networkd"), ("dac_override",), guests_pass=True),
    # Its volumes are its own, and its group passes to them.
    Unit(
        "zdbd",
        users.ZDBD,
        ("storaged", "networkd", "mycelium"),
        # What it is for: `zos/zdbd/memory.py`.
        parts=Parts(DISK_MEMORY_SHARE, DISK_LEAST_MEMORY, pids=128),
    ),
    Unit(
        "provisiond",
        users.PROVISIOND,
        ("storaged", "networkd", "mycelium", "flistd", "vmd", "zdbd"),
    ),
    Unit(
        "capacityd",
        users.CAPACITYD,
        ("storaged", "chain"),
        ("dac_read_search",),
    ),
    Unit(
        "rmb",
        users.RMB,
        ("chain", "provisiond"),
        key_uses=(Purpose.RMB, Purpose.AGREE),
    ),
)


def groups_of(unit: Unit) -> tuple[int, ...]:
    """The groups that let a unit connect to those that it calls."""
    ids = {other.name: other.id for other in UNITS} | {"core0": users.CORE0}
    return tuple(ids[name] for name in unit.calls)


def may_use_key(caller: str, use: Purpose | KeyUse) -> bool:
    """Whether the node's key is used this way for a caller, which is a unit's name or none."""
    return any(unit.name == caller and use in unit.key_uses for unit in UNITS)


def chosen(names: tuple[str, ...]) -> tuple[Unit, ...]:
    """The named units in boot order (all when none is named)."""
    return tuple(unit for unit in UNITS if not names or unit.name in names)
