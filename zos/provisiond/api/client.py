"""The client of provisiond's API."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.provisiond.api import provisiond_pb2 as pb
from zos.provisiond.api.provisiond_pb2_grpc import ProvisiondStub
from zos.provisiond.api.types import Progress, Usage, Why


class ProvisiondClient(DaemonClient):
    """Deployments, their results and histories."""

    name = "provisiond"
    stub = ProvisiondStub

    async def deploy(self, document: bytes, sender: int | None = None) -> None:
        """Accept a signed deployment; what comes of it is seen in `get` and `changes`."""
        await self.call("Deploy", pb.DeployRequest(document=document, sender=sender), deadline=30.0)

    async def update(self, document: bytes, sender: int | None = None) -> None:
        """Accept the next version of a deployment."""
        await self.call("Update", pb.DeployRequest(document=document, sender=sender), deadline=30.0)

    async def get(self, contract: int, twin: int | None = None) -> dict[str, Any]:
        """A deployment with its results, as clients read it; with `twin`, only that twin's."""
        answer = await self.call("GetDeployment", pb.GetDeploymentRequest(contract=contract, twin=twin))
        return dict(json.loads(answer.json))

    async def changes(self, contract: int, twin: int | None = None) -> list[dict[str, Any]]:
        """Every transition of every workload, oldest first."""
        answer = await self.call("ListChanges", pb.GetDeploymentRequest(contract=contract, twin=twin))
        return list(json.loads(answer.json))

    async def usage(self) -> Usage:
        """What the workloads take."""
        return convert.decode(await self.call("GetUsage", pb.GetUsageRequest()), Usage)

    async def why(self, contract: int, workload: str = "") -> Why:
        """Why a deployment or one of its workloads is as it is."""
        answer = await self.call("Explain", pb.ExplainRequest(contract=contract, workload=workload), deadline=15.0)
        return convert.decode(answer, Why)

    async def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        """The workloads' states now (nothing while the deployment is unknown), then each change."""
        async for message in self.stream("Watch", pb.WatchRequest(contract=contract)):
            yield convert.decode(message, Progress)

    async def brief(
        self, twin: int | None = None, types: Iterable[str] = (), keys: Iterable[str] = (), *, active: bool = False
    ) -> list[dict[str, Any]]:
        """Of all deployments, or of a twin's: `{twin_id, contract_id, workloads: [{name, type, data, result}]}`.

        With types, only workloads of these. Of their data there is what these keys name.
        """
        asked = pb.ListDeploymentsRequest(twin=twin, types=types, keys=keys, active=active, brief=True)
        answer = await self.call("ListDeployments", asked)
        return [dict(one) for one in json.loads(answer.json)]

    async def list(self, twin: int | None = None, *, active: bool = False) -> list[dict[str, Any]]:
        """All deployments, or a twin's, whole; with `active`, only those that have something which runs, or may.

        The last method: in a class body its name hides the built-in.
        """
        answer = await self.call("ListDeployments", pb.ListDeploymentsRequest(twin=twin, active=active))
        return [dict(one) for one in json.loads(answer.json)]
