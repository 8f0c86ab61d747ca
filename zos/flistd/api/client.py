"""The client of flistd."""

from __future__ import annotations

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.flistd.api import flistd_pb2 as pb
from zos.flistd.api.flistd_pb2_grpc import FlistdStub
from zos.flistd.api.types import Mount, MountId, MountInfo


class FlistdClient(DaemonClient):
    """Mounts of flists."""

    name = "flistd"
    stub = FlistdStub

    async def ensure_mount(self, mount: Mount, *, deadline: float = 150.0) -> MountInfo:
        """Mount the flist; its content stays the same until it is dropped or asked for differently."""
        answer = await self.call("EnsureMount", convert.encode(mount, pb.Mount), deadline=deadline)
        return convert.decode(answer, MountInfo)

    async def drop_mount(self, id: MountId, *, deadline: float = 30.0) -> None:
        """Unmount it; what was written stays in its `upper`. An unknown id is fine."""
        await self.call("DropMount", pb.DropMountRequest(id=id), deadline=deadline)

    async def list_mounts(self) -> tuple[MountInfo, ...]:
        """All mounts, as observed."""
        answer = await self.call("ListMounts", pb.ListMountsRequest())
        return tuple(convert.decode(mount, MountInfo) for mount in answer.mounts)
