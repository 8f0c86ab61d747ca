"""Decides what a zmachine needs. Pure."""

from __future__ import annotations

import re
from typing import Any

from zos.flistd.api.types import MountId
from zos.model.capacity import Capacity, total
from zos.model.decode import Fields
from zos.model.names import WorkloadId, root_id, workload_id
from zos.primitives.zmachine import attachments, door
from zos.primitives.zmachine.spec import MountSpec, ZmachineSpec, parse
from zos.storaged.api.types import DiskId, VolumeId
from zos.verbs.flistd import DropMount, EnsureMount, FillDisk
from zos.verbs.networkd import DropTap
from zos.verbs.primitive import BadWorkload, Facts, Mountable, Need, Primitive
from zos.verbs.step import Answers, Beside, Step, Steps
from zos.verbs.storaged import DropVolume, EnsureVolume
from zos.verbs.vmd import Attached, DropMachine, EnsureMachine
from zos.vmd.api.types import MachineId

NAMESERVERS = ("8.8.8.8", "1.1.1.1", "2001:4860:4860::8888")
"""Of every guest, as on the grid: a machine has no other way to learn one."""


class Zmachine(Primitive[ZmachineSpec]):
    """A machine of vmd, on a mount of flistd over a volume of storaged, behind taps of networkd."""

    wire_type = "zmachine"
    after = ("network", "zmount", "volume")
    is_machine = True
    # On the grid, who wants another machine deletes this one first.
    updatable = False
    pausable = True

    def parse(self, data: Fields) -> ZmachineSpec:
        return parse(data)

    def check(self, spec: ZmachineSpec, path: str, facts: Facts) -> None:
        seen: set[str] = set()
        for index, mount in enumerate(spec.mounts):
            where = f"{path}.data.mounts[{index}]"
            sibling = facts.siblings.get(mount.name)
            if sibling is None or sibling.type.mountable is None:
                raise BadWorkload(path=f"{where}.name", problem=f"the deployment has no disk `{mount.name}`")
            if mount.name in seen:
                raise BadWorkload(path=f"{where}.name", problem=f"`{mount.name}` is mounted twice")
            seen.add(mount.name)
        for one in spec.attachments:
            one.check(path, facts.siblings)
        private = spec.attachments[0]
        for name, other in facts.siblings.items():
            if isinstance(other.spec, ZmachineSpec) and name != facts.name and private in other.spec.attachments:
                where = f"{path}.data.network.interfaces[0].ip"
                raise BadWorkload(path=where, problem=f"the machine `{name}` has this address in the same network")
        door.check(self._machine(workload_id(facts.twin, facts.contract, facts.name), spec, facts), facts, path)

    def needs(self, spec: ZmachineSpec) -> tuple[Need, ...]:
        networks = [need for one in spec.attachments for need in one.needs()]
        return tuple(dict.fromkeys((*networks, *(Need(mount.name) for mount in spec.mounts))))

    def capacity(self, spec: ZmachineSpec) -> Capacity:
        attached = (one.capacity() for one in spec.attachments)
        return total((Capacity(cru=spec.cpu, mru=spec.memory, sru=spec.root), *attached))

    def make(self, id: WorkloadId, spec: ZmachineSpec, facts: Facts, previous: ZmachineSpec | None = None) -> Steps:
        private, *overlays = spec.attachments
        machine = self._machine(id, spec, facts)
        boot = next((one.name for one in machine.attached if one.kind is Mountable.DISK), None)
        disk = DiskId(workload_id(facts.twin, facts.contract, boot)) if boot else None
        return (
            # The overlays first, so that a node that is not in them refuses before anything is made.
            *(step for one in reversed(overlays) for step in (*one.before(facts), one.step(id, facts))),
            Beside(
                (
                    (*private.before(facts), private.step(id, facts)),
                    (*((machine.mount.upper,) if machine.mount.upper else ()), machine.mount),
                    tuple(one.source for one in machine.attached),
                )
            ),
            *((FillDisk(disk, machine.mount),) if disk else ()),
            machine,
        )

    def _machine(self, id: WorkloadId, spec: ZmachineSpec, facts: Facts) -> EnsureMachine:
        return EnsureMachine(
            id=MachineId(id),
            # Workloads may have underscores in their names, and host names may not.
            hostname=re.sub(r"[^A-Za-z0-9-]", "-", facts.name).strip("-") or "vm",
            cpu=spec.cpu,
            memory=spec.memory,
            mount=EnsureMount(MountId(id), spec.flist, EnsureVolume(_root(id), spec.root)),
            nics=tuple(one.step(id, facts) for one in spec.attachments),
            attached=tuple(_attached(one, facts) for one in spec.mounts),
            env=spec.env,
            entrypoint=spec.entrypoint,
            nameservers=NAMESERVERS,
            paused=facts.paused,
        )

    def drop(self, id: WorkloadId, spec: ZmachineSpec, facts: Facts) -> tuple[Step[Any], ...]:
        taps = (step for one in spec.attachments for step in (DropTap(one.tap_id(id)), *one.after(facts)))
        return (DropMachine(MachineId(id)), *taps, DropMount(MountId(id)), DropVolume(_root(id), facts.proof()))

    def result(self, id: WorkloadId, spec: ZmachineSpec, answers: Answers, facts: Facts) -> Any:
        told: dict[str, Any] = {"id": id}
        for kind in attachments.kinds():
            told |= kind.absent
        for one in spec.attachments:
            told |= one.result(answers[one.step(id, facts)])
        # The grid's nodes name the TCP port of a console here, or nothing. `zos console` needs none.
        return {**told, "console_url": ""}


def _root(id: WorkloadId) -> VolumeId:
    return VolumeId(root_id(id))


def _attached(mount: MountSpec, facts: Facts) -> Attached:
    one = facts.siblings[mount.name].type
    if one.mountable is None:
        raise BadWorkload(path=mount.name, problem="it cannot be mounted")
    source = one.source(workload_id(facts.twin, facts.contract, mount.name), mount.name)
    return Attached(mount.name, one.mountable, source, mount.target)
