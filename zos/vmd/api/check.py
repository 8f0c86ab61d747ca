"""Which machines can be. Pure; vmd checks by it, and so does whoever wants to refuse one before it is paid for."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from zos.model import shellwords
from zos.model.units import MiB, show
from zos.vmd.api.errors import BadMachine
from zos.vmd.api.types import Machine, MachineKind

LEAST_MEMORY = MiB(250)
MOST_DISKS = 16
MOST_TEXT = 128 * 1024 - 1
"""Bytes of one word that Linux hands to a program, with the zero behind it (MAX_ARG_STRLEN)."""
MOST_TEXTS = int(MiB(1))
"""Bytes of environment and entrypoint, quoted as a shell wants them: they must fit on the seed's disk."""
ROOT_TAG = "vroot"
"""The tag of a container's root file system."""
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,120}")
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,35}")
TAP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


def is_tag(text: str) -> bool:
    """Whether a share can have this name."""
    return TAG.fullmatch(text) is not None and text != ROOT_TAG


def check(machine: Machine, processors: int) -> None:
    """Refuse what cannot be a machine, before anything is touched."""
    if problem := common_problem(machine, processors) or _boot_problem(machine) or _target_problem(machine):
        raise BadMachine(id=machine.id, problem=problem)


def common_problem(machine: Machine, processors: int) -> str:
    """What is wrong with a machine however it boots; empty when nothing is."""
    if not ID.fullmatch(machine.id):
        return "its id must be letters, digits and - _ . : only"
    if not HOSTNAME.fullmatch(machine.name):
        return f"`{machine.name}` is no host name"
    if not 1 <= machine.cpu <= processors:
        return f"{machine.cpu} CPUs were asked for; this node can give 1 to {processors}"
    if machine.memory < LEAST_MEMORY:
        return f"{show(machine.memory)} of memory are too little; the least is {show(LEAST_MEMORY)}"
    return _disk_problem(machine) or _share_problem(machine) or _nic_problem(machine) or _text_problem(machine)


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
    if twice := _twice(str(disk.path) for disk in machine.disks):
        return f"the disk {twice} is attached twice"
    return ""


def _target_problem(machine: Machine) -> str:
    """What is wrong with where disks and shares are mounted; an empty target is not mounted."""
    all_targets = (*(disk.target for disk in machine.disks), *(share.target for share in machine.shares))
    targets = list(filter(None, all_targets))
    for target in targets:
        if not is_target(target):
            return f"`{target}` is no place to mount at; give an absolute path below /"
    if twice := _twice(str(Path(target)) for target in targets):
        return f"two things are to be mounted at {twice}"
    return ""


def is_target(text: str) -> bool:
    """Whether something can be mounted there as it is written."""
    return text.startswith("/") and ".." not in Path(text).parts and "\0" not in text and Path(text) != Path("/")


def _share_problem(machine: Machine) -> str:
    for share in machine.shares:
        if not is_tag(share.tag):
            return f"`{share.tag}` cannot name a share"
        if not _is_clean(share.path):
            return "the path of a share must be absolute"
    if twice := _twice(share.tag for share in machine.shares):
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
        if not name or set(name) & {"=", "\0"} or "\0" in value:
            return f"`{name[:80]}` cannot be an environment variable: names are not empty and have no `=` or zero byte"
        if len(f"{name}={value}".encode()) > MOST_TEXT:
            return f"the environment variable `{name[:80]}` is longer than {MOST_TEXT} bytes, which no program can take"
    for server in machine.nameservers:
        try:
            ip_address(server)
        except ValueError as err:
            return str(err)
    if any("\0" in text for text in (machine.entrypoint, *machine.ssh_keys)):
        return "the entrypoint or an SSH key holds a zero byte"
    if len(machine.entrypoint.encode()) > MOST_TEXTS:
        return f"the entrypoint has more than {MOST_TEXTS} bytes"
    try:
        words = shellwords.split(machine.entrypoint)
    except ValueError as err:
        return f"the entrypoint cannot be read: {err}"
    if any(len(word.encode()) > MOST_TEXT for word in words):
        return f"a word of the entrypoint is longer than {MOST_TEXT} bytes, which no program can take"
    texts = (*words, *machine.ssh_keys, *(f"{name}={shlex.quote(value)}" for name, value in machine.env.items()))
    if (size := sum(len(text.encode()) for text in texts)) > MOST_TEXTS:
        return f"environment and entrypoint have {size} bytes; at most {MOST_TEXTS} are taken"
    return ""


def _is_clean(path: Path) -> bool:
    return path.is_absolute() and ".." not in path.parts and "\0" not in str(path)


def _twice(words: Iterable[str]) -> str:
    return next((word for word, count in Counter(words).items() if count > 1), "")
