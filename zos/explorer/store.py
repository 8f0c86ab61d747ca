"""Writes rows: what was read of the chain in one transaction with how far it was read, and what nodes answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, and_, bindparam, case, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from zos.explorer import derive
from zos.explorer.project import UNITS, Row, Touched
from zos.explorer.schema import (
    BILL,
    CONTRACT,
    COUNTRY,
    CURSOR,
    FARM,
    FARMING_POLICY,
    GPU,
    INTERFACE,
    META,
    NODE,
    PRICE,
    PRICING_POLICY,
    PUBLIC_IP,
    REPORT,
    SOLUTION_PROVIDER,
    TWIN,
    UPTIME,
    VERSION,
)

CHUNK = 500
KEEP = 62 * 24 * 3600
"""Seconds for which uptime reports are kept: a month for which farmers are paid, and the one before."""
ALIVE = ("Created", "GracePeriod")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far which chain was read."""

    genesis: str
    first: str
    """The hash of block 1: a chain that begins anew may have the same genesis, and never the same block 1."""
    number: int
    hash: str
    time: int
    """Unix seconds of that block."""
    version: int = VERSION
    """Of the tables that were written."""


@dataclass(slots=True)
class Changes:
    """Entities as they are at a block; None is one that is gone."""

    farms: dict[int, tuple[Row, list[Row]] | None] = field(default_factory=dict)
    nodes: dict[int, tuple[Row, list[Row]] | None] = field(default_factory=dict)
    twins: dict[int, Row | None] = field(default_factory=dict)
    contracts: dict[int, Row | None] = field(default_factory=dict)
    pricing: dict[int, Row | None] = field(default_factory=dict)
    farming: dict[int, Row | None] = field(default_factory=dict)
    providers: dict[int, Row | None] = field(default_factory=dict)
    price: Row | None = None
    is_whole: bool = False
    """Everything there is: what is not among it is gone."""


