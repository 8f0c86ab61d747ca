"""The gRPC service of chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from zos.bus import convert
from zos.chain.api import chain_pb2 as pb
from zos.chain.api.chain_pb2_grpc import ChainServicer
from zos.chain.api.types import ChainStatus, ContractResources, NodeRecord
from zos.chain.feed import ContractFeed
from zos.chain.link import Link


class ChainService(ChainServicer):
    """Contracts, twins, registration, reports."""

    def __init__(self, link: Link, feed: ContractFeed) -> None:
        self._link = link
        self._feed = feed

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.ChainStatus:
        return await self._status()

    async def GetContract(self, request: pb.GetContractRequest, context: Any) -> pb.NodeContract:
        return convert.encode(await self._link.contract(request.id, request.best), pb.NodeContract)

    async def ListNodeContracts(self, request: pb.ListNodeContractsRequest, context: Any) -> pb.NodeContracts:
        return pb.NodeContracts(ids=await self._link.node_contracts())

    async def GetTwin(self, request: pb.GetTwinRequest, context: Any) -> pb.Twin:
        return convert.encode(await self._link.twin_of(request.id), pb.Twin)

    async def GetFarm(self, request: pb.GetFarmRequest, context: Any) -> pb.Farm:
        return convert.encode(await self._link.farm_of(request.id), pb.Farm)

    async def GetPublicConfig(self, request: pb.GetPublicConfigRequest, context: Any) -> pb.PublicConfig:
        return convert.encode(await self._link.public_config(), pb.PublicConfig)

    async def WatchContracts(self, request: pb.WatchContractsRequest, context: Any) -> AsyncIterator[pb.ContractEvent]:
        async for event in self._feed.watch():
            yield convert.encode(event, pb.ContractEvent)

    async def Register(self, request: pb.NodeRecord, context: Any) -> pb.ChainStatus:
        await self._link.register(convert.decode(request, NodeRecord))
        return await self._status()

    async def ReportUptime(self, request: pb.ReportUptimeRequest, context: Any) -> pb.Block:
        return convert.encode(await self._link.report_uptime(request.uptime), pb.Block)

    async def ReportResources(self, request: pb.ReportResourcesRequest, context: Any) -> pb.Block:
        resources = tuple(convert.decode(one, ContractResources) for one in request.resources)
        return convert.encode(await self._link.report_resources(resources), pb.Block)

    async def _status(self) -> pb.ChainStatus:
        chain = self._link.chain
        status = ChainStatus(
            url=chain.url,
            connected=chain.connected,
            spec=(await chain.runtime()).spec if chain.connected else 0,
            finalized=self._feed.finalized,
            farm=self._link.farm,
            twin=self._link.twin,
            node=self._link.node,
            detail=self._feed.detail,
        )
        return convert.encode(status, pb.ChainStatus)
