"""What a machine of a user is like: its disks, interfaces, environment, keys and name servers. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from zos.flistd.api.types import MountKind
from zos.model.names import unique
from zos.networkd.api.types import TapInfo
from zos.verbs.primitive import Mountable
from zos.verbs.step import Answers
from zos.vmd.api.check import is_tag, is_target
from zos.vmd.api.keys import split_keys
from zos.vmd.api.types import Machine, MachineDisk, MachineKind, Nic, Route, Share

if TYPE_CHECKING:
    from zos.verbs.vmd import Attached, EnsureMachine

SSH_KEY = "SSH_KEY"
"""The variable whose value is written to the guest's authorized_keys."""


def build(step: EnsureMachine, answers: Answers) -> Machine:
    """The machine that a step and the answers to earlier steps describe."""
    mount = answers[step.mount]
    is_image = mount.kind is MountKind.IMAGE
    env = {**mount.env, **step.env}
    disks = [one for one in step.attached if one.kind is Mountable.DISK]
    folders = [one for one in step.attached if one.kind is Mountable.FOLDER]
    return Machine(
        id=step.id,
        name=step.hostname,
        kind=MachineKind.IMAGE if is_image else MachineKind.CONTAINER,
        cpu=step.cpu,
        memory=step.memory,
        root=None if is_image else mount.path,
        kernel="" if is_image else mount.kernel,
        initrd="" if is_image or not mount.kernel else mount.initrd,
        disks=tuple(MachineDisk(answers[one.source].path, "" if is_image else target(one.target)) for one in disks),
        shares=tuple(Share(tag(one.name), answers[one.source].path, _share_target(one, is_image)) for one in folders),
        nics=tuple(nic(answers[tap]) for tap in step.nics),
        env=env,
        entrypoint="" if is_image else step.entrypoint or mount.entrypoint,
        ssh_keys=split_keys(env.get(SSH_KEY, "")),
        nameservers=step.nameservers,
        paused=step.paused,
    )


def nic(tap: TapInfo) -> Nic:
    """The guest's end of a tap."""
    routes = tuple(Route(route.dest, route.via) for route in tap.routes)
    return Nic(tap.device, tap.mac, tap.addresses, tap.gateway, tap.gateway6, routes)


def target(text: str) -> str:
    """Where a mountpoint leads, as the grid reads it: from the root, without `..`; what can stand as it is stays."""
    return text if is_target(text) else posixpath.normpath(f"/{text}").replace("//", "/")


def _share_target(one: Attached, is_image: bool) -> str:
    """An image reads no mountpoints; a folder that would hide its whole tree is there by its tag only."""
    found = target(one.target)
    return "" if is_image and found == "/" else found


def tag(name: str) -> str:
    """The tag of a volume's share: its name, or one that follows from it when it can be none."""
    return name if is_tag(name) else f"v-{unique(name, 'tag')}"
