"""The deployments: their records, logs and histories, who watches them, and which are to be reported."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

from zos.model.deployment import ResultState
from zos.provisiond.api.errors import NoSuchDeployment
from zos.provisiond.api.types import HistoryEntry, Progress
from zos.provisiond.lifecycle import Moved
from zos.provisiond.log import DeploymentLog
from zos.provisiond.model import Item, Phase, Record
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.runtime.loops import Wake

log = logging.getLogger("zos.provisiond")

BACKLOG = 1000
"""Changes that a watcher may be behind."""


class Reports:
    """Contracts whose use of the node changed since the chain was told."""

    def __init__(self, contracts: Iterable[int]) -> None:
        self._changes = dict.fromkeys(contracts, 1)
        self.former = frozenset(self._changes)
        """Contracts of which this process does not know what the chain was told last."""
        self.wake = Wake()

    def mark(self, contract: int) -> None:
        """Notes that the contract's report to the chain is stale, and wakes whoever sends it."""
        self._changes[contract] = self._changes.get(contract, 0) + 1
        self.wake.set()

    def waiting(self) -> Mapping[int, int]:
        """The contracts, each with how often it changed."""
        return dict(self._changes)

    def done(self, told: Mapping[int, int]) -> None:
        """The chain was told of this; what changed meanwhile is to be told again."""
        for contract, changes in told.items():
            if self._changes.get(contract) == changes:
                del self._changes[contract]


class DeploymentStore:
    """The single writer of the ledger. What is changed is written before anybody is told of it."""

    def __init__(self, records: Ledger[Record], entries: DeploymentLog, clock: Clock) -> None:
        self._records = records
        self._log = entries
        self._clock = clock
        self._watchers: dict[int, set[asyncio.Queue[Progress]]] = {}
        for record in self.all():
            self._move_log(record)
        self.reports = Reports(record.contract for record in self.all() if record.is_ours())
        self.on_settled: Callable[[int, Item], None] = lambda contract, item: None
        """Called when a workload has come to a state."""

    def _move_log(self, record: Record) -> None:
        if record.log:
            if not self._log.entries(record.contract):
                self._log.extend(record.contract, record.log)
            self._records.put(str(record.contract), dataclasses.replace(record, log=()))

    # Reading

    def get(self, contract: int) -> Record | None:
        """A deployment, if there is one."""
        return self._records.get(str(contract))

    def record(self, contract: int, twin: int | None = None) -> Record:
        """A deployment; with `twin`, only that twin's."""
        record = self.get(contract)
        if record is None or (twin is not None and record.twin != twin):
            raise NoSuchDeployment(contract=contract)
        return record

    def all(self, twin: int | None = None) -> tuple[Record, ...]:
        """Every deployment, or a twin's."""
        return tuple(record for _, record in self._records.items() if twin is None or record.twin == twin)

    def revision(self, contract: int) -> str:
        """Changes whenever another document was taken in, when it is not paid or paid again, and when it is over."""
        record = self.get(contract)
        if record is None:
            return ""
        return str(record.offered) + {Phase.ENDING: " ended", Phase.PAUSED: " paused"}.get(record.phase, "")

    def changes(self, contract: int, twin: int | None = None) -> list[Mapping[str, object]]:
        """The log of a deployment, oldest entry first."""
        return list(self._log.entries(self.record(contract, twin).contract))

    # Changing

    def create(self, moved: Moved, *entries: HistoryEntry) -> Record:
        """Keep a new deployment, in place of one whose document no contract carried."""
        record = moved.record
        self._log.drop(record.contract)
        self._log.append(record.contract, *moved.log)
        for entry in entries:
            record = record.noted(entry)
        self._records.put(str(record.contract), record)
        return record

    def change(self, contract: int, function: Callable[[Record], Record | Moved]) -> Record:
        """Change a deployment by a pure function of what it is now: no writer can lose another's change."""
        moved = function(self.record(contract))
        if isinstance(moved, Moved):
            self._log.append(contract, *moved.log)
            moved = moved.record
        self._records.put(str(contract), moved)
        return moved

    def remove(self, contract: int) -> None:
        """The deployment is gone."""
        self._records.drop(str(contract))
        self._log.drop(contract)

    def note(self, contract: int, what: str, detail: str, took: float = 0.0, workload: str = "") -> None:
        """Append to the history."""
        entry = self.entry(what, detail, took, workload)
        self.change(contract, lambda record: record.noted(entry))

    def forget(self, contract: int, version: int) -> None:
        """Take a version that was refused before out of the log."""
        self._log.forget(contract, version)

    def entry(self, what: str, detail: str, took: float = 0.0, workload: str = "") -> HistoryEntry:
        """An entry of a history, of this moment."""
        return HistoryEntry(what, detail, self._clock.time(), took, workload)

    def now(self) -> int:
        return int(self._clock.time())

    def uptime(self) -> float:
        """Seconds on a clock that nobody sets."""
        return self._clock.monotonic()

    # Watching

    async def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        """States now, then each change."""
        queue: asyncio.Queue[Progress] = asyncio.Queue(BACKLOG)
        self._watchers.setdefault(contract, set()).add(queue)
        try:
            record = self.get(contract)
            if record is not None:
                if record.refusal:
                    yield refused(record)
                for item in record.items:
                    if not item.leaving:
                        yield progress(record, item)
            while True:
                yield await queue.get()
        finally:
            self._watchers[contract].discard(queue)
            if not self._watchers[contract]:
                del self._watchers[contract]

    def announce(self, contract: int, item: Item) -> None:
        """A workload has come to a state: tell the journal and watchers, and have it reported."""
        log.info(
            "contract %d: %s is %s%s", contract, item.name, item.state, f" ({item.message})" if item.message else ""
        )
        self.publish(progress(self.record(contract), item))
        self.reports.mark(contract)
        self.on_settled(contract, item)

    def publish(self, progress: Progress) -> None:
        """Tell watchers, but for those who are far behind."""
        for queue in self._watchers.get(progress.contract, ()):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(progress)


def progress(record: Record, item: Item) -> Progress:
    """What watchers are told of a workload."""
    told = item.workload().result
    return Progress(
        record.contract, item.name, item.type, told.state, told.message, float(told.created), record.version
    )


def refused(record: Record) -> Progress:
    """What watchers are told of a deployment whose last document was refused."""
    since = float(max((item.created for item in record.items), default=0))
    return Progress(record.contract, "", "", ResultState.ERROR, record.refusal, since, record.refused_version)
