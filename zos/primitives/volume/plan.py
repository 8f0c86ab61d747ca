"""Decides what a volume needs. Pure."""

from __future__ import annotations

from typing import Any

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId
from zos.primitives.volume.spec import VolumeSpec, parse
from zos.storaged.api.types import VolumeId
from zos.verbs.primitive import Facts, Outcomes, Primitive, Unchanged
from zos.verbs.steps import DropVolume, EnsureVolume, Step


class Volume(Primitive[VolumeSpec]):
    """One volume of storaged."""

    wire_type = "volume"

    def parse(self, data: Fields) -> VolumeSpec:
        return parse(data)

    def capacity(self, spec: VolumeSpec) -> Capacity:
        return Capacity(sru=spec.size)

    def change(self, want: VolumeSpec, have: VolumeSpec, facts: Facts) -> None:
        if want.size < have.size:
            problem = "cannot shrink volume to be less than provisioned space. "
            raise Unchanged(problem=f"{problem}old: {have.size}, requested: {want.size}")

    def make(
        self, id: WorkloadId, spec: VolumeSpec, facts: Facts, previous: VolumeSpec | None = None
    ) -> tuple[Step, ...]:
        return (EnsureVolume(VolumeId(id), spec.size),)

    def drop(self, id: WorkloadId, spec: VolumeSpec, facts: Facts) -> tuple[Step, ...]:
        return (DropVolume(VolumeId(id), facts.proof()),)

    def result(self, id: WorkloadId, spec: VolumeSpec, done: Outcomes, facts: Facts) -> Any:
        return {"id": id}
