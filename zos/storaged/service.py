"""The gRPC service of storaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zos.bus import convert
from zos.model.evidence import Evidence
from zos.storaged.api import storaged_pb2 as pb
from zos.storaged.api.check import check_id
from zos.storaged.api.errors import NoEvidence
from zos.storaged.api.storaged_pb2_grpc import StoragedServicer
from zos.storaged.api.types import Disk, DiskId, Kind, PoolKind, Volume
from zos.storaged.manager import StorageManager
from zos.storaged.tombstones import check_evidence
from zos.storaged.witness import Witness


class StorageService(StoragedServicer):
    """Disks, volumes, pools, tombstones."""

    def __init__(self, manager: StorageManager, witness: Witness) -> None:
        self._manager = manager
        self._witness = witness

    async def EnsureDisk(self, request: pb.Disk, context: Any) -> pb.DiskInfo:
        return convert.encode(await self._manager.ensure_disk(convert.decode(request, Disk)), pb.DiskInfo)

    async def EnsureVolume(self, request: pb.Volume, context: Any) -> pb.VolumeInfo:
        request.kind = request.kind or PoolKind.SSD  # callers of the release before name none
        return convert.encode(await self._manager.ensure_volume(convert.decode(request, Volume)), pb.VolumeInfo)

    async def FillDisk(self, request: pb.FillDiskRequest, context: Any) -> pb.DiskInfo:
        root = Path(request.source_root)
        info = await self._manager.fill_disk(DiskId(request.id), root, request.source, request.image)
        return convert.encode(info, pb.DiskInfo)

    async def DropDisk(self, request: pb.DropRequest, context: Any) -> pb.DropReply:
        await self._drop(Kind.DISK, request)
        return pb.DropReply()

    async def DropVolume(self, request: pb.DropRequest, context: Any) -> pb.DropReply:
        await self._drop(Kind.VOLUME, request)
        return pb.DropReply()

    async def _drop(self, kind: Kind, request: pb.DropRequest) -> None:
        evidence = _evidence(kind, request)
        check_id(kind, request.id)
        check_evidence(kind, request.id, evidence)
        await self._witness.confirm(kind, request.id, evidence)
        await self._manager.drop(kind, request.id, evidence)

    async def ListDisks(self, request: pb.ListDisksRequest, context: Any) -> pb.Disks:
        return pb.Disks(disks=[convert.encode(disk, pb.DiskInfo) for disk in await self._manager.disks(request.id)])

    async def ListVolumes(self, request: pb.ListVolumesRequest, context: Any) -> pb.Volumes:
        found = await self._manager.volumes(request.id)
        return pb.Volumes(volumes=[convert.encode(volume, pb.VolumeInfo) for volume in found])

    async def ListPools(self, request: pb.ListPoolsRequest, context: Any) -> pb.Pools:
        return pb.Pools(pools=[convert.encode(pool, pb.Pool) for pool in await self._manager.pools()])

    async def ListTombstones(self, request: pb.ListTombstonesRequest, context: Any) -> pb.Tombstones:
        found = await self._manager.tombstones()
        return pb.Tombstones(tombstones=[convert.encode(tombstone, pb.Tombstone) for tombstone in found])

    async def Undelete(self, request: pb.UndeleteRequest, context: Any) -> pb.Tombstone:
        return convert.encode(await self._manager.undelete(request.id), pb.Tombstone)

    async def GetCache(self, request: pb.GetCacheRequest, context: Any) -> pb.VolumeInfo:
        return convert.encode(await self._manager.cache(), pb.VolumeInfo)


def _evidence(kind: Kind, request: pb.DropRequest) -> Evidence:
    """What the caller shows; a missing or unknown kind is none."""
    try:
        return convert.decode(request.evidence, Evidence)
    except ValueError:
        problem = f"`{request.evidence.kind}` is no evidence" if request.evidence.kind else "no evidence was given"
        raise NoEvidence(kind=kind, id=request.id, problem=problem) from None
