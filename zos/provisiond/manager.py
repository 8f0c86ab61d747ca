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

from zos.chain.api import ChainBehind, NodeContract, NoSuchContract, NoSuchTwin
from zos.chain.api.types import ContractState
from zos.errors import Kind, ZosError
from zos.model.decode import Malformed
from zos.model.deployment import Deployment, ResultState, decode
from zos.model.signing import BadSignature, signers
from zos.provisiond import admission, lifecycle, pull, store
from zos.provisiond.admission import Document
from zos.provisiond.api.errors import DeploymentExists, NotYet, OtherDocument, Unproven, WrongContract
from zos.provisiond.api.types import HistoryEntry, Progress
from zos.provisiond.contracts import STRANGE
from zos.provisiond.executor import Executor
from zos.provisiond.host import NodeAccess
from zos.provisiond.lifecycle import Moved
from zos.provisiond.model import Incoming, Item, Phase, Record
from zos.provisiond.reporter import registered
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore
from zos.runtime.backoff import Backoff
from zos.runtime.loops import Loop, Wake

log = logging.getLogger("zos.provisiond")

BACKOFF = Backoff(first=0.5, cap=30.0)
SETTLED = 10
"""Blocks after which a call that a reorganisation took back has come again, or never will."""
LAG = 20
"""Seconds for which the chain's endpoint may be behind the one that a client changed its contract through."""


