"""The REST API: what each route takes, does and answers. One table, which the server and OpenAPI both read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from zos import __version__
from zos.errors import ZosError
from zos.explorer import ask, filters, queries, render, shapes
from zos.explorer.ask import Ask
from zos.explorer.database import Readers
from zos.explorer.errors import Busy, NodeSilent, NotFound
from zos.explorer.follow import Follower
from zos.explorer.liveness import Now, Status
from zos.explorer.params import Kind, Param, Scope, conditions
from zos.explorer.queries import Found, Page

Values = Mapping[str, Any]
ASK_DEADLINE = 20.0
MOST_ASKED = 100
LARGEST_PAGE = 100_000
OK = "ok"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body of one of `zos.explorer.shapes`, and headers."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A page of the API."""

    path: str
    name: str
    summary: str
    act: Callable[[Api, Values], Awaitable[Answer]]
    answer: Any
    """The type of the body."""
    params: tuple[Param, ...] = ()
    refusals: tuple[int, ...] = (400,)
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Api:
    """The actions behind the routes."""

    readers: Readers
    now: Now
    follower: Follower | None = None
    ask: Ask | None = None
    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_ASKED))
    """One place for each question to a node that is under way for a client."""

    def _scope(self, values: Values) -> Scope:
        return Scope(self.now.time(), float(values.get("balance", 0.0)))

    # Lists

    async def nodes(self, values: Values) -> Answer:
        scope = self._scope(values)
        where = filters.nodes_where(conditions(filters.NODES, values, scope))
        mine_first = "available_for" in values or "rentable_or_rented_by" in values
        return await self._list(values, lambda db, page: queries.nodes(db, where, page, scope, mine_first))

    async def farms(self, values: Values) -> Answer:
        where = filters.farms_where(conditions(filters.FARMS, values, self._scope(values)))
        twin = values.get("node_available_for")
        return await self._list(values, lambda db, page: queries.farms(db, where, page, twin))

    async def twins(self, values: Values) -> Answer:
        where = conditions(filters.TWINS, values, Scope()).get("", [])
        return await self._list(values, lambda db, page: queries.twins(db, where, page))

    async def contracts(self, values: Values) -> Answer:
        where = conditions(filters.CONTRACTS, values, Scope()).get("", [])
        return await self._list(values, lambda db, page: queries.contracts(db, where, page))

    async def public_ips(self, values: Values) -> Answer:
        where = conditions(filters.PUBLIC_IPS, values, Scope()).get("", [])
        return await self._list(values, lambda db, page: queries.public_ips(db, where, page))

    async def bills(self, values: Values) -> Answer:
        return await self._list(values, lambda db, page: queries.bills(db, values["contract_id"], page))

    async def _list(self, values: Values, query: Callable[[Connection, Page], Found[Any]]) -> Answer:
        page = page_of(values)
        found = await self.readers.run(lambda db: query(db, page))
        if not page.count:
            return Answer(found.items)
        pages = -(-found.count // page.size) if page.size else 0
        return Answer(found.items, {"count": str(found.count), "size": str(page.size), "pages": str(pages)})

    # Single things

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
        return Answer(await self.readers.run(lambda db: queries.contract(db, values["contract_id"])))

    async def consumption(self, values: Values) -> Answer:
        return Answer(await self.readers.run(lambda db: queries.consumption(db, values["twin_id"])))

    async def stats(self, values: Values) -> Answer:
        where = conditions(filters.STATS, values, self._scope(values)).get("", [])
        return Answer(await self.readers.run(lambda db: queries.stats(db, where)))

    async def _node(self, values: Values) -> shapes.Node:
        scope = self._scope(values)
        return await self.readers.run(lambda db: queries.node(db, values["node_id"], scope))

    # What only the node knows

    async def statistics(self, values: Values) -> Answer:
        _, answer = await self._asked(values, "zos.statistics.get", "statistics", ask.statistics)
        return Answer(answer)

    async def gpus(self, values: Values) -> Answer:
        node, found = await self._asked(values, "zos.gpu.list", "GPU information", ask.cards)
        names = ("id", "vendor", "device", "contract")
        return Answer([shapes.NodeGpu(node.twin_id, *(card[name] for name in names)) for card in found])

    async def _asked(
        self, values: Values, command: str, what: str, take: Callable[[Any], Any]
    ) -> tuple[shapes.Node, Any]:
        node = await self._node(values)
        if node.status is not Status.UP:
            raise NodeSilent(problem=f"cannot fetch {what} from node {node.node_id} with status: {node.status}")
        if self.ask is None:
            raise NodeSilent(problem=f"cannot fetch {what} from node {node.node_id}: nodes cannot be asked from here")
        if self.asking.locked():
            raise Busy()
        try:
            async with self.asking, asyncio.timeout(ASK_DEADLINE):
                return node, take(await self.ask.call(node.twin_id, command))
        except (ZosError, TimeoutError, ask.Strange) as err:
            problem = str(err) or "it did not answer in time"
            raise NodeSilent(problem=f"cannot fetch {what} from node {node.node_id}: {problem}") from err

    # The server itself

    async def ping(self, values: Values) -> Answer:
        return Answer(shapes.Ping("pong"))

    async def version(self, values: Values) -> Answer:
        return Answer(shapes.Version(f"v{__version__}"))

    async def index(self, values: Values) -> Answer:
        return Answer(f"the grid's proxy; its pages: {' '.join(f'[{route.path}]' for route in ROUTES)}")

    async def health(self, values: Values) -> Answer:
        database, answers = OK, shapes.Indexers(*(shapes.UpdatedAt(0) for _ in shapes.Indexers.__struct_fields__))
        try:
            await self.readers.run(lambda db: db.execute(text("SELECT 1")).scalar_one())
            answers = await self.readers.run(queries.last_answers)
        except (SQLAlchemyError, ZosError):
            database = "the database does not answer"
        chain = "the chain is not followed" if self.follower is None else self.follower.detail or OK
        nodes = "nodes cannot be asked from here" if self.ask is None else self.ask.trouble or OK
        cursor = self.follower.cursor if self.follower else None
        return Answer(
            shapes.Health(
                # An explorer that was given no relay is not worse for it.
                total_state_ok=database == chain == OK and (self.ask is None or nodes == OK),
                db_conn=database,
                rmb_conn=nodes,
                indexers=answers,
                chain_conn=chain,
                block=cursor.number if cursor else 0,
            )
        )


def page_of(values: Values) -> Page:
    """The part of a list that is wanted."""
    return Page(
        page=values.get("page", 1),
        size=values.get("size", 50),
        count=values.get("ret_count", False),
        random=values.get("randomize", False),
        by=values.get("sort_by", ""),
        descending=values.get("sort_order", "asc") == "desc",
    )


def _limits(sorts: Mapping[str, Any]) -> tuple[Param, ...]:
    return (
        Param("page", Kind.NUMBER, "which page, from 1", least=1, most=10**9),
        Param("size", Kind.NUMBER, "how many on a page (50)", least=0, most=LARGEST_PAGE),
        Param("ret_count", Kind.FLAG, "answer the headers count, size and pages"),
        Param("randomize", Kind.FLAG, "in no order"),
        Param("sort_by", Kind.TEXT, "the order", choices=tuple(sorts)),
        Param("sort_order", Kind.TEXT, "asc or desc", choices=("asc", "desc")),
        Param("balance", Kind.DECIMAL, "USD on the tenant's account: decides the discount of price_usd"),
    )


def _path(name: str, doc: str) -> Param:
    return Param(name, Kind.NUMBER, doc, place="path")


_NODE, _CONTRACT, _TWIN = (_path(f"{what}_id", f"id of the {what}") for what in ("node", "contract", "twin"))
_NODES = (*filters.NODES, *_limits(queries.NODE_SORTS))
_ONE = (400, 404)
_ASKED = (400, 404, 500)
ROUTES = (
    Route("/", "index", "the pages", Api.index, str),
    Route("/ping", "ping", "whether it is there", Api.ping, shapes.Ping),
    Route("/version", "version", "the version of this server", Api.version, shapes.Version),
    Route("/health", "health", "what works and what does not", Api.health, shapes.Health),
    Route("/nodes", "nodes", "nodes", Api.nodes, list[shapes.Node], _NODES, is_list=True),
    Route("/nodes/{node_id}", "node", "a node", Api.node, shapes.NodeWithNestedCapacity, (_NODE,), _ONE),
    Route(
        "/nodes/{node_id}/status", "node_status", "up, down or standby", Api.status, shapes.NodeStatus, (_NODE,), _ONE
    ),
    Route(
        "/nodes/{node_id}/statistics",
        "node_statistics",
        "as the node says",
        Api.statistics,
        shapes.Statistics,
        (_NODE,),
        _ASKED,
    ),
    Route("/nodes/{node_id}/gpu", "node_gpu", "as the node says", Api.gpus, list[shapes.NodeGpu], (_NODE,), _ASKED),
    Route("/gateways", "gateways", "nodes", Api.nodes, list[shapes.Node], _NODES, is_list=True),
    Route(
        "/gateways/{node_id}",
        "gateway",
        "a node with a domain",
        Api.gateway,
        shapes.NodeWithNestedCapacity,
        (_NODE,),
        _ONE,
    ),
    Route(
        "/gateways/{node_id}/status",
        "gateway_status",
        "up, down or standby",
        Api.status,
        shapes.NodeStatus,
        (_NODE,),
        _ONE,
    ),
    Route(
        "/farms",
        "farms",
        "farms",
        Api.farms,
        list[shapes.Farm],
        (*filters.FARMS, *_limits(queries.FARM_SORTS)),
        is_list=True,
    ),
    Route(
        "/twins",
        "twins",
        "twins",
        Api.twins,
        list[shapes.Twin],
        (*filters.TWINS, *_limits(queries.TWIN_SORTS)),
        is_list=True,
    ),
    Route(
        "/twins/{twin_id}/consumption", "consumption", "what a twin pays", Api.consumption, shapes.Consumption, (_TWIN,)
    ),
    Route(
        "/contracts",
        "contracts",
        "contracts, those that have ended too",
        Api.contracts,
        list[shapes.Contract],
        (*filters.CONTRACTS, *_limits(queries.CONTRACT_SORTS)),
        is_list=True,
    ),
    Route("/contracts/{contract_id}", "contract", "a contract", Api.contract, shapes.Contract, (_CONTRACT,), _ONE),
    Route(
        "/contracts/{contract_id}/bills",
        "bills",
        "what a contract was billed, newest first",
        Api.bills,
        list[shapes.Bill],
        (_CONTRACT, *_limits(queries.BILL_SORTS)),
        is_list=True,
    ),
    Route(
        "/public_ips",
        "public_ips",
        "farms' public addresses",
        Api.public_ips,
        list[shapes.PublicIp],
        (*filters.PUBLIC_IPS, *_limits(queries.IP_SORTS)),
        is_list=True,
    ),
    Route("/stats", "stats", "sums over the grid", Api.stats, shapes.Stats, filters.STATS),
)
