"""GraphQL's types, made of the entities: objects, their lists and connections, and how these are read of the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLString,
    IntValueNode,
    StringValueNode,
    ValueNode,
)
from sqlalchemy import Connection, func, select

from zos.explorer import database
from zos.explorer.database import in_time
from zos.explorer.entities import BY_NAME, ENTITIES
from zos.explorer.entity import ENUMS, Entity, Field, Link, LinkKind, Scalar
from zos.explorer.errors import TooLong
from zos.explorer.where import condition, operators, orders

Info: TypeAlias = GraphQLResolveInfo[Any]

MOST_ROWS = 50_000
"""Of all lists of one request together."""
_CHUNK = 5000
_BIG = 2**63


def _big_in(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not -_BIG <= number < _BIG:
        raise GraphQLError("BigInt must be a whole number of at most 64 bits")
    return number


def _big_literal(node: ValueNode, _: Any = None) -> int:
    if not isinstance(node, IntValueNode | StringValueNode):
        raise GraphQLError("BigInt must be a whole number")
    return _big_in(node.value)


BIG = GraphQLScalarType("BigInt", str, _big_in, _big_literal, description="A whole number, as text")
JSON = GraphQLScalarType("JSON", lambda value: value)
_KINDS: dict[str, Any] = {
    Scalar.INT: GraphQLInt,
    Scalar.BIG: BIG,
    Scalar.TEXT: GraphQLString,
    Scalar.FLAG: GraphQLBoolean,
    Scalar.JSON: JSON,
    **{name: GraphQLEnumType(name, {word: word for word in words}) for name, words in ENUMS.items()},
}


class Rows:
    """The database for one request, and how much of it was read."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._left = MOST_ROWS
        self._until = time.monotonic() + database.LONGEST

    def read(self, query: Any) -> list[Mapping[str, Any]]:
        """Rows; an error when the whole request asks for too many, or takes too long."""
        rows = list(self._executed(query.limit(self._left + 1) if query._limit is None else query).mappings())
        self._left -= len(rows)
        if self._left < 0:
            raise GraphQLError(f"a request may read {MOST_ROWS} rows; use limit and offset")
        return [dict(row) for row in rows]

    def count(self, query: Any) -> int:
        return int(self._executed(query).scalar_one())

    def _executed(self, query: Any) -> Any:
        # Each statement has a deadline, and so has all of them together.
        if time.monotonic() > self._until:
            raise TooLong(seconds=round(database.LONGEST))
        with in_time():
            return self._db.execute(query)


class _Batch:
    """Rows that were read together: what they link to is read together as well."""

    def __init__(self, entity: Entity, rows: list[Mapping[str, Any]], source: Rows) -> None:
        self.entity = entity
        self.items = [_Item(row, self, entity) for row in rows]
        self._source = source
        self._linked: dict[str, dict[Any, list[_Item]]] = {}

    def linked(self, name: str, link: Link, key: Any) -> list[_Item]:
        """What one row links to."""
        if name not in self._linked:
            self._linked[name] = self._read(link)
        return self._linked[name].get(key, [])

    def _read(self, link: Link) -> dict[Any, list[_Item]]:
        target = BY_NAME[link.target]
        keys = sorted({item.row[link.local] for item in self.items})
        rows: list[Mapping[str, Any]] = []
        for start in range(0, len(keys), _CHUNK):
            column = target.table.c[link.remote]
            some = select(target.table).where(column.in_(keys[start : start + _CHUNK]))
            rows += self._source.read(some.order_by(*target.table.primary_key))
        grouped: dict[Any, list[_Item]] = {}
        for item in _Batch(target, rows, self._source).items:
            grouped.setdefault(item.row[link.remote], []).append(item)
        return grouped


class _Item:
    """A row as a GraphQL object."""

    __slots__ = ("batch", "entity", "row")

    def __init__(self, row: Mapping[str, Any], batch: _Batch, entity: Entity) -> None:
        self.row = row
        self.batch = batch
        self.entity = entity


