"""The questions of the REST API as SQL: lists with filters, order and pages, single things, sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
)

from zos.explorer import filters, liveness, render, shapes
from zos.explorer.errors import NotFound
from zos.explorer.params import Scope
from zos.explorer.schema import BILL, CONTRACT, FARM, GPU, NODE, PUBLIC_IP, REPORT, TWIN

T = TypeVar("T")
Conditions = Sequence[ColumnElement[bool]]
Row = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list, and in which order."""

    page: int = 1
    size: int = 50
    count: bool = False
    """Whether to count the whole list too."""
    random: bool = False
    by: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A page of a list, and how long the list is when that was asked for."""

    items: list[T]
    count: int = 0


NODE_SORTS: dict[str, Any] = {
    **{
        name: NODE.c[name]
        for name in ("node_id", "farm_id", "twin_id", "country", "city", "uptime", "created", "updated_at")
    },
    **{f"total_{unit}": NODE.c[f"total_{unit}"] for unit in ("cru", "sru", "hru", "mru")},
    **{f"used_{unit}": NODE.c[f"used_{unit}"] for unit in ("cru", "sru", "hru", "mru")},
    "free_cru": NODE.c.total_cru - NODE.c.used_cru,
    "status": None,
    "dedicated_farm": NODE.c.farm_dedicated,
    "rent_contract_id": NODE.c.rent_contract_id,
    "rented": NODE.c.renter != 0,
    "rentable": filters.IS_RENTABLE,
    "num_gpu": NODE.c.num_gpu,
    "extra_fee": NODE.c.extra_fee,
    "price_usd": None,
}
FARM_SORTS: dict[str, Any] = {
    **{name: FARM.c[name] for name in ("name", "farm_id", "twin_id", "dedicated", "free_ips", "total_ips")},
    "public_ips": FARM.c.total_ips,
    "used_ips": FARM.c.total_ips - FARM.c.free_ips,
}
TWIN_SORTS: dict[str, Any] = {name: TWIN.c[name] for name in ("twin_id", "account_id", "relay", "public_key")}
CONTRACT_SORTS: dict[str, Any] = {
    name: CONTRACT.c[name] for name in ("contract_id", "twin_id", "state", "created_at", "type")
}
IP_SORTS: dict[str, Any] = {name: PUBLIC_IP.c[name] for name in ("ip", "contract_id", "farm_id")}
BILL_SORTS: dict[str, Any] = {"timestamp": BILL.c.timestamp, "amountBilled": BILL.c.amount}


def nodes(db: Connection, where: Conditions, page: Page, scope: Scope, mine_first: bool = False) -> Found[shapes.Node]:
    """Nodes; `mine_first`: rented ones come before the others."""
    first = [case((NODE.c.renter != 0, 1), else_=2)] if mine_first else []
    sorts = NODE_SORTS | {"status": liveness.order(scope.now), "price_usd": filters.discounted(scope)}
    query = _paged(select(NODE.c.node_id).where(*where), page, sorts, [NODE.c.node_id], first)
    ids = [id for (id,) in db.execute(query)]
    return Found(_nodes(db, ids, scope), _count(db, NODE, where, page))


def node(db: Connection, id: int, scope: Scope) -> shapes.Node:
    """One node."""
    found = _nodes(db, [id], scope)
    if not found:
        raise NotFound(what="node")
    return found[0]


_MOST_IDS = 5000
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
# Made once: putting so wide a question together takes longer than answering it.
_WIDE_NODES = (
    select(
        NODE,
        FARM.c.name.label("farm_name"),
        FARM.c.free_ips.label("farm_free_ips"),
        REPORT.c.features.label("offered"),
        *(REPORT.c[name] for name in ("bios", "baseboard", "processor", "memory", "upload", "download")),
    )
    .outerjoin(FARM, FARM.c.farm_id == NODE.c.farm_id)
    .outerjoin(REPORT, REPORT.c.node_id == NODE.c.node_id)
    .where(NODE.c.node_id.in_(_IDS))
)
_GPUS = select(GPU).where(GPU.c.node_id.in_(_IDS)).order_by(GPU.c.id)
_FARMS_IPS = select(PUBLIC_IP).where(PUBLIC_IP.c.farm_id.in_(_IDS)).order_by(PUBLIC_IP.c.ip)
_WIDE_CONTRACTS = (
    select(CONTRACT, FARM.c.farm_id, FARM.c.name.label("farm_name"))
    .outerjoin(NODE, NODE.c.node_id == CONTRACT.c.node_id)
    .outerjoin(FARM, FARM.c.farm_id == NODE.c.farm_id)
    .where(CONTRACT.c.contract_id.in_(_IDS))
)


def _nodes(db: Connection, ids: Sequence[int], scope: Scope) -> list[shapes.Node]:
    """These nodes, in this order: wide rows are only read for a page."""
    rows = {row["node_id"]: row for row in _by_ids(db, _WIDE_NODES, ids)}
    gpus = _grouped(_by_ids(db, _GPUS, ids), "node_id")
    return [render.node(rows[id], gpus.get(id, ()), scope.now, scope.balance) for id in ids if id in rows]


def farms(db: Connection, where: Conditions, page: Page, rented_by: int | None = None) -> Found[shapes.Farm]:
    """Farms; those with nodes that `rented_by` rents come first."""
    first = []
    if rented_by is not None:
        mine = exists().where(NODE.c.farm_id == FARM.c.farm_id, NODE.c.renter == rented_by)
        first = [case((mine, 1), else_=2)]
    rows = list(db.execute(_paged(select(FARM).where(*where), page, FARM_SORTS, [FARM.c.farm_id], first)).mappings())
    ips = _grouped(_by_ids(db, _FARMS_IPS, [row["farm_id"] for row in rows]), "farm_id")
    found = [render.farm(row, ips.get(row["farm_id"], ())) for row in rows]
    return Found(found, _count(db, FARM, where, page))


def twins(db: Connection, where: Conditions, page: Page) -> Found[shapes.Twin]:
    """Twins."""
    rows = db.execute(_paged(select(TWIN).where(*where), page, TWIN_SORTS, [TWIN.c.twin_id])).mappings()
    return Found([render.twin(row) for row in rows], _count(db, TWIN, where, page))


def contracts(db: Connection, where: Conditions, page: Page) -> Found[shapes.Contract]:
    """Contracts of all types, those that have ended too."""
    query = _paged(select(CONTRACT.c.contract_id).where(*where), page, CONTRACT_SORTS, [CONTRACT.c.contract_id])
    ids = [id for (id,) in db.execute(query)]
    return Found(_contracts(db, ids), _count(db, CONTRACT, where, page))


def contract(db: Connection, id: int) -> shapes.Contract:
    """One contract."""
    found = _contracts(db, [id])
    if not found:
        raise NotFound(what="contract")
    return found[0]


def _contracts(db: Connection, ids: Sequence[int]) -> list[shapes.Contract]:
    rows = {row["contract_id"]: row for row in _by_ids(db, _WIDE_CONTRACTS, ids)}
    return [render.contract(rows[id]) for id in ids if id in rows]


def bills(db: Connection, contract: int, page: Page) -> Found[shapes.Bill]:
    """What a contract was billed, newest first."""
    where = [BILL.c.contract_id == contract]
    newest = Page(page.page, page.size, page.count, page.random, page.by or "timestamp", page.descending or not page.by)
    rows = db.execute(
        _paged(select(BILL).where(*where), newest, BILL_SORTS, [BILL.c.block, BILL.c.position])
    ).mappings()
    found = [shapes.Bill(row["amount"], row["discount"], row["timestamp"]) for row in rows]
    return Found(found, _count(db, BILL, where, page))


def public_ips(db: Connection, where: Conditions, page: Page) -> Found[shapes.PublicIp]:
    """Farms' public addresses."""
    keys = [PUBLIC_IP.c.farm_id, PUBLIC_IP.c.ip]
    rows = db.execute(_paged(select(PUBLIC_IP).where(*where), page, IP_SORTS, keys)).mappings()
    return Found([render.public_ip(row) for row in rows], _count(db, PUBLIC_IP, where, page))


