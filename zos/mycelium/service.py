"""The server side of mycelium's API."""

from __future__ import annotations

from typing import Any

from zos.bus import convert
from zos.mycelium.api import mycelium_pb2 as pb
from zos.mycelium.api.mycelium_pb2_grpc import MyceliumServicer
from zos.mycelium.api.types import Identity, IdentityId
from zos.mycelium.manager import IdentityManager


class MyceliumService(MyceliumServicer):
    """Identities and the overlay."""

    def __init__(self, manager: IdentityManager) -> None:
        self._manager = manager

    async def EnsureIdentity(self, request: pb.Identity, context: Any) -> pb.IdentityInfo:
        return convert.encode(self._manager.ensure(convert.decode(request, Identity)), pb.IdentityInfo)

    async def KeepFormer(self, request: pb.KeepFormerRequest, context: Any) -> pb.KeepFormerReply:
        self._manager.keep_former(IdentityId(request.id), request.subnets)
        return pb.KeepFormerReply()

    async def DropIdentity(self, request: pb.DropIdentityRequest, context: Any) -> pb.DropIdentityReply:
        self._manager.drop(IdentityId(request.id))
        return pb.DropIdentityReply()

    async def GetIdentity(self, request: pb.GetIdentityRequest, context: Any) -> pb.IdentityInfo:
        return convert.encode(self._manager.get(IdentityId(request.id)), pb.IdentityInfo)

    async def ListIdentities(self, request: pb.ListIdentitiesRequest, context: Any) -> pb.Identities:
        return pb.Identities(identities=[convert.encode(one, pb.IdentityInfo) for one in self._manager.identities()])

    async def GetOverlay(self, request: pb.GetOverlayRequest, context: Any) -> pb.Overlay:
        return convert.encode(self._manager.overlay(), pb.Overlay)
