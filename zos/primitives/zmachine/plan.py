"""Decides what a zmachine needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zos.flistd.api.types import MountId
from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, mac, net_id, unique, workload_id
from zos.mycelium.api.types import IdentityId
from zos.networkd.api.types import NetId, Place, Tap, TapId
from zos.primitives.zmachine.spec import MyceliumSpec, ZmachineSpec, parse
from zos.storaged.api.types import DiskId, VolumeId
from zos.verbs.primitive import BadWorkload, Facts, Need, Outcomes, Primitive
from zos.verbs.steps import (
    Attached,
    DropMachine,
    DropMount,
    DropTap,
    DropVolume,
    EnsureMachine,
    EnsureMount,
    EnsureTap,
    EnsureVolume,
    FillDisk,
    NeedIdentity,
    Step,
)
from zos.vmd.api.types import MachineId

DISKS = ("zmount",)
PLANETARY, MYCELIUM = "ygg", "mycelium"
"""The labels of a machine's taps there; no network can have these names."""
VOLUMES = ("volume", "qsfs")


class Zmachine(Primitive[ZmachineSpec]):
    """A machine of vmd, on a mount of flistd over a volume of storaged, behind a tap of networkd."""

    wire_type = "zmachine"
    after = ("network", "zmount", "volume")
    updatable = False
    pausable = True

    def parse(self, data: Fields) -> ZmachineSpec:
        return parse(data)

    def check(self, spec: ZmachineSpec, path: str, siblings: Mapping[str, str]) -> None:
        seen: set[str] = set()
        for index, mount in enumerate(spec.mounts):
            where = f"{path}.data.mounts[{index}]"
            if siblings.get(mount.name) not in (*DISKS, *VOLUMES):
                raise BadWorkload(path=f"{where}.name", problem=f"the deployment has no disk `{mount.name}`")
            if mount.name in seen:
                raise BadWorkload(path=f"{where}.name", problem=f"`{mount.name}` is mounted twice")
            seen.add(mount.name)

    def capacity(self, spec: ZmachineSpec) -> Capacity:
        return Capacity(cru=spec.cpu, mru=spec.memory, sru=spec.root)

    def needs(self, spec: ZmachineSpec) -> tuple[Need, ...]:
        networks = (spec.network, *((spec.mycelium.network,) if spec.mycelium else ()))
        return (
            *(Need(name, shared=True) for name in dict.fromkeys(networks)),
            *(Need(mount.name) for mount in spec.mounts),
        )

    def drop(self, id: WorkloadId, spec: ZmachineSpec, facts: Facts) -> tuple[Step, ...]:
        return (
            DropMachine(MachineId(id)),
            *map(DropTap, _taps(id, spec)),
            DropMount(MountId(id)),
            DropVolume(_root(id), facts.proof()),
        )

    def make(
        self, id: WorkloadId, spec: ZmachineSpec, facts: Facts, previous: ZmachineSpec | None = None
    ) -> tuple[Step, ...]:
        mount, root = MountId(id), _root(id)
        attached = tuple(_attached(one.name, one.target, facts) for one in spec.mounts)
        boot = next((one for one in attached if not one.is_volume), None)
        tap, planetary, overlay = _tap(id, spec.network), _tap(id, PLANETARY), _tap(id, MYCELIUM)
        network = NetId(net_id(facts.twin, spec.network))
        return (
            # First, so that a node that is not in these networks refuses before anything is made.
            *(_planetary(planetary) if spec.planetary else ()),
            *(_overlay(overlay, spec.mycelium, facts) if spec.mycelium else ()),
            EnsureTap(Tap(tap, Place.NETWORK, mac(tap), network, ip=spec.ip)),
            EnsureVolume(root, spec.root),
            EnsureMount(mount, spec.flist, root),
            *((FillDisk(DiskId(boot.id), mount),) if boot else ()),
            EnsureMachine(
                id=MachineId(id),
                hostname=re.sub(r"[^A-Za-z0-9-]", "-", facts.name).strip("-") or "vm",
                cpu=spec.cpu,
                memory=spec.memory,
                mount=mount,
                tap=tap,
                planetary=planetary if spec.planetary else None,
                mycelium=overlay if spec.mycelium else None,
                attached=attached,
                env=spec.env,
                entrypoint=spec.entrypoint,
                paused=facts.paused,
            ),
        )

    def result(self, id: WorkloadId, spec: ZmachineSpec, done: Outcomes, facts: Facts) -> Any:
        planetary = done[_tap(id, PLANETARY)].ip if spec.planetary else ""
        overlay = done[_tap(id, MYCELIUM)].ip if spec.mycelium else ""
        return {"id": id, "ip": spec.ip, "planetary_ip": planetary, "mycelium_ip": overlay, "console_url": ""}


def _root(id: WorkloadId) -> VolumeId:
    return VolumeId(f"rootfs-{id}")


def _taps(id: WorkloadId, spec: ZmachineSpec) -> tuple[TapId, ...]:
    """A machine's taps: on its network, in the planetary network and in the Mycelium overlay, as it has them."""
    more = [label for label, has in ((PLANETARY, spec.planetary), (MYCELIUM, spec.mycelium)) if has]
    return tuple(_tap(id, label) for label in (spec.network, *more))


def _tap(id: WorkloadId, label: str) -> TapId:
    return TapId(unique(id, label))


def _planetary(tap: TapId) -> tuple[Step, ...]:
    return (EnsureTap(Tap(tap, Place.PLANETARY, mac(f"{PLANETARY}:{tap}"))),)


def _overlay(tap: TapId, want: MyceliumSpec, facts: Facts) -> tuple[Step, ...]:
    network = net_id(facts.twin, want.network)
    asked = Tap(tap, Place.MYCELIUM, mac(f"{MYCELIUM}:{tap}"), NetId(network), seed=want.seed)
    return (NeedIdentity(IdentityId(network)), EnsureTap(asked))


def _attached(name: str, target: str, facts: Facts) -> Attached:
    is_volume = facts.siblings[name].type in VOLUMES
    return Attached(name, workload_id(facts.twin, facts.contract, name), is_volume, target)
