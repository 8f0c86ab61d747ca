"""Performs what the plan of a deployment says: each workload's steps, one workload after another."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from zos.errors import Kind, ZosError
from zos.model.capacity import machine_memory
from zos.model.deployment import ResultState
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import WorkloadId, workload_id
from zos.provisiond import lifecycle, needs
from zos.provisiond.api.errors import NoMemory
from zos.provisiond.api.types import Progress
from zos.provisiond.lifecycle import Moved
from zos.provisiond.model import Item, Making, Phase, Record
from zos.provisiond.patience import LONG, patience
from zos.provisiond.plan import Do, Op, plan
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore, progress
from zos.provisiond.strikes import Strikes
from zos.storaged.api import NoEvidence
from zos.verbs.primitive import Facts, Primitive, Sibling, Unchanged, Waiting
from zos.verbs.step import Answers, Beside, Clients, Step, Steps
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId

log = logging.getLogger("zos.provisiond")


class Executor:
    """`memory` tells the node's total and reserved bytes."""

    def __init__(
        self,
        clients: Clients,
        memory: Callable[[], tuple[int, int]],
        store: DeploymentStore,
        specs: Specs,
        strikes: Strikes,
    ) -> None:
        self._strikes = strikes
        self._clients = clients
        self._memory = memory
        self._store = store
        self._specs = specs
        self._since: dict[tuple[int, str], tuple[int, float]] = {}
        """Since when the first making of a workload's version fails by its tenant's choice, by the monotonic clock."""

    async def apply(self, record: Record) -> bool:
        """Do all that can be done now; False when the deployment is gone. Raises what is to be tried again."""
        contract = record.contract
        waiting: ZosError | None = None
        for op in plan(record, self._specs.types):
            try:
                await self._perform(contract, op)
            except ZosError as err:
                if err.kind is Kind.BUG:
                    raise
                waiting = waiting or err
        if waiting is not None:
            raise waiting
        now = self._store.record(contract)
        if now.ending is None or now.items:
            return True
        self._store.remove(contract)
        self._store.publish(Progress(contract, "", "", ResultState.DELETED, now.ending.detail, self._store.now()))
        return False

    async def stop(self, contract: int) -> None:
        """Stop the machines of a contract that is over by their names alone: what it says is not read."""
        record = self._store.get(contract)
        if record is None or record.phase is not Phase.ENDING:
            return
        for item in record.items:
            one = self._specs.types.get(item.type)
            if one is not None and one.is_machine:
                await self._clients.of(VmdClient).drop_machine(MachineId(_id(record, item)))

    async def _perform(self, contract: int, op: Op) -> None:
        record = self._store.record(contract)
        item = record.leaving(op.name) if op.leaving else record.item(op.name)
        if item is None or (record.ending is not None and op.do is not Do.REMOVE):
            return  # it ended while the operations before were done
        if op.do is Do.REMOVE:
            await self._remove(record, item)
            return
        if op.do is Do.CLEAR:
            try:
                await self._give_back(record, item)
            except ZosError:
                await self._bill_if_long(record, item)
                raise
            return
        try:
            await self._make(record, item, op.do)
        except ZosError as err:
            await self._not_made(contract, op, err)

    async def _remove(self, record: Record, item: Item) -> None:
        for other in record.items:
            if (other.leaving or record.ending is not None) and self._uses(other, item):
                # Its removal failed a moment ago: it still runs, on this.
                raise Waiting(what=f"the removal of `{other.name}`")
        one = self._specs.types[item.type]
        evidence = record.ending or Evidence(
            EvidenceKind.SIGNED_UPDATE, record.contract, record.block, f"version {record.version} has no {item.name}"
        )
        # A workload that was refused before anything was made has nothing to remove, and dropping is repeatable.
        steps = one.drop(_id(record, item), self._specs.in_force(item), self._facts(record, item, evidence))
        await self._steps(record, item, steps, quiet=True)
        self._since.pop((record.contract, item.name), None)
        text = record.ending.detail if record.ending else "deleted by an update"
        gone = item.settled(ResultState.DELETED, self._store.now(), text)
        self._store.change(record.contract, lambda now: Moved(now.without_item(item), (gone,)))
        self._store.announce(record.contract, gone)

    def _uses(self, item: Item, used: Item) -> bool:
        one = self._specs.types.get(item.type)
        return one is not None and any(need.name == used.name for need in one.needs(self._specs.in_force(item)))

    async def _make(self, record: Record, item: Item, do: Do) -> None:
        one, id = self._specs.types[item.type], _id(record, item)
        spec = self._specs.of(item.type, item.data, f"{item.name}.data")
        previous = self._specs.in_force(item) if item.applied is not None else None
        facts = self._facts(record, item)
        if record.leaving(item.name) is not None or (one.sharable and self._is_leaving_elsewhere(record, item)):
            raise Waiting(what=f"the removal of the `{item.name}` before")
        if do is Do.CHANGE:
            one.change(spec, previous, facts)
        needs.check(one.needs(spec), record, self._store.all(), self._specs.types, is_made=do is Do.KEEP)
        if do is Do.MAKE:
            self._grant_memory(record, item, one.capacity(spec).mru)
            await self._begin(record, item)
        answers = await self._steps(record, item, one.make(id, spec, facts, previous), quiet=do is Do.KEEP)
        state = ResultState.PAUSED if facts.paused else ResultState.OK
        if do is Do.KEEP and item.state is state:
            self._tell(record.contract, item, "")
            return
        message = "paused" if state is ResultState.PAUSED else ""
        made = dataclasses.replace(
            item.settled(state, self._store.now(), message, one.result(id, spec, answers, facts)),
            applied=item.data,
            applied_version=item.version,
        )
        self._store.change(record.contract, lambda now: Moved(now.with_item(made), (made,)))
        self._store.announce(record.contract, made)

    async def _steps(self, record: Record, item: Item, steps: Steps, quiet: bool) -> Answers:
        answers = Answers()

        async def row(steps: Iterable[Step[Any]]) -> None:
            for step in steps:
                await self._step(record, item, step, answers, quiet)

        async def noted_row(steps: Iterable[Step[Any]]) -> None:
            await self._strikes.during(record.contract, row(steps))

        for one in steps:
            if isinstance(one, Beside):
                # A row is not cut off in the middle when another one fails: its own step may be almost done.
                ends = await asyncio.gather(*map(noted_row, one.rows), return_exceptions=True)
                for failure in ends:
                    if failure is not None:
                        raise failure
            else:
                await row((one,))
        return answers

    async def _step(self, record: Record, item: Item, step: Step[Any], answers: Answers, quiet: bool) -> None:
        began = time.monotonic()
        if step.runs and item.applied is None:
            self._mark(record.contract, item.name, making=Making.USED)
        try:
            answers.put(step, await step.perform(self._clients, answers))
        except ZosError as err:
            self._store.note(record.contract, step.describe(), err.explain(), 0.0, item.name)
            raise
        if not quiet:
            # What a daemon made, and what it says that this lacks.
            detail = str(getattr(answers[step], "detail", "") or "done")
            self._store.note(record.contract, step.describe(), detail, time.monotonic() - began, item.name)

    async def _begin(self, record: Record, item: Item) -> None:
        """Write down, before the first step of a first making, whether all that will be there was made by it."""
        if item.making is Making.NONE:
            steps = self._dropping(record, item)
            is_there = any([await step.is_there(self._clients) for step in steps if step.erases])
            self._mark(record.contract, item.name, making=Making.USED if is_there else Making.FRESH)

    def _dropping(self, record: Record, item: Item) -> tuple[Step[Any], ...]:
        one: Primitive[Any] = self._specs.types[item.type]
        text = f"{item.name} could not be made"
        evidence = Evidence(EvidenceKind.NEVER_MADE, record.contract, record.block, text)
        return one.drop(_id(record, item), self._specs.in_force(item), self._facts(record, item, evidence))

    async def _give_back(self, record: Record, item: Item) -> None:
        """Remove what a first making that failed left behind; what its tenant may have written to stays, and is billed.

        A network takes nothing that is paid for, and one of its name may be another deployment's by now: it stays.
        """
        held = False
        if not self._specs.types[item.type].sharable:
            steps = self._dropping(record, item)
            await self._steps(record, item, tuple(step for step in steps if not step.erases), quiet=True)
            for step in steps:
                held |= step.erases and not await self._erase(record, item, step)
            left = "is kept and billed: it may hold data of its tenant" if held else "is given back"
            self._store.note(record.contract, "what was made of it", left, workload=item.name)
        self._mark(record.contract, item.name, cleared=True, held=held)
        self._store.reports.mark(record.contract)

    async def _erase(self, record: Record, item: Item, step: Step[Any]) -> bool:
        """Whether it is gone."""
        if item.making is Making.FRESH:
            with contextlib.suppress(NoEvidence):
                await self._steps(record, item, (step,), quiet=True)
                return True
        return not await step.is_there(self._clients)

    def _mark(self, contract: int, name: str, **changes: Any) -> None:
        item = self._store.record(contract).item(name)
        if item is not None and (marked := dataclasses.replace(item, **changes)) != item:
            self._store.change(contract, lambda now: now.with_item(marked))

    async def _bill_if_long(self, record: Record, item: Item) -> None:
        """What is kept for a first making is billed from a while on, whatever it, or its removal, waits for."""
        if item.held or item.making is Making.NONE or self._store.now() - item.created < LONG:
            return
        steps = self._dropping(record, item)
        with contextlib.suppress(ZosError):
            if item.takes() or any([await step.is_there(self._clients) for step in steps if step.erases]):
                self._mark(record.contract, item.name, held=True)
                self._store.reports.mark(record.contract)

    async def _not_made(self, contract: int, op: Op, err: ZosError) -> None:
        record = self._store.record(contract)
        item = record.item(op.name)
        if item is None:
            return
        if op.do is Do.MAKE and needs.is_passing(err, record.twin, self._store.all(), self._specs.types):
            err = _later(err)
        now, text = self._store.now(), err.explain()
        if err.kind is Kind.NOT_NOW and not self._is_hopeless(contract, op, item, err):
            if item.state is ResultState.INIT and item.message != text:
                told = dataclasses.replace(item, message=text)
                self._store.publish(progress(self._store.change(contract, lambda now: now.with_item(told)), told))
            if op.do is Do.MAKE:
                await self._bill_if_long(record, item)
            raise err
        if op.do is Do.KEEP:
            self._tell(contract, item, text)
            raise err
        state = ResultState.UNCHANGED if op.do is Do.CHANGE else ResultState.ERROR
        settled = item.settled(state, now, text)
        after = lifecycle.kept(item, now, text) if op.do is Do.CHANGE else settled
        self._store.change(contract, lambda record: Moved(record.with_item(after), (settled,)))
        self._store.announce(contract, settled)
        if op.do is Do.CHANGE and not isinstance(err, Unchanged):
            log.warning("contract %d: %s stays as it was: %s", contract, op.name, text)
        if settled.is_to_clear():
            await self._give_back(self._store.record(contract), settled)

    def _is_leaving_elsewhere(self, record: Record, item: Item) -> bool:
        """A name that is the twin's on this node is free once the other deployment's is gone."""
        return any(
            other.contract != record.contract and old.name == item.name and self._is_sharable(old)
            for other in self._store.all(record.twin)
            for old in other.items
            if old.leaving or other.phase is Phase.ENDING
        )

    def _is_sharable(self, item: Item) -> bool:
        one = self._specs.types.get(item.type)
        return one is not None and one.sharable

    def _is_hopeless(self, contract: int, op: Op, item: Item, err: ZosError) -> bool:
        """Whether a first making has long enough tried what only its user can mend; what runs is never given up."""
        key, most = (contract, item.name), patience(err) if op.do is Do.MAKE else None
        if most is None:
            self._since.pop(key, None)
            return False
        now = self._store.uptime()
        version, since = self._since.get(key, (item.version, now))
        if version != item.version:
            since = now
        self._since[key] = item.version, since
        if now - since < most:
            return False
        del self._since[key]
        return True

    def _tell(self, contract: int, item: Item, problem: str) -> None:
        """An ok workload stays ok for its clients, and says what it lacks, until it is healed."""
        if item.state is not ResultState.OK or item.message == problem:
            return
        told = dataclasses.replace(item, message=problem)
        self._store.publish(progress(self._store.change(contract, lambda now: now.with_item(told)), told))

    def _grant_memory(self, record: Record, item: Item, need: int) -> None:
        """Without an await, so that two machines at once cannot both get the last of it."""
        if not need or item.begun:
            return
        have, reserved, id = *self._memory(), _id(record, item)
        live = (
            machine_memory(self._specs.capacity(other).mru)
            for record in self._store.all()
            for other in record.items
            if other.takes() and _id(record, other) != id
        )
        overhead = machine_memory(need) - need
        usable = max(have - reserved - sum(live) - overhead, 0)
        if need > usable:
            raise NoMemory(need=need, usable=usable)
        begun = dataclasses.replace(item, begun=True)
        self._store.change(record.contract, lambda now: now.with_item(begun))

    def _facts(self, record: Record, item: Item, evidence: Evidence | None = None) -> Facts:
        types = self._specs.types
        return Facts(
            twin=record.twin,
            contract=record.contract,
            name=item.name,
            siblings={
                name: Sibling(types[other.type], self._specs.in_force(other), other.state, other.result)
                for name, other in record.siblings().items()
                if other.type in types
            },
            paused=record.phase is Phase.PAUSED,
            evidence=evidence,
        )


def _later(err: ZosError) -> Waiting:
    """What is refused while something else is being removed may be possible after it."""
    later = Waiting(what="what is being removed")
    later.__cause__ = err
    return later


def _id(record: Record, item: Item) -> WorkloadId:
    return workload_id(record.twin, record.contract, item.name)