class Types:
    """GraphQL's types of all entities."""

    def __init__(self) -> None:
        self.objects = {entity.name: self._object(entity) for entity in ENTITIES}
        self.wheres = {entity.name: self._where(entity) for entity in ENTITIES}
        page = {name: GraphQLField(GraphQLNonNull(GraphQLBoolean)) for name in ("hasNextPage", "hasPreviousPage")}
        page |= {name: GraphQLField(GraphQLNonNull(GraphQLString)) for name in ("startCursor", "endCursor")}
        self._page = GraphQLObjectType("PageInfo", page)

    def query(self) -> GraphQLObjectType:
        """The root."""
        fields: dict[str, GraphQLField] = {}
        for entity in ENTITIES:
            if entity.plural:
                fields |= self._roots(entity)
        return GraphQLObjectType("Query", fields)

    def _roots(self, entity: Entity) -> dict[str, GraphQLField]:
        kind, where = self.objects[entity.name], GraphQLArgument(self.wheres[entity.name])
        words = {word: word for word in orders(entity)}
        order = GraphQLList(GraphQLNonNull(GraphQLEnumType(f"{entity.name}OrderByInput", words)))
        unique = GraphQLInputObjectType(
            f"{entity.name}WhereUniqueInput", {"id": GraphQLInputField(GraphQLNonNull(GraphQLString))}
        )
        whole = {
            "where": where,
            "orderBy": GraphQLArgument(order),
            "offset": GraphQLArgument(GraphQLInt),
            "limit": GraphQLArgument(GraphQLInt),
        }
        paged = {
            "orderBy": GraphQLArgument(order),
            "where": where,
            "first": GraphQLArgument(GraphQLInt),
            "after": GraphQLArgument(GraphQLString),
        }
        by_id = {"id": GraphQLArgument(GraphQLNonNull(GraphQLString))}
        by_unique = {"where": GraphQLArgument(GraphQLNonNull(unique))}
        many = GraphQLNonNull(GraphQLList(GraphQLNonNull(kind)))
        connection = GraphQLNonNull(self._connection(entity))
        return {
            entity.plural: GraphQLField(many, whole, _lister(entity)),
            f"{entity.plural}Connection": GraphQLField(
                connection, paged, lambda _, info, **given: _Page(entity, info.context, given)
            ),
            f"{entity.singular}ById": GraphQLField(kind, by_id, lambda _, info, id: _single(entity, info.context, id)),
            f"{entity.singular}ByUniqueInput": GraphQLField(
                kind, by_unique, lambda _, info, where: _single(entity, info.context, where["id"])
            ),
        }

    def _connection(self, entity: Entity) -> GraphQLObjectType:
        edge = GraphQLObjectType(
            f"{entity.name}Edge",
            {
                "node": GraphQLField(GraphQLNonNull(self.objects[entity.name]), resolve=lambda edge, _: edge[1]),
                "cursor": GraphQLField(GraphQLNonNull(GraphQLString), resolve=lambda edge, _: str(edge[0])),
            },
        )
        edges = GraphQLNonNull(GraphQLList(GraphQLNonNull(edge)))
        return GraphQLObjectType(
            f"{_capital(entity.plural)}Connection",
            {
                "edges": GraphQLField(edges, resolve=lambda page, _: page.edges()),
                "pageInfo": GraphQLField(GraphQLNonNull(self._page), resolve=lambda page, _: page.info()),
                "totalCount": GraphQLField(GraphQLNonNull(GraphQLInt), resolve=lambda page, _: page.total()),
            },
        )

    def _object(self, entity: Entity) -> GraphQLObjectType:
        def fields() -> dict[str, GraphQLField]:
            made = {name: _value(field) for name, field in entity.fields.items()}
            return made | {name: self._link(name, link) for name, link in entity.links.items()}

        return GraphQLObjectType(entity.name, fields)

    def _link(self, name: str, link: Link) -> GraphQLField:
        kind = self.objects[link.target]
        if link.kind is LinkKind.MANY:
            many = GraphQLNonNull(GraphQLList(GraphQLNonNull(kind)))
            return GraphQLField(many, resolve=lambda item, _: item.batch.linked(name, link, item.row[link.local]))
        if link.kind is LinkKind.ONE:
            # A farm or a node may be gone before what belonged to it.
            return GraphQLField(
                kind, resolve=lambda item, _: _first(item.batch.linked(name, link, item.row[link.local]))
            )
        return GraphQLField(
            kind if link.is_optional else GraphQLNonNull(kind),
            resolve=lambda item, _: _Item(item.row, item.batch, BY_NAME[link.target]) if link.has(item.row) else None,
        )

    def _where(self, entity: Entity) -> GraphQLInputObjectType:
        def fields() -> dict[str, GraphQLInputField]:
            made = {
                f"{name}_{operator}": GraphQLInputField(_operand(field.kind, operator))
                for name, field in entity.fields.items()
                for operator in operators(field.kind)
            }
            for name, link in entity.links.items():
                target = GraphQLInputField(self.wheres[link.target])
                if link.kind is LinkKind.MANY:
                    made |= {f"{name}_{quantity}": target for quantity in ("some", "none", "every")}
                else:
                    made |= {name: target, f"{name}_isNull": GraphQLInputField(GraphQLBoolean)}
            own = GraphQLList(GraphQLNonNull(self.wheres[entity.name]))
            return made | {"AND": GraphQLInputField(own), "OR": GraphQLInputField(own)}

        return GraphQLInputObjectType(f"{entity.name}WhereInput", fields)


