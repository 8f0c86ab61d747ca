"""The client of storaged."""

from __future__ import annotations

from pathlib import Path

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.model.evidence import Evidence
from zos.storaged.api import storaged_pb2 as pb
from zos.storaged.api.storaged_pb2_grpc import StoragedStub
from zos.storaged.api.types import Disk, DiskId, DiskInfo, Pool, Tombstone, Volume, VolumeId, VolumeInfo


class StoragedClient(DaemonClient):
    """Disks, volumes, pools, tombstones."""

    name = "storaged"
    stub = StoragedStub

    async def ensure_disk(self, disk: Disk, *, deadline: float = 30.0) -> DiskInfo:
        """A disk of this size; an existing one keeps its data and grows, never shrinks."""
        return convert.decode(await self.call("EnsureDisk", convert.encode(disk, pb.Disk), deadline=deadline), DiskInfo)

    async def ensure_volume(self, volume: Volume, *, deadline: float = 30.0) -> VolumeInfo:
        """A volume of this size; an existing one keeps its data and grows, never shrinks."""
        answer = await self.call("EnsureVolume", convert.encode(volume, pb.Volume), deadline=deadline)
        return convert.decode(answer, VolumeInfo)

    async def fill_disk(
        self, id: DiskId, source_root: Path, source: str, image: str, *, deadline: float = 3600.0
    ) -> DiskInfo:
        """Copy a file onto a blank disk and remember `image` as what it holds.

        `source` is resolved with `source_root` as its root. A disk that holds this image already is left as it is;
        one that holds anything else is refused. A copy that was cut off leaves the disk blank. When the caller goes
        away the copy goes on; the same call again waits for it.
        """
        request = pb.FillDiskRequest(id=id, source_root=str(source_root), source=source, image=image)
        return convert.decode(await self.call("FillDisk", request, deadline=deadline), DiskInfo)

    async def drop_disk(self, id: DiskId, evidence: Evidence, *, deadline: float = 30.0) -> None:
        """Drop a disk; its data stays as a tombstone for a while. An unknown id is fine."""
        await self.call("DropDisk", _drop(id, evidence), deadline=deadline)

    async def drop_volume(self, id: VolumeId, evidence: Evidence, *, deadline: float = 30.0) -> None:
        """Drop a volume; its data stays as a tombstone for a while. An unknown id is fine."""
        await self.call("DropVolume", _drop(id, evidence), deadline=deadline)

    async def list_disks(self, id: DiskId | None = None) -> tuple[DiskInfo, ...]:
        """All disks, or the one of an id, as observed."""
        answer = await self.call("ListDisks", pb.ListDisksRequest(id=id or ""))
        return tuple(convert.decode(disk, DiskInfo) for disk in answer.disks)

    async def list_volumes(self, id: VolumeId | None = None) -> tuple[VolumeInfo, ...]:
        """All volumes but the cache, or the one of an id, as observed."""
        answer = await self.call("ListVolumes", pb.ListVolumesRequest(id=id or ""))
        return tuple(convert.decode(volume, VolumeInfo) for volume in answer.volumes)

    async def list_pools(self) -> tuple[Pool, ...]:
        """All pools, and the devices that are none with the reason."""
        answer = await self.call("ListPools", pb.ListPoolsRequest())
        return tuple(convert.decode(pool, Pool) for pool in answer.pools)

    async def list_tombstones(self) -> tuple[Tombstone, ...]:
        """What was dropped and is still kept, oldest first."""
        answer = await self.call("ListTombstones", pb.ListTombstonesRequest())
        return tuple(convert.decode(tombstone, Tombstone) for tombstone in answer.tombstones)

    async def undelete(self, id: str, *, deadline: float = 30.0) -> Tombstone:
        """Restore a dropped disk or volume: the newest of that id, or the one of that key."""
        answer = await self.call("Undelete", pb.UndeleteRequest(id=id), deadline=deadline)
        return convert.decode(answer, Tombstone)

    async def cache(self) -> VolumeInfo:
        """The node's cache volume, mounted; its `path` is where."""
        return convert.decode(await self.call("GetCache", pb.GetCacheRequest(), deadline=15.0), VolumeInfo)


def _drop(id: str, evidence: Evidence) -> pb.DropRequest:
    return pb.DropRequest(id=id, evidence=convert.encode(evidence, pb.Evidence))
