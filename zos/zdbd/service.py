"""The gRPC service of zdbd."""

from __future__ import annotations

from typing import Any

from zos.bus import convert
from zos.zdbd.api import zdbd_pb2 as pb
from zos.zdbd.api.errors import BadNamespace
from zos.zdbd.api.types import Namespace, NamespaceId
from zos.zdbd.api.zdbd_pb2_grpc import ZdbdServicer
from zos.zdbd.manager import NamespaceManager


class ZdbService(ZdbdServicer):
    def __init__(self, manager: NamespaceManager) -> None:
        self._manager = manager

    async def EnsureNamespace(self, request: pb.Namespace, context: Any) -> pb.NamespaceInfo:
        return convert.encode(await self._manager.ensure(_namespace(request)), pb.NamespaceInfo)

    async def DropNamespace(self, request: pb.DropNamespaceRequest, context: Any) -> pb.DropNamespaceReply:
        await self._manager.drop(NamespaceId(request.id))
        return pb.DropNamespaceReply()

    async def ListNamespaces(self, request: pb.ListNamespacesRequest, context: Any) -> pb.Namespaces:
        return pb.Namespaces(namespaces=[convert.encode(one, pb.NamespaceInfo) for one in await self._manager.list()])


def _namespace(request: pb.Namespace) -> Namespace:
    try:
        return convert.decode(request, Namespace)
    except ValueError:
        problem = f"must be `user` or `seq`, not `{request.mode}`"
        raise BadNamespace(id=request.id, field="mode", problem=problem) from None
