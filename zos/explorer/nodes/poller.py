"""Asks the nodes that are up, again and again; nodes that do not answer delay only each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from zos.errors import Status, ZosError
from zos.explorer import rules
from zos.explorer.clock import GridClock
from zos.explorer.nodes.probes import PROBES, NodeClient, Probe, ProbeResult, UnexpectedAnswer
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.schema import NODE, REPORT
from zos.explorer.store.writer import Store
from zos.runtime.threads import Threads

log = logging.getLogger("zos.explorer")

INTERVAL = 15.0
"""Seconds between two looks at what is due: a new node is asked for its features that soon."""
DEADLINE = 30.0
"""Seconds for one answer."""
SAVE = 60.0
"""Seconds for writing one answer down."""
PARALLEL = 50
"""Nodes that are asked at the same time."""
PARALLEL_SILENT = 10
"""The same, of nodes that did not answer the last time: each of them takes the whole deadline."""
RETRY = 5 * 60
"""Seconds before a node is asked the same again."""

Due = tuple[int, int, tuple[Probe, ...]]
"""Node, its twin, what it is to be asked."""


class NodePoller:
    """Asks each node that is up whatever is due."""

    def __init__(
        self, client: NodeClient, store: Store, pool: QueryPool, clock: GridClock, deadline: float = DEADLINE
    ) -> None:
        self._client = client
        self._store = store
        self._pool = pool
        self._clock = clock
        self._deadline = deadline
        self._threads = Threads()
        self._limits = {False: asyncio.Semaphore(PARALLEL), True: asyncio.Semaphore(PARALLEL_SILENT)}
        self._busy: set[int] = set()
        self._silent: set[int] = set()
        """Nodes that did not answer when they were last asked."""
        self._tried: dict[tuple[int, str], int] = {}
        """Node and probe → when it was last sent."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self.start_due(group)
                await asyncio.sleep(INTERVAL)

    async def start_due(self, group: asyncio.TaskGroup) -> None:
        """Start a task for each node that something is due of; none while no node can be reached."""
        if self._client.trouble:
            return
        now = self._clock.time()
        longest = max(probe.interval for probe in PROBES)
        self._tried = {key: time for key, time in self._tried.items() if time > now - longest}
        for node, twin, probes in await self._pool.run(partial(_due, now=now)):
            wanted = [one for one in probes if self._last_tried(node, one) <= now - self._pause(node, one)]
            if wanted and node not in self._busy:
                self._busy.add(node)
                # The probe sent longest ago comes first: one that a node never answers must not starve the others.
                wanted.sort(key=lambda one: self._last_tried(node, one))
                group.create_task(self._poll(node, twin, wanted))

    def _pause(self, node: int, probe: Probe) -> int:
        # A silent node costs a whole deadline each time.
        return RETRY if node in self._silent else probe.interval_unhealthy or RETRY

    def _last_tried(self, node: int, probe: Probe) -> int:
        return self._tried.get((node, probe.name), 0)

    async def _poll(self, node: int, twin: int, probes: Sequence[Probe]) -> None:
        try:
            async with self._limits[node in self._silent]:
                for probe in probes:
                    if not await self._send(probe, node, twin):
                        return
        except Exception:
            # One node's answer must not stop the polling of others.
            log.exception("node %d", node)
        finally:
            self._busy.discard(node)

    async def _send(self, probe: Probe, node: int, twin: int) -> bool:
        """Whether it makes sense to send this node more."""
        now = self._clock.time()
        self._tried[node, probe.name] = now
        result: ProbeResult | None
        try:
            async with asyncio.timeout(self._deadline):
                result = probe.parse(await self._client.call(twin, probe.command, probe.body))
        except (ZosError, TimeoutError, UnexpectedAnswer) as err:
            log.debug("node %d does not answer %s: %s", node, probe.command, err)
            status = err.status if isinstance(err, ZosError) else None
            if self._client.trouble or status in (Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED):
                return False
            if isinstance(err, TimeoutError) or status is Status.DEADLINE_EXCEEDED:
                self._silent.add(node)
            result = probe.if_silent
        else:
            self._silent.discard(node)
        if result is not None:
            work = partial(self._save, probe, node, now, result)
            await self._threads.run(str(node), f"keep the answer of node {node}", work, SAVE)
        return node not in self._silent

    def _save(self, probe: Probe, node: int, now: int, result: ProbeResult) -> None:
        self._store.save_answer(node, result.columns, {**result.report, f"{probe.name}_at": now})
        if result.gpus is not None:
            self._store.replace_gpus(node, [{**row, "node_id": node, "updated_at": now} for row in result.gpus])


def _is_due(probe: Probe, asked: ColumnElement[int], now: int) -> ColumnElement[bool]:
    is_due = asked <= now - probe.interval
    if not probe.interval_unhealthy:
        return is_due
    # A node that only just started would be called unhealthy for as long as a healthy one counts as healthy.
    return or_(is_due, and_(rules.has_health(False), asked <= now - probe.interval_unhealthy))


def _due(db: Connection, now: int) -> list[Due]:
    """Nodes that are up with what is due of them; those that were never asked come first."""
    asked = [func.coalesce(REPORT.c[f"{probe.name}_at"], 0) for probe in PROBES]
    due = [_is_due(probe, time, now) for time, probe in zip(asked, PROBES, strict=True)]
    query = (
        select(NODE.c.node_id, NODE.c.twin_id, *due)
        .outerjoin(REPORT, REPORT.c.node_id == NODE.c.node_id)
        .where(rules.has_status([rules.Status.UP], now), or_(*due))
        .order_by(func.coalesce(REPORT.c.features_at, 0), NODE.c.node_id)
    )
    return [
        (int(node), int(twin), tuple(probe for probe, is_due in zip(PROBES, flags, strict=True) if is_due))
        for node, twin, *flags in db.execute(query)
    ]
