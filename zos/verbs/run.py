"""Performs a step through the door of the daemon that owns the resource."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from zos.flistd.api import FlistdClient
from zos.flistd.api.types import Mount, MountInfo, MountKind
from zos.mycelium.api import MyceliumClient
from zos.mycelium.api.types import Identity, IdentityId
from zos.networkd.api import NetworkdClient
from zos.networkd.api.types import MYCELIUM_DEVICE, TapInfo
from zos.storaged.api import StoragedClient
from zos.storaged.api.types import Disk, DiskInfo, Volume, VolumeInfo
from zos.verbs import steps as s
from zos.verbs.primitive import NotReady
from zos.vmd.api import VmdClient
from zos.vmd.api.types import Machine, MachineDisk, MachineKind, Nic, Route, Share

NAMESERVERS = ("8.8.8.8", "1.1.1.1", "2001:4860:4860::8888")
SSH_KEY = "SSH_KEY"


@dataclass(frozen=True, slots=True)
class Doors:
    """The daemons that steps are performed by."""

    storaged: StoragedClient
    flistd: FlistdClient
    networkd: NetworkdClient
    vmd: VmdClient
    mycelium: MyceliumClient


async def perform(step: s.Step, doors: Doors, done: MutableMapping[str, Any]) -> None:
    """One step; what the door answered goes to `done` under the step's id."""
    match step:
        case s.EnsureDisk(id, size):
            done[id] = await doors.storaged.ensure_disk(Disk(id, size))
        case s.DropDisk(id, evidence):
            await doors.storaged.drop_disk(id, evidence)
        case s.EnsureVolume(id, size):
            done[id] = await doors.storaged.ensure_volume(Volume(id, size))
        case s.DropVolume(id, evidence):
            await doors.storaged.drop_volume(id, evidence)
        case s.EnsureNetwork(network):
            done[network.id] = await doors.networkd.ensure_network(network)
        case s.DropNetwork(id):
            await doors.networkd.drop_network(id)
        case s.EnsureIdentity(network, key):
            place = done[network].namespace
            identity = Identity(IdentityId(network), key, place, MYCELIUM_DEVICE)
            done[f"mycelium:{network}"] = await doors.mycelium.ensure_identity(identity)
        case s.DropIdentity(id):
            await doors.mycelium.drop_identity(id)
        case s.NeedIdentity(id):
            done[f"mycelium:{id}"] = await doors.mycelium.identity(id)
        case s.EnsureTap(tap):
            done[tap.id] = await doors.networkd.ensure_tap(tap)
        case s.DropTap(id):
            await doors.networkd.drop_tap(id)
        case s.EnsureMount(id, url, upper):
            folder = done[upper].path if upper is not None else None
            done[f"mount:{id}"] = await doors.flistd.ensure_mount(Mount(id, url, folder))
        case s.DropMount(id):
            await doors.flistd.drop_mount(id)
        case s.FillDisk(disk, mount):
            seen: MountInfo = done[f"mount:{mount}"]
            if seen.kind is MountKind.IMAGE:
                done[disk] = await doors.storaged.fill_disk(disk, seen.path, seen.image or "/image.raw", seen.flist)
        case s.EnsureMachine():
            done[f"machine:{step.id}"] = await doors.vmd.ensure_machine(await _machine(step, doors, done))
        case s.DropMachine(id):
            await doors.vmd.drop_machine(id)
        case _:
            assert_never(step)


async def _machine(step: s.EnsureMachine, doors: Doors, done: Mapping[str, Any]) -> Machine:
    attached = [one for one in step.attached if one.id not in done]
    found: dict[str, DiskInfo | VolumeInfo] = {}
    if any(not one.is_volume for one in attached):
        found |= {disk.id: disk for disk in await doors.storaged.list_disks()}
    if any(one.is_volume for one in attached):
        found |= {volume.id: volume for volume in await doors.storaged.list_volumes()}
    for one in attached:
        if one.id not in found:
            raise NotReady(what=f"the node has no `{one.name}` for this machine")
    return machine(step, {**found, **done})


def machine(step: s.EnsureMachine, done: Mapping[str, Any]) -> Machine:
    """The machine that a step and its forerunners' answers describe. Pure."""
    mount: MountInfo = done[f"mount:{step.mount}"]
    taps = [one for one in (step.tap, step.planetary, step.mycelium) if one is not None]
    is_image = mount.kind is MountKind.IMAGE
    disks = tuple(
        MachineDisk(done[one.id].path, "" if is_image else one.target) for one in step.attached if not one.is_volume
    )
    shares = tuple(Share(one.name, Path(done[one.id].path), one.target) for one in step.attached if one.is_volume)
    env = {**mount.env, **step.env}
    return Machine(
        id=step.id,
        name=step.hostname,
        kind=MachineKind.IMAGE if is_image else MachineKind.CONTAINER,
        cpu=step.cpu,
        memory=step.memory,
        root=None if is_image else mount.path,
        kernel="" if is_image else mount.kernel,
        initrd="" if is_image or not mount.kernel else mount.initrd,
        disks=disks,
        shares=shares,
        nics=tuple(nic(done[tap]) for tap in taps),
        env=env,
        entrypoint="" if is_image else step.entrypoint or mount.entrypoint,
        ssh_keys=ssh_keys(env.get(SSH_KEY, "")),
        nameservers=NAMESERVERS,
        paused=step.paused,
    )


def nic(tap: TapInfo) -> Nic:
    """A guest's interface behind a tap."""
    routes = tuple(Route(route.dest, route.via) for route in tap.routes)
    return Nic(tap.device, tap.mac, tap.addresses, tap.gateway, tap.gateway6, routes)


def ssh_keys(text: str) -> tuple[str, ...]:
    """The keys in an SSH_KEY variable, which are parted by newlines or commas."""
    return tuple(key.strip() for key in text.replace(",", "\n").splitlines() if key.strip())
