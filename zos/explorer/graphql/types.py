"""The GraphQL schema, made of the entities: objects, lists and connections, and the resolvers that read them."""

from __future__ import annotations

import time
from collections import Counter
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

from zos.explorer.errors import TooLong
from zos.explorer.graphql.entities import BY_NAME, ENTITIES, rows_of
from zos.explorer.graphql.entity import ENUMS, Entity, Link, LinkKind, Scalar
from zos.explorer.graphql.where import condition, operators, orders
from zos.explorer.store import pool
from zos.explorer.store.pool import translated_errors

Info: TypeAlias = GraphQLResolveInfo[Any]

MAX_ROWS = 50_000
"""Of all lists of one request together."""
MAX_ANSWER = 400_000
"""Fields of one request's answer; a whole introspection has 24,000."""
_CHUNK = 5000
_BIG = 2**63
_MAX_GRAPHQL_INT = 2**31 - 1


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


class OutOfBudget(BaseException):
    """Ends a request whose answer would cost too much. No error of a field: those do not end the others."""


class RowReader:
    """Reads rows for one request, within a deadline and a number of rows for all of it."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._left = MAX_ROWS
        self._answer = MAX_ANSWER
        self._until = time.monotonic() + pool.DEADLINE

    def read(self, query: Any) -> list[Mapping[str, Any]]:
        """Rows. Raises GraphQLError when the request reads too many, TooLong when it takes too long."""
        rows = list(self._executed(query.limit(self._left + 1) if query._limit is None else query).mappings())
        self._left -= len(rows)
        if self._left < 0:
            raise GraphQLError(f"a request may read {MAX_ROWS} rows; use limit and offset")
        return [dict(row) for row in rows]

    def charge(self, fields: int) -> None:
        """Count fields of the answer. Raises OutOfBudget."""
        self._answer -= fields
        if self._answer < 0:
            raise OutOfBudget(f"an answer may have {MAX_ANSWER} fields; ask for less at a time")

    def foresee(self, items: int, info: Info) -> None:
        """Refuse so many items before they are worked on when their fields will not fit. Raises OutOfBudget."""
        fields = sum(len(node.selection_set.selections) for node in info.field_nodes if node.selection_set)
        if items * fields > self._answer:
            self.charge(items * fields)

    def count(self, query: Any) -> int:
        return int(self._executed(query).scalar_one())

    def _executed(self, query: Any) -> Any:
        # Each statement has a deadline, and so have all of them together.
        if time.monotonic() > self._until:
            raise TooLong(seconds=round(pool.DEADLINE))
        with translated_errors():
            return self._db.execute(query)


class _Batch:
    """Rows that one query read: what they link to is read by one query as well."""

    def __init__(self, entity: Entity, rows: list[Mapping[str, Any]], source: RowReader) -> None:
        self.entity = entity
        self.items = [_Item(row, self, entity) for row in rows]
        self._source = source
        self._linked: dict[str, dict[Any, list[_Item]]] = {}

    def linked(self, name: str, link: Link, key: Any, info: Info) -> list[_Item]:
        """The entities that one row links to. Raises OutOfBudget when those of all rows will not fit."""
        if name not in self._linked:
            self._linked[name] = self._read(link)
            self._source.foresee(self._places(link, self._linked[name]), info)
        return self._linked[name].get(key, [])

    def _places(self, link: Link, grouped: Mapping[Any, list[_Item]]) -> int:
        """In how many places of the answer the linked entities will be; notes it of each."""
        linking: Counter[Any] = Counter()
        for item in self.items:
            linking[item.row[link.local]] += item.places
        for key, items in grouped.items():
            for item in items:
                item.places = linking[key]
        return sum(linking[key] * len(items) for key, items in grouped.items())

    def _read(self, link: Link) -> dict[Any, list[_Item]]:
        target = BY_NAME[link.target]
        keys = sorted({item.row[link.local] for item in self.items})
        rows: list[Mapping[str, Any]] = []
        for start in range(0, len(keys), _CHUNK):
            column = target.table.c[link.remote]
            some = rows_of(target.table.name).where(column.in_(keys[start : start + _CHUNK]))
            rows += self._source.read(some.order_by(*target.table.primary_key))
        grouped: dict[Any, list[_Item]] = {}
        for item in _Batch(target, rows, self._source).items:
            grouped.setdefault(item.row[link.remote], []).append(item)
        return grouped


class _Item:
    """A row as a GraphQL object."""

    __slots__ = ("batch", "entity", "places", "row")

    def __init__(self, row: Mapping[str, Any], batch: _Batch, entity: Entity) -> None:
        self.places = 1
        self.row = row
        self.batch = batch
        self.entity = entity


class SchemaBuilder:
    """Builds the GraphQL types of all entities."""

    def __init__(self) -> None:
        self.objects = {entity.name: self._object(entity) for entity in ENTITIES}
        self.wheres = {entity.name: self._where(entity) for entity in ENTITIES}
        page = {name: GraphQLField(GraphQLNonNull(GraphQLBoolean)) for name in ("hasNextPage", "hasPreviousPage")}
        page |= {name: GraphQLField(GraphQLNonNull(GraphQLString)) for name in ("startCursor", "endCursor")}
        self._page = GraphQLObjectType("PageInfo", page)

    def query(self) -> GraphQLObjectType:
        """The root type, with the fields of all entities."""
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
            made = {name: _value(entity, name) for name in entity.fields}
            return made | {name: self._link(entity, name, link) for name, link in entity.links.items()}

        return GraphQLObjectType(entity.name, fields)

    def _link(self, entity: Entity, name: str, link: Link) -> GraphQLField:
        kind = self.objects[link.target]
        if link.kind is LinkKind.MANY:
            many = GraphQLNonNull(GraphQLList(GraphQLNonNull(kind)))
            return GraphQLField(
                many, resolve=lambda item, info: item.batch.linked(name, link, item.row[link.local], info)
            )
        if link.kind is LinkKind.ONE:
            # A farm or a node may be gone before what belonged to it.
            return GraphQLField(
                kind, resolve=lambda item, info: _first(item.batch.linked(name, link, item.row[link.local], info))
            )
        target, exists = BY_NAME[link.target], entity.key(name)
        if not link.is_optional:
            return GraphQLField(GraphQLNonNull(kind), resolve=lambda item, _: _Item(item.row, item.batch, target))
        return GraphQLField(
            kind, resolve=lambda item, _: _Item(item.row, item.batch, target) if item.row[exists] else None
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


def _value(entity: Entity, name: str) -> GraphQLField:
    field, key = entity.fields[name], entity.key(name)
    kind = _KINDS[field.kind] if field.is_optional else GraphQLNonNull(_KINDS[field.kind])
    if field.kind == Scalar.INT:
        # The chain's numbers are unsigned; GraphQL's Int ends earlier.
        return GraphQLField(kind, resolve=lambda item, _: min(item.row[key], _MAX_GRAPHQL_INT))
    return GraphQLField(kind, resolve=lambda item, _: item.row[key])


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _first(items: Sequence[_Item]) -> _Item | None:
    return items[0] if items else None


def _query(entity: Entity, given: Mapping[str, Any]) -> Any:
    known = orders(entity)
    chosen = [known[word] for word in given.get("orderBy") or ()]
    query = rows_of(entity.table.name).where(condition(entity, given.get("where")))
    return query.order_by(*chosen, *entity.table.primary_key)


def _lister(entity: Entity) -> Callable[..., list[_Item]]:
    def resolve(_: Any, info: Info, **given: Any) -> list[_Item]:
        query = _query(entity, given)
        if (limit := given.get("limit")) is not None:
            query = query.limit(min(_natural(limit, "limit"), MAX_ROWS + 1))
        if (offset := given.get("offset")) is not None:
            query = query.offset(_natural(offset, "offset"))
        items = _Batch(entity, info.context.read(query), info.context).items
        info.context.foresee(len(items), info)
        return items

    return resolve


def _single(entity: Entity, source: RowReader, id: str) -> _Item | None:
    query = rows_of(entity.table.name).where(condition(entity, {"id_eq": id})).limit(1)
    return _first(_Batch(entity, source.read(query), source).items)


def _natural(number: int, what: str) -> int:
    if number < 0:
        raise GraphQLError(f"{what} must not be negative")
    return number


class _Page:
    """A connection; each of its parts is only read when the request asks for it."""

    def __init__(self, entity: Entity, source: RowReader, given: Mapping[str, Any]) -> None:
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
            first = min(_natural(100 if given is None else int(given), "first"), MAX_ROWS)
            # One row more tells whether there is a next page.
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