def _operand(kind: str, operator: str) -> Any:
    if operator == "isNull":
        return GraphQLBoolean
    return GraphQLList(GraphQLNonNull(_KINDS[kind])) if operator in ("in", "not_in") else _KINDS[kind]


def _value(field: Field) -> GraphQLField:
    kind, get = _KINDS[field.kind], field.get
    return GraphQLField(kind if field.is_optional else GraphQLNonNull(kind), resolve=lambda item, _: get(item.row))


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _first(items: Sequence[_Item]) -> _Item | None:
    return items[0] if items else None


def _query(entity: Entity, given: Mapping[str, Any]) -> Any:
    known = orders(entity)
    chosen = [known[word] for word in given.get("orderBy") or ()]
    query = select(entity.table).where(condition(entity, given.get("where")))
    return query.order_by(*chosen, *entity.table.primary_key)


def _lister(entity: Entity) -> Callable[..., list[_Item]]:
    def resolve(_: Any, info: Info, **given: Any) -> list[_Item]:
        query = _query(entity, given)
        if (limit := given.get("limit")) is not None:
            query = query.limit(min(_natural(limit, "limit"), MOST_ROWS + 1))
        if (offset := given.get("offset")) is not None:
            query = query.offset(_natural(offset, "offset"))
        return _Batch(entity, info.context.read(query), info.context).items

    return resolve


def _single(entity: Entity, source: Rows, id: str) -> _Item | None:
    query = select(entity.table).where(condition(entity, {"id_eq": id})).limit(1)
    return _first(_Batch(entity, source.read(query), source).items)


def _natural(number: int, what: str) -> int:
    if number < 0:
        raise GraphQLError(f"{what} must not be negative")
    return number


class _Page:
    """A connection; each of its parts is only worked out when it is asked for."""

    def __init__(self, entity: Entity, source: Rows, given: Mapping[str, Any]) -> None:
        self._entity = entity
        self._source = source
        self._given = given
        after = given.get("after") or "0"
        if not str(after).isdecimal() or len(str(after)) > 9:
            raise GraphQLError("after must be a cursor of an edge")
        self._after = int(after)
        self._edges: list[tuple[int, _Item]] | None = None
        self._more = False

    def total(self) -> int:
        where = condition(self._entity, self._given.get("where"))
        return self._source.count(select(func.count()).select_from(self._entity.table).where(where))

    def edges(self) -> list[tuple[int, _Item]]:
        if self._edges is None:
            given = self._given.get("first")
            first = min(_natural(100 if given is None else int(given), "first"), MOST_ROWS)
            # One more than wanted tells whether there is a next page.
            rows = self._source.read(_query(self._entity, self._given).offset(self._after).limit(first + 1))
            self._more = len(rows) > first
            items = _Batch(self._entity, rows[:first], self._source).items
            self._edges = list(enumerate(items, self._after + 1))
        return self._edges

    def info(self) -> dict[str, Any]:
        edges = self.edges()
        return {
            "hasNextPage": self._more,
            "hasPreviousPage": self._after > 0,
            "startCursor": str(edges[0][0]) if edges else "",
            "endCursor": str(edges[-1][0]) if edges else "",
        }
