"""Follows the node's contracts on the chain: an event is only a reason to read one, and what is read decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from zos.chain.api import ChainClient, NodeContract, NoSuchContract, NotANodeContract
from zos.chain.api.types import ContractEvent, ContractState, EventKind
from zos.errors import ZosError
from zos.model.evidence import Evidence, EvidenceKind
from zos.provisiond import lifecycle, pull
from zos.provisiond.admission import Document, carried
from zos.provisiond.api.errors import WrongContract
from zos.provisiond.model import Phase, Record
from zos.provisiond.plan import Types
from zos.provisiond.store import DeploymentStore
from zos.provisiond.strikes import Strikes
from zos.runtime.loops import Wake

log = logging.getLogger("zos.provisiond")

STRANGE = 3600
"""Seconds for which a document is kept that no contract of this node carries: its sender may read why."""
KEPT = 60
"""Seconds for which a refused document is listed although its contract is over, so that its client reads why."""

OVER = (ContractState.DELETED_CANCELED, ContractState.DELETED_OUT_OF_FUNDS)


class ContractWatcher:
    """`on_change` is called with a contract that there is something to do for, and whether to fetch its document."""

    def __init__(
        self,
        chain: ChainClient,
        store: DeploymentStore,
        types: Types,
        on_change: Callable[[int, bool], None],
        strikes: Strikes,
    ) -> None:
        self._strikes = strikes
        self._chain = chain
        self._store = store
        self._types = types
        self._on_change = on_change
        self._unread: dict[int, None] = {}
        self.wake = Wake()
        """Set when there are contracts for `read_waiting`."""

    async def follow(self) -> None:
        """Have every contract read that something happened to."""
        async for event in self._chain.watch_contracts():
            self._note(event)
            if event.kind is EventKind.LISTED:
                # What ended while nobody watched is in no list.
                self._ask(*(record.contract for record in self._store.all()))
            else:
                self._ask(event.contract)

    def _ask(self, *contracts: int) -> None:
        self._unread.update(dict.fromkeys(contracts))
        self.wake.set()

    async def read_waiting(self) -> None:
        """Read what is to be read; what cannot be read now stays for the next round."""
        failures: list[ZosError] = []
        for contract in list(self._unread):
            del self._unread[contract]
            try:
                await self.read(contract)
            except ZosError as err:
                self._unread[contract] = None
                failures.append(err)
        if failures:
            raise failures[0]

    async def read_refused(self) -> None:
        """A contract whose document was refused may have been over by then: no event will tell."""
        self._ask(*(record.contract for record in self._refused(KEPT)))

    def _refused(self, age: int) -> Iterator[Record]:
        now = self._store.now()
        for record in self._store.all():
            since = max((item.created for item in record.items), default=0)
            if record.phase is Phase.REFUSED and record.incoming is None and abs(now - since) >= age:
                yield record

    def _note(self, event: ContractEvent) -> None:
        if event.kind in (EventKind.CREATED, EventKind.UPDATED):
            self._strikes.forgive(event.contract)
        if self._store.get(event.contract) is not None and event.kind is not EventKind.PRESENT:
            self._store.note(event.contract, "chain", f"contract {event.kind} in block {event.block.number}")

    async def audit(self) -> None:
        """Read every contract by its id; a list's silence about one is never taken for its end."""
        failures = []
        for record in self._store.all():
            try:
                await self.read(record.contract)
            except ZosError as err:
                failures.append(err)
        for id in await self._chain.node_contracts():
            if self._store.get(id) is None:
                await self.read(id)
        if failures:
            raise failures[0]

    async def forget_strange(self) -> None:
        """Drop documents that were refused and that no contract of this node ever carried."""
        for record in self._refused(STRANGE):
            if not record.block:
                log.info("contract %d: its document was refused and is dropped", record.contract)
                self._store.remove(record.contract)
                self._on_change(record.contract, False)

    async def read(self, contract: int) -> None:
        """Read one contract and act on what it says."""
        try:
            seen = await self._chain.contract(contract)
        except NoSuchContract as err:
            self._gone(contract, err)
            return
        except NotANodeContract:
            # Whoever sent a document for it is told so when it is compared.
            if self._store.get(contract) is not None:
                self._on_change(contract, False)
            return
        record = self._store.get(contract)
        if record is None:
            if pull.origin(seen.deployment_data) and seen.state is ContractState.CREATED:
                self._on_change(contract, True)
            return
        if record.phase is Phase.ENDING:
            return
        if seen.state in OVER:
            self._end(contract, seen.at.number, f"contract {contract} is {seen.state}")
            return
        if record.incoming is not None:
            self._on_change(contract, False)
        self._pause(record, seen.state is ContractState.GRACE)
        if self._is_stale(record, seen):
            self._on_change(contract, True)

    def _gone(self, contract: int, err: NoSuchContract) -> None:
        record = self._store.get(contract)
        if record is None or record.phase is Phase.ENDING:
            return
        if record.incoming is None or record.phase in lifecycle.RUNNING:
            self._end(contract, err.block, str(err))
        else:
            # Comparing the document answers it; `read_refused` ends what is left.
            self._on_change(contract, False)

    def _pause(self, record: Record, is_grace: bool) -> None:
        if record.phase is Phase.ACTIVE and is_grace:
            change, text = lifecycle.paused, "the contract is not paid: paused"
        elif record.phase is Phase.PAUSED and not is_grace:
            change, text = lifecycle.resumed, "the contract is paid again: resumed"
        else:
            return
        entry = self._store.entry("chain", text)
        self._store.change(record.contract, lambda now: change(now).noted(entry))
        self._on_change(record.contract, False)

    def _is_stale(self, record: Record, seen: NodeContract) -> bool:
        """The contract carries another document than ours, and says where that lies."""
        if pull.origin(seen.deployment_data) is None:
            return False
        if seen.twin != record.twin:
            return not record.block
        if record.incoming is not None or record.block >= seen.at.number:
            return False
        if record.hash:
            return record.hash != seen.deployment_hash
        if self._strikes.is_aside(record.contract):
            return False
        try:
            with self._strikes.at(record.contract):
                carried(Document(record.deployment(), self._types), seen, seen.node)
        except WrongContract:
            return True
        return False

    def _end(self, contract: int, block: int, detail: str) -> None:
        evidence = Evidence(EvidenceKind.CONTRACT_CANCELLED, contract, block, detail)
        entry = self._store.entry("chain", detail)
        self._store.change(contract, lambda record: lifecycle.ended(record, evidence).noted(entry))
        self._on_change(contract, False)
