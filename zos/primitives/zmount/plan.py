"""Decides what a zmount needs. Pure."""

from __future__ import annotations

from typing import Any

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, workload_id
from zos.primitives.zmount.spec import ZmountSpec, parse
from zos.storaged.api.check import check
from zos.storaged.api.types import DiskId, Kind
from zos.verbs.primitive import Facts, Mountable, Primitive, Source, Unchanged, refused_at
from zos.verbs.step import Answers, Step
from zos.verbs.storaged import DropDisk, EnsureDisk, FindDisk


class Zmount(Primitive[ZmountSpec]):
    """One disk of storaged."""

    wire_type = "zmount"
    mountable = Mountable.DISK

    def parse(self, data: Fields) -> ZmountSpec:
        return parse(data)

    def check(self, spec: ZmountSpec, path: str, facts: Facts) -> None:
        with refused_at(f"{path}.data.size"):
            check(Kind.DISK, workload_id(facts.twin, facts.contract, facts.name), spec.size)

    def capacity(self, spec: ZmountSpec) -> Capacity:
        return Capacity(sru=spec.size)

    def source(self, id: WorkloadId, name: str) -> Step[Source]:
        return FindDisk(DiskId(id), name)

    def change(self, spec: ZmountSpec, previous: ZmountSpec, facts: Facts) -> None:
        if spec.size < previous.size:
            raise Unchanged(problem="not safe to shrink a disk")
        if spec.size > previous.size and any(one.uses(facts.name) for one in facts.siblings.values()):
            raise Unchanged(problem="disk is mounted, please delete the VM first")

    def make(
        self, id: WorkloadId, spec: ZmountSpec, facts: Facts, previous: ZmountSpec | None = None
    ) -> tuple[Step[Any], ...]:
        return (EnsureDisk(DiskId(id), spec.size),)

    def drop(self, id: WorkloadId, spec: ZmountSpec, facts: Facts) -> tuple[Step[Any], ...]:
        return (DropDisk(DiskId(id), facts.proof()),)

    def result(self, id: WorkloadId, spec: ZmountSpec, answers: Answers, facts: Facts) -> Any:
        return {"volume_id": id}