class DeploymentManager:
    """Every deployment of the node."""

    def __init__(self, host: NodeAccess, store: DeploymentStore, specs: Specs, every: float = 60.0) -> None:
        self.store = store
        self.specs = specs
        self._host = host
        self._executor = Executor(host.clients, host.memory, store, specs)
        self._every = every
        self._wakes: dict[int, Wake] = {}
        self._workers = Wake()
        self._to_fetch: set[int] = set()
        self._problems: dict[int, str] = {}
        self._documents: dict[int, tuple[Incoming, Document]] = {}
        """Of what is incoming, so that it is not parsed and hashed again."""
        self._shown: dict[int, tuple[Incoming, int]] = {}
        """Incoming documents whose contract carried them in a block that was not final yet, and its number."""
        store.on_settled = self._wake_waiting

    # What users ask for

    async def deploy(self, document: bytes, sender: int | None) -> None:
        """Accept a new deployment."""
        read = await self._admitted(document, sender)
        deployment = read.deployment
        await self._make_way(deployment)
        admission.admit_new(deployment, self.store.all(), self.specs.types)
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
        deployment = admission.read(document, self.specs)
        admission.is_owner(deployment, sender)
        stored = self.store.get(deployment.contract_id)
        read = Document(deployment, self.specs.types, pull.digests(document, deployment.contract_id))
        await self._check_signatures(read, stored if stored is not None and stored.twin == deployment.twin_id else None)
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
        if record.incoming is not None:
            self._documents[record.contract] = record.incoming, read
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
                await self._turn(contract)
            except ZosError as err:
                self._problems[contract] = err.explain()
                self.store.publish(self._trouble(contract, err))
                raise
            self._problems.pop(contract, None)

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
            self._documents.pop(contract, None)
            self._shown.pop(contract, None)
            self._wakes.pop(contract, None)
            self._workers.set()

    async def _take_in(self, contract: int) -> ZosError | None:
        """Fetch and compare documents. What keeps us from that keeps nothing of what runs from its round."""
        try:
            if contract in self._to_fetch:
                await self._fetch(contract)
                self._to_fetch.discard(contract)
            record = self.store.get(contract)
            while record is not None and record.incoming is not None:
                record = await self._compare(record, record.incoming)
        except ZosError as err:
            return err
        return None

    # Admission

    async def _fetch(self, contract: int) -> None:
        """Fetch the document that a contract names, and accept it as if it had been sent."""
        try:
            seen = await self._host.chain.contract(contract)
        except NoSuchContract:
            return
        place = pull.place(seen.deployment_data)
        if place is None:
            return
        began = time.monotonic()
        document = await self._host.fetch(seen, place)
        fetched = self.store.entry("fetch", f"the deployment was fetched from {place}", time.monotonic() - began)
        digests, wanted = pull.digests(document, contract), pull.digest(seen.deployment_data)
        if wanted and wanted not in digests:
            raise OtherDocument(contract=contract, place=place, found=digests[0], wanted=f"{wanted:.64}")
        document = await self._host.open(document)
        deployment = pull.bound(admission.read(document, self.specs), contract)
        read = Document(deployment, self.specs.types, digests)
        admission.carried(read, seen, await self._node())
        await self._host.kyc.check(deployment.twin_id)
        record, types = self.store.get(contract), self.specs.types
        if record is None or (record.twin != deployment.twin_id and not record.block):
            others = [one for one in self.store.all() if one.contract != contract]
            admission.admit_new(dataclasses.replace(deployment, version=0), others, types)
            seen_at = self.store.entry("chain", f"contract {contract} was seen at finalized block {seen.at.number}")
            self._create(read, seen_at, fetched, signed=False)
        elif deployment.version > record.version and record.phase is not Phase.ENDING:
            admission.admit_update(deployment, record, self.store.all(), types, carried=True)
            self._offer(read, fetched, signed=False)

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

    async def _compare(self, record: Record, incoming: Incoming) -> Record | None:
        """Hold a document against its contract and its signatures; from then on it is in force, or refused."""
        read = self._document(record.contract, incoming)
        began = time.monotonic()
        try:
            verdict: NodeContract | ZosError = await self._proven(record, incoming, read)
        except (NoSuchContract, WrongContract, Unproven, BadSignature) as err:
            verdict = err
        except NoSuchTwin as err:
            if self._is_younger(incoming, LAG):
                raise NotYet(what=str(err)) from None
            verdict = err
        except ChainBehind as err:
            if record.block or self._is_younger(incoming, STRANGE):
                raise
            verdict = err
        now = self.store.get(record.contract)
        if now is None or now.incoming is not incoming:
            return now  # it ended meanwhile, or another document was sent and is compared next
        self._documents.pop(record.contract, None)
        self._shown.pop(record.contract, None)
        if isinstance(verdict, ZosError):
            return self._refuse(record.contract, read.deployment, verdict)
        return self._put_in_force(read, verdict, time.monotonic() - began)

    async def _proven(self, record: Record, incoming: Incoming, read: Document) -> NodeContract:
        """The contract that carries the document, once all that it needs for what it does is proven."""
        contract = await self._carrying(record, read, await self._node())
        if not admission.is_named(incoming, contract) and not incoming.signed:
            admission.adds_only(read.deployment, record, self.specs)
        # What was sent is checked again: another document may have come into force since.
        if not incoming.signed or admission.in_force(record) is not None:
            await self._check_signatures(read, record)
        return contract

    def _put_in_force(self, read: Document, contract: NodeContract, took: float) -> Record:
        text = f"hash and signatures hold (contract read at finalized block {contract.at.number})"
        entry = self.store.entry("admission", text, took)

        def accepted(now: Record) -> Moved:
            moved = lifecycle.accepted(
                now,
                read.deployment,
                hash=contract.deployment_hash,
                block=contract.at.number,
                paid=contract.state is not ContractState.GRACE,
                now=self.store.now(),
            )
            return Moved(moved.record.noted(entry), moved.log)

        return self.store.change(contract.id, accepted)

    def _refuse(self, contract: int, deployment: Deployment, err: ZosError) -> Record:
        text = err.explain()
        entry = self.store.entry("admission", text)

        def refused(now: Record) -> Moved:
            moved = lifecycle.refused(now, deployment, text, self.store.now())
            return Moved(moved.record.noted(entry), moved.log)

        record = self.store.change(contract, refused)
        self.store.publish(store.refused(record))
        return record

    def _document(self, contract: int, incoming: Incoming) -> Document:
        known = self._documents.get(contract)
        if known is not None and known[0] is incoming:
            return known[1]
        return Document(decode(incoming.document), self.specs.types, incoming.digests)

    async def _carrying(self, record: Record, read: Document, node: int) -> NodeContract:
        id = read.deployment.contract_id
        contract = await self._host.chain.contract(id)
        try:
            admission.carried(read, contract, node)
        except WrongContract as err:
            best = await self._host.chain.contract(id, best=True)
            if self._may_lag(record, best):
                raise NotYet(what=f"the chain does not show a change of contract {id} yet") from None
            self._not_final(err, record, read, contract, best, node)
        return contract

    def _not_final(
        self,
        problem: WrongContract,
        record: Record,
        read: Document,
        contract: NodeContract,
        best: NodeContract,
        node: int,
    ) -> None:
        """Raise NotYet while the document is, or lately was, in blocks that are not final; else the problem stands."""
        try:
            admission.not_final(problem, read, best, node)
        except NotYet:
            if record.incoming is not None:
                self._shown[record.contract] = record.incoming, best.at.number
            raise
        except WrongContract:
            shown, block = self._shown.get(record.contract, (None, 0))
            if shown is record.incoming and contract.at.number < block + SETTLED:
                raise NotYet(
                    what=f"block {block} with the change of contract {record.contract} was taken back"
                ) from None
            raise

    def _may_lag(self, record: Record, best: NodeContract) -> bool:
        """An update's contract that still carries what is in force has perhaps not changed at our endpoint yet."""
        if record.incoming is None or not record.hash or best.deployment_hash != record.hash:
            return False
        return self._is_younger(record.incoming, LAG)

    def _is_younger(self, incoming: Incoming, seconds: int) -> bool:
        # A clock that was set back must not make it young for ever.
        return 0 <= self.store.now() - incoming.at < seconds

    async def _check_signatures(self, read: Document, record: Record | None) -> None:
        keys, stored = {}, admission.in_force(record)
        for twin in signers(read.deployment, stored):
            keys[twin] = (await self._host.chain.twin(twin)).account
        admission.signed(read, keys, stored)

    async def _node(self) -> int:
        return await registered(self._host.chain)