def stats(db: Connection, where: Conditions) -> shapes.Stats:
    """Sums over the grid; `where` chooses nodes."""
    is_public = or_(NODE.c.ipv4 != "", NODE.c.ipv6 != "")
    sums = {
        **{f"total_{unit}": func.sum(NODE.c[f"total_{unit}"]) for unit in ("cru", "sru", "mru", "hru")},
        "access_nodes": _number_of(is_public),
        "gateways": _number_of(and_(is_public, NODE.c.domain != "")),
        "gpus": _number_of(NODE.c.num_gpu > 0),
        "dedicated_nodes": _number_of(or_(NODE.c.farm_dedicated, NODE.c.contracts == 0, NODE.c.renter != 0)),
        "workloads_number": func.sum(NODE.c.workloads),
        "nodes": func.count(),
    }
    # One look at the nodes: sums by country, and the sums of these.
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
    """When any node last answered each question."""
    names = shapes.Indexers.__struct_fields__
    row = db.execute(select(*(func.coalesce(func.max(REPORT.c[f"{name}_at"]), 0) for name in names))).one()
    return shapes.Indexers(*(shapes.UpdatedAt(int(time)) for time in row))


# Tools


def _by_ids(db: Connection, query: Select[Any], ids: Sequence[int]) -> Iterator[Row]:
    """Rows of these ids. Databases take only so many parameters at a time."""
    for start in range(0, len(ids), _MOST_IDS):
        yield from db.execute(query, {"ids": ids[start : start + _MOST_IDS]}).mappings()


def _paged(
    query: Select[Any], page: Page, sorts: Mapping[str, Any], keys: Sequence[Any], first: Sequence[Any] = ()
) -> Select[Any]:
    """Ordered, with the key last: the same question always has the same answer."""
    if page.random:
        order = [func.random()]
    else:
        chosen = [sorts[page.by]] if page.by else []
        # Without a column to sort by, the direction means nothing to clients.
        down = page.descending and bool(page.by)
        order = [*first, *((one.desc() if down else one.asc()) for one in (*chosen, *keys))]
    return query.order_by(*order).limit(page.size).offset((page.page - 1) * page.size)


def _count(db: Connection, table: Table, where: Conditions, page: Page) -> int:
    if not page.count:
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