class Store:
    """The only writer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    # Reading what the follower needs

    def cursor(self) -> Cursor | None:
        """Where it stopped; None when no chain was read yet."""
        with self._engine.connect() as db:
            row = db.execute(select(CURSOR)).mappings().first()
        return None if row is None else Cursor(**{name: row[name] for name in Cursor.__slots__})

    def farms_of(self, nodes: Collection[int]) -> set[int]:
        """The farms that these nodes are in."""
        with self._engine.connect() as db:
            return {
                farm
                for some in _chunks(sorted(nodes))
                for (farm,) in db.execute(select(NODE.c.farm_id).where(NODE.c.node_id.in_(some)))
            }

    def nodes_of(self, contracts: Collection[int]) -> set[int]:
        """The nodes that these contracts are for."""
        with self._engine.connect() as db:
            return {
                node
                for some in _chunks(sorted(contracts))
                for (node,) in db.execute(select(CONTRACT.c.node_id).where(CONTRACT.c.contract_id.in_(some)))
                if node
            }

    # Writing

    def wipe(self) -> None:
        """Forget everything that a chain said."""
        with self._engine.begin() as db:
            for table in META.sorted_tables:
                if table is not COUNTRY:
                    db.execute(delete(table))

    def apply(self, changes: Changes, touched: Touched, cursor: Cursor) -> None:
        """One step of the chain; all of it or nothing."""
        with self._engine.begin() as db:
            stale = self._stale(db, changes)
            self._farms(db, changes)
            self._nodes(db, changes)
            for table, key, rows in (
                (TWIN, TWIN.c.twin_id, changes.twins),
                (PRICING_POLICY, PRICING_POLICY.c.pricing_policy_id, changes.pricing),
                (FARMING_POLICY, FARMING_POLICY.c.farming_policy_id, changes.farming),
                (SOLUTION_PROVIDER, SOLUTION_PROVIDER.c.solution_provider_id, changes.providers),
            ):
                self._rows(db, table, key, rows, changes.is_whole)
            stale |= self._contracts(db, changes)
            if changes.price is not None:
                self._upsert(db, PRICE, [{"id": 1, **changes.price}])
            self._told(db, touched, cursor.time)
            self._settle(db, None if changes.is_whole or changes.pricing else stale)
            self._upsert(db, CURSOR, [{**asdict(cursor), "id": 1, "version": VERSION}])
        if changes.is_whole:
            self.measure()

    def measure(self) -> None:
        """Let the database count its rows: without, it cannot tell which index serves a query best."""
        words = ["ANALYZE"]
        if self._engine.dialect.name == "postgresql":
            # It also counts by an index alone once it knows that no row on a page is dead. This may take its time.
            words = ["SET statement_timeout = 0", "VACUUM (ANALYZE)", "RESET statement_timeout"]
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            for word in words:
                db.execute(text(word))

    def _stale(self, db: Connection, changes: Changes) -> set[int]:
        """Nodes whose derived columns may be wrong afterwards, as far as rows that still are here tell."""
        nodes = set(changes.nodes)
        for some in _chunks(sorted(changes.farms)):
            nodes |= {node for (node,) in db.execute(select(NODE.c.node_id).where(NODE.c.farm_id.in_(some)))}
        return nodes

    def _farms(self, db: Connection, changes: Changes) -> None:
        self._rows(
            db, FARM, FARM.c.farm_id, {id: both and both[0] for id, both in changes.farms.items()}, changes.is_whole
        )
        self._parts(db, PUBLIC_IP, PUBLIC_IP.c.farm_id, changes.farms, changes.is_whole)

    def _nodes(self, db: Connection, changes: Changes) -> None:
        rows: dict[int, Row | None] = {
            # A node that was never heard of counts from its registration.
            id: both and {**both[0], "updated_at": both[0]["created"], "uptime": 0}
            for id, both in changes.nodes.items()
        }
        self._rows(db, NODE, NODE.c.node_id, rows, changes.is_whole, keep=("updated_at", "uptime"))
        self._parts(db, INTERFACE, INTERFACE.c.node_id, changes.nodes, changes.is_whole)
        gone = sorted(id for id, row in rows.items() if row is None)
        for table in (REPORT, GPU, UPTIME):
            for some in _chunks(gone):
                db.execute(delete(table).where(table.c.node_id.in_(some)))

    def _contracts(self, db: Connection, changes: Changes) -> set[int]:
        rows = [row for row in changes.contracts.values() if row is not None]
        self._upsert(db, CONTRACT, rows, keep=("created_at",))
        gone = {id for id, row in changes.contracts.items() if row is None}
        if changes.is_whole:
            alive = db.execute(select(CONTRACT.c.contract_id).where(CONTRACT.c.state.in_(ALIVE)))
            gone |= {id for (id,) in alive} - changes.contracts.keys()
        stale = {row["node_id"] for row in rows if row["node_id"]}
        for some in _chunks(sorted(gone)):
            mine = CONTRACT.c.contract_id.in_(some)
            stale |= {node for (node,) in db.execute(select(CONTRACT.c.node_id).where(mine)) if node}
            db.execute(update(CONTRACT).where(mine).values(state="Deleted"))
        return stale

    def _told(self, db: Connection, touched: Touched, now: int) -> None:
        """What only events tell."""
        self._upsert(db, BILL, touched.bills)
        if touched.beats:
            beats = touched.beats.items()
            rows = [{"node_id": node, "timestamp": time, "uptime": up} for (node, time), up in beats]
            self._upsert(db, UPTIME, rows)
            # Only of nodes that report: the others' last reports stay, and become no more.
            old = delete(UPTIME).where(UPTIME.c.node_id == bindparam("_id"), UPTIME.c.timestamp < now - KEEP)
            db.execute(old, [{"_id": id} for id in touched.uptimes])
        if touched.created:
            query = (
                update(CONTRACT).where(CONTRACT.c.contract_id == bindparam("_id")).values(created_at=bindparam("_time"))
            )
            db.execute(query, [{"_id": id, "_time": time} for id, time in touched.created.items()])
        newer = and_(NODE.c.node_id == bindparam("_id"), NODE.c.updated_at <= bindparam("_time"))
        if touched.stored:
            query = update(NODE).where(newer).values(updated_at=bindparam("_time"))
            db.execute(query, [{"_id": id, "_time": time} for id, time in touched.stored.items()])
        if touched.uptimes:
            # A change of the node in the same span must not hide the report.
            query = (
                update(NODE)
                .where(NODE.c.node_id == bindparam("_id"))
                .values(updated_at=_later(NODE.c.updated_at), uptime=bindparam("_uptime"))
            )
            reports = [{"_id": id, "_time": time, "_uptime": up} for id, (time, up) in touched.uptimes.items()]
            db.execute(query, reports)

    def _settle(self, db: Connection, nodes: set[int] | None) -> None:
        """Fill the derived columns of these nodes (of all: None)."""
        prices = {
            row.pricing_policy_id: derive.Prices(row.cu, row.su)
            for row in db.execute(select(PRICING_POLICY.c.pricing_policy_id, PRICING_POLICY.c.cu, PRICING_POLICY.c.su))
        }
        for some in [None] if nodes is None else _chunks(sorted(nodes)):
            rows = [_derived(row, prices) for row in db.execute(_to_settle(some)).mappings()]
            if rows:
                # SQLAlchemy keeps the columns' own names for itself.
                values: dict[str, Any] = {name[1:]: bindparam(name) for name in rows[0] if name != "_id"}
                db.execute(update(NODE).where(NODE.c.node_id == bindparam("_id")).values(values), rows)

    # What nodes answered

    def answered(self, node: int, columns: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """Keep a node's answer: `columns` of `node`, and of `report`; nothing when the node is gone meanwhile."""
        with self._engine.begin() as db:
            if db.execute(select(NODE.c.node_id).where(NODE.c.node_id == node)).first() is None:
                return
            if columns:
                db.execute(update(NODE).where(NODE.c.node_id == node).values(dict(columns)))
            self._upsert(db, REPORT, [{"node_id": node, **report}])

    def gpus(self, node: int, rows: Sequence[Row]) -> None:
        """The graphics cards of a node, all of them."""
        with self._engine.begin() as db:
            db.execute(delete(GPU).where(GPU.c.node_id == node))
            if rows:
                db.execute(GPU.insert(), list(rows))

    # Tools

    def _rows(
        self,
        db: Connection,
        table: Table,
        key: Column[Any],
        rows: Mapping[int, Row | None],
        is_whole: bool,
        keep: Collection[str] = (),
    ) -> None:
        self._upsert(db, table, [row for row in rows.values() if row is not None], keep)
        gone = {id for id, row in rows.items() if row is None}
        if is_whole:
            gone |= {id for (id,) in db.execute(select(key))} - rows.keys()
        for some in _chunks(sorted(gone)):
            db.execute(delete(table).where(key.in_(some)))

    def _parts(
        self,
        db: Connection,
        table: Table,
        key: Column[Any],
        owners: Mapping[int, tuple[Row, list[Row]] | None],
        is_whole: bool,
    ) -> None:
        """Rows that belong to others and are replaced with them."""
        if is_whole:
            db.execute(delete(table))
        for some in _chunks(sorted(owners)):
            db.execute(delete(table).where(key.in_(some)))
        self._upsert(db, table, [part for both in owners.values() if both for part in both[1]])

    def _upsert(self, db: Connection, table: Table, rows: Sequence[Row], keep: Collection[str] = ()) -> None:
        if not rows:
            return
        query = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {name: query.excluded[name] for name in rows[0] if name not in keys and name not in keep}
        action = (
            query.on_conflict_do_update(index_elements=keys, set_=changed)
            if changed
            else query.on_conflict_do_nothing()
        )
        for some in _chunks(rows, 5000):
            db.execute(action, list(some))


