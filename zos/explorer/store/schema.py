"""The tables: what the chain says of the grid, as rows. One definition serves SQLite and PostgreSQL.

Texts that are compared without regard to case have a `…_key` beside them (casefolded), because databases disagree
about letters beyond ASCII. Derived columns of `node` are filled by `zos.explorer.store.derived`, so that filters need
no sums.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, false, text

VERSION = 2
"""Of the tables. They only grow: an older database gets what it lacks, and the whole chain state is read again."""

UNITS = ("hru", "sru", "cru", "mru")
"""Of capacity: disk, SSD and memory in bytes, threads."""
PRICED_UNITS = ("su", "cu", "nu", "ipu", "unique_name", "domain_name")
MAX_INT = 2**63 - 1

META = MetaData()
# SQLite stores a table by its key only when the key's type is called INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


def _id(name: str) -> Column[int]:
    return Column(name, Number, primary_key=True, autoincrement=False)


def _int(name: str, default: int = 0) -> Column[int]:
    return Column(name, Number, nullable=False, default=default, server_default=text(str(default)))


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, default="", server_default="")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=False, server_default=false())


CURSOR = Table(
    "cursor",
    META,
    _id("id"),
    _int("version"),
    _text("genesis"),
    _text("first"),
    _int("number"),
    _text("hash"),
    _int("time"),
)

FARM = Table(
    "farm",
    META,
    _id("farm_id"),
    _text("name"),
    _text("name_key"),
    _int("twin_id"),
    _int("pricing_policy_id"),
    _text("certification"),
    _text("stellar_address"),
    _flag("dedicated"),
    _int("grid_version"),
    _int("total_ips"),
    _int("free_ips"),
)

PUBLIC_IP = Table(
    "public_ip",
    META,
    _id("farm_id"),
    Column("ip", Text, primary_key=True),
    _text("gateway"),
    _int("contract_id"),
)

TWIN = Table(
    "twin",
    META,
    _id("twin_id"),
    _text("account_id"),
    Column("relay", Text),
    Column("public_key", Text),
)

NODE = Table(
    "node",
    META,
    # What most questions filter and sort by comes first: SQLite reads a row only as far as it must.
    _id("node_id"),
    _int("updated_at"),
    Column("power_state", Text),
    Column("power_target", Text),
    # Derived from contracts, the farm and its prices.
    _int("renter"),
    _int("contracts"),
    _flag("farm_dedicated"),
    _int("extra_fee"),
    *(_int(f"free_{unit}") for unit in ("mru", "sru", "hru", "cru")),
    *(_int(f"total_{unit}") for unit in ("cru", "mru", "sru", "hru")),
    *(_int(f"used_{unit}") for unit in ("cru", "mru", "sru", "hru")),
    Column("price_usd", Float, nullable=False, default=0.0),
    _int("rent_contract_id"),
    # What nodes answered, as far as clients filter by it; the rest is in `report`.
    _int("features"),
    Column("healthy", Boolean),
    Column("has_ipv6", Boolean),
    _int("num_gpu"),
    _int("workloads"),
    _int("farm_id"),
    _int("twin_id"),
    _text("certification"),
    _text("region"),
    _text("country_key"),
    _text("city_key"),
    _text("ipv4"),
    _text("ipv6"),
    _text("domain"),
    _int("uptime"),
    _int("created"),
    # What is only shown.
    _text("country"),
    _text("city"),
    _text("longitude"),
    _text("latitude"),
    _int("grid_version"),
    _int("farming_policy_id"),
    _int("connection_price"),
    _flag("secure"),
    _flag("virtualized"),
    _text("serial_number"),
    _flag("has_public_config"),
    _text("gw4"),
    _text("gw6"),
)

INTERFACE = Table(
    "interface",
    META,
    _id("node_id"),
    _id("position"),
    _text("name"),
    _text("mac"),
    _text("ips"),
)

REPORT = Table(
    "report",
    META,
    _id("node_id"),
    *(Column(name, JSON) for name in ("bios", "baseboard", "processor", "memory", "features")),
    Column("upload", Float, nullable=False, default=0.0),
    Column("download", Float, nullable=False, default=0.0),
    *(_int(f"{what}_at") for what in ("gpu", "health", "dmi", "speed", "ipv6", "workloads", "features")),
)

GPU = Table(
    "gpu",
    META,
    _id("node_id"),
    Column("id", Text, primary_key=True),
    _text("vendor"),
    _text("device"),
    _int("contract"),
    _int("updated_at"),
)

CONTRACT = Table(
    "contract",
    META,
    _id("contract_id"),
    _text("type"),
    _int("twin_id"),
    _text("state"),
    _int("created_at"),
    _int("grid_version"),
    _int("solution_provider_id"),
    _int("node_id"),
    _text("name"),
    _text("deployment_data"),
    _text("deployment_hash"),
    _int("number_of_public_ips"),
    *(_int(f"used_{unit}") for unit in ("hru", "sru", "cru", "mru")),
)

BILL = Table(
    "bill",
    META,
    _id("block"),
    _id("position"),
    _int("contract_id"),
    _int("timestamp"),
    _int("amount"),
    _text("discount"),
)

UPTIME = Table(
    "uptime",
    META,
    _id("node_id"),
    _id("timestamp"),
    _int("uptime"),
    # One tree instead of two: this table is by far the longest.
    sqlite_with_rowid=False,
)

COUNTRY = Table(
    "country",
    META,
    _id("country_id"),
    *(_text(name) for name in ("code", "name", "region", "subregion")),
    # Clients ask for these, and no source tells them.
    *(Column(name, Text) for name in ("lat", "long")),
)

PRICING_POLICY = Table(
    "pricing_policy",
    META,
    _id("pricing_policy_id"),
    _int("grid_version"),
    _text("name"),
    *(_int(name) for name in PRICED_UNITS),
    *(_text(f"{name}_unit") for name in PRICED_UNITS),
    _text("foundation_account"),
    _text("certified_sales_account"),
    _int("discount"),
)

FARMING_POLICY = Table(
    "farming_policy",
    META,
    _id("farming_policy_id"),
    _int("grid_version"),
    _text("name"),
    *(_int(name) for name in ("cu", "su", "nu", "ipv4", "minimal_uptime", "policy_created", "policy_end")),
    _flag("immutable"),
    _flag("default"),
    _text("node_certification"),
    _text("farm_certification"),
)

SOLUTION_PROVIDER = Table(
    "solution_provider",
    META,
    _id("solution_provider_id"),
    _text("description"),
    _text("link"),
    _flag("approved"),
    Column("providers", JSON, nullable=False),
)

PRICE = Table("price", META, _id("id"), _int("price"), _int("average"), _int("minimum"), _int("maximum"))

for table, columns in (
    (FARM, ("name_key",)),
    (FARM, ("twin_id",)),
    (FARM, ("free_ips",)),
    (FARM, ("total_ips",)),
    (FARM, ("stellar_address",)),
    (PUBLIC_IP, ("ip",)),
    (PUBLIC_IP, ("contract_id",)),
    (PUBLIC_IP, ("gateway",)),
    (TWIN, ("account_id",)),
    (TWIN, ("relay",)),
    (TWIN, ("public_key",)),
    (NODE, ("farm_id",)),
    (NODE, ("twin_id",)),
    (NODE, ("country_key",)),
    (NODE, ("city_key",)),
    (NODE, ("country",)),
    (NODE, ("city",)),
    (NODE, ("updated_at",)),
    (NODE, ("renter",)),
    (GPU, ("device",)),
    (CONTRACT, ("twin_id", "state")),
    (CONTRACT, ("node_id", "state")),
    (CONTRACT, ("state",)),
    (CONTRACT, ("type", "state")),
    (CONTRACT, ("created_at",)),
    (CONTRACT, ("name",)),
    (CONTRACT, ("deployment_hash",)),
    (CONTRACT, ("deployment_data",)),
    (CONTRACT, ("number_of_public_ips",)),
    (BILL, ("contract_id", "timestamp")),
):
    Index(f"ix_{table.name}_{'_'.join(columns)}", *(table.c[name] for name in columns))


def clean_text(value: Any) -> str:
    """Untrusted bytes or text as text that every database takes: valid Unicode without NUL."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else bytes(value).decode(errors="replace")
    return text.encode(errors="replace").decode().replace("\0", "")
