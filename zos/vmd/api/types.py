"""The types of vmd's API: a machine as callers describe it, and as vmd observes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

from zos.model.units import Bytes

MachineId = NewType("MachineId", str)
"""Chosen by the caller (a workload id); also the libvirt domain's name."""


class MachineKind(StrEnum):
    """How a machine boots."""

    CONTAINER = "container"
    """The node's guest kernel (or the flist's own) with `root` as virtiofs root file system."""
    IMAGE = "image"
    """Firmware boots the first disk, which holds a whole system."""


class MachineState(StrEnum):
    STARTING = "starting"
    """Accepted, not started yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Held on request; memory and devices are kept."""
    BACKOFF = "backoff"
    """It ended or could not start; `next_try` says when it is started again."""
    STOPPED = "stopped"
    """Being removed."""
    CRASHED = "crashed"
    """The hypervisor holds a broken guest; it is about to be restarted."""


class Accelerator(StrEnum):
    """What runs guest code."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class Acceleration:
    """The accelerator that this node uses, and why."""

    kind: Accelerator
    why: str


@dataclass(frozen=True, slots=True)
class MachineDisk:
    """A block file; in order they are /dev/vda, /dev/vdb, …"""

    path: Path
    target: str = ""
    """Where a container mounts it (formatted first when it is blank); "" leaves it unmounted."""


@dataclass(frozen=True, slots=True)
class Share:
    """A directory of the node shared by virtiofs."""

    tag: str
    path: Path
    target: str


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the guest."""

    dest: str
    via: str


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface on a tap that already exists."""

    tap: str
    mac: str
    addresses: tuple[str, ...] = ()
    """With prefix length, IPv4 or IPv6."""
    gateway: str = ""
    gateway6: str = ""
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as it shall be."""

    id: MachineId
    name: str
    """The guest's host name."""
    kind: MachineKind
    cpu: int
    memory: Bytes
    root: Path | None = None
    """Directory that a container sees as its root, read-write."""
    kernel: str = ""
    """Path inside `root` of the flist's own kernel; "" is the node's guest kernel."""
    initrd: str = ""
    """Path inside `root` of the initramfs for that kernel."""
    disks: tuple[MachineDisk, ...] = ()
    shares: tuple[Share, ...] = ()
    nics: tuple[Nic, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: str = ""
    """Command line that a container runs as its first process; "" is /sbin/init."""
    ssh_keys: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """A machine as observed."""

    id: MachineId
    state: MachineState
    since: float
    """Unix seconds of the last change of state."""
    restarts: int = 0
    """How often it was started again since the node booted."""
    next_try: float = 0.0
    """Unix seconds; 0 when no start is planned."""
    detail: str = ""
    """Why it is so, in words."""
    pid: int = 0
    """QEMU's process; 0 when there is none."""
    accel: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds on the guest's clock at which the last boot reached a phase (kernel, userland, root, entrypoint)."""
