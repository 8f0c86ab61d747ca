"""The actions of the REST API: parsed parameters in, shapes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from zos import __version__
from zos.errors import ZosError
from zos.explorer.chain.follower import Follower
from zos.explorer.clock import GridClock
from zos.explorer.errors import Busy, NodeSilent, NotFound
from zos.explorer.nodes import probes
from zos.explorer.nodes.probes import NodeClient, UnexpectedAnswer
from zos.explorer.rest import filters, queries, render, shapes
from zos.explorer.rest.params import FilterContext, conditions
from zos.explorer.rest.queries import Page, Paging
from zos.explorer.rules import Status
from zos.explorer.store.pool import CLIENT, QueryPool
from zos.runtime.quota import FairQuota

Values = Mapping[str, Any]
NODE_DEADLINE = 20.0
"""Seconds that a client waits for a node's answer."""
MAX_NODE_CALLS, EACH_NODE = 200, 25
"""Of clients, under way at the same time: of all nodes, at most half for one network; and of one node."""
OK = "ok"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body of one of `zos.explorer.rest.shapes`, or JSON in pieces, and headers."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> tuple[bytes, ...]:
        """The body, written, in pieces."""
        return self.body if isinstance(self.body, tuple) else (msgspec.json.encode(self.body),)


@dataclass(frozen=True, slots=True)
class Api:
    """The actions behind the routes."""

    pool: QueryPool
    clock: GridClock
    follower: Follower | None = None
    client: NodeClient | None = None
    callers: FairQuota[str] = field(default_factory=lambda: FairQuota(MAX_NODE_CALLS, MAX_NODE_CALLS))
    """Calls of nodes under way, by the network of who asks."""
    called: FairQuota[int] = field(default_factory=lambda: FairQuota(MAX_NODE_CALLS, EACH_NODE))
    """The same by the node."""

    def _context(self, values: Values) -> FilterContext:
        return FilterContext(self.clock.time(), float(values.get("balance", 0.0)))

    # Lists

    async def nodes(self, values: Values) -> Answer:
        context = self._context(values)
        where = filters.nodes_where(conditions(filters.NODES, values, context))
        rented_first = "available_for" in values or "rentable_or_rented_by" in values
        return await self._list(values, lambda db, paging: queries.nodes(db, where, paging, context, rented_first))

    async def farms(self, values: Values) -> Answer:
        where = filters.farms_where(conditions(filters.FARMS, values, self._context(values)))
        twin = values.get("node_available_for")
        return await self._list(values, lambda db, paging: queries.farms(db, where, paging, twin))

    async def twins(self, values: Values) -> Answer:
        where = conditions(filters.TWINS, values, FilterContext()).get("", [])
        return await self._list(values, lambda db, paging: queries.twins(db, where, paging))

    async def contracts(self, values: Values) -> Answer:
        where = conditions(filters.CONTRACTS, values, FilterContext()).get("", [])
        return await self._list(values, lambda db, paging: queries.contracts(db, where, paging))

    async def public_ips(self, values: Values) -> Answer:
        where = conditions(filters.PUBLIC_IPS, values, FilterContext()).get("", [])
        return await self._list(values, lambda db, paging: queries.public_ips(db, where, paging))

    async def bills(self, values: Values) -> Answer:
        return await self._list(values, lambda db, paging: queries.bills(db, values["contract_id"], paging))

    async def _list(self, values: Values, query: Callable[[Connection, Paging], Page[Any]]) -> Answer:
        paging = paging_of(values)

        def read(db: Connection) -> tuple[tuple[bytes, ...], int]:
            page = query(db, paging)
            return page.written(), page.count

        body, count = await self.pool.run(read)
        if not paging.count:
            return Answer(body)
        pages = -(-count // paging.size) if paging.size else 0
        return Answer(body, {"count": str(count), "size": str(paging.size), "pages": str(pages)})

    # Single entities

    async def node(self, values: Values) -> Answer:
        return Answer(render.nested(await self._node(values)))

    async def gateway(self, values: Values) -> Answer:
        node = await self._node(values)
        if not node.public_config.domain:
            raise NotFound(what="gateway")
        return Answer(render.nested(node))

    async def status(self, values: Values) -> Answer:
        return Answer(shapes.NodeStatus((await self._node(values)).status))

    async def contract(self, values: Values) -> Answer:
        return Answer(await self.pool.run(lambda db: queries.contract(db, values["contract_id"])))

    async def consumption(self, values: Values) -> Answer:
        return Answer(await self.pool.run(lambda db: queries.consumption(db, values["twin_id"])))

    async def stats(self, values: Values) -> Answer:
        where = conditions(filters.STATS, values, self._context(values)).get("", [])
        return Answer(await self.pool.run(lambda db: queries.stats(db, where)))

    async def _node(self, values: Values) -> shapes.Node:
        context = self._context(values)
        return await self.pool.run(lambda db: queries.node(db, values["node_id"], context))

    # What only the node knows

    async def statistics(self, values: Values) -> Answer:
        _, statistics = await self._call_node(values, "zos.statistics.get", "statistics", probes.statistics)
        return Answer(statistics)

    async def gpus(self, values: Values) -> Answer:
        node, cards = await self._call_node(values, "zos.gpu.list", "GPU information", probes.gpu_cards)
        names = ("id", "vendor", "device", "contract")
        return Answer([shapes.NodeGpu(node.twin_id, *(card[name] for name in names)) for card in cards])

    async def _call_node(
        self, values: Values, command: str, what: str, parse: Callable[[Any], Any]
    ) -> tuple[shapes.Node, Any]:
        node = await self._node(values)
        if node.status is not Status.UP:
            raise NodeSilent(problem=f"cannot fetch {what} from node {node.node_id} with status: {node.status}")
        if self.client is None:
            raise NodeSilent(problem=f"cannot fetch {what} from node {node.node_id}: nodes cannot be asked from here")
        network = CLIENT.get()
        if not self.callers.fits(network, 1) or not self.called.take(node.twin_id):
            raise Busy()
        self.callers.take(network)
        try:
            async with asyncio.timeout(NODE_DEADLINE):
                return node, parse(await self.client.call(node.twin_id, command))
        except (ZosError, TimeoutError, UnexpectedAnswer) as err:
            problem = str(err) or "it did not answer in time"
            raise NodeSilent(problem=f"cannot fetch {what} from node {node.node_id}: {problem}") from err
        finally:
            self.callers.release(network)
            self.called.release(node.twin_id)

    # The server itself

    async def ping(self, values: Values) -> Answer:
        return Answer(shapes.Ping("pong"))

    async def version(self, values: Values) -> Answer:
        return Answer(shapes.Version(f"v{__version__}"))

    async def health(self, values: Values) -> Answer:
        database, answers = OK, shapes.Indexers(*(shapes.UpdatedAt(0) for _ in shapes.Indexers.__struct_fields__))
        try:
            await self.pool.run(lambda db: db.execute(text("SELECT 1")).scalar_one())
            answers = await self.pool.run(queries.last_answers)
        except (SQLAlchemyError, ZosError):
            database = "the database does not answer"
        chain = "the chain is not followed" if self.follower is None else self.follower.detail or OK
        nodes = "nodes cannot be asked from here" if self.client is None else self.client.trouble or OK
        cursor = self.follower.cursor if self.follower else None
        return Answer(
            shapes.Health(
                # An explorer that was given no relay is not worse for it.
                total_state_ok=database == chain == OK and (self.client is None or nodes == OK),
                db_conn=database,
                rmb_conn=nodes,
                indexers=answers,
                chain_conn=chain,
                block=cursor.number if cursor else 0,
            )
        )


def paging_of(values: Values) -> Paging:
    """The part of a list that a request asks for."""
    return Paging(
        page=values.get("page", 1),
        size=values.get("size", 50),
        count=values.get("ret_count", False),
        random=values.get("randomize", False),
        sort_by=values.get("sort_by", ""),
        descending=values.get("sort_order", "asc") == "desc",
    )
