"""Decides what a zmachine needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zos.flistd.api.types import MountId
from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, mac, net_id, unique, workload_id
from zos.networkd.api.types import NetId, Tap, TapId
from zos.primitives.zmachine.spec import ZmachineSpec, parse
from zos.storaged.api.types import DiskId, VolumeId
from zos.verbs.primitive import BadWorkload, Facts, NotReady, Outcomes, Primitive, Waiting
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
    Step,
)
from zos.vmd.api.types import MachineId

DISKS = ("zmount",)
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

    def plan(
        self, id: WorkloadId, want: ZmachineSpec | None, have: ZmachineSpec | None, facts: Facts
    ) -> tuple[Step, ...]:
        mount, root = MountId(id), VolumeId(f"rootfs-{id}")
        if want is None:
            taps = (DropTap(TapId(unique(id, have.network))),) if have else ()
            return (DropMachine(MachineId(id)), *taps, DropMount(mount), DropVolume(root, facts.proof()))
        if want == have:
            return ()
        attached = tuple(_attached(one.name, one.target, facts) for one in want.mounts)
        boot = next((one for one in attached if not one.is_volume), None)
        tap = TapId(unique(id, want.network))
        network = NetId(net_id(facts.twin, want.network))
        return (
            EnsureTap(Tap(tap, network, want.ip, mac(tap))),
            EnsureVolume(root, want.root),
            EnsureMount(mount, want.flist, root),
            *((FillDisk(DiskId(boot.id), mount),) if boot else ()),
            EnsureMachine(
                id=MachineId(id),
                hostname=re.sub(r"[^A-Za-z0-9-]", "-", facts.name).strip("-") or "vm",
                cpu=want.cpu,
                memory=want.memory,
                mount=mount,
                tap=tap,
                attached=attached,
                env=want.env,
                entrypoint=want.entrypoint,
                paused=facts.paused,
            ),
        )

    def result(self, id: WorkloadId, want: ZmachineSpec, done: Outcomes, facts: Facts) -> Any:
        return {"id": id, "ip": want.ip, "planetary_ip": "", "mycelium_ip": "", "console_url": ""}


def _attached(name: str, target: str, facts: Facts) -> Attached:
    sibling = facts.siblings.get(name)
    if sibling is not None and sibling.state == "init":
        raise Waiting(what=name)
    if sibling is None or sibling.state not in ("ok", "paused"):
        state = sibling.state if sibling else "missing"
        raise NotReady(what=f"the machine needs `{name}`, which is {state}")
    return Attached(name, workload_id(facts.twin, facts.contract, name), sibling.type in VOLUMES, target)
