"""What an entity of GraphQL is made of: fields with their SQL, and links to other entities. Pure.

A field is SQL only: filters, order and answers all use the same expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, Text, cast, func, literal, true

from zos.explorer.rules import CONTRACT_STATES
from zos.explorer.store.schema import UNITS


class Scalar(StrEnum):
    """GraphQL's types of fields."""

    INT = "Int"
    BIG = "BigInt"
    TEXT = "String"
    FLAG = "Boolean"
    JSON = "JSON"


ENUMS: dict[str, tuple[str, ...]] = {
    "NodeCertification": ("Diy", "Certified"),
    "FarmCertification": ("NotCertified", "Gold"),
    "ContractState": CONTRACT_STATES,
    "PowerState": ("Up", "Down"),
    "Power": ("Up", "Down"),
    "DiscountLevel": ("None", "Default", "Bronze", "Silver", "Gold"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A value: `kind` is a Scalar or the name of one of ENUMS."""

    kind: str
    sql: ColumnElement[Any]
    is_optional: bool = False


class LinkKind(StrEnum):
    """How a linked entity is found."""

    SAME = "same"
    """In the same row."""
    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Link:
    """Another entity, or a list of them."""

    kind: LinkKind
    target: str
    local: str = ""
    """The column of this entity's table ..."""
    remote: str = ""
    """... that equals this column of the target's."""
    is_optional: bool = False
    exists: ColumnElement[bool] = field(default_factory=true)
    """Of links in the same row: whether the row has the linked entity."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Rows of a table as GraphQL objects. Entities without plural are only reached by links."""

    name: str
    plural: str
    table: Table
    fields: Mapping[str, Field]
    links: Mapping[str, Link] = field(default_factory=dict)
    only: ColumnElement[bool] = field(default_factory=true)
    """Which rows of the table belong to this entity."""

    @property
    def singular(self) -> str:
        """The name with a small first letter, as in the query `nodeById`."""
        return self.name[0].lower() + self.name[1:]

    def key(self, name: str) -> str:
        """Under which name a row that was read has this field, or (of a link) whether the linked entity exists."""
        if name in self.fields:
            sql = self.fields[name].sql
            return sql.name if isinstance(sql, Column) else f"{self.name}.{name}"
        return f"{self.name}.{name}?"

    def computed(self) -> list[ColumnElement[Any]]:
        """What a query selects besides the table's columns: fields that are no columns, and optional links."""
        found: list[ColumnElement[Any]] = [
            one.sql.label(self.key(name)) for name, one in self.fields.items() if not isinstance(one.sql, Column)
        ]
        found += [one.exists.label(self.key(name)) for name, one in self.links.items() if one.is_optional]
        return found


def int_field(column: Any) -> Field:
    """A number that fits GraphQL's Int."""
    return Field(Scalar.INT, column)


def big_field(column: Any) -> Field:
    """A number that is answered as text."""
    return Field(Scalar.BIG, column)


def text_field(column: Any, is_optional: bool = False) -> Field:
    return Field(Scalar.TEXT, column, is_optional)


def flag_field(sql: Any) -> Field:
    """A column or a condition."""
    return Field(Scalar.FLAG, sql)


def blank_field(column: Any) -> Field:
    """A text that is null when it is empty."""
    return Field(Scalar.TEXT, func.nullif(column, ""), True)


def key_field(prefix: str, *columns: Any) -> Field:
    """The entity's name and its keys: the chain has no such ids."""
    sql: ColumnElement[str] = literal(prefix)
    for column in columns:
        sql = sql.concat("-").concat(cast(column, Text))
    return Field(Scalar.TEXT, sql)


def resource_fields(prefix: str, table: Table) -> dict[str, Field]:
    """Capacity, of the columns `<prefix>_hru` and so on."""
    return {unit: big_field(table.c[f"{prefix}_{unit}"]) for unit in UNITS}


def constant_field(value: int) -> Field:
    """The same for every row."""
    return Field(Scalar.INT, literal(value))
