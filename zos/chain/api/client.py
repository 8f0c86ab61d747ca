"""The client of chain."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.chain.api import chain_pb2 as pb
from zos.chain.api.chain_pb2_grpc import ChainStub
from zos.chain.api.types import (
    Block,
    ChainStatus,
    ContractEvent,
    ContractResources,
    Farm,
    NodeContract,
    NodeRecord,
    PublicConfig,
    Twin,
)


class ChainClient(DaemonClient):
    """Contracts, twins, registration, reports."""

    name = "chain"
    stub = ChainStub

    async def status(self) -> ChainStatus:
        """The connection and this node on the chain; answers at once, also when the chain does not."""
        return convert.decode(await self.call("GetStatus", pb.GetStatusRequest()), ChainStatus)

    async def contract(self, id: int, *, best: bool = False) -> NodeContract:
        """A contract at the last finalized block (or at the best one).

        NoSuchContract is raised only when it was read as absent there; everything else that goes wrong is
        UNAVAILABLE and says nothing about the contract.
        """
        answer = await self.call("GetContract", pb.GetContractRequest(id=id, best=best), deadline=20.0)
        return convert.decode(answer, NodeContract)

    async def node_contracts(self) -> tuple[int, ...]:
        """Ids of the active contracts of this node. A hint where to look: never evidence that one is over."""
        return tuple((await self.call("ListNodeContracts", pb.ListNodeContractsRequest(), deadline=20.0)).ids)

    async def twin(self, id: int) -> Twin:
        """A twin by its id."""
        return convert.decode(await self.call("GetTwin", pb.GetTwinRequest(id=id), deadline=20.0), Twin)

    async def farm(self, id: int) -> Farm:
        """A farm by its id; NoSuchFarm when it was read as absent."""
        return convert.decode(await self.call("GetFarm", pb.GetFarmRequest(id=id), deadline=20.0), Farm)

    async def public_config(self) -> PublicConfig:
        """What the farmer set for this node; NotRegistered while it has no number."""
        answer = await self.call("GetPublicConfig", pb.GetPublicConfigRequest(), deadline=20.0)
        return convert.decode(answer, PublicConfig)

    async def watch_contracts(self) -> AsyncGenerator[ContractEvent, None]:
        """`present` for every active contract, `listed`, then what happens in finalized blocks; again after a gap."""
        async for message in self.stream("WatchContracts", pb.WatchContractsRequest()):
            yield convert.decode(message, ContractEvent)

    async def register(self, record: NodeRecord) -> ChainStatus:
        """Make account, terms, twin and node as they should be; may be repeated."""
        answer = await self.call("Register", convert.encode(record, pb.NodeRecord), deadline=300.0)
        return convert.decode(answer, ChainStatus)

    async def report_uptime(self, uptime: int) -> Block:
        """Seconds since the node booted."""
        return convert.decode(
            await self.call("ReportUptime", pb.ReportUptimeRequest(uptime=uptime), deadline=120.0), Block
        )

    async def report_resources(self, resources: tuple[ContractResources, ...]) -> Block:
        """What contracts use; replaces what was reported before."""
        request = pb.ReportResourcesRequest(resources=[convert.encode(one, pb.ContractResources) for one in resources])
        return convert.decode(await self.call("ReportResources", request, deadline=120.0), Block)
