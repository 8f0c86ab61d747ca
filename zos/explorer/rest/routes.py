"""The routes of the REST API: parameters, action and answer of each. The server and the OpenAPI document read this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zos.explorer.rest import filters, queries, shapes
from zos.explorer.rest.api import Answer, Api, Values
from zos.explorer.rest.params import Kind, Param

MAX_PAGE = 100_000
Action = Callable[[Api, Values], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A page of the API."""

    path: str
    name: str
    summary: str
    action: Action
    answer: Any
    """The type of the body."""
    params: tuple[Param, ...] = ()
    refusals: tuple[int, ...] = (400,)
    """The HTTP statuses of refusals; a 503 is always possible."""
    is_list: bool = False
    ignored: frozenset[str] = frozenset()
    """Parameters that clients send and that do nothing here."""


def _paging(sorts: Mapping[str, Any]) -> tuple[Param, ...]:
    return (
        Param("page", Kind.NUMBER, "which page, from 1", minimum=1, maximum=10**9),
        Param("size", Kind.NUMBER, "how many on a page (50)", maximum=MAX_PAGE),
        Param("ret_count", Kind.FLAG, "answer the headers count, size and pages"),
        Param("randomize", Kind.FLAG, "in random order"),
        Param("sort_by", Kind.TEXT, "the order", choices=tuple(sorts)),
        Param("sort_order", Kind.TEXT, "asc or desc", choices=("asc", "desc"), only_choices=True),
        Param("balance", Kind.DECIMAL, "USD on the tenant's account: decides the discount of price_usd"),
    )


def _path(name: str, doc: str) -> Param:
    return Param(name, Kind.NUMBER, doc, place="path")


def _list(
    path: str,
    name: str,
    summary: str,
    action: Action,
    answer: Any,
    params: tuple[Param, ...],
    sorts: Mapping[str, Any],
) -> Route:
    """A page of a list, in any order of `sorts`."""
    return Route(path, name, summary, action, answer, (*params, *_paging(sorts)), is_list=True)


_NODE, _CONTRACT, _TWIN = (_path(f"{what}_id", f"id of the {what}") for what in ("node", "contract", "twin"))
_ENTITY = (400, 404)
_ASKS_NODE = (400, 404, 500)


async def _index(api: Api, values: Values) -> Answer:
    return Answer(f"the grid's proxy; its pages: {' '.join(f'[{route.path}]' for route in ROUTES)}")


ROUTES = (
    Route("/", "index", "the pages", _index, str),
    Route("/ping", "ping", "whether it is there", Api.ping, shapes.Ping),
    Route("/version", "version", "the version of this server", Api.version, shapes.Version),
    Route("/health", "health", "what works and what does not", Api.health, shapes.Health),
    _list("/nodes", "nodes", "nodes", Api.nodes, list[shapes.Node], filters.NODES, queries.NODE_SORTS),
    Route("/nodes/{node_id}", "node", "a node", Api.node, shapes.NodeWithNestedCapacity, (_NODE,), _ENTITY),
    Route(
        "/nodes/{node_id}/status",
        "node_status",
        "up, down or standby",
        Api.status,
        shapes.NodeStatus,
        (_NODE,),
        _ENTITY,
    ),
    Route(
        "/nodes/{node_id}/statistics",
        "node_statistics",
        "as the node says",
        Api.statistics,
        shapes.Statistics,
        (_NODE,),
        _ASKS_NODE,
    ),
    Route("/nodes/{node_id}/gpu", "node_gpu", "as the node says", Api.gpus, list[shapes.NodeGpu], (_NODE,), _ASKS_NODE),
    _list("/gateways", "gateways", "nodes", Api.nodes, list[shapes.Node], filters.NODES, queries.NODE_SORTS),
    Route(
        "/gateways/{node_id}",
        "gateway",
        "a node with a domain",
        Api.gateway,
        shapes.NodeWithNestedCapacity,
        (_NODE,),
        _ENTITY,
    ),
    Route(
        "/gateways/{node_id}/status",
        "gateway_status",
        "up, down or standby",
        Api.status,
        shapes.NodeStatus,
        (_NODE,),
        _ENTITY,
    ),
    _list("/farms", "farms", "farms", Api.farms, list[shapes.Farm], filters.FARMS, queries.FARM_SORTS),
    _list("/twins", "twins", "twins", Api.twins, list[shapes.Twin], filters.TWINS, queries.TWIN_SORTS),
    Route(
        "/twins/{twin_id}/consumption", "consumption", "what a twin pays", Api.consumption, shapes.Consumption, (_TWIN,)
    ),
    _list(
        "/contracts",
        "contracts",
        "contracts, those that have ended too",
        Api.contracts,
        list[shapes.Contract],
        filters.CONTRACTS,
        queries.CONTRACT_SORTS,
    ),
    Route("/contracts/{contract_id}", "contract", "a contract", Api.contract, shapes.Contract, (_CONTRACT,), _ENTITY),
    _list(
        "/contracts/{contract_id}/bills",
        "bills",
        "what a contract was billed, newest first",
        Api.bills,
        list[shapes.Bill],
        (_CONTRACT,),
        queries.BILL_SORTS,
    ),
    _list(
        "/public_ips",
        "public_ips",
        "farms' public addresses",
        Api.public_ips,
        list[shapes.PublicIp],
        filters.PUBLIC_IPS,
        queries.IP_SORTS,
    ),
    Route(
        "/stats",
        "stats",
        "sums over the grid",
        Api.stats,
        shapes.Stats,
        filters.STATS,
        ignored=frozenset(param.name for param in _paging({})),
    ),
)
