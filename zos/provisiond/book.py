"""The deployments as they are kept: their records and stories, who watches them, and which are to be reported."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from zos.provisiond.api.errors import NoSuchDeployment
from zos.provisiond.api.types import Link, Progress
from zos.provisiond.model import Item, Record
from zos.runtime.clock import Clock
from zos.runtime.ledger import Ledger
from zos.runtime.loops import Wake

log = logging.getLogger("zos.provisiond")

WATCHED = 1000
"""Words on progress that a watcher may be behind."""


class Book:
    """The ledger of deployments. What is put in is written before anybody is told of it."""

    def __init__(self, records: Ledger[Record], clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._watchers: dict[int, set[asyncio.Queue[Progress]]] = {}
        self.unreported: set[int] = {int(key) for key in records.keys()}  # noqa: SIM118 - a ledger is no mapping
        """Contracts whose use of the node the chain does not know yet."""
        self.report_wake = Wake()

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

    def put(self, record: Record) -> Record:
        """Keep it as it is now."""
        self._records.put(str(record.contract), record)
        return record

    def drop(self, contract: int) -> None:
        """It is over, or never was."""
        self._records.drop(str(contract))

    def fresh(self, record: Record) -> Record:
        """The record as it is now: the door may have changed it while we waited."""
        return self.get(record.contract) or record

    def link(self, what: str, detail: str, took: float = 0.0, workload: str = "") -> Link:
        """A link of a story, of this moment."""
        return Link(what, detail, self._clock.time(), took, workload)

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock.time())

    async def watch(self, contract: int) -> AsyncGenerator[Progress, None]:
        """States now, then each change."""
        queue: asyncio.Queue[Progress] = asyncio.Queue(WATCHED)
        self._watchers.setdefault(contract, set()).add(queue)
        try:
            record = self.get(contract)
            for item in record.items if record else ():
                yield progress(contract, item)
            while True:
                yield await queue.get()
        finally:
            self._watchers[contract].discard(queue)
            if not self._watchers[contract]:
                del self._watchers[contract]

    def settle(self, contract: int, item: Item) -> None:
        """A workload has come to a state: told in the journal and to watchers, and to be reported."""
        log.info(
            "contract %d: %s is %s%s", contract, item.name, item.state, f" ({item.message})" if item.message else ""
        )
        self.tell(progress(contract, item))
        self.unreported.add(contract)
        self.report_wake.set()

    def tell(self, word: Progress) -> None:
        """Whoever watches hears of it, unless he is far behind."""
        for queue in self._watchers.get(word.contract, ()):
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(word)


def progress(contract: int, item: Item) -> Progress:
    """What watchers hear of a workload."""
    return Progress(contract, item.name, item.type, item.state, item.message, float(item.created))
