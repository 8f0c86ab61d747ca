"""The server side of provisiond's API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from zos.bus import convert
from zos.model.deployment import encode
from zos.provisiond import listing, why
from zos.provisiond.api import provisiond_pb2 as pb
from zos.provisiond.api.provisiond_pb2_grpc import ProvisiondServicer
from zos.provisiond.manager import DeploymentManager
from zos.provisiond.reporter import Reporter
from zos.verbs.step import Clients


class ProvisionService(ProvisiondServicer):
    """Deployments, their results and histories."""

    def __init__(self, manager: DeploymentManager, reporter: Reporter, clients: Clients) -> None:
        self._manager = manager
        self._reporter = reporter
        self._store = manager.store
        self._clients = clients

    async def Deploy(self, request: pb.DeployRequest, context: Any) -> pb.DeployReply:
        await self._manager.deploy(request.document, _optional(request, "sender"))
        return pb.DeployReply()

    async def Update(self, request: pb.DeployRequest, context: Any) -> pb.DeployReply:
        await self._manager.update(request.document, _optional(request, "sender"))
        return pb.DeployReply()

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Any) -> pb.Document:
        record = self._store.record(request.contract, _optional(request, "twin"))
        return _document(encode(record.deployment()))

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Any) -> pb.Document:
        records = self._store.all(_optional(request, "twin"))
        if request.active:
            records = tuple(filter(listing.is_active, records))
        if request.brief:
            return pb.Document(json=listing.brief(records, frozenset(request.types), request.keys))
        return pb.Document(json=listing.whole(records))

    async def ListChanges(self, request: pb.GetDeploymentRequest, context: Any) -> pb.Document:
        return _document(self._store.changes(request.contract, _optional(request, "twin")))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.Usage:
        return convert.encode(self._reporter.usage(), pb.Usage)

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.Why:
        return convert.encode(await why.why(self._manager, self._clients, request.contract, request.workload), pb.Why)

    async def Watch(self, request: pb.WatchRequest, context: Any) -> AsyncIterator[pb.Progress]:
        async for progress in self._store.watch(request.contract):
            yield convert.encode(progress, pb.Progress)


def _optional(request: Any, name: str) -> int | None:
    return int(getattr(request, name)) if request.HasField(name) else None


def _document(value: Any) -> pb.Document:
    return pb.Document(json=json.dumps(value).encode())
