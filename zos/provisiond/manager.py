"""Keeps the deployments: accepts documents, compares them with their contracts, has them made; a worker per contract.

The ledger is the queue: what is accepted is written first and worked on after, and a crash at any line is an early
wake-up. No contract waits for another. Chain, hub or a daemon that does not answer only makes a worker wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time

from zos.chain.api import ChainBehind, NoSuchContract
from zos.errors import Kind, ZosError
from zos.model.decode import Malformed
from zos.model.deployment import Deployment, ResultState, decode
from zos.provisiond import admission, lifecycle, pull, store
from zos.provisiond.admission import Document
from zos.provisiond.api.errors import DeploymentExists, OtherDocument, WrongContract
from zos.provisiond.api.types import HistoryEntry, Progress
from zos.provisiond.comparison import Comparison
from zos.provisiond.executor import Executor
from zos.provisiond.host import NodeAccess
from zos.provisiond.model import Item, Phase, Record
from zos.provisiond.reporter import registered
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore
from zos.provisiond.strikes import Strikes
from zos.runtime.backoff import Backoff
from zos.runtime.loops import Loop, Wake
from zos.runtime.turns import Turns

log = logging.getLogger("zos.provisiond")

BACKOFF = Backoff(first=0.5, cap=30.0)


class DeploymentManager:
    """Every deployment of the node."""

    def __init__(
        self, host: NodeAccess, store: DeploymentStore, specs: Specs, strikes: Strikes, every: float = 60.0
    ) -> None:
        self.store = store
        self.specs = specs
        self.strikes = strikes
        self._host = host
        self._executor = Executor(host.clients, host.memory, store, specs, strikes)
        self._every = every
        self._wakes: dict[int, Wake] = {}
        self._workers = Wake()
        self._to_fetch: set[int] = set()
        self._comparison = Comparison(host, store, specs, self._to_fetch.add)
        self._problems: dict[int, str] = {}
        self._turns = Turns()
        """Between the twins that send documents."""
        store.on_settled = self._wake_waiting

    # What users ask for

    async def deploy(self, document: bytes, sender: int | None) -> None:
        """Accept a new deployment."""
        read = await self._admitted(document, sender)
        deployment = read.deployment
        await self._make_way(deployment)
        for contract in admission.admit_new(deployment, self.store.all(), self.specs.types):
            log.info("contract %d: no contract carries its document, which gives way to another twin's", contract)
            self.store.remove(contract)
            self.wake(contract)
        self._create(read, self._accepted(deployment), signed=True)

    async def update(self, document: bytes, sender: int | None) -> None:
        """Accept the next version. Its contract carries it already, so a refusal is kept for whoever asks why."""
        try:
            await self._update(document, sender)
        except ZosError as err:
            if err.kind in (Kind.REFUSED, Kind.NO_ROOM):
                self._note_refused(document, sender, err)
            raise

    def _note_refused(self, document: bytes, sender: int | None, err: ZosError) -> None:
        try:
            asked = decode(document)
        except Malformed:
            return
        record = self.store.get(asked.contract_id)
        if record is None or record.phase not in lifecycle.RUNNING or sender not in (None, record.twin):
            return
        text, version = err.explain(), asked.version
        entry = self.store.entry("admission", f"version {version} was sent and refused: {text}")
        noted = self.store.change(
            record.contract, lambda now: dataclasses.replace(now, refusal=text, refused_version=version).noted(entry)
        )
        self.store.publish(store.refused(noted))

    async def _update(self, document: bytes, sender: int | None) -> None:
        read = await self._admitted(document, sender)
        deployment = read.deployment
        record = self.store.record(deployment.contract_id, sender)
        if record.ending is not None:
            raise WrongContract(problem=record.ending.detail)
        admission.admit_update(deployment, record, self.store.all(), self.specs.types)
        self.store.forget(record.contract, deployment.version)
        self._offer(read, self._accepted(deployment), signed=True)

    async def _admitted(self, document: bytes, sender: int | None) -> Document:
        # A document takes up to a second to read, and costs its sender nothing.
        await self._turns.begin(str(sender))
        with self._turns.working(str(sender)):
            deployment = admission.read(document, self.specs)
        admission.is_owner(deployment, sender)
        stored = self.store.get(deployment.contract_id)
        read = Document(deployment, self.specs.types, pull.digests(document, deployment.contract_id))
        own = stored if stored is not None and stored.twin == deployment.twin_id else None
        await self._comparison.check_signatures(read, own)
        await self._host.kyc.check(deployment.twin_id)
        return read

    def _accepted(self, deployment: Deployment) -> HistoryEntry:
        return self.store.entry("admission", f"version {deployment.version} was sent and accepted")

    def _create(self, read: Document, *entries: HistoryEntry, signed: bool) -> None:
        moved = lifecycle.submitted(read.deployment, self.store.now(), read.digests, signed=signed)
        self._remember(self.store.create(moved, *entries), read)

    def _offer(self, read: Document, entry: HistoryEntry, *, signed: bool) -> None:
        def offered(now: Record) -> Record:
            return lifecycle.offered(now, read.deployment, self.store.now(), read.digests, signed=signed).noted(entry)

        self._remember(self.store.change(read.deployment.contract_id, offered), read)

    def _remember(self, record: Record, read: Document) -> None:
        self._comparison.remember(record, read)
        self.wake(record.contract)

    async def difference(self, record: Record) -> str:
        """How what the contract carries differs from what runs, in words; empty when it does not, or nobody can say."""
        if not record.hash or record.incoming is not None or record.phase not in lifecycle.RUNNING:
            return ""
        try:
            carried = (await self._host.chain.contract(record.contract)).deployment_hash
        except ZosError:
            return ""
        return "" if carried == record.hash else f"its contract carries another document ({carried}, not {record.hash})"

    def problem(self, contract: int) -> str:
        """What a contract's worker waits for; empty when nothing."""
        return self._problems.get(contract, "")

    # Workers

    async def work(self) -> None:
        """Run one supervised worker for every contract that there is something to do for."""
        for record in self.store.all():
            self.wake(record.contract)
        async with asyncio.TaskGroup() as group:
            running: dict[int, asyncio.Task[None]] = {}
            while True:
                for contract, wake in list(self._wakes.items()):
                    if contract not in running:
                        running[contract] = group.create_task(self._worker(contract, wake))
                for contract in [contract for contract in running if contract not in self._wakes]:
                    running.pop(contract).cancel()
                await self._workers.wait(None)

    def wake(self, contract: int, fetch: bool = False) -> None:
        """There is something to do for a contract; with `fetch`, its document is to be fetched first."""
        if fetch:
            self._to_fetch.add(contract)
        if contract not in self._wakes:
            self._wakes[contract] = Wake()
            self._workers.set()
        self._wakes[contract].set()

    def _wake_waiting(self, contract: int, item: Item) -> None:
        """What other deployments of the twin wait for may be this network, or this removal."""
        one = self.specs.types.get(item.type)
        if item.state is not ResultState.DELETED and not (one is not None and one.sharable):
            return
        for record in self.store.all(self.store.record(contract).twin):
            if record.contract != contract and any(other.state is ResultState.INIT for other in record.items):
                self.wake(record.contract)

    async def _worker(self, contract: int, wake: Wake) -> None:
        async def reconcile() -> None:
            try:
                if self.strikes.is_aside(contract):
                    await self._executor.stop(contract)
                self.strikes.require(contract)
                await self.strikes.during(contract, self._turn(contract))
            except ZosError as err:
                self._problems[contract] = err.explain()
                self.store.publish(self._trouble(contract, err))
                raise
            self._problems.pop(contract, None)
            self.strikes.done(contract)

        await Loop(f"contract {contract}", reconcile, self._every, wake, BACKOFF).run()

    def _trouble(self, contract: int, err: ZosError) -> Progress:
        """What watchers are told of a contract whose document cannot be taken in, or waits."""
        state = ResultState.INIT if err.kind is Kind.NOT_NOW else ResultState.ERROR
        return Progress(contract, "", "", state, err.explain(), float(self.store.now()))

    async def _turn(self, contract: int) -> None:
        problem = await self._take_in(contract)
        record = self.store.get(contract)
        is_there = record is not None
        if record is not None and record.phase in (Phase.ACTIVE, Phase.PAUSED, Phase.ENDING):
            is_there = await self._executor.apply(record)
        if problem is not None:
            raise problem
        if not is_there:
            # Last, and without an await behind it: `work` ends this worker.
            self._comparison.forget(contract)
            self._wakes.pop(contract, None)
            self._workers.set()

    async def _take_in(self, contract: int) -> ZosError | None:
        """Fetch and compare documents. What keeps us from that keeps nothing of what runs from its round."""
        try:
            while True:
                record = self.store.get(contract)
                if record is not None and record.incoming is not None:
                    await self._comparison.compare(record, record.incoming)
                elif contract in self._to_fetch:
                    self._to_fetch.discard(contract)
                    await self._fetch_again_if_it_fails(contract)
                else:
                    return None
        except ZosError as err:
            return err

    # Admission

    async def _fetch_again_if_it_fails(self, contract: int) -> None:
        try:
            await self._fetch(contract)
        except ZosError:
            self._to_fetch.add(contract)
            raise

    async def _fetch(self, contract: int) -> None:
        """Fetch the document that a contract names, and accept it as if it had been sent."""
        try:
            seen = await self._host.chain.contract(contract)
        except NoSuchContract:
            return
        origin = pull.origin(seen.deployment_data)
        if origin is None:
            return
        began = time.monotonic()
        document = await self._host.fetch(seen, origin)
        fetched = self.store.entry("fetch", f"the deployment was fetched from {origin}", time.monotonic() - began)
        digests, wanted = pull.digests(document, contract), pull.digest(seen.deployment_data)
        if wanted and wanted not in digests:
            raise OtherDocument(contract=contract, place=origin, found=digests[0], wanted=f"{wanted:.64}")
        document = await self._host.open(document)
        deployment = pull.bound(admission.read(document, self.specs), contract)
        read = Document(deployment, self.specs.types, digests)
        admission.carried(read, seen, await registered(self._host.chain))
        await self._host.kyc.check(deployment.twin_id)
        record, types = self.store.get(contract), self.specs.types
        if record is None or self._gives_way(record, deployment.twin_id):
            others = [one for one in self.store.all() if one.contract != contract]
            admission.admit_new(dataclasses.replace(deployment, version=0), others, types, carried=True)
            seen_at = self.store.entry("chain", f"contract {contract} was seen at finalized block {seen.at.number}")
            self._create(read, seen_at, fetched, signed=False)
        elif deployment.version > record.version and record.phase is not Phase.ENDING:
            admission.admit_update(deployment, record, self.store.all(), types, carried=True)
            self._offer(read, fetched, signed=False)

    def _gives_way(self, record: Record, owner: int) -> bool:
        """To a document that the contract carries: what it never carried is a stranger's, or was refused."""
        is_refused = record.phase is Phase.REFUSED and record.incoming is None
        return not record.block and (record.twin != owner or is_refused)

    async def _make_way(self, deployment: Deployment) -> None:
        """A document that its contract never carried gives way to one of the contract's own twin."""
        id = deployment.contract_id
        record = self.store.get(id)
        if record is None or record.twin == deployment.twin_id or record.block:
            return
        with contextlib.suppress(NoSuchContract, ChainBehind):
            owner = (await self._host.chain.contract(id, best=True)).twin
            now = self.store.get(id)
            if now is not None and (now.twin == deployment.twin_id or now.block):
                raise DeploymentExists(contract=id)
            if owner == deployment.twin_id and now is not None:
                self.store.remove(id)
