"""Decides what a zmount needs. Pure."""

from __future__ import annotations

from typing import Any

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId
from zos.primitives.zmount.spec import ZmountSpec, parse
from zos.storaged.api.types import DiskId
from zos.verbs.primitive import Facts, Outcomes, Primitive, Unchanged
from zos.verbs.steps import DropDisk, EnsureDisk, Step

MACHINES = ("zmachine", "zmachine-light")


class Zmount(Primitive[ZmountSpec]):
    """One disk of storaged."""

    wire_type = "zmount"

    def parse(self, data: Fields) -> ZmountSpec:
        return parse(data)

    def capacity(self, spec: ZmountSpec) -> Capacity:
        return Capacity(sru=spec.size)

    def change(self, want: ZmountSpec, have: ZmountSpec, facts: Facts) -> None:
        if want.size < have.size:
            raise Unchanged(problem="not safe to shrink a disk")
        if want.size > have.size and any(self._mounts(one.data, facts.name) for one in _machines(facts)):
            raise Unchanged(problem="disk is mounted, please delete the VM first")

    @staticmethod
    def _mounts(machine: Any, name: str) -> bool:
        return any(mount.text("name") == name for mount in Fields(machine).objects("mounts"))

    def make(
        self, id: WorkloadId, spec: ZmountSpec, facts: Facts, previous: ZmountSpec | None = None
    ) -> tuple[Step, ...]:
        return (EnsureDisk(DiskId(id), spec.size),)

    def drop(self, id: WorkloadId, spec: ZmountSpec, facts: Facts) -> tuple[Step, ...]:
        return (DropDisk(DiskId(id), facts.proof()),)

    def result(self, id: WorkloadId, spec: ZmountSpec, done: Outcomes, facts: Facts) -> Any:
        return {"volume_id": id}


def _machines(facts: Facts) -> list[Any]:
    return [one for one in facts.siblings.values() if one.type in MACHINES and one.state in ("ok", "paused")]
