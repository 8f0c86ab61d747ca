"""The queries of the REST API: lists with filters, order and pages, single entities, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Float,
    Select,
    Table,
    bindparam,
    case,
    exists,
    func,
    select,
)

from zos.explorer import rules
from zos.explorer.errors import NotFound
from zos.explorer.rest import render, shapes
from zos.explorer.rest.params import FilterContext
from zos.explorer.store.schema import BILL, CONTRACT, FARM, GPU, NODE, PUBLIC_IP, REPORT, TWIN

T = TypeVar("T")
K = TypeVar("K")
Conditions = Sequence[ColumnElement[bool]]
Row = Mapping[Any, Any]
_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list to answer, and in which order."""

    page: int = 1
    size: int = 50
    count: bool = False
    """Whether to count the whole list too."""
    random: bool = False
    sort_by: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list, and the length of the whole list if that was asked for.

    The items are read as they are taken: a page may have 100,000 of them.
    """

    items: Iterable[T]
    count: int = 0

    def written(self) -> tuple[bytes, ...]:
        """The items as JSON, in pieces: a whole one would be copied more than once on its way out."""
        found, items = list[bytes](), iter(self.items)
        while piece := list(islice(items, _PIECE)):
            found.append((b"," if found else b"[") + msgspec.json.encode(piece)[1:-1])
        return (*found, b"]") if found else (b"[]",)


def _blank_last(column: Any, blank: Any) -> list[Any]:
    """Sorts rows without a value behind the others: the databases disagree about NULL, and clients expect this."""
    return [case((column == blank, 1), else_=0), column]


NODE_SORTS: dict[str, Any] = {
    **{name: NODE.c[name] for name in ("node_id", "farm_id", "twin_id", "created", "updated_at")},
    **{name: _blank_last(NODE.c[name], "") for name in ("country", "city")},
    **{name: _blank_last(NODE.c[name], 0) for name in ("uptime", "rent_contract_id")},
    **{f"total_{unit}": NODE.c[f"total_{unit}"] for unit in ("cru", "sru", "hru", "mru")},
    **{f"used_{unit}": NODE.c[f"used_{unit}"] for unit in ("cru", "sru", "hru", "mru")},
    "free_cru": NODE.c.total_cru - NODE.c.used_cru,
    "status": None,
    "dedicated_farm": NODE.c.farm_dedicated,
    "rented": rules.IS_RENTED,
    "rentable": rules.IS_RENTABLE,
    "num_gpu": NODE.c.num_gpu,
    "extra_fee": NODE.c.extra_fee,
    "price_usd": None,
}
FARM_SORTS: dict[str, Any] = {
    **{name: FARM.c[name] for name in ("name", "farm_id", "twin_id", "dedicated", "free_ips", "total_ips")},
    "public_ips": FARM.c.total_ips,
    "used_ips": FARM.c.total_ips - FARM.c.free_ips,
}
TWIN_SORTS: dict[str, Any] = {
    **{name: TWIN.c[name] for name in ("twin_id", "account_id")},
    **{name: _blank_last(TWIN.c[name], None) for name in ("relay", "public_key")},
}
CONTRACT_SORTS: dict[str, Any] = {
    name: CONTRACT.c[name] for name in ("contract_id", "twin_id", "state", "created_at", "type")
}
IP_SORTS: dict[str, Any] = {name: PUBLIC_IP.c[name] for name in ("ip", "contract_id", "farm_id")}
BILL_SORTS: dict[str, Any] = {"timestamp": BILL.c.timestamp, "amountBilled": BILL.c.amount}


def nodes(
    db: Connection, where: Conditions, paging: Paging, context: FilterContext, rented_first: bool = False
) -> Page[shapes.Node]:
    """Nodes; `rented_first`: rented ones come before the others."""
    first = [case((rules.IS_RENTED, 1), else_=2)] if rented_first else []
    sorts = NODE_SORTS | {
        "status": rules.status_order(context.now),
        "price_usd": rules.discounted_price(context.balance),
    }
    query = _paged(select(NODE.c.node_id).where(*where), paging, sorts, [NODE.c.node_id], first)
    ids = [id for (id,) in db.execute(query)]
    return Page(_in_pieces(ids, lambda some: _nodes(db, some, context)), _count(db, NODE, where, paging))


def node(db: Connection, id: int, context: FilterContext) -> shapes.Node:
    """Raises NotFound."""
    found = _nodes(db, [id], context)
    if not found:
        raise NotFound(what="node")
    return found[0]


_MAX_IDS = 5000
_PIECE = 1000
"""Rows of a page that are in memory at once."""
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_NOW: BindParameter[int] = bindparam("now", type_=BigInteger)
_BALANCE: BindParameter[float] = bindparam("balance", type_=Float)
# Made once: building so wide a query takes longer than answering it.
NODE_ROWS = (
    select(
        NODE,
        FARM.c.name.label("farm_name"),
        FARM.c.free_ips.label("farm_free_ips"),
        REPORT.c.features.label("offered"),
        *(REPORT.c[name] for name in ("bios", "baseboard", "processor", "memory", "upload", "download")),
        rules.status(_NOW).label("status"),
        rules.IS_DEDICATED.label("is_dedicated"),
        rules.IS_RENTED.label("is_rented"),
        rules.IS_RENTABLE.label("is_rentable"),
        rules.IS_HEALTHY.label("is_healthy"),
        rules.discounted_price(_BALANCE).label("discounted_price"),
    )
    .outerjoin(FARM, FARM.c.farm_id == NODE.c.farm_id)
    .outerjoin(REPORT, REPORT.c.node_id == NODE.c.node_id)
    .where(NODE.c.node_id.in_(_IDS))
)
_GPUS = select(GPU).where(GPU.c.node_id.in_(_IDS)).order_by(GPU.c.id)
_FARM_IPS = select(PUBLIC_IP).where(PUBLIC_IP.c.farm_id.in_(_IDS)).order_by(PUBLIC_IP.c.ip)
_CONTRACT_ROWS = (
    select(CONTRACT, FARM.c.farm_id, FARM.c.name.label("farm_name"))
    .outerjoin(NODE, NODE.c.node_id == CONTRACT.c.node_id)
    .outerjoin(FARM, FARM.c.farm_id == NODE.c.farm_id)
    .where(CONTRACT.c.contract_id.in_(_IDS))
)


def _nodes(db: Connection, ids: Sequence[int], context: FilterContext) -> list[shapes.Node]:
    """These nodes, in this order. Whole rows are only read for the page."""
    values = {"now": context.now, "balance": context.balance}
    rows = {row["node_id"]: row for row in _by_ids(db, NODE_ROWS, ids, values)}
    gpus = _grouped(_by_ids(db, _GPUS, ids), "node_id")
    return [render.node(rows[id], gpus.get(id, ())) for id in ids if id in rows]


def farms(db: Connection, where: Conditions, paging: Paging, rented_by: int | None = None) -> Page[shapes.Farm]:
    """Farms; those with nodes that `rented_by` rents come first."""
    first = []
    if rented_by is not None:
        mine = exists().where(NODE.c.farm_id == FARM.c.farm_id, NODE.c.renter == rented_by)
        first = [case((mine, 1), else_=2)]
    rows = list(db.execute(_paged(select(FARM).where(*where), paging, FARM_SORTS, [FARM.c.farm_id], first)).mappings())
    return Page(_in_pieces(rows, lambda some: _farms(db, some)), _count(db, FARM, where, paging))


def _farms(db: Connection, rows: Sequence[Row]) -> list[shapes.Farm]:
    ips = _grouped(_by_ids(db, _FARM_IPS, [row["farm_id"] for row in rows]), "farm_id")
    return [render.farm(row, ips.get(row["farm_id"], ())) for row in rows]


def twins(db: Connection, where: Conditions, paging: Paging) -> Page[shapes.Twin]:
    rows = db.execute(_paged(select(TWIN).where(*where), paging, TWIN_SORTS, [TWIN.c.twin_id])).mappings()
    return Page(map(render.twin, rows), _count(db, TWIN, where, paging))


def contracts(db: Connection, where: Conditions, paging: Paging) -> Page[shapes.Contract]:
    """Contracts of all types, those that have ended too."""
    query = _paged(select(CONTRACT.c.contract_id).where(*where), paging, CONTRACT_SORTS, [CONTRACT.c.contract_id])
    ids = [id for (id,) in db.execute(query)]
    return Page(_in_pieces(ids, lambda some: _contracts(db, some)), _count(db, CONTRACT, where, paging))


def contract(db: Connection, id: int) -> shapes.Contract:
    """Raises NotFound."""
    found = _contracts(db, [id])
    if not found:
        raise NotFound(what="contract")
    return found[0]


def _contracts(db: Connection, ids: Sequence[int]) -> list[shapes.Contract]:
    rows = {row["contract_id"]: row for row in _by_ids(db, _CONTRACT_ROWS, ids)}
    return [render.contract(rows[id]) for id in ids if id in rows]


def bills(db: Connection, contract: int, paging: Paging) -> Page[shapes.Bill]:
    """What a contract was billed, newest first."""
    where = [BILL.c.contract_id == contract]
    if paging.sort_by not in BILL_SORTS:
        paging = replace(paging, sort_by="timestamp", descending=True)
    rows = db.execute(
        _paged(select(BILL).where(*where), paging, BILL_SORTS, [BILL.c.block, BILL.c.position])
    ).mappings()
    found = [shapes.Bill(row["amount"], row["discount"], row["timestamp"]) for row in rows]
    return Page(found, _count(db, BILL, where, paging))


def public_ips(db: Connection, where: Conditions, paging: Paging) -> Page[shapes.PublicIp]:
    keys = [PUBLIC_IP.c.farm_id, PUBLIC_IP.c.ip]
    rows = db.execute(_paged(select(PUBLIC_IP).where(*where), paging, IP_SORTS, keys)).mappings()
    return Page(map(render.public_ip, rows), _count(db, PUBLIC_IP, where, paging))


def stats(db: Connection, where: Conditions) -> shapes.Stats:
    """Sums over the grid; `where` chooses nodes."""
    sums = {
        **{f"total_{unit}": func.sum(NODE.c[f"total_{unit}"]) for unit in ("cru", "sru", "mru", "hru")},
        "access_nodes": _number_of(rules.IS_ACCESS_NODE),
        "gateways": _number_of(rules.IS_GATEWAY),
        "gpus": _number_of(rules.HAS_GPU),
        "dedicated_nodes": _number_of(rules.IS_DEDICATED_IN_STATS),
        "workloads_number": func.sum(NODE.c.workloads),
        "nodes": func.count(),
    }
    # One pass over the nodes: sums by country, and the sums of these.
    query = select(NODE.c.country, *(column.label(name) for name, column in sums.items()))
    countries = list(db.execute(query.where(*where).group_by(NODE.c.country)).mappings())
    return shapes.Stats(
        **{name: sum(int(row[name]) for row in countries) for name in sums},
        countries=len(countries),
        distribution={row["country"]: int(row["nodes"]) for row in countries},
        farms=_all(db, FARM),
        public_ips=_all(db, PUBLIC_IP),
        twins=_all(db, TWIN),
        contracts=_all(db, CONTRACT),
    )


def consumption(db: Connection, twin: int) -> shapes.Consumption:
    """What a twin's contracts cost, in TFT: in the last hour by the two newest bills of each, and ever."""
    mine = CONTRACT.c.twin_id == twin
    joined = select(func.coalesce(func.sum(BILL.c.amount), 0)).join(
        CONTRACT, CONTRACT.c.contract_id == BILL.c.contract_id
    )
    total = int(db.execute(joined.where(mine)).scalar_one())
    rank = func.row_number().over(partition_by=BILL.c.contract_id, order_by=BILL.c.timestamp.desc()).label("rank")
    ranked = (
        select(BILL.c.contract_id, BILL.c.timestamp, BILL.c.amount, CONTRACT.c.created_at, rank)
        .join(CONTRACT, CONTRACT.c.contract_id == BILL.c.contract_id)
        .where(mine, CONTRACT.c.state != "Deleted")
        .subquery()
    )
    newest = select(ranked).where(ranked.c.rank <= 2).order_by(ranked.c.contract_id, ranked.c.rank)
    by_contract = _grouped(db.execute(newest).mappings(), "contract_id")
    return shapes.Consumption(sum(map(_last_hour, by_contract.values())), total / 1e7)


