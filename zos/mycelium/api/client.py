"""The client of mycelium's API."""

from __future__ import annotations

from collections.abc import Collection

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.mycelium.api import mycelium_pb2 as pb
from zos.mycelium.api.mycelium_pb2_grpc import MyceliumStub
from zos.mycelium.api.types import Identity, IdentityId, IdentityInfo, Overlay


class MyceliumClient(DaemonClient):
    """Identities in the overlay."""

    name = "mycelium"
    stub = MyceliumStub

    async def ensure_identity(self, identity: Identity, *, deadline: float = 30.0) -> IdentityInfo:
        """Answer for this key; its device may come later. Accepted on a node that is not in the overlay, too."""
        answer = await self.call("EnsureIdentity", convert.encode(identity, pb.Identity), deadline=deadline)
        return convert.decode(answer, IdentityInfo)

    async def keep_former(self, id: IdentityId, subnets: Collection[str], *, deadline: float = 30.0) -> None:
        """Of the earlier keys of an identity, answer for those of these subnets alone. An unknown id is fine."""
        await self.call("KeepFormer", pb.KeepFormerRequest(id=id, subnets=sorted(subnets)), deadline=deadline)

    async def drop_identity(self, id: IdentityId, *, deadline: float = 30.0) -> None:
        """Answer for it no longer; its device is let go of. An unknown id is fine."""
        await self.call("DropIdentity", pb.DropIdentityRequest(id=id), deadline=deadline)

    async def identity(self, id: IdentityId, *, deadline: float = 30.0) -> IdentityInfo:
        """One identity of a node that is in the overlay; NoMycelium when it is not, or there is no such identity."""
        return convert.decode(
            await self.call("GetIdentity", pb.GetIdentityRequest(id=id), deadline=deadline), IdentityInfo
        )

    async def identities(self) -> tuple[IdentityInfo, ...]:
        """All of them, as they stand."""
        answer = await self.call("ListIdentities", pb.ListIdentitiesRequest())
        return tuple(convert.decode(one, IdentityInfo) for one in answer.identities)

    async def overlay(self) -> Overlay:
        """The node in the overlay, and whether it offers it."""
        return convert.decode(await self.call("GetOverlay", pb.GetOverlayRequest()), Overlay)
