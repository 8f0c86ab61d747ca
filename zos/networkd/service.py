"""The server side of networkd's API."""

from __future__ import annotations

from typing import Any

from zos.bus import convert
from zos.networkd.api import networkd_pb2 as pb
from zos.networkd.api.errors import BadTap
from zos.networkd.api.networkd_pb2_grpc import NetworkdServicer
from zos.networkd.api.types import NetId, Network, Place, PublicConfig, Tap, TapId
from zos.networkd.manager import NetworkManager
from zos.networkd.planetary_manager import PlanetaryManager
from zos.networkd.segments import SegmentManager
from zos.networkd.taps import TapManager


class NetworkService(NetworkdServicer):
    """Networks, taps, uplinks."""

    def __init__(
        self, networks: NetworkManager, taps: TapManager, segments: SegmentManager, planetary: PlanetaryManager
    ) -> None:
        self._networks = networks
        self._taps = taps
        self._segments = segments
        self._planetary = planetary

    async def EnsureNetwork(self, request: pb.Network, context: Any) -> pb.NetworkInfo:
        info = await self._networks.ensure_network(convert.decode(request, Network))
        return convert.encode(info, pb.NetworkInfo)

    async def DropNetwork(self, request: pb.DropNetworkRequest, context: Any) -> pb.DropNetworkReply:
        await self._networks.drop_network(NetId(request.id))
        return pb.DropNetworkReply()

    async def ListNetworks(self, request: pb.ListNetworksRequest, context: Any) -> pb.Networks:
        found = await self._networks.networks()
        return pb.Networks(networks=[convert.encode(network, pb.NetworkInfo) for network in found])

    async def EnsureTap(self, request: pb.Tap, context: Any) -> pb.TapInfo:
        return convert.encode(await self._taps.ensure(_tap(request)), pb.TapInfo)

    async def DropTap(self, request: pb.DropTapRequest, context: Any) -> pb.DropTapReply:
        await self._taps.drop(TapId(request.id))
        return pb.DropTapReply()

    async def ListTaps(self, request: pb.ListTapsRequest, context: Any) -> pb.Taps:
        return pb.Taps(taps=[convert.encode(tap, pb.TapInfo) for tap in await self._taps.list()])

    async def GetPlanetary(self, request: pb.GetPlanetaryRequest, context: Any) -> pb.Planetary:
        trouble = self._segments.trouble(Place.PLANETARY)
        return convert.encode(self._planetary.planetary(trouble), pb.Planetary)

    async def ListUplinks(self, request: pb.ListUplinksRequest, context: Any) -> pb.Uplinks:
        return pb.Uplinks(uplinks=[convert.encode(uplink, pb.Uplink) for uplink in await self._networks.uplinks()])

    async def SetPublicConfig(self, request: pb.PublicConfig, context: Any) -> pb.PublicConfig:
        config = await self._networks.set_public(convert.decode(request, PublicConfig))
        return convert.encode(config, pb.PublicConfig)

    async def GetPublicConfig(self, request: pb.GetPublicConfigRequest, context: Any) -> pb.PublicConfig:
        return convert.encode(self._networks.public().config, pb.PublicConfig)

    async def ListWgPorts(self, request: pb.ListWgPortsRequest, context: Any) -> pb.WgPorts:
        return pb.WgPorts(ports=await self._networks.wg_ports())


def _tap(request: pb.Tap) -> Tap:
    try:
        return convert.decode(request, Tap)
    except ValueError:
        raise BadTap(tap=request.id, field="place", problem=f"{request.place!r} is none of this node's") from None