def _later(column: Column[int]) -> Any:
    """The later of what is there and the parameter `time`; both databases have this as CASE."""
    return case((column > bindparam("_time"), column), else_=bindparam("_time"))


def _to_settle(nodes: Sequence[int] | None) -> Any:
    """Nodes with the sums over their contracts, their rent and their farm."""
    alive = CONTRACT.c.state.in_(ALIVE)
    sums = select(
        CONTRACT.c.node_id,
        func.count().label("contracts"),
        *(func.sum(CONTRACT.c[f"used_{unit}"]).label(f"sum_{unit}") for unit in UNITS),
    ).where(CONTRACT.c.type == "node", alive)
    rents = select(
        CONTRACT.c.node_id,
        func.max(CONTRACT.c.contract_id).label("rent_contract_id"),
        func.max(CONTRACT.c.twin_id).label("renter"),
    ).where(CONTRACT.c.type == "rent", alive)
    if nodes is not None:
        sums, rents = (query.where(CONTRACT.c.node_id.in_(nodes)) for query in (sums, rents))
    used = sums.group_by(CONTRACT.c.node_id).subquery()
    rent = rents.group_by(CONTRACT.c.node_id).subquery()
    query = (
        select(
            NODE.c.node_id,
            NODE.c.certification,
            NODE.c.extra_fee,
            *(NODE.c[f"total_{unit}"] for unit in UNITS),
            *(used.c[f"sum_{unit}"] for unit in UNITS),
            used.c.contracts,
            rent.c.rent_contract_id,
            rent.c.renter,
            FARM.c.dedicated,
            FARM.c.pricing_policy_id,
        )
        .outerjoin(used, used.c.node_id == NODE.c.node_id)
        .outerjoin(rent, rent.c.node_id == NODE.c.node_id)
        .outerjoin(FARM, FARM.c.farm_id == NODE.c.farm_id)
    )
    return query if nodes is None else query.where(NODE.c.node_id.in_(nodes))


def _derived(row: Mapping[Any, Any], prices: Mapping[int, derive.Prices]) -> Row:
    total = {unit: int(row[f"total_{unit}"]) for unit in UNITS}
    policy = prices.get(row["pricing_policy_id"] or 1, derive.Prices())
    columns = {
        "id": row["node_id"],
        **derive.resources(total, {unit: int(row[f"sum_{unit}"] or 0) for unit in UNITS}),
        "contracts": row["contracts"] or 0,
        "rent_contract_id": row["rent_contract_id"] or 0,
        "renter": row["renter"] or 0,
        "farm_dedicated": bool(row["dedicated"]),
        "price_usd": derive.price(total, policy, row["certification"] == "Certified", row["extra_fee"]),
    }
    return {f"_{name}": value for name, value in columns.items()}


def _chunks(items: Iterable[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    whole = list(items)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
