"""What workloads take of the node, and the chain's word of it."""

from __future__ import annotations

from zos.chain.api import ChainClient, NotRegistered
from zos.chain.api.types import ContractResources
from zos.model.capacity import Capacity, total
from zos.provisiond.api.types import Usage
from zos.provisiond.host import NodeAccess
from zos.provisiond.model import LIVE, Item, Record
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore
from zos.provisiond.strikes import Strikes
from zos.runtime.ledger import Ledger


async def registered(chain: ChainClient) -> int:
    """The node's id on the chain; raises NotRegistered while it has none."""
    node = (await chain.status()).node
    if not node:
        raise NotRegistered()
    return node


class Reporter:
    """Adds up what the deployments take."""

    def __init__(
        self, host: NodeAccess, store: DeploymentStore, specs: Specs, strikes: Strikes, taken: Ledger[Capacity]
    ) -> None:
        """`taken` keeps what each contract took last: of one that was put aside nobody can say anew."""
        self._host = host
        self._taken = taken
        self._strikes = strikes
        self._store = store
        self._specs = specs
        self._told: dict[int, ContractResources | None] = {}
        """What the chain was told last, as far as it was this process; None while nobody knows whether it arrived."""

    def usage(self) -> Usage:
        """What live workloads take."""
        records = self._store.all()
        live = [(record, item) for record in records for item in record.items if item.state in LIVE]
        used = total(map(self._capacity, records))
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
        known = (record for record in records if record is not None and record.is_ours() and self._is_known(record))
        listed = [self._resources(record) for record in known]
        # Each report costs a fee, and a new contract begins with nothing anyway.
        listed = [one for one in listed if one != self._before(one.contract)]
        if listed:
            await registered(self._host.chain)
            self._told |= {one.contract: None for one in listed}
            await self._host.chain.report_resources(tuple(listed))
            self._told |= {one.contract: one for one in listed}
        self._told = {id: told for id, told in self._told.items() if self._store.get(id) is not None}
        for key, _ in list(self._taken.items()):
            if self._store.get(int(key)) is None:
                self._taken.drop(key)
        self._store.reports.done(waiting)

    def _capacity(self, record: Record) -> Capacity:
        """What is kept for its workloads; of one that was put aside, what they took before."""
        key = str(record.contract)
        if self._strikes.is_aside(record.contract):
            return self._taken.get(key) or Capacity()
        with self._strikes.at(record.contract):
            taken = total(map(self._of, record.items))
        if taken != Capacity():
            self._taken.put(key, taken)
        else:
            self._taken.drop(key)
        return taken

    def _of(self, item: Item) -> Capacity:
        """What is kept for a workload; of one whose making failed, once it is cleared, no more than disks."""
        if not (item.state in LIVE or item.applied is not None or item.held):
            return Capacity()
        whole = self._specs.capacity(item)
        is_cleared = item.is_failed() and item.cleared
        return Capacity(sru=whole.sru, hru=whole.hru) if is_cleared else whole

    def _is_known(self, record: Record) -> bool:
        return str(record.contract) in self._taken or not self._strikes.is_aside(record.contract)

    def _before(self, contract: int) -> ContractResources | None:
        if contract in self._told or contract in self._store.reports.former:
            return self._told.get(contract)
        return ContractResources(contract, 0, 0, 0, 0)

    def _resources(self, record: Record) -> ContractResources:
        used = self._capacity(record)
        return ContractResources(record.contract, used.cru, used.sru, used.hru, used.mru)
