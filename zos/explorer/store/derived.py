"""Fills the derived columns of `node`: sums over contracts, rent, the farm's prices. Filters then need no joins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select, update

from zos.explorer import rules
from zos.explorer.store.changes import Row
from zos.explorer.store.schema import CONTRACT, FARM, NODE, PRICING_POLICY, UNITS

CHUNK = 500


def refresh(db: Connection, nodes: Collection[int] | None) -> None:
    """Work out the derived columns of these nodes again (of all: None)."""
    query = select(PRICING_POLICY.c.pricing_policy_id, PRICING_POLICY.c.cu, PRICING_POLICY.c.su)
    prices = {row.pricing_policy_id: rules.UnitPrices(row.cu, row.su) for row in db.execute(query)}
    for some in [None] if nodes is None else chunks(sorted(nodes)):
        rows = [_derived(row, prices) for row in db.execute(_sources(some)).mappings()]
        if rows:
            # SQLAlchemy keeps the columns' own names for itself.
            values: dict[str, Any] = {name[1:]: bindparam(name) for name in rows[0] if name != "_id"}
            db.execute(update(NODE).where(NODE.c.node_id == bindparam("_id")).values(values), rows)


def _sources(nodes: Sequence[int] | None) -> Select[Any]:
    """Nodes with the sums over their contracts, their rent and their farm."""
    is_active = CONTRACT.c.state.in_(rules.ACTIVE_STATES)
    sums = select(
        CONTRACT.c.node_id,
        func.count().label("contracts"),
        *(func.sum(CONTRACT.c[f"used_{unit}"]).label(f"sum_{unit}") for unit in UNITS),
    ).where(CONTRACT.c.type == "node", is_active)
    rents = select(
        CONTRACT.c.node_id,
        func.max(CONTRACT.c.contract_id).label("rent_contract_id"),
        func.max(CONTRACT.c.twin_id).label("renter"),
    ).where(CONTRACT.c.type == "rent", is_active)
    if nodes is not None:
        sums, rents = (query.where(CONTRACT.c.node_id.in_(nodes)) for query in (sums, rents))
    used = sums.group_by(CONTRACT.c.node_id).subquery()
    rent = rents.group_by(CONTRACT.c.node_id).subquery()
    query = (
        select(
            NODE.c.node_id,
            NODE.c.extra_fee,
            rules.IS_CERTIFIED.label("is_certified"),
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


def _derived(row: Mapping[Any, Any], prices: Mapping[int, rules.UnitPrices]) -> Row:
    total = {unit: int(row[f"total_{unit}"]) for unit in UNITS}
    policy = prices.get(row["pricing_policy_id"] or 1, rules.UnitPrices())
    columns = {
        "id": row["node_id"],
        **rules.resources(total, {unit: int(row[f"sum_{unit}"] or 0) for unit in UNITS}),
        "contracts": row["contracts"] or 0,
        "rent_contract_id": row["rent_contract_id"] or 0,
        "renter": row["renter"] or 0,
        "farm_dedicated": bool(row["dedicated"]),
        "price_usd": rules.monthly_price(total, policy, row["is_certified"], row["extra_fee"]),
    }
    return {f"_{name}": value for name, value in columns.items()}


def chunks(items: Iterable[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """The items in parts of this size."""
    whole = list(items)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
