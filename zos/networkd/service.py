"""networkd's door on the wire."""

from __future__ import annotations

from typing import Any

from zos.bus import convert
from zos.networkd.api import networkd_pb2 as pb
from zos.networkd.api.networkd_pb2_grpc import NetworkdServicer
from zos.networkd.api.types import MyceliumTap, NetId, Network, PlanetaryTap, PublicConfig, Tap, TapId
from zos.networkd.keeper import Keeper
from zos.networkd.planetary_keeper import PlanetaryKeeper


class NetworkService(NetworkdServicer):
    """Networks, taps, uplinks."""

    def __init__(self, keeper: Keeper, planetary: PlanetaryKeeper) -> None:
        self._keeper = keeper
        self._planetary = planetary

    async def EnsureNetwork(self, request: pb.Network, context: Any) -> pb.NetworkInfo:
        info = await self._keeper.ensure_network(convert.decode(request, Network))
        return convert.encode(info, pb.NetworkInfo)

    async def DropNetwork(self, request: pb.DropNetworkRequest, context: Any) -> pb.DropNetworkReply:
        await self._keeper.drop_network(NetId(request.id))
        return pb.DropNetworkReply()

    async def ListNetworks(self, request: pb.ListNetworksRequest, context: Any) -> pb.Networks:
        found = await self._keeper.networks()
        return pb.Networks(networks=[convert.encode(network, pb.NetworkInfo) for network in found])

    async def EnsureTap(self, request: pb.Tap, context: Any) -> pb.TapInfo:
        return convert.encode(await self._keeper.ensure_tap(convert.decode(request, Tap)), pb.TapInfo)

    async def DropTap(self, request: pb.DropTapRequest, context: Any) -> pb.DropTapReply:
        await self._keeper.drop_tap(TapId(request.id))
        await self._planetary.drop_tap(TapId(request.id))
        return pb.DropTapReply()

    async def ListTaps(self, request: pb.ListTapsRequest, context: Any) -> pb.Taps:
        return pb.Taps(taps=[convert.encode(tap, pb.TapInfo) for tap in await self._keeper.taps()])

    async def EnsurePlanetaryTap(self, request: pb.PlanetaryTap, context: Any) -> pb.OverlayTapInfo:
        info = await self._planetary.ensure_tap(convert.decode(request, PlanetaryTap))
        return convert.encode(info, pb.OverlayTapInfo)

    async def EnsureMyceliumTap(self, request: pb.MyceliumTap, context: Any) -> pb.OverlayTapInfo:
        info = await self._keeper.ensure_mycelium_tap(convert.decode(request, MyceliumTap))
        return convert.encode(info, pb.OverlayTapInfo)

    async def GetPlanetary(self, request: pb.GetPlanetaryRequest, context: Any) -> pb.Planetary:
        return convert.encode(self._planetary.planetary(), pb.Planetary)

    async def ListUplinks(self, request: pb.ListUplinksRequest, context: Any) -> pb.Uplinks:
        return pb.Uplinks(uplinks=[convert.encode(uplink, pb.Uplink) for uplink in await self._keeper.uplinks()])

    async def SetPublicConfig(self, request: pb.PublicConfig, context: Any) -> pb.PublicConfig:
        config = await self._keeper.set_public(convert.decode(request, PublicConfig))
        return convert.encode(config, pb.PublicConfig)

    async def GetPublicConfig(self, request: pb.GetPublicConfigRequest, context: Any) -> pb.PublicConfig:
        return convert.encode(self._keeper.public().config, pb.PublicConfig)

    async def ListWgPorts(self, request: pb.ListWgPortsRequest, context: Any) -> pb.WgPorts:
        return pb.WgPorts(ports=await self._keeper.wg_ports())
