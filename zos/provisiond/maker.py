"""Makes deployments so: plans each workload by its type, performs the steps, and keeps what came of it."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from zos.errors import Kind, ZosError
from zos.model.capacity import Capacity, total
from zos.model.decode import Fields
from zos.model.deployment import ResultState
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import WorkloadId, workload_id
from zos.provisiond import model, needs, order
from zos.provisiond.api.errors import NoMemory
from zos.provisiond.api.types import Progress
from zos.provisiond.book import Book, progress
from zos.provisiond.host import NodeHost
from zos.provisiond.model import LIVE, Item, Record
from zos.provisiond.order import Do, Op
from zos.verbs.primitive import Facts, Primitive, Sibling, Unchanged, Waiting
from zos.verbs.step import Answers, Step

log = logging.getLogger("zos.provisiond")


class Maker:
    """One workload after another, through the doors of the daemons."""

    def __init__(self, host: NodeHost, book: Book, types: dict[str, Primitive[Any]]) -> None:
        self._host = host
        self._book = book
        self._types = types

    async def apply(self, record: Record) -> Record | None:
        waiting: ZosError | None = None
        for op in order.operations(record, self._types):
            try:
                await self._perform(record.contract, op)
            except ZosError as err:
                if err.kind is Kind.BUG:
                    raise
                waiting = waiting or err
        now = self._book.fresh(record)
        if waiting is not None:
            raise waiting
        if now.ending is not None and not now.items:
            self._book.drop(record.contract)
            self._book.tell(Progress(record.contract, "", "", ResultState.DELETED, now.ending.detail, self._book.now()))
            return None
        return now

    async def _perform(self, contract: int, op: Op) -> None:
        record = self._book.record(contract)
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
        await self._steps(record, item, one.drop(_id(record, item), have, facts), quiet=True)
        text = record.ending.detail if record.ending else "deleted by an update"
        gone = model.settled(item, ResultState.DELETED, self._book.now(), text)
        self._book.put(self._book.fresh(record).logged(gone).without_item(item.name))
        self._book.settle(record.contract, gone)

    async def _make(self, record: Record, item: Item, do: Do) -> None:
        one = self._types[item.type]
        spec = one.parse(Fields(item.data, f"{item.name}.data"))
        facts = self._facts(record, item)
        previous = one.parse(Fields(item.applied)) if item.applied is not None else None
        if do is Do.CHANGE:
            one.change(spec, previous, facts)
        needs.check(one.needs(spec), record, self._book.all(), self._types, is_made=do is Do.KEEP)
        if do is Do.MAKE:
            self._check_memory(record, item, one.capacity(spec))
        done = await self._steps(record, item, one.make(_id(record, item), spec, facts, previous), quiet=do is Do.KEEP)
        state = ResultState.PAUSED if record.paused else ResultState.OK
        if do is Do.KEEP and item.state is state:
            return
        message = "paused" if state is ResultState.PAUSED else ""
        result = one.result(_id(record, item), spec, done, facts)
        made = dataclasses.replace(
            model.settled(item, state, self._book.now(), message, result),
            applied=item.data,
            applied_version=item.version,
        )
        self._book.put(self._book.fresh(record).with_item(made).logged(made))
        self._book.settle(record.contract, made)

    async def _steps(self, record: Record, item: Item, steps: tuple[Step[Any], ...], quiet: bool) -> Answers:
        answers = Answers()
        for step in steps:
            began = time.monotonic()
            try:
                answers.put(step, await step.perform(self._host.clients, answers))
            except ZosError as err:
                self._book.put(
                    self._book.fresh(record).told(self._book.link(step.describe(), err.explain(), 0.0, item.name))
                )
                raise
            if not quiet:
                took = time.monotonic() - began
                self._book.put(self._book.fresh(record).told(self._book.link(step.describe(), "done", took, item.name)))
        return answers

    def _not_made(self, contract: int, op: Op, err: ZosError) -> None:
        record = self._book.record(contract)
        item = record.item(op.name)
        if item is None:
            return
        if op.do is Do.MAKE and needs.is_passing(err, record.twin, self._book.all(), self._types):
            err = _later(err)
        now, text = self._book.now(), err.explain()
        if err.kind is Kind.NOT_NOW:
            if item.state is ResultState.INIT and item.message != text:
                self._book.put(record.with_item(dataclasses.replace(item, message=text)))
                self._book.tell(progress(contract, dataclasses.replace(item, message=text)))
            raise err
        if op.do is Do.KEEP:
            raise err
        if op.do is Do.CHANGE:
            self._book.put(
                record.logged(model.settled(item, ResultState.UNCHANGED, now, text)).with_item(model.kept(item, now))
            )
            self._book.settle(contract, model.settled(item, ResultState.UNCHANGED, now, text))
            if not isinstance(err, Unchanged):
                log.warning("contract %d: %s stays as it was: %s", contract, op.name, text)
            return
        failed = model.settled(item, ResultState.ERROR, now, text)
        self._book.put(record.with_item(failed).logged(failed))
        self._book.settle(contract, failed)

    def _check_memory(self, record: Record, item: Item, need: Capacity) -> None:
        if not need.mru:
            return
        have, reserved = self._host.memory()
        others = (
            self.capacity(other)
            for one in self._book.all()
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
                name: Sibling(self._types[other.type], self._spec(other), other.state)
                for name, other in model.siblings(record).items()
                if other.type in self._types
            },
            paused=record.paused,
            evidence=evidence,
        )

    def capacity(self, item: Item) -> Capacity:
        """What a workload takes."""
        one = self._types.get(item.type)
        return one.capacity(self._spec(item)) if one else Capacity()

    def _spec(self, item: Item) -> Any:
        return self._types[item.type].parse(Fields(item.applied or item.data))


def _later(err: ZosError) -> Waiting:
    """What is refused while something else is being removed may be possible after it."""
    later = Waiting(what="what is being removed")
    later.__cause__ = err
    return later


def _id(record: Record, item: Item) -> WorkloadId:
    return workload_id(record.twin, record.contract, item.name)
