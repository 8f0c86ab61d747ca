"""What workloads take of the node, and the chain's word of it."""

from __future__ import annotations

from zos.chain.api import ChainClient, NotRegistered
from zos.chain.api.types import ContractResources
from zos.model.capacity import total
from zos.provisiond.api.types import Usage
from zos.provisiond.host import NodeAccess
from zos.provisiond.model import LIVE, Record
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore


async def registered(chain: ChainClient) -> int:
    """The node's id on the chain; raises NotRegistered while it has none."""
    node = (await chain.status()).node
    if not node:
        raise NotRegistered()
    return node


class Reporter:
    """Adds up what the deployments take."""

    def __init__(self, host: NodeAccess, store: DeploymentStore, specs: Specs) -> None:
        self._host = host
        self._store = store
        self._specs = specs

    def usage(self) -> Usage:
        """What live workloads take."""
        live = [(record, item) for record in self._store.all() for item in record.items if item.state in LIVE]
        used = total(self._specs.capacity(item) for _, item in live)
        return Usage(
            used.cru,
            used.sru,
            used.hru,
            used.mru,
            used.ipv4u,
            deployments=len({record.contract for record, _ in live}),
            workloads=len(live),
            last_deployment=max((item.created for _, item in live), default=0),
        )

    async def report(self) -> None:
        """Tell the chain what contracts use, when that changed."""
        waiting = self._store.reports.waiting()
        records = (self._store.get(contract) for contract in sorted(waiting))
        listed = [self._resources(record) for record in records if record is not None and record.is_ours()]
        if listed:
            await registered(self._host.chain)
            await self._host.chain.report_resources(tuple(listed))
        self._store.reports.done(waiting)

    def _resources(self, record: Record) -> ContractResources:
        used = total(self._specs.capacity(item) for item in record.items if item.state in LIVE)
        return ContractResources(record.contract, used.cru, used.sru, used.hru, used.mru)
