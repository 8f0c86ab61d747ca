"""The gRPC service of flistd."""

from __future__ import annotations

from typing import Any

from zos.bus import convert
from zos.flistd.api import flistd_pb2 as pb
from zos.flistd.api.flistd_pb2_grpc import FlistdServicer
from zos.flistd.api.types import Mount, MountId
from zos.flistd.manager import MountManager


class FlistService(FlistdServicer):
    """Mounts of flists."""

    def __init__(self, manager: MountManager) -> None:
        self._manager = manager

    async def EnsureMount(self, request: pb.Mount, context: Any) -> pb.MountInfo:
        return convert.encode(await self._manager.ensure_mount(convert.decode(request, Mount)), pb.MountInfo)

    async def DropMount(self, request: pb.DropMountRequest, context: Any) -> pb.DropMountReply:
        await self._manager.drop_mount(MountId(request.id))
        return pb.DropMountReply()

    async def ListMounts(self, request: pb.ListMountsRequest, context: Any) -> pb.Mounts:
        return pb.Mounts(mounts=[convert.encode(mount, pb.MountInfo) for mount in await self._manager.mounts()])