def _last_hour(bills: Sequence[Row]) -> float:
    """TFT per hour, by the newest bill and what came before it."""
    before = bills[1]["timestamp"] if len(bills) > 1 else bills[0]["created_at"]
    hours = (bills[0]["timestamp"] - before) / 3600
    return float(bills[0]["amount"]) / 1e7 / hours if hours > 0 else 0.0


def last_answers(db: Connection) -> shapes.Indexers:
    """When any node last answered each probe; 0 for never."""
    names = shapes.Indexers.__struct_fields__
    row = db.execute(select(*(func.coalesce(func.max(REPORT.c[f"{name}_at"]), 0) for name in names))).one()
    return shapes.Indexers(*(shapes.UpdatedAt(int(time)) for time in row))


# Helpers


def _in_pieces(keys: Sequence[K], read: Callable[[Sequence[K]], Iterable[T]]) -> Iterator[T]:
    """What `read` makes of all keys, some at a time."""
    for start in range(0, len(keys), _PIECE):
        yield from read(keys[start : start + _PIECE])


def _by_ids(db: Connection, query: Select[Any], ids: Sequence[int], values: Mapping[str, Any] = _NONE) -> Iterator[Row]:
    """Rows of these ids, in parts: databases limit the parameters of a statement."""
    for start in range(0, len(ids), _MAX_IDS):
        yield from db.execute(query, {**values, "ids": ids[start : start + _MAX_IDS]}).mappings()


def _paged(
    query: Select[Any], paging: Paging, sorts: Mapping[str, Any], keys: Sequence[Any], first: Sequence[Any] = ()
) -> Select[Any]:
    """Ordered, with the key last: the same request always has the same answer."""
    if paging.random:
        order = [func.random()]
    else:
        # As the reference: an unknown column does nothing, and a direction without a column neither.
        chosen = sorts.get(paging.sort_by, [])
        chosen = chosen if isinstance(chosen, list) else [chosen]
        down = paging.descending and bool(chosen)
        order = [*first, *((one.desc() if down else one.asc()) for one in (*chosen, *keys))]
    return query.order_by(*order).limit(paging.size).offset((paging.page - 1) * paging.size)


def _count(db: Connection, table: Table, where: Conditions, paging: Paging) -> int:
    if not paging.count:
        return 0
    return int(db.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


def _all(db: Connection, table: Table) -> int:
    return int(db.execute(select(func.count()).select_from(table)).scalar_one())


def _number_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _grouped(rows: Iterable[Row], key: str) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups
