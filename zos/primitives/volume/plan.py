"""Decides what a volume needs. Pure."""

from __future__ import annotations

from typing import Any

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, workload_id
from zos.primitives.volume.spec import VolumeSpec, parse
from zos.storaged.api.check import check
from zos.storaged.api.types import Kind, VolumeId
from zos.verbs.primitive import Facts, Mountable, Primitive, Source, Unchanged, refused_at
from zos.verbs.step import Answers, Step
from zos.verbs.storaged import DropVolume, EnsureVolume, FindVolume


class Volume(Primitive[VolumeSpec]):
    """One volume of storaged."""

    wire_type = "volume"
    mountable = Mountable.FOLDER

    def parse(self, data: Fields) -> VolumeSpec:
        return parse(data)

    def check(self, spec: VolumeSpec, path: str, facts: Facts) -> None:
        with refused_at(f"{path}.data.size"):
            check(Kind.VOLUME, workload_id(facts.twin, facts.contract, facts.name), spec.size)

    def capacity(self, spec: VolumeSpec) -> Capacity:
        return Capacity(sru=spec.size)

    def source(self, id: WorkloadId, name: str) -> Step[Source]:
        return FindVolume(VolumeId(id), name)

    def change(self, spec: VolumeSpec, previous: VolumeSpec, facts: Facts) -> None:
        if spec.size < previous.size:
            # The grid's own words.
            problem = "cannot shrink volume to be less than provisioned space. "
            raise Unchanged(problem=f"{problem}old: {previous.size}, requested: {spec.size}")

    def make(
        self, id: WorkloadId, spec: VolumeSpec, facts: Facts, previous: VolumeSpec | None = None
    ) -> tuple[Step[Any], ...]:
        return (EnsureVolume(VolumeId(id), spec.size),)

    def drop(self, id: WorkloadId, spec: VolumeSpec, facts: Facts) -> tuple[Step[Any], ...]:
        return (DropVolume(VolumeId(id), facts.proof()),)

    def result(self, id: WorkloadId, spec: VolumeSpec, answers: Answers, facts: Facts) -> Any:
        return {"id": id}
