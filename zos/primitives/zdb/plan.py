"""Decides what a 0-db namespace needs. Pure."""

from __future__ import annotations

from typing import Any

from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.names import WorkloadId, workload_id
from zos.primitives.zdb.spec import ZdbSpec, parse
from zos.runtime import users
from zos.storaged.api.check import check
from zos.storaged.api.types import Kind, PoolKind, VolumeId
from zos.verbs.primitive import Facts, Primitive, Unchanged, refused_at
from zos.verbs.step import Answers, Step
from zos.verbs.storaged import DropVolume, EnsureVolume
from zos.verbs.zdbd import DropNamespace, EnsureNamespace
from zos.zdbd.api.types import NamespaceId

LEAST_ADDRESSES = 2
"""In a result: clients take the second."""


class Zdb(Primitive[ZdbSpec]):
    """A volume of storaged on a hard disk, and the namespace of zdbd in it."""

    wire_type = "zdb"
    pausable = True

    def parse(self, data: Fields) -> ZdbSpec:
        return parse(data)

    def check(self, spec: ZdbSpec, path: str, facts: Facts) -> None:
        with refused_at(f"{path}.data.size"):
            check(Kind.VOLUME, workload_id(facts.twin, facts.contract, facts.name), spec.size)

    def capacity(self, spec: ZdbSpec) -> Capacity:
        return Capacity(hru=spec.size)

    def change(self, spec: ZdbSpec, previous: ZdbSpec, facts: Facts) -> None:
        if spec.mode is not previous.mode:
            raise Unchanged(problem="cannot change namespace mode")
        if spec.size < previous.size:
            raise Unchanged(problem="cannot shrink zdb namespace")

    def make(
        self, id: WorkloadId, spec: ZdbSpec, facts: Facts, previous: ZdbSpec | None = None
    ) -> tuple[Step[Any], ...]:
        volume, namespace = self._steps(id, spec, facts)
        return volume, namespace

    def _steps(self, id: WorkloadId, spec: ZdbSpec, facts: Facts) -> tuple[EnsureVolume, EnsureNamespace]:
        volume = EnsureVolume(VolumeId(id), spec.size, PoolKind.HDD, users.ZDBD)
        return volume, EnsureNamespace(
            id=NamespaceId(id),
            volume=volume,
            size=spec.size,
            mode=spec.mode,
            password=spec.password,
            public=spec.public,
            frozen=facts.paused,
        )

    def drop(self, id: WorkloadId, spec: ZdbSpec, facts: Facts) -> tuple[Step[Any], ...]:
        return DropNamespace(NamespaceId(id)), DropVolume(VolumeId(id), facts.proof())

    def result(self, id: WorkloadId, spec: ZdbSpec, answers: Answers, facts: Facts) -> Any:
        served = answers[self._steps(id, spec, facts)[1]]
        addresses = list(served.addresses)
        return {
            "Namespace": id,
            "IPs": addresses if len(addresses) >= LEAST_ADDRESSES else addresses * LEAST_ADDRESSES,
            "Port": served.port,
        }
