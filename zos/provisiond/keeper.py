"""Keeps the deployments: takes them in, compares them with their contracts, has them made, one worker per contract.

The ledger is the queue: what is accepted is written first and worked on after, and a crash at any line is an early
wake-up. No contract waits for another. Chain, hub or a sibling that does not answer only makes a worker wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from typing import Any

from zos.chain.api import ChainBehind, NodeContract, NoSuchContract, NoSuchTwin, NotRegistered
from zos.chain.api.types import ContractEvent, ContractResources, ContractState, EventKind
from zos.errors import ZosError
from zos.model.capacity import total
from zos.model.deployment import Deployment, ResultState, decode, encode
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.signing import BadSignature, signers
from zos.provisiond import admission, model, order, pull
from zos.provisiond.api.errors import WrongContract
from zos.provisiond.api.types import Usage
from zos.provisiond.book import Book
from zos.provisiond.host import NodeHost
from zos.provisiond.maker import Maker
from zos.provisiond.model import LIVE, Record
from zos.runtime.backoff import Backoff
from zos.runtime.loops import Loop, Wake
from zos.verbs.primitive import Primitive

log = logging.getLogger("zos.provisiond")

BACKOFF = Backoff(first=0.5, cap=30.0)


class Keeper:
    """Every deployment of the node."""

    def __init__(
        self, host: NodeHost, book: Book, maker: Maker, types: dict[str, Primitive[Any]], every: float = 60.0
    ) -> None:
        self.book = book
        self._host = host
        self._maker = maker
        self._types = types
        self._every = every
        self._wakes: dict[int, Wake] = {}
        self._crew = Wake()
        self._pulls: set[int] = set()
        self._troubles: dict[int, str] = {}

    # The door

    async def deploy(self, document: bytes, sender: int | None) -> None:
        """Take a new deployment in."""
        deployment = admission.read(document, self._types)
        admission.is_owner(deployment, sender)
        await self._check_signatures(deployment)
        await self._host.kyc.check(deployment.twin_id)
        await self._unseat(deployment)
        admission.admit_new(deployment, self.book.all(), self._types)
        record = model.fresh(deployment, self.book.now())
        self.book.put(record.told(self.book.link("admission", f"version {deployment.version} was sent and accepted")))
        self._start(deployment.contract_id)

    async def update(self, document: bytes, sender: int | None) -> None:
        """Take the next version in."""
        deployment = admission.read(document, self._types)
        admission.is_owner(deployment, sender)
        await self._check_signatures(deployment)
        await self._host.kyc.check(deployment.twin_id)
        record = self.book.record(deployment.contract_id, sender)
        admission.admit_update(deployment, record, self.book.all(), self._types)
        accepted = dataclasses.replace(record, incoming=encode(deployment)).without_attempts(deployment.version)
        self.book.put(accepted.told(self.book.link("admission", f"version {deployment.version} was sent and accepted")))
        self._start(deployment.contract_id)

    def trouble(self, contract: int) -> str:
        """What a contract's worker waits for; empty when nothing."""
        return self._troubles.get(contract, "")

    def usage(self) -> Usage:
        """What live workloads take."""
        live = [(record, item) for record in self.book.all() for item in record.items if item.state in LIVE]
        used = total(self._maker.capacity(item) for _, item in live)
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

    # Workers

    async def work(self) -> None:
        """One supervised worker for every contract that there is something to do for."""
        for record in self.book.all():
            self._start(record.contract)
        async with asyncio.TaskGroup() as group:
            running: dict[int, asyncio.Task[None]] = {}
            while True:
                for contract, wake in list(self._wakes.items()):
                    if contract not in running:
                        running[contract] = group.create_task(self._worker(contract, wake))
                for contract in [contract for contract in running if contract not in self._wakes]:
                    running.pop(contract).cancel()
                await self._crew.wait(None)

    def _start(self, contract: int) -> None:
        if contract not in self._wakes:
            self._wakes[contract] = Wake()
            self._crew.set()
        self._wakes[contract].set()

    async def _worker(self, contract: int, wake: Wake) -> None:
        async def turn() -> None:
            try:
                await self._turn(contract)
            except ZosError as err:
                self._troubles[contract] = err.explain()
                raise
            self._troubles.pop(contract, None)

        await Loop(f"contract {contract}", turn, self._every, wake, BACKOFF).run()

    async def _turn(self, contract: int) -> None:
        if contract in self._pulls:
            await self._pull(contract)
            self._pulls.discard(contract)
        record = self.book.get(contract)
        while record is not None and record.incoming is not None and record.ending is None:
            record = await self._compare(record, decode(record.incoming))
        if record is not None and (record.ending is not None or not record.refused):
            record = await self._maker.apply(record)
        if record is None:
            # Last, and without an await behind it: the crew ends this worker.
            self._wakes.pop(contract, None)
            self._crew.set()

    # The chain's word

    async def listen(self) -> None:
        """Hear what happens to contracts; every event is only a reason to look at one."""
        async for event in self._host.chain.watch_contracts():
            self.heard(event)
            try:
                await self.look(event.contract)
            except ZosError as err:
                log.warning("contract %d: %s", event.contract, err.explain())

    def heard(self, event: ContractEvent) -> None:
        """Note an event in the story."""
        record = self.book.get(event.contract)
        if record is not None and event.kind is not EventKind.PRESENT:
            self.book.put(record.told(self.book.link("chain", f"contract {event.kind} in block {event.block.number}")))

    async def audit(self) -> None:
        """Look at every contract by its id; a list's silence about one is never taken for its end."""
        failures = []
        for record in self.book.all():
            try:
                await self.look(record.contract)
            except ZosError as err:
                failures.append(err)
        for id in await self._host.chain.node_contracts():
            if self.book.get(id) is None:
                await self.look(id)
        if failures:
            raise failures[0]

    async def look(self, contract: int) -> None:
        """Read one contract and act on what it says."""
        record = self.book.get(contract)
        try:
            seen = await self._host.chain.contract(contract)
        except NoSuchContract as err:
            if record is not None and record.ending is None and record.incoming is None:
                self._end(record, err.block, str(err))
            elif record is not None:
                self._start(contract)
            return
        if record is None:
            if pull.place(seen.deployment_data) and seen.state is ContractState.CREATED:
                self._pulls.add(contract)
                self._start(contract)
            return
        if record.ending is not None:
            return
        if seen.state in (ContractState.DELETED_CANCELED, ContractState.DELETED_OUT_OF_FUNDS):
            self._end(record, seen.at.number, f"contract {contract} is {seen.state}")
            return
        paused = seen.state is ContractState.GRACE
        if record.paused != paused:
            text = "the contract is not paid: paused" if paused else "the contract is paid again: resumed"
            self.book.put(dataclasses.replace(record, paused=paused).told(self.book.link("chain", text)))
            self._start(contract)
        if self._is_stale(record, seen):
            self._pulls.add(contract)
            self._start(contract)

    def _is_stale(self, record: Record, seen: NodeContract) -> bool:
        """Whether the contract carries another document than ours, and says where that lies."""
        if pull.place(seen.deployment_data) is None:
            return False
        if seen.twin != record.twin:
            return not record.block
        if record.incoming is not None:
            return False
        stored = dataclasses.replace(record.deployment(), expiration=0)
        try:
            admission.carried(stored, seen, seen.node, self._types)
        except WrongContract:
            return record.block < seen.at.number
        return False

    def _end(self, record: Record, block: int, detail: str) -> None:
        evidence = Evidence(EvidenceKind.CONTRACT_CANCELLED, record.contract, block, detail)
        self.book.put(dataclasses.replace(record, ending=evidence).told(self.book.link("chain", detail)))
        self._start(record.contract)

    # Admission

    async def _pull(self, contract: int) -> None:
        """Fetch the document that a contract names, and take it in as if it had been sent."""
        try:
            seen = await self._host.chain.contract(contract)
        except NoSuchContract:
            return
        place = pull.place(seen.deployment_data)
        if place is None:
            return
        began = time.monotonic()
        document = await self._host.fetch(seen, place)
        fetched = self.book.link("fetch", f"the deployment was fetched from {place}", time.monotonic() - began)
        deployment = pull.bound(admission.read(document, self._types), contract)
        admission.carried(deployment, seen, await self._node(), self._types)
        await self._host.kyc.check(deployment.twin_id)
        record = self.book.get(contract)
        if record is None or (record.twin != deployment.twin_id and not record.block):
            others = [one for one in self.book.all() if one.contract != contract]
            admission.admit_new(dataclasses.replace(deployment, version=0), others, self._types)
            story = self.book.link("chain", f"contract {contract} was seen at finalized block {seen.at.number}")
            self.book.put(model.fresh(deployment, self.book.now()).told(story).told(fetched))
        elif deployment.version > record.version:
            admission.admit_update(deployment, record, self.book.all(), self._types)
            self.book.put(dataclasses.replace(record, incoming=encode(deployment)).told(fetched))

    async def _unseat(self, deployment: Deployment) -> None:
        """A document that its contract never carried gives way to one of the contract's own twin."""
        id = deployment.contract_id
        record = self.book.get(id)
        if record is None or record.twin == deployment.twin_id or record.block:
            return
        with contextlib.suppress(NoSuchContract, ChainBehind):
            if (await self._host.chain.contract(id, best=True)).twin == deployment.twin_id:
                self.book.drop(id)

    async def _compare(self, record: Record, deployment: Deployment) -> Record:
        """Hold a document against its contract and its signatures; from then on it is in force, or refused."""
        node = await self._node()
        began = time.monotonic()
        try:
            contract = await self._carrying(deployment, node)
            await self._check_signatures(deployment)
        except (NoSuchContract, WrongContract, BadSignature, NoSuchTwin) as err:
            if (fresh := self.book.fresh(record)).incoming != record.incoming:
                return fresh
            return self._refuse(fresh, deployment, err)
        if (fresh := self.book.fresh(record)).incoming != record.incoming:
            return fresh  # another document was sent meanwhile, and is compared next
        now = self.book.now()
        merged = order.merged(self.book.fresh(record), deployment, now)
        accepted = dataclasses.replace(
            merged,
            version=deployment.version,
            metadata=deployment.metadata,
            description=deployment.description,
            requirement=encode(deployment)["signature_requirement"],
            incoming=None,
            refused="",
            paused=contract.state is ContractState.GRACE,
            block=contract.at.number,
        )
        for item in accepted.items:
            old = record.item(item.name)
            if item.state is ResultState.INIT and (old is None or old.version != item.version):
                accepted = accepted.logged(item)
        text = f"hash and signatures hold (contract read at finalized block {contract.at.number})"
        return self.book.put(accepted.told(self.book.link("admission", text, time.monotonic() - began)))

    async def _carrying(self, deployment: Deployment, node: int) -> NodeContract:
        id = deployment.contract_id
        contract = await self._host.chain.contract(id)
        try:
            admission.carried(deployment, contract, node, self._types)
        except WrongContract as err:
            best = await self._host.chain.contract(id, best=True)
            admission.not_final(err, deployment, best, node, self._types)
        return contract

    async def _check_signatures(self, deployment: Deployment) -> None:
        keys = {}
        for twin in signers(deployment):
            keys[twin] = (await self._host.chain.twin(twin)).account
        admission.signed(deployment, keys, self._types)

    def _refuse(self, record: Record, deployment: Deployment, err: ZosError) -> Record:
        """Nothing of the document is made; what ran before goes on."""
        now, text = self.book.now(), err.explain()
        refused = dataclasses.replace(record, incoming=None).told(self.book.link("admission", text))
        if any(item.applied is not None for item in record.items):
            for workload in deployment.workloads:
                if workload.version == deployment.version:
                    item = model.item_of(workload, now)
                    refused = refused.logged(model.settled(item, ResultState.UNCHANGED, now, text))
            return self.book.put(refused)
        for item in record.items:
            failed = model.settled(item, ResultState.ERROR, now, text)
            refused = refused.with_item(failed).logged(failed)
        return self.book.put(dataclasses.replace(refused, refused=text))

    async def _node(self) -> int:
        node = (await self._host.chain.status()).node
        if not node:
            raise NotRegistered()
        return node

    # Reports

    async def report(self) -> None:
        """Tell the chain what contracts use, when that changed."""
        waiting = sorted(self.book.unreported)
        listed = [self._resources(record) for record in self.book.all() if record.contract in waiting and record.items]
        if listed:
            await self._node()
            await self._host.chain.report_resources(tuple(listed))
        self.book.unreported -= set(waiting)

    def _resources(self, record: Record) -> ContractResources:
        used = total(self._maker.capacity(item) for item in record.items if item.state in LIVE)
        return ContractResources(record.contract, used.cru, used.sru, used.hru, used.mru)
