"""Keeps the deployments: takes them in, compares them with their contracts, makes them so, one worker per contract.

The ledger is the queue: what is accepted is written first and worked on after, and a crash at any line is an early
wake-up. No contract waits for another. Chain, hub or a sibling that does not answer only makes a worker wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

from zos.chain.api import ChainBehind, NodeContract, NoSuchContract, NoSuchTwin, NotRegistered
from zos.chain.api.types import ContractEvent, ContractResources, ContractState, EventKind
from zos.errors import Kind, ZosError
from zos.model.capacity import Capacity, total
from zos.model.decode import Fields
from zos.model.deployment import Deployment, ResultState, decode, encode
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import workload_id
from zos.model.signing import BadSignature, signers
from zos.provisiond import admission, model, order, pull
from zos.provisiond.api.errors import NoMemory, NoSuchDeployment, WrongContract
from zos.provisiond.api.types import Link, Progress, Usage
from zos.provisiond.host import NodeHost
from zos.provisiond.model import LIVE, Item, Record
from zos.provisiond.order import Do, Op
from zos.runtime.backoff import Backoff
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.runtime.loops import Loop, Wake
from zos.verbs.primitive import Facts, Primitive, Sibling, Unchanged
from zos.verbs.run import perform

log = logging.getLogger("zos.provisiond")

BACKOFF = Backoff(first=0.5, cap=30.0)
WATCHED = 1000


class Keeper:
    """Every deployment of the node."""

    def __init__(
        self,
        host: NodeHost,
        records: Ledger[Record],
        types: dict[str, Primitive[Any]],
        clock: Clock,
        every: float = 60.0,
    ) -> None:
        self._host = host
        self._records = records
        self._types = types
        self._clock = clock
        self._every = every
        self._wakes: dict[int, Wake] = {}
        self._crew = Wake()
        self._pulls: set[int] = set()
        self._troubles: dict[int, str] = {}
        self._watchers: dict[int, set[asyncio.Queue[Progress]]] = {}
        self._unreported: set[int] = {int(key) for key in records.keys()}  # noqa: SIM118 - a ledger is no mapping
        self.report_wake = Wake()

    # The door

    async def deploy(self, document: bytes, sender: int | None) -> None:
        """Take a new deployment in."""
        deployment = admission.read(document, self._types)
        admission.is_owner(deployment, sender)
        await self._check_signatures(deployment)
        await self._host.kyc.check(deployment.twin_id)
        await self._unseat(deployment)
        admission.admit_new(deployment, self._all(), self._types)
        record = model.fresh(deployment, self._now())
        self._put(record.told(self._link("admission", f"version {deployment.version} was sent and accepted")))
        self._start(deployment.contract_id)

    async def update(self, document: bytes, sender: int | None) -> None:
        """Take the next version in."""
        deployment = admission.read(document, self._types)
        admission.is_owner(deployment, sender)
        await self._check_signatures(deployment)
        await self._host.kyc.check(deployment.twin_id)
        record = self.record(deployment.contract_id, sender)
        admission.admit_update(deployment, record, self._all(), self._types)
        accepted = dataclasses.replace(record, incoming=encode(deployment)).without_attempts(deployment.version)
        self._put(accepted.told(self._link("admission", f"version {deployment.version} was sent and accepted")))
        self._start(deployment.contract_id)

    def record(self, contract: int, twin: int | None = None) -> Record:
        """A deployment; with `twin`, only that twin's."""
        record = self._records.get(str(contract))
        if record is None or (twin is not None and record.twin != twin):
            raise NoSuchDeployment(contract=contract)
        return record

    def records(self, twin: int | None = None) -> tuple[Record, ...]:
        """All, or a twin's."""
        return tuple(record for record in self._all() if twin is None or record.twin == twin)

    def trouble(self, contract: int) -> str:
        """What a contract's worker waits for; empty when nothing."""
        return self._troubles.get(contract, "")

    def usage(self) -> Usage:
        """What live workloads take."""
        live = [(record, item) for record in self._all() for item in record.items if item.state in LIVE]
        used = total(self._capacity(item) for _, item in live)
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

    async def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        """States now, then each change."""
        queue: asyncio.Queue[Progress] = asyncio.Queue(WATCHED)
        self._watchers.setdefault(contract, set()).add(queue)
        try:
            record = self._records.get(str(contract))
            for item in record.items if record else ():
                yield _progress(contract, item)
            while True:
                yield await queue.get()
        finally:
            self._watchers[contract].discard(queue)

    # Workers

    async def work(self) -> None:
        """One supervised worker for every contract that there is something to do for."""
        for record in self._all():
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
        record = self._records.get(str(contract))
        while record is not None and record.incoming is not None and record.ending is None:
            record = await self._compare(record, decode(record.incoming))
        if record is not None and (record.ending is not None or not record.refused):
            record = await self._apply(record)
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
        record = self._records.get(str(event.contract))
        if record is not None and event.kind is not EventKind.PRESENT:
            self._put(record.told(self._link("chain", f"contract {event.kind} in block {event.block.number}")))

    async def audit(self) -> None:
        """Look at every contract by its id; a list's silence about one is never taken for its end."""
        failures = []
        for record in self._all():
            try:
                await self.look(record.contract)
            except ZosError as err:
                failures.append(err)
        for id in await self._host.chain.node_contracts():
            if str(id) not in self._records:
                await self.look(id)
        if failures:
            raise failures[0]

    async def look(self, contract: int) -> None:
        """Read one contract and act on what it says."""
        record = self._records.get(str(contract))
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
            self._put(dataclasses.replace(record, paused=paused).told(self._link("chain", text)))
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
        self._put(dataclasses.replace(record, ending=evidence).told(self._link("chain", detail)))
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
        fetched = self._link("fetch", f"the deployment was fetched from {place}", time.monotonic() - began)
        deployment = pull.bound(admission.read(document, self._types), contract)
        admission.carried(deployment, seen, await self._node(), self._types)
        await self._host.kyc.check(deployment.twin_id)
        record = self._records.get(str(contract))
        if record is None or (record.twin != deployment.twin_id and not record.block):
            others = [one for one in self._all() if one.contract != contract]
            admission.admit_new(dataclasses.replace(deployment, version=0), others, self._types)
            story = self._link("chain", f"contract {contract} was seen at finalized block {seen.at.number}")
            self._put(model.fresh(deployment, self._now()).told(story).told(fetched))
        elif deployment.version > record.version:
            admission.admit_update(deployment, record, self._all(), self._types)
            self._put(dataclasses.replace(record, incoming=encode(deployment)).told(fetched))

    async def _unseat(self, deployment: Deployment) -> None:
        """A document that its contract never carried gives way to one of the contract's own twin."""
        id = deployment.contract_id
        record = self._records.get(str(id))
        if record is None or record.twin == deployment.twin_id or record.block:
            return
        with contextlib.suppress(NoSuchContract, ChainBehind):
            if (await self._host.chain.contract(id, best=True)).twin == deployment.twin_id:
                self._records.drop(str(id))

    async def _compare(self, record: Record, deployment: Deployment) -> Record:
        """Hold a document against its contract and its signatures; from then on it is in force, or refused."""
        node = await self._node()
        began = time.monotonic()
        try:
            contract = await self._carrying(deployment, node)
            await self._check_signatures(deployment)
        except (NoSuchContract, WrongContract, BadSignature, NoSuchTwin) as err:
            if (fresh := self._fresh(record)).incoming != record.incoming:
                return fresh
            return self._refuse(fresh, deployment, err)
        if (fresh := self._fresh(record)).incoming != record.incoming:
            return fresh  # another document was sent meanwhile, and is compared next
        now = self._now()
        merged = order.merged(self._fresh(record), deployment, now)
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
        return self._put(accepted.told(self._link("admission", text, time.monotonic() - began)))

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
        now, text = self._now(), err.explain()
        refused = dataclasses.replace(record, incoming=None).told(self._link("admission", text))
        if any(item.applied is not None for item in record.items):
            for workload in deployment.workloads:
                if workload.version == deployment.version:
                    item = model.item_of(workload, now)
                    refused = refused.logged(model.settled(item, ResultState.UNCHANGED, now, text))
            return self._put(refused)
        for item in record.items:
            failed = model.settled(item, ResultState.ERROR, now, text)
            refused = refused.with_item(failed).logged(failed)
        return self._put(dataclasses.replace(refused, refused=text))

    async def _node(self) -> int:
        node = (await self._host.chain.status()).node
        if not node:
            raise NotRegistered()
        return node

    # Making it so

    async def _apply(self, record: Record) -> Record | None:
        waiting: ZosError | None = None
        for op in order.operations(record, self._types):
            try:
                await self._perform(record.contract, op)
            except ZosError as err:
                if err.kind is Kind.BUG:
                    raise
                waiting = waiting or err
        now = self._fresh(record)
        if waiting is not None:
            raise waiting
        if now.ending is not None and not now.items:
            self._records.drop(str(record.contract))
            self._tell(Progress(record.contract, "", "", ResultState.DELETED, now.ending.detail, self._clock.time()))
            return None
        return now

    async def _perform(self, contract: int, op: Op) -> None:
        record = self.record(contract)
        item = record.item(op.name)
        if item is None:
            return
        if op.do is Do.REMOVE:
            await self._remove(record, item)
            return
        try:
            await self._make(record, item, op.do)
        except ZosError as err:
            self._not_made(contract, op, err)

    async def _remove(self, record: Record, item: Item) -> None:
        one = self._types[item.type]
        evidence = record.ending or Evidence(
            EvidenceKind.SIGNED_UPDATE, record.contract, record.block, f"version {record.version} has no {item.name}"
        )
        facts = self._facts(record, item, evidence)
        have = one.parse(Fields(item.applied if item.applied is not None else item.data))
        # A workload that was refused before anything was made has nothing to take away, and dropping is repeatable.
        await self._steps(record, item, one.plan(self._id(record, item), None, have, facts), quiet=True)
        text = record.ending.detail if record.ending else "deleted by an update"
        gone = model.settled(item, ResultState.DELETED, self._now(), text)
        self._put(self._fresh(record).logged(gone).without_item(item.name))
        self._settle(record.contract, gone)

    async def _make(self, record: Record, item: Item, do: Do) -> None:
        one = self._types[item.type]
        spec = one.parse(Fields(item.data, f"{item.name}.data"))
        facts = self._facts(record, item)
        if do is Do.CHANGE:
            one.change(spec, one.parse(Fields(item.applied)), facts)
        if do is Do.MAKE:
            self._check_memory(record, item, one.capacity(spec))
        done = await self._steps(record, item, one.plan(self._id(record, item), spec, None, facts), quiet=do is Do.KEEP)
        state = ResultState.PAUSED if record.paused else ResultState.OK
        if do is Do.KEEP and item.state is state:
            return
        message = "paused" if state is ResultState.PAUSED else ""
        result = one.result(self._id(record, item), spec, done, facts)
        made = dataclasses.replace(
            model.settled(item, state, self._now(), message, result), applied=item.data, applied_version=item.version
        )
        self._put(self._fresh(record).with_item(made).logged(made))
        self._settle(record.contract, made)

    async def _steps(self, record: Record, item: Item, steps: tuple[Any, ...], quiet: bool) -> dict[str, Any]:
        done: dict[str, Any] = {}
        for step in steps:
            began = time.monotonic()
            try:
                await perform(step, self._host.doors, done)
            except ZosError as err:
                self._put(self._fresh(record).told(self._link(step.describe(), err.explain(), 0.0, item.name)))
                raise
            if not quiet:
                took = time.monotonic() - began
                self._put(self._fresh(record).told(self._link(step.describe(), "done", took, item.name)))
        return done

    def _not_made(self, contract: int, op: Op, err: ZosError) -> None:
        record = self.record(contract)
        item = record.item(op.name)
        if item is None:
            return
        now, text = self._now(), err.explain()
        if err.kind is Kind.NOT_NOW:
            if item.state is ResultState.INIT and item.message != text:
                self._put(record.with_item(dataclasses.replace(item, message=text)))
                self._tell(_progress(contract, dataclasses.replace(item, message=text)))
            raise err
        if op.do is Do.KEEP:
            raise err
        if op.do is Do.CHANGE:
            self._put(
                record.logged(model.settled(item, ResultState.UNCHANGED, now, text)).with_item(model.kept(item, now))
            )
            self._settle(contract, model.settled(item, ResultState.UNCHANGED, now, text))
            if not isinstance(err, Unchanged):
                log.warning("contract %d: %s stays as it was: %s", contract, op.name, text)
            return
        failed = model.settled(item, ResultState.ERROR, now, text)
        self._put(record.with_item(failed).logged(failed))
        self._settle(contract, failed)

    def _check_memory(self, record: Record, item: Item, need: Capacity) -> None:
        if not need.mru:
            return
        have, reserved = self._host.memory()
        others = (
            self._capacity(other)
            for one in self._all()
            for other in one.items
            if other.state in LIVE and (one.contract, other.name) != (record.contract, item.name)
        )
        usable = max(have - reserved - total(others).mru, 0)
        if need.mru > usable:
            raise NoMemory(need=need.mru, usable=usable)

    def _facts(self, record: Record, item: Item, evidence: Evidence | None = None) -> Facts:
        return Facts(
            twin=record.twin,
            contract=record.contract,
            name=item.name,
            siblings={
                name: Sibling(other.type, other.applied or other.data, other.state)
                for name, other in model.siblings(record).items()
            },
            paused=record.paused,
            evidence=evidence,
        )

    def _capacity(self, item: Item) -> Capacity:
        one = self._types.get(item.type)
        return one.capacity(one.parse(Fields(item.applied or item.data))) if one else Capacity()

    # Reports

    async def report(self) -> None:
        """Tell the chain what contracts use, when that changed."""
        waiting = sorted(self._unreported)
        listed = [self._resources(record) for record in self._all() if record.contract in waiting and record.items]
        if listed:
            await self._node()
            await self._host.chain.report_resources(tuple(listed))
        self._unreported -= set(waiting)

    def _resources(self, record: Record) -> ContractResources:
        used = total(self._capacity(item) for item in record.items if item.state in LIVE)
        return ContractResources(record.contract, used.cru, used.sru, used.hru, used.mru)

    # Small things

    def _settle(self, contract: int, item: Item) -> None:
        log.info(
            "contract %d: %s is %s%s", contract, item.name, item.state, f" ({item.message})" if item.message else ""
        )
        self._tell(_progress(contract, item))
        self._unreported.add(contract)
        self.report_wake.set()

    def _tell(self, progress: Progress) -> None:
        for queue in self._watchers.get(progress.contract, ()):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(progress)

    def _put(self, record: Record) -> Record:
        self._records.put(str(record.contract), record)
        return record

    def _fresh(self, record: Record) -> Record:
        """The record as it is now: the door may have changed it while we waited."""
        return self._records.get(str(record.contract)) or record

    def _all(self) -> tuple[Record, ...]:
        return tuple(record for _, record in self._records.items())

    def _link(self, what: str, detail: str, took: float = 0.0, workload: str = "") -> Link:
        return Link(what, detail, self._clock.time(), took, workload)

    def _now(self) -> int:
        return int(self._clock.time())

    @staticmethod
    def _id(record: Record, item: Item) -> Any:
        return workload_id(record.twin, record.contract, item.name)


def _progress(contract: int, item: Item) -> Progress:
    return Progress(contract, item.name, item.type, item.state, item.message, float(item.created))
