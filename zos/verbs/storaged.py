"""Steps of storaged: disks and volumes."""

from __future__ import annotations

from dataclasses import dataclass

from zos.model.evidence import Evidence
from zos.model.units import Bytes
from zos.storaged.api import StoragedClient
from zos.storaged.api.types import Disk, DiskId, DiskInfo, PoolKind, Volume, VolumeId, VolumeInfo
from zos.verbs.primitive import NotReady, Source
from zos.verbs.step import Answers, Clients, Step


@dataclass(frozen=True, slots=True)
class EnsureDisk(Step[DiskInfo]):
    id: DiskId
    size: Bytes

    def describe(self) -> str:
        return f"disk {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> DiskInfo:
        return await clients.of(StoragedClient).ensure_disk(Disk(self.id, self.size))


@dataclass(frozen=True, slots=True)
class DropDisk(Step[None]):
    """storaged keeps the data as a tombstone for its time to live."""

    id: DiskId
    evidence: Evidence
    drops = True
    erases = True

    def describe(self) -> str:
        return f"drop disk {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(StoragedClient).drop_disk(self.id, self.evidence)

    async def is_there(self, clients: Clients) -> bool:
        return bool(await clients.of(StoragedClient).list_disks(self.id))


@dataclass(frozen=True, slots=True)
class FindDisk(Step[Source]):
    """Where a disk lies that another workload made."""

    id: DiskId
    name: str
    """For the error that says that it is not there."""

    def describe(self) -> str:
        return f"find disk {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> Source:
        for disk in await clients.of(StoragedClient).list_disks(self.id):
            return Source(disk.path)
        raise NotReady(what=f"the node has no `{self.name}` for this machine")


@dataclass(frozen=True, slots=True)
class EnsureVolume(Step[VolumeInfo]):
    id: VolumeId
    size: Bytes
    kind: PoolKind = PoolKind.SSD
    owner: int = 0

    def describe(self) -> str:
        return f"volume {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> VolumeInfo:
        return await clients.of(StoragedClient).ensure_volume(Volume(self.id, self.size, self.kind, self.owner))


@dataclass(frozen=True, slots=True)
class DropVolume(Step[None]):
    """storaged keeps the data as a tombstone for its time to live."""

    id: VolumeId
    evidence: Evidence
    drops = True
    erases = True

    def describe(self) -> str:
        return f"drop volume {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(StoragedClient).drop_volume(self.id, self.evidence)

    async def is_there(self, clients: Clients) -> bool:
        return bool(await clients.of(StoragedClient).list_volumes(self.id))


@dataclass(frozen=True, slots=True)
class FindVolume(Step[Source]):
    """Where a volume lies that another workload made."""

    id: VolumeId
    name: str
    """For the error that says that it is not there."""

    def describe(self) -> str:
        return f"find volume {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> Source:
        for volume in await clients.of(StoragedClient).list_volumes(self.id):
            return Source(volume.path)
        raise NotReady(what=f"the node has no `{self.name}` for this machine")
