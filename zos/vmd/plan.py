"""Decides the next steps of a machine, and which machines are refused. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from zos.model.units import MiB, show
from zos.vmd.api.errors import BadMachine
from zos.vmd.api.types import Machine, MachineInfo, MachineKind, MachineState
from zos.vmd.digest import digest
from zos.vmd.model import GuestState, MachineRecord, ObservedGuest, RunState, is_due, may_resume
from zos.vmd.steps import Forget, GrowDisk, Pause, Resume, Start, Step, Stop

LEAST_MEMORY = MiB(250)
MOST_DISKS = 16
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,120}")
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,35}")
TAP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ROOT_TAG = "vroot"


def plan(record: MachineRecord, observed: ObservedGuest | None, run: RunState, now: float) -> tuple[Step, ...]:
    """Steps for one machine now; none when its guest is what the record says, or while a start is backed off."""
    machine = record.machine
    if observed is None:
        if record.dropping:
            return (Forget(machine.id),)
        return (Start(machine),) if is_due(run, now) else ()
    if record.dropping:
        return (Stop(machine.id, "it was dropped"),)
    if observed.state is GuestState.ENDING:
        return ()
    if observed.state is GuestState.BROKEN:
        return (Stop(machine.id, observed.detail or "the hypervisor holds a broken guest", failure=True),)
    if observed.dead_shares:
        tags = ", ".join(observed.dead_shares)
        return (Stop(machine.id, f"the file server of {tags} ended", failure=True),)
    if observed.digest != digest(machine):
        return (Stop(machine.id, "its definition was changed"),)
    if run.mounts and observed.mounts and run.mounts != observed.mounts:
        # The server of its root ended and flistd mounted the root anew: the guest still has the dead mount.
        return (Stop(machine.id, "its folders were mounted anew, and it has the mounts before"),)
    return (
        *_pausing(machine, observed, run, now),
        *(GrowDisk(machine.id, index, size) for index, size in observed.growth.items()),
    )


def _pausing(machine: Machine, observed: ObservedGuest, run: RunState, now: float) -> tuple[Step, ...]:
    if machine.paused and observed.state is GuestState.RUNNING:
        return (Pause(machine.id),)
    if not machine.paused and observed.state is GuestState.PAUSED:
        return (Resume(machine.id),)
    if not machine.paused and observed.state is GuestState.STALLED and may_resume(run, now):
        return (Resume(machine.id, is_stalled=True),)
    return ()


def report(
    record: MachineRecord,
    observed: ObservedGuest | None,
    run: RunState,
    phases: Mapping[str, float] | None = None,
    problem: str = "",
) -> MachineInfo:
    """A machine for its callers; `problem` is what keeps vmd from doing better now."""
    machine = record.machine
    state, detail, next_try = MachineState.STARTING, run.reason, 0.0
    if record.dropping:
        state = MachineState.STOPPED
    elif observed is not None:
        state, detail = _STATES[observed.state], observed.detail or _past(run)
    elif run.failures:
        state, next_try = MachineState.BACKOFF, run.next_try
    return MachineInfo(
        id=machine.id,
        state=state,
        since=run.changed,
        restarts=run.restarts,
        next_try=next_try,
        detail=problem or detail,
        pid=observed.pid if observed else 0,
        accel=observed.accel if observed else "",
        phases=dict(phases or {}),
    )


def _past(run: RunState) -> str:
    return f"the last time it ended: {run.last_end}" if run.restarts and run.last_end else ""


_STATES = {
    GuestState.RUNNING: MachineState.RUNNING,
    GuestState.PAUSED: MachineState.PAUSED,
    GuestState.STALLED: MachineState.PAUSED,
    GuestState.BROKEN: MachineState.CRASHED,
    GuestState.ENDING: MachineState.STOPPED,
}


def check(machine: Machine, processors: int) -> None:
    """Refuse what cannot be a machine, before anything is touched."""
    if problem := _problem(machine, processors):
        raise BadMachine(id=machine.id, problem=problem)


def check_alone(machine: Machine, others: Iterable[Machine]) -> None:
    """Refuse what another machine has: two guests on one disk destroy it."""
    mine = _exclusive(machine)
    for other in others:
        if other.id != machine.id and (both := mine & _exclusive(other)):
            raise BadMachine(id=machine.id, problem=f"machine {other.id} already has {min(both)}")


def _exclusive(machine: Machine) -> set[str]:
    disks = {f"the disk {disk.path}" for disk in machine.disks}
    return disks | {f"the network device {nic.tap}" for nic in machine.nics}


def _problem(machine: Machine, processors: int) -> str:
    if not ID.fullmatch(machine.id):
        return "its id must be letters, digits and - _ . : only"
    if not HOSTNAME.fullmatch(machine.name):
        return f"`{machine.name}` is no host name"
    if not 1 <= machine.cpu <= processors:
        return f"{machine.cpu} CPUs were asked for; this node can give 1 to {processors}"
    if machine.memory < LEAST_MEMORY:
        return f"{show(machine.memory)} of memory are too little; the least is {show(LEAST_MEMORY)}"
    return (
        _boot_problem(machine)
        or _disk_problem(machine)
        or _share_problem(machine)
        or _nic_problem(machine)
        or _text_problem(machine)
    )


def _boot_problem(machine: Machine) -> str:
    if machine.kind is MachineKind.CONTAINER:
        if machine.root is None or not _is_clean(machine.root):
            return "a container needs an absolute root directory"
        if machine.initrd and not machine.kernel:
            return "an initramfs needs its kernel"
        return ""
    if not machine.disks:
        return "a full image needs a disk to boot from"
    if machine.root is not None or machine.kernel or machine.initrd:
        return "a full image has no root directory and no kernel of the node's"
    return ""


def _disk_problem(machine: Machine) -> str:
    if len(machine.disks) > MOST_DISKS:
        return f"it has {len(machine.disks)} disks; the most is {MOST_DISKS}"
    if not all(_is_clean(disk.path) for disk in machine.disks):
        return "the path of a disk must be absolute"
    if twice := _twice([str(disk.path) for disk in machine.disks]):
        return f"the disk {twice} is attached twice"
    return _target_problem(machine)


def _target_problem(machine: Machine) -> str:
    targets = [disk.target for disk in machine.disks if disk.target] + [share.target for share in machine.shares]
    for target in targets:
        if not target.startswith("/") or ".." in Path(target).parts or "\0" in target or Path(target) == Path("/"):
            return f"`{target}` is no place to mount at"
    if twice := _twice([str(Path(target)) for target in targets]):
        return f"two things are to be mounted at {twice}"
    return ""


def _share_problem(machine: Machine) -> str:
    for share in machine.shares:
        if not TAG.fullmatch(share.tag) or share.tag == ROOT_TAG:
            return f"`{share.tag}` cannot name a share"
        if not _is_clean(share.path):
            return "the path of a share must be absolute"
    if twice := _twice([share.tag for share in machine.shares]):
        return f"two shares are named {twice}"
    return ""


def _nic_problem(machine: Machine) -> str:
    for nic in machine.nics:
        if not TAP.fullmatch(nic.tap):
            return f"`{nic.tap}` is no network device"
        if not MAC.fullmatch(nic.mac.lower()):
            return f"`{nic.mac}` is no unicast hardware address"
        try:
            for address in nic.addresses:
                ip_interface(address)
            for route in nic.routes:
                ip_network(route.dest)
            for text in (nic.gateway, nic.gateway6, *(route.via for route in nic.routes)):
                if text:
                    ip_address(text)
        except ValueError as err:
            return str(err)
    for words in ([nic.tap for nic in machine.nics], [nic.mac.lower() for nic in machine.nics]):
        if twice := _twice(words):
            return f"two interfaces have {twice}"
    return ""


def _text_problem(machine: Machine) -> str:
    for name, value in machine.env.items():
        if not ENV_NAME.fullmatch(name) or "\0" in value:
            return f"`{name}` cannot be an environment variable"
    for server in machine.nameservers:
        try:
            ip_address(server)
        except ValueError as err:
            return str(err)
    if any("\0" in text for text in (machine.entrypoint, *machine.ssh_keys)):
        return "a text holds a zero byte"
    return ""


def _is_clean(path: Path) -> bool:
    return path.is_absolute() and ".." not in path.parts and "\0" not in str(path)


def _twice(words: list[str]) -> str:
    return next((word for word, count in Counter(words).items() if count > 1), "")
