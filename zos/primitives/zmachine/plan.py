"""Decides what a zmachine needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zos.flistd.api.types import MountId
from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, mac, net_id, unique, workload_id
from zos.networkd.api.types import NetId, PlanetaryTap, Tap, TapId
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
    EnsurePlanetaryTap,
    EnsureTap,
    EnsureVolume,
    FillDisk,
    Step,
)
from zos.vmd.api.types import MachineId

DISKS = ("zmount",)
PLANETARY = "ygg"
"""The label of a machine's tap in the planetary network; no network can have this name."""
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
            taps = _taps(id, have) if have else ()
            return (DropMachine(MachineId(id)), *map(DropTap, taps), DropMount(mount), DropVolume(root, facts.proof()))
        if want == have:
            return ()
        attached = tuple(_attached(one.name, one.target, facts) for one in want.mounts)
        boot = next((one for one in attached if not one.is_volume), None)
        tap, *more = _taps(id, want)
        network = NetId(net_id(facts.twin, want.network))
        return (
            # First, so that a node without the planetary network refuses before anything is made.
            *(EnsurePlanetaryTap(PlanetaryTap(one, mac(f"{PLANETARY}:{one}"))) for one in more),
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
                planetary=more[0] if more else None,
                attached=attached,
                env=want.env,
                entrypoint=want.entrypoint,
                paused=facts.paused,
            ),
        )

    def result(self, id: WorkloadId, want: ZmachineSpec, done: Outcomes, facts: Facts) -> Any:
        planetary = done[TapId(unique(id, PLANETARY))].ip if want.planetary else ""
        return {"id": id, "ip": want.ip, "planetary_ip": planetary, "mycelium_ip": "", "console_url": ""}


def _taps(id: WorkloadId, spec: ZmachineSpec) -> tuple[TapId, ...]:
    """A machine's taps: on its network, and in the planetary network when it is to be there."""
    return tuple(TapId(unique(id, label)) for label in (spec.network, *((PLANETARY,) if spec.planetary else ())))


def _attached(name: str, target: str, facts: Facts) -> Attached:
    sibling = facts.siblings.get(name)
    if sibling is not None and sibling.state == "init":
        raise Waiting(what=name)
    if sibling is None or sibling.state not in ("ok", "paused"):
        state = sibling.state if sibling else "missing"
        raise NotReady(what=f"the machine needs `{name}`, which is {state}")
    return Attached(name, workload_id(facts.twin, facts.contract, name), sibling.type in VOLUMES, target)
