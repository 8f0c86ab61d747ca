"""What an entity of GraphQL is made of: fields with their SQL, and links to other entities. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table, Text, cast, func, literal

from zos.explorer.filters import STATES

Row = Mapping[str, Any]
INT_MOST = 2**31 - 1


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
    "ContractState": STATES,
    "PowerState": ("Up", "Down"),
    "Power": ("Up", "Down"),
    "DiscountLevel": ("None", "Default", "Bronze", "Silver", "Gold"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A value: `kind` is a Scalar or the name of one of ENUMS."""

    kind: str
    sql: ColumnElement[Any]
    get: Callable[[Row], Any]
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
    """Our column …"""
    remote: str = ""
    """… that equals this column of the target."""
    is_optional: bool = False
    is_there: ColumnElement[bool] | None = None
    has: Callable[[Row], bool] = field(default=lambda row: True)


@dataclass(frozen=True, slots=True)
class Entity:
    """Rows of a table as GraphQL objects. Entities without plural are only reached by links."""

    name: str
    plural: str
    table: Table
    fields: Mapping[str, Field]
    links: Mapping[str, Link] = field(default_factory=dict)
    only: ColumnElement[bool] | None = None
    """Which rows of the table are meant."""

    @property
    def singular(self) -> str:
        """As in `nodeById`."""
        return self.name[0].lower() + self.name[1:]


def column_field(kind: str, column: Any, is_optional: bool = False) -> Field:
    """A column as it is."""
    name = column.name
    if kind == Scalar.INT:
        # The chain's numbers are unsigned; GraphQL's Int ends earlier.
        return Field(kind, column, lambda row: min(row[name], INT_MOST), is_optional)
    return Field(kind, column, lambda row: row[name], is_optional)


def int_field(column: Any) -> Field:
    """A number that fits GraphQL's Int."""
    return column_field(Scalar.INT, column)


def big_field(column: Any) -> Field:
    """A number as text."""
    return column_field(Scalar.BIG, column)


def text_field(column: Any, is_optional: bool = False) -> Field:
    """A text."""
    return column_field(Scalar.TEXT, column, is_optional)


def flag_field(column: Any) -> Field:
    """A truth."""
    return column_field(Scalar.FLAG, column)


def blank_field(column: Any) -> Field:
    """A text that is null when it is empty."""
    name = column.name
    return Field(Scalar.TEXT, func.nullif(column, ""), lambda row: row[name] or None, True)


def key_field(prefix: str, *columns: Any) -> Field:
    """The chain has no such ids: the entity's name and its keys."""
    sql: ColumnElement[str] = literal(prefix)
    for column in columns:
        sql = sql.concat("-").concat(cast(column, Text))
    names = [column.name for column in columns]
    return Field(Scalar.TEXT, sql, lambda row: "-".join((prefix, *(str(row[name]) for name in names))))


def resource_fields(prefix: str, table: Table) -> dict[str, Field]:
    """Capacity, of the columns `<prefix>_hru` and so on."""
    return {unit: big_field(table.c[f"{prefix}_{unit}"]) for unit in ("hru", "sru", "cru", "mru")}


def constant_field(value: int) -> Field:
    """The same for every row."""
    return Field(Scalar.INT, literal(value), lambda row: value)
