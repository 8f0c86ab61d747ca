"""Asks living nodes again and again; those that are silent hold up nobody but each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from zos.errors import Status, ZosError
from zos.explorer import liveness
from zos.explorer.ask import QUESTIONS, Answer, Ask, Question, Strange
from zos.explorer.database import Readers
from zos.explorer.liveness import Now
from zos.explorer.schema import NODE, REPORT
from zos.explorer.store import Store

log = logging.getLogger("zos.explorer")

EVERY = 15.0
"""Seconds between two looks at what is due: a new node is asked for its features that soon."""
DEADLINE = 30.0
ABREAST = 50
"""Nodes that are asked at the same time."""
QUIET = 10
"""The same, of nodes that were silent the last time: each of them takes the whole deadline."""
RETRY = 5 * 60
"""Seconds before the same question is put to the same node again."""

Due = tuple[int, int, tuple[Question, ...]]
"""Node, its twin, what it is to be asked."""


class Asker:
    """Asks living nodes whatever is due."""

    def __init__(self, ask: Ask, store: Store, readers: Readers, now: Now, deadline: float = DEADLINE) -> None:
        self._ask = ask
        self._store = store
        self._readers = readers
        self._now = now
        self._deadline = deadline
        self._lanes = {False: asyncio.Semaphore(ABREAST), True: asyncio.Semaphore(QUIET)}
        self._busy: set[int] = set()
        self._silent: set[int] = set()
        """Nodes that did not answer when they were last asked something."""
        self._tried: dict[tuple[int, str], int] = {}
        """Node and question → when it was last put."""

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self.begin(group)
                await asyncio.sleep(EVERY)

    async def begin(self, group: asyncio.TaskGroup) -> None:
        """Ask each living node what is due, in tasks of the group; none when they cannot be asked from here."""
        if self._ask.trouble:
            return
        now = self._now.time()
        longest = max(question.every for question in QUESTIONS)
        self._tried = {key: time for key, time in self._tried.items() if time > now - longest}
        for node, twin, questions in await self._readers.run(partial(_due, now=now)):
            wanted = [one for one in questions if self._when(node, one) <= now - self._pause(node, one)]
            if wanted and node not in self._busy:
                self._busy.add(node)
                # What was not put for longest comes first: a question that silences a node must not hide the others.
                wanted.sort(key=lambda one: self._when(node, one))
                group.create_task(self._node(node, twin, wanted))

    def _pause(self, node: int, question: Question) -> int:
        # Who is silent costs a whole deadline each time.
        return RETRY if node in self._silent else question.soon or RETRY

    def _when(self, node: int, question: Question) -> int:
        return self._tried.get((node, question.name), 0)

    async def _node(self, node: int, twin: int, questions: Sequence[Question]) -> None:
        try:
            async with self._lanes[node in self._silent]:
                for question in questions:
                    if not await self._one(question, node, twin):
                        return
        except Exception:
            # One node's answer must not be the end of asking the others.
            log.exception("node %d", node)
        finally:
            self._busy.discard(node)

    async def _one(self, question: Question, node: int, twin: int) -> bool:
        """Whether it makes sense to ask this node more."""
        now = self._now.time()
        self._tried[node, question.name] = now
        answer: Answer | None
        try:
            async with asyncio.timeout(self._deadline):
                answer = question.take(await self._ask.call(twin, question.command, question.body))
        except (ZosError, TimeoutError, Strange) as err:
            log.debug("node %d does not answer %s: %s", node, question.command, err)
            status = err.status if isinstance(err, ZosError) else None
            if self._ask.trouble or status in (Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED):
                return False
            if isinstance(err, TimeoutError) or status is Status.DEADLINE_EXCEEDED:
                self._silent.add(node)
            answer = question.silence
        else:
            self._silent.discard(node)
        if answer is not None:
            await asyncio.to_thread(self._keep, question, node, now, answer)
        return node not in self._silent

    def _keep(self, question: Question, node: int, now: int, answer: Answer) -> None:
        self._store.answered(node, answer.columns, {**answer.report, f"{question.name}_at": now})
        if answer.gpus is not None:
            self._store.gpus(node, [{**row, "node_id": node, "updated_at": now} for row in answer.gpus])


def _is_late(question: Question, asked: ColumnElement[int], now: int) -> ColumnElement[bool]:
    late = asked <= now - question.every
    if not question.soon:
        return late
    # A node that only just started would be called unhealthy for as long as a healthy one is believed.
    return or_(late, and_(NODE.c.healthy.is_(False), asked <= now - question.soon))


def _due(db: Connection, now: int) -> list[Due]:
    """Living nodes with what they were not asked lately, those first that were never asked."""
    asked = [func.coalesce(REPORT.c[f"{question.name}_at"], 0) for question in QUESTIONS]
    late = [_is_late(question, time, now) for time, question in zip(asked, QUESTIONS, strict=True)]
    query = (
        select(NODE.c.node_id, NODE.c.twin_id, *late)
        .outerjoin(REPORT, REPORT.c.node_id == NODE.c.node_id)
        .where(liveness.has_status([liveness.Status.UP], now), or_(*late))
        .order_by(func.coalesce(REPORT.c.features_at, 0), NODE.c.node_id)
    )
    return [
        (int(node), int(twin), tuple(one for one, is_late in zip(QUESTIONS, lates, strict=True) if is_late))
        for node, twin, *lates in db.execute(query)
    ]
