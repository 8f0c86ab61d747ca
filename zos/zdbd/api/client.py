"""The client of zdbd."""

from __future__ import annotations

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.zdbd.api import zdbd_pb2 as pb
from zos.zdbd.api.types import Namespace, NamespaceId, NamespaceInfo
from zos.zdbd.api.zdbd_pb2_grpc import ZdbdStub


class ZdbdClient(DaemonClient):
    """0-db namespaces."""

    name = "zdbd"
    stub = ZdbdStub

    async def ensure_namespace(self, namespace: Namespace, *, deadline: float = 60.0) -> NamespaceInfo:
        """A namespace, served when this returns. Its volume must be there; what is in it is kept."""
        answer = await self.call("EnsureNamespace", convert.encode(namespace, pb.Namespace), deadline=deadline)
        return convert.decode(answer, NamespaceInfo)

    async def drop_namespace(self, id: NamespaceId, *, deadline: float = 60.0) -> None:
        """Serve it no longer; its volume stays as it is. An unknown id is fine."""
        await self.call("DropNamespace", pb.DropNamespaceRequest(id=id), deadline=deadline)

    async def list_namespaces(self) -> tuple[NamespaceInfo, ...]:
        """All namespaces, as they are served."""
        answer = await self.call("ListNamespaces", pb.ListNamespacesRequest(), deadline=15.0)
        return tuple(convert.decode(one, NamespaceInfo) for one in answer.namespaces)
