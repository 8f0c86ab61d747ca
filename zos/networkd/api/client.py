"""The client of networkd's API."""

from __future__ import annotations

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.networkd.api import networkd_pb2 as pb
from zos.networkd.api.networkd_pb2_grpc import NetworkdStub
from zos.networkd.api.types import (
    NetId,
    Network,
    NetworkInfo,
    Planetary,
    PublicConfig,
    Tap,
    TapId,
    TapInfo,
    Uplink,
)


class NetworkdClient(DaemonClient):
    """Networks, taps, uplinks."""

    name = "networkd"
    stub = NetworkdStub

    async def ensure_network(self, network: Network, *, deadline: float = 30.0) -> NetworkInfo:
        """Make the network resource as described; an update changes only what differs and never takes it down."""
        answer = await self.call("EnsureNetwork", convert.encode(network, pb.Network), deadline=deadline)
        return convert.decode(answer, NetworkInfo)

    async def drop_network(self, id: NetId, *, deadline: float = 30.0) -> None:
        """Remove a network; while it has taps, it stays until the last one is dropped. An unknown id is fine."""
        await self.call("DropNetwork", pb.DropNetworkRequest(id=id), deadline=deadline)

    async def list_networks(self) -> tuple[NetworkInfo, ...]:
        """All networks that were asked for, as they stand."""
        answer = await self.call("ListNetworks", pb.ListNetworksRequest())
        return tuple(convert.decode(network, NetworkInfo) for network in answer.networks)

    async def ensure_tap(self, tap: Tap, *, deadline: float = 30.0) -> TapInfo:
        """A tap, ready for a guest at once; the call does not wait for peers."""
        return convert.decode(await self.call("EnsureTap", convert.encode(tap, pb.Tap), deadline=deadline), TapInfo)

    async def drop_tap(self, id: TapId, *, deadline: float = 30.0) -> None:
        """Remove a tap. An unknown id is fine."""
        await self.call("DropTap", pb.DropTapRequest(id=id), deadline=deadline)

    async def list_taps(self) -> tuple[TapInfo, ...]:
        """All taps that exist, with their counters."""
        answer = await self.call("ListTaps", pb.ListTapsRequest())
        return tuple(convert.decode(tap, TapInfo) for tap in answer.taps)

    async def planetary(self) -> Planetary:
        """The node in the planetary network, and whether it offers it."""
        return convert.decode(await self.call("GetPlanetary", pb.GetPlanetaryRequest()), Planetary)

    async def uplinks(self) -> tuple[Uplink, ...]:
        """The bridge `zos` with the node's addresses, then the cards behind it."""
        answer = await self.call("ListUplinks", pb.ListUplinksRequest())
        return tuple(convert.decode(uplink, Uplink) for uplink in answer.uplinks)

    async def set_public_config(self, config: PublicConfig) -> PublicConfig:
        """Set the public addresses; those set before and not named now are removed."""
        answer = await self.call("SetPublicConfig", convert.encode(config, pb.PublicConfig), deadline=30.0)
        return convert.decode(answer, PublicConfig)

    async def public_config(self) -> PublicConfig:
        """The public addresses that were set last."""
        return convert.decode(await self.call("GetPublicConfig", pb.GetPublicConfigRequest()), PublicConfig)

    async def wg_ports(self) -> tuple[int, ...]:
        """UDP ports that a new network cannot have: those in use, and those that the node reserves."""
        answer = await self.call("ListWgPorts", pb.ListWgPortsRequest())
        return tuple(answer.ports)
