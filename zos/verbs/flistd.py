"""Steps of flistd: flists that are mounted."""

from __future__ import annotations

from dataclasses import dataclass

from zos.flistd.api import FlistdClient
from zos.flistd.api.types import Mount, MountId, MountInfo, MountKind
from zos.storaged.api import StoragedClient
from zos.storaged.api.types import DiskId, DiskInfo
from zos.verbs.step import Answers, Clients, Step
from zos.verbs.storaged import EnsureVolume

DEFAULT_IMAGE = "/image.raw"


@dataclass(frozen=True, slots=True)
class EnsureMount(Step[MountInfo]):
    """A flist seen as a folder; with `upper`, what is written goes to that volume."""

    id: MountId
    url: str
    upper: EnsureVolume | None = None

    def describe(self) -> str:
        return f"flist {self.url}"

    async def perform(self, clients: Clients, answers: Answers) -> MountInfo:
        folder = answers[self.upper].path if self.upper is not None else None
        return await clients.of(FlistdClient).ensure_mount(Mount(self.id, self.url, folder))


@dataclass(frozen=True, slots=True)
class DropMount(Step[None]):
    id: MountId
    drops = True

    def describe(self) -> str:
        return f"unmount {self.id}"

    async def perform(self, clients: Clients, answers: Answers) -> None:
        await clients.of(FlistdClient).drop_mount(self.id)


@dataclass(frozen=True, slots=True)
class FillDisk(Step[DiskInfo | None]):
    """When the mounted flist is a disk image, copy it onto this disk once; else nothing."""

    disk: DiskId
    mount: EnsureMount

    def describe(self) -> str:
        return f"image to disk {self.disk}"

    async def perform(self, clients: Clients, answers: Answers) -> DiskInfo | None:
        mounted = answers[self.mount]
        if mounted.kind is not MountKind.IMAGE:
            return None
        image = mounted.image or DEFAULT_IMAGE
        return await clients.of(StoragedClient).fill_disk(self.disk, mounted.path, image, mounted.flist)
