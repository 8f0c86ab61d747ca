"""GraphQL's `where` and `orderBy` as SQL, by the entities. Pure.

The operators are those of the grid's indexer: `nodeID_eq`, `state_in`, `deploymentData_contains`, links by their own
`where`, lists by `_some`, `_none` and `_every`. As in the indexer, `AND` narrows the conditions beside it, and `OR` is
an alternative to all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select, true

from zos.explorer.errors import BadRequest
from zos.explorer.graphql.entities import BY_NAME
from zos.explorer.graphql.entity import ENUMS, Entity, Link, LinkKind, Scalar

MAX_VALUES = 5000
MAX_LINKS = 4
"""Nested: each multiplies the rows that the database has to read."""
_EQUAL = ("eq", "not_eq", "isNull")
_AMONG = ("in", "not_in")
_ORDER = ("gt", "gte", "lt", "lte")
_TEXT = ("contains", "containsInsensitive", "startsWith", "endsWith")
_OPERATORS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "eq": lambda column, value: column.is_(None) if value is None else column == value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "in": lambda column, values: column.in_(values),
    "contains": lambda column, text: column.contains(text, autoescape=True),
    "containsInsensitive": lambda column, text: func.lower(column).contains(text.lower(), autoescape=True),
    "startsWith": lambda column, text: column.startswith(text, autoescape=True),
    "endsWith": lambda column, text: column.endswith(text, autoescape=True),
    "isNull": lambda column, wanted: column.is_(None) if wanted else column.is_not(None),
}


def operators(kind: str) -> tuple[str, ...]:
    """The operators of a field of this type."""
    if kind == Scalar.JSON:
        return ("isNull",)
    if kind == Scalar.FLAG:
        return _EQUAL
    if kind in ENUMS:
        return (*_EQUAL, *_AMONG)
    if kind == Scalar.TEXT:
        return (*_EQUAL, *_AMONG, *_ORDER, *_TEXT, *(f"not_{one}" for one in _TEXT))
    return (*_EQUAL, *_AMONG, *_ORDER)


def condition(entity: Entity, where: Mapping[str, Any] | None) -> ColumnElement[bool]:
    """The condition of a `where`, on the rows of the entity's table that belong to the entity."""
    return and_(entity.only, _where(entity, where)) if where else entity.only


def _where(entity: Entity, where: Mapping[str, Any], links: int = 0) -> ColumnElement[bool]:
    parts = [_one(entity, name, value, links) for name, value in where.items() if name not in ("AND", "OR")]
    parts += [_where(entity, one, links) for one in where.get("AND") or ()]
    together = and_(true(), *parts)
    others = [_where(entity, one, links) for one in where.get("OR") or ()]
    if not others:
        return together
    return or_(false(), *([together] if parts else []), *others)


def _one(entity: Entity, name: str, value: Any, links: int) -> ColumnElement[bool]:
    if name in entity.links:
        return _linked(entity.links[name], entity, value, "some", links + 1)
    field, _, operator = name.partition("_")
    if field in entity.links:
        link = entity.links[field]
        if operator == "isNull":
            return not_(link.exists) if value else link.exists
        return _linked(link, entity, value, operator, links + 1)
    column = entity.fields[field].sql
    if isinstance(value, list) and len(value) > MAX_VALUES:
        raise BadRequest(problem=f"{name} has {len(value)} values, at most {MAX_VALUES} are taken")
    if value is None and operator not in ("eq", "not_eq", "isNull"):
        raise BadRequest(problem=f"{name} cannot be null")
    if operator.startswith("not_"):
        if operator == "not_eq" and value is None:
            return column.is_not(None)
        return not_(_OPERATORS[operator.removeprefix("not_")](column, value))
    return _OPERATORS[operator](column, value)


def _linked(
    link: Link, entity: Entity, where: Mapping[str, Any] | None, quantity: str, links: int
) -> ColumnElement[bool]:
    if links > MAX_LINKS:
        raise BadRequest(problem=f"a where may follow {MAX_LINKS} links, one within the other")
    target = BY_NAME[link.target]
    if link.kind is LinkKind.SAME:
        return and_(link.exists, _where(target, where or {}, links))
    joined = entity.table.c[link.local] == target.table.c[link.remote]
    meant = _where(target, where or {}, links)
    match quantity:
        case "none":
            return not_(exists().where(joined, meant))
        case "every":
            return not_(exists().where(joined, not_(meant)))
        case _:
            return exists().where(joined, meant)


def orders(entity: Entity) -> dict[str, ColumnElement[Any]]:
    """The values of `orderBy` and their SQL, those of single links too."""
    columns = {name: field.sql for name, field in entity.fields.items() if field.kind != Scalar.JSON}
    for name, link in entity.links.items():
        target = BY_NAME[link.target]
        if link.kind is LinkKind.SAME:
            columns |= {f"{name}_{inner}": field.sql for inner, field in target.fields.items()}
        elif link.kind is LinkKind.ONE:
            joined = entity.table.c[link.local] == target.table.c[link.remote]
            columns |= {
                f"{name}_{inner}": select(field.sql).where(joined).correlate(entity.table).scalar_subquery()
                for inner, field in target.fields.items()
            }
    return {
        f"{name}_{way}": column.desc() if way == "DESC" else column.asc()
        for name, column in columns.items()
        for way in ("ASC", "DESC")
    }
