"""Writes rows: one step of the chain with its cursor in one transaction, and what nodes answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, and_, bindparam, case, delete, select, text, update

from zos.explorer.rules import ACTIVE_STATES
from zos.explorer.store.changes import Changes, Cursor, EventFacts, Row, WithParts
from zos.explorer.store.derived import chunks, refresh
from zos.explorer.store.schema import (
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

KEEP_UPTIME = 62 * 24 * 3600
"""Seconds for which uptime reports are kept: a month for which farmers are paid, and the one before."""


class Store:
    """The only writer of the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = _inserter(engine)

    # What the follower reads

    def cursor(self) -> Cursor | None:
        """Up to where the database was written; None when it is empty."""
        with self._engine.connect() as db:
            row = db.execute(select(CURSOR)).mappings().first()
        return None if row is None else Cursor(**{name: row[name] for name in Cursor.__slots__})

    def farms_of(self, nodes: Collection[int]) -> set[int]:
        """The farms that these nodes are in."""
        with self._engine.connect() as db:
            return {
                farm
                for some in chunks(sorted(nodes))
                for (farm,) in db.execute(select(NODE.c.farm_id).where(NODE.c.node_id.in_(some)))
            }

    def nodes_of(self, contracts: Collection[int]) -> set[int]:
        """The nodes that these contracts are for."""
        with self._engine.connect() as db:
            return {
                node
                for some in chunks(sorted(contracts))
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

    def apply(self, changes: Changes, facts: EventFacts, cursor: Cursor) -> None:
        """Write one step of the chain: all of it or nothing."""
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
            self._write_facts(db, facts, cursor.time)
            refresh(db, None if changes.is_whole or changes.pricing else stale)
            self._upsert(db, CURSOR, [{**asdict(cursor), "id": 1, "version": VERSION}])
        if changes.is_whole:
            self.analyze()

    def analyze(self) -> None:
        """Update the database's statistics, by which it chooses indexes."""
        statements = ["ANALYZE"]
        if self._engine.dialect.name == "postgresql":
            # VACUUM lets it count by an index alone. It may take longer than the deadline of questions.
            statements = ["SET statement_timeout = 0", "VACUUM (ANALYZE)", "RESET statement_timeout"]
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            for statement in statements:
                db.execute(text(statement))

    def _stale(self, db: Connection, changes: Changes) -> set[int]:
        """Nodes whose derived columns may be wrong afterwards, as far as rows before the change tell."""
        nodes = set(changes.nodes)
        for some in chunks(sorted(changes.farms)):
            nodes |= {node for (node,) in db.execute(select(NODE.c.node_id).where(NODE.c.farm_id.in_(some)))}
        return nodes

    def _farms(self, db: Connection, changes: Changes) -> None:
        self._rows(
            db, FARM, FARM.c.farm_id, {id: both and both[0] for id, both in changes.farms.items()}, changes.is_whole
        )
        self._parts(db, PUBLIC_IP, PUBLIC_IP.c.farm_id, changes.farms, changes.is_whole)

    def _nodes(self, db: Connection, changes: Changes) -> None:
        rows: dict[int, Row | None] = {
            # A node that never reported counts as seen when it registered.
            id: both and {**both[0], "updated_at": both[0]["created"], "uptime": 0}
            for id, both in changes.nodes.items()
        }
        self._rows(db, NODE, NODE.c.node_id, rows, changes.is_whole, keep=("updated_at", "uptime"))
        self._parts(db, INTERFACE, INTERFACE.c.node_id, changes.nodes, changes.is_whole)
        gone = sorted(id for id, row in rows.items() if row is None)
        for table in (REPORT, GPU, UPTIME):
            for some in chunks(gone):
                db.execute(delete(table).where(table.c.node_id.in_(some)))

    def _contracts(self, db: Connection, changes: Changes) -> set[int]:
        rows = [row for row in changes.contracts.values() if row is not None]
        self._upsert(db, CONTRACT, rows, keep=("created_at",))
        gone = {id for id, row in changes.contracts.items() if row is None}
        if changes.is_whole:
            alive = db.execute(select(CONTRACT.c.contract_id).where(CONTRACT.c.state.in_(ACTIVE_STATES)))
            gone |= {id for (id,) in alive} - changes.contracts.keys()
        stale = {row["node_id"] for row in rows if row["node_id"]}
        for some in chunks(sorted(gone)):
            mine = CONTRACT.c.contract_id.in_(some)
            stale |= {node for (node,) in db.execute(select(CONTRACT.c.node_id).where(mine)) if node}
            db.execute(update(CONTRACT).where(mine).values(state="Deleted"))
        return stale

    def _write_facts(self, db: Connection, facts: EventFacts, now: int) -> None:
        self._upsert(db, BILL, facts.bills)
        if facts.uptime_reports:
            reports = facts.uptime_reports.items()
            rows = [{"node_id": node, "timestamp": time, "uptime": up} for (node, time), up in reports]
            self._upsert(db, UPTIME, rows)
            # Only of nodes that report: a dead node keeps its last reports, which do not grow.
            old = delete(UPTIME).where(UPTIME.c.node_id == bindparam("_id"), UPTIME.c.timestamp < now - KEEP_UPTIME)
            db.execute(old, [{"_id": id} for id in facts.uptimes])
        if facts.created:
            query = (
                update(CONTRACT).where(CONTRACT.c.contract_id == bindparam("_id")).values(created_at=bindparam("_time"))
            )
            db.execute(query, [{"_id": id, "_time": time} for id, time in facts.created.items()])
        newer = and_(NODE.c.node_id == bindparam("_id"), NODE.c.updated_at <= bindparam("_time"))
        if facts.node_updates:
            query = update(NODE).where(newer).values(updated_at=bindparam("_time"))
            db.execute(query, [{"_id": id, "_time": time} for id, time in facts.node_updates.items()])
        if facts.uptimes:
            # A change of the node in the same span must not hide the report.
            query = (
                update(NODE)
                .where(NODE.c.node_id == bindparam("_id"))
                .values(updated_at=_later(NODE.c.updated_at), uptime=bindparam("_uptime"))
            )
            latest = [{"_id": id, "_time": time, "_uptime": up} for id, (time, up) in facts.uptimes.items()]
            db.execute(query, latest)

    # What nodes answered

    def save_answer(self, node: int, columns: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """Write a node's answer into `node` and `report`; nothing when the node is gone meanwhile."""
        with self._engine.begin() as db:
            if db.execute(select(NODE.c.node_id).where(NODE.c.node_id == node)).first() is None:
                return
            if columns:
                db.execute(update(NODE).where(NODE.c.node_id == node).values(dict(columns)))
            self._upsert(db, REPORT, [{"node_id": node, **report}])

    def replace_gpus(self, node: int, rows: Sequence[Row]) -> None:
        """Write all graphics cards of a node."""
        with self._engine.begin() as db:
            db.execute(delete(GPU).where(GPU.c.node_id == node))
            if rows:
                db.execute(GPU.insert(), list(rows))

    # Helpers

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
        for some in chunks(sorted(gone)):
            db.execute(delete(table).where(key.in_(some)))

    def _parts(
        self,
        db: Connection,
        table: Table,
        key: Column[Any],
        owners: Mapping[int, WithParts | None],
        is_whole: bool,
    ) -> None:
        """Replace the rows that belong to others."""
        if is_whole:
            db.execute(delete(table))
        for some in chunks(sorted(owners)):
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
        for some in chunks(rows, 5000):
            db.execute(action, list(some))


def _later(column: Column[int]) -> Any:
    """The later of the column and the parameter. (The databases name this function differently; CASE is the same.)"""
    return case((column > bindparam("_time"), column), else_=bindparam("_time"))


def _inserter(engine: Engine) -> Callable[[Table], Any]:
    """An INSERT that can update instead. Only the dialect that is used is imported: the other takes 50 ms."""
    if engine.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert
    from sqlalchemy.dialects.sqlite import insert

    return insert
