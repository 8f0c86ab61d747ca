"""What is answered: the JSON shapes that grid clients read, and rows as these shapes. Pure.

The classes give the names on the wire, the encoding and the schemas of OpenAPI, so that these cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from zos.explorer import derive, liveness


class Capacity(Struct):
    cru: int
    sru: int
    hru: int
    mru: int


class NestedCapacity(Struct):
    total_resources: Capacity
    used_resources: Capacity


class Location(Struct):
    country: str
    city: str
    longitude: float | None
    latitude: float | None


class PublicConfig(Struct):
    domain: str
    gw4: str
    gw6: str
    ipv4: str
    ipv6: str


class Power(Struct):
    state: str
    target: str


class Bios(Struct):
    vendor: str = ""
    version: str = ""


class Baseboard(Struct):
    manufacturer: str = ""
    product_name: str = ""


class Processor(Struct):
    version: str = ""
    thread_count: str = ""


class Memory(Struct):
    manufacturer: str = ""
    type: str = ""


class Dmi(Struct):
    bios: Bios
    baseboard: Baseboard
    processor: list[Processor]
    memory: list[Memory]


class Speed(Struct):
    """Bits per second."""

    upload: float
    download: float


class Gpu(Struct):
    id: str
    vendor: str
    device: str
    contract: int
    updated_at: int


class NodeGpu(Struct):
    """A graphics card, as the node says now."""

    node_twin_id: int
    id: str
    vendor: str
    device: str
    contract: int


class _Node(Struct, kw_only=True):
    id: str
    node_id: int = field(name="nodeId")
    farm_id: int = field(name="farmId")
    farm_name: str = field(name="farmName")
    twin_id: int = field(name="twinId")
    country: str
    city: str
    region: str
    grid_version: int = field(name="gridVersion")
    uptime: int
    created: int
    farming_policy_id: int = field(name="farmingPolicyId")
    updated_at: int = field(name="updatedAt")
    location: Location
    public_config: PublicConfig = field(name="publicConfig")
    status: liveness.Status
    certification_type: str = field(name="certificationType")
    dedicated: bool
    in_dedicated_farm: bool = field(name="inDedicatedFarm")
    rent_contract_id: int = field(name="rentContractId")
    rented: bool
    rentable: bool
    rented_by: int = field(name="rentedByTwinId")
    serial_number: str = field(name="serialNumber")
    power: Power
    num_gpu: int
    extra_fee: int = field(name="extraFee")
    healthy: bool
    dmi: Dmi
    speed: Speed
    gpus: list[Gpu]
    price_usd: float
    farm_free_ips: int
    features: list[str]


class Node(_Node, kw_only=True):
    """A node of a list."""

    total_resources: Capacity
    used_resources: Capacity


class NodeWithNestedCapacity(_Node, kw_only=True):
    """A node asked for alone: the same but for its resources."""

    capacity: NestedCapacity


class NodeStatus(Struct):
    status: liveness.Status


class FarmIp(Struct):
    id: str
    ip: str
    gateway: str
    contract_id: int


class PublicIp(FarmIp):
    farm_id: int


class Farm(Struct):
    name: str
    farm_id: int = field(name="farmId")
    twin_id: int = field(name="twinId")
    pricing_policy_id: int = field(name="pricingPolicyId")
    certification_type: str = field(name="certificationType")
    stellar_address: str = field(name="stellarAddress")
    dedicated: bool
    public_ips: list[FarmIp] = field(name="publicIps")


class Twin(Struct):
    twin_id: int = field(name="twinId")
    account_id: str = field(name="accountId")
    relay: str
    public_key: str = field(name="publicKey")


class Consumption(Struct):
    """TFT."""

    last_hour_consumption: float
    overall_consumption: float


class NodeDetails(Struct):
    node_id: int = field(name="nodeId")
    deployment_data: str
    deployment_hash: str
    number_of_public_ips: int
    farm_name: str
    farm_id: int


class NameDetails(Struct):
    name: str


class RentDetails(Struct):
    node_id: int = field(name="nodeId")
    farm_name: str
    farm_id: int


class _Contract(Struct):
    contract_id: int
    twin_id: int
    state: str
    created_at: int
    type: str


class NodeContract(_Contract):
    details: NodeDetails


class NameContract(_Contract):
    details: NameDetails


class RentContract(_Contract):
    details: RentDetails


Contract = NodeContract | NameContract | RentContract


class Bill(Struct):
    """Units of 1e-7 TFT."""

    amount: int = field(name="amountBilled")
    discount: str = field(name="discountReceived")
    timestamp: int


class Stats(Struct):
    nodes: int
    farms: int
    countries: int
    total_cru: int = field(name="totalCru")
    total_sru: int = field(name="totalSru")
    total_mru: int = field(name="totalMru")
    total_hru: int = field(name="totalHru")
    public_ips: int = field(name="publicIps")
    access_nodes: int = field(name="accessNodes")
    gateways: int
    twins: int
    contracts: int
    distribution: dict[str, int] = field(name="nodesDistribution")
    gpus: int
    dedicated_nodes: int = field(name="dedicatedNodes")
    workloads_number: int


class StatisticsResources(Struct):
    cru: int
    hru: int
    ipv4u: int
    mru: int
    sru: int


class StatisticsUsers(Struct):
    deployments: int
    workloads: int
    last_deployment_timestamp: int


class Statistics(Struct):
    """`zos.statistics.get`, as the node says now."""

    system: StatisticsResources
    total: StatisticsResources
    used: StatisticsResources
    users: StatisticsUsers


class Ping(Struct):
    ping: str


class Version(Struct):
    version: str


class UpdatedAt(Struct):
    updated_at: int


class Indexers(Struct):
    gpu: UpdatedAt
    health: UpdatedAt
    dmi: UpdatedAt
    speed: UpdatedAt
    ipv6: UpdatedAt
    workloads: UpdatedAt
    features: UpdatedAt


class Health(Struct):
    total_state_ok: bool
    db_conn: str
    rmb_conn: str
    indexers: Indexers
    chain_conn: str
    """`ok`, or why the database does not follow the chain."""
    block: int
    """The last block whose state is here."""


class Error(Struct):
    error: str


Row = Mapping[Any, Any]


def node(row: Row, gpus: Sequence[Row], now: int, balance: float = 0.0) -> Node:
    """A row of nodes with farm and report."""
    total, used = (
        Capacity(**{unit: row[f"{what}_{unit}"] for unit in ("cru", "sru", "hru", "mru")}) for what in ("total", "used")
    )
    return Node(**_node(row, gpus, now, balance), total_resources=total, used_resources=used)


def nested(node: Node) -> NodeWithNestedCapacity:
    """The same node in the shape that is answered when it is asked for alone."""
    common = {name: getattr(node, name) for name in _Node.__struct_fields__}
    return NodeWithNestedCapacity(**common, capacity=NestedCapacity(node.total_resources, node.used_resources))


def _node(row: Row, gpus: Sequence[Row], now: int, balance: float) -> dict[str, Any]:
    return {
        "id": f"node-{row['node_id']}",
        **{name: row[name] for name in ("node_id", "farm_id", "twin_id", "country", "city", "region", "grid_version")},
        **{name: row[name] for name in ("uptime", "created", "farming_policy_id", "updated_at", "serial_number")},
        **{name: row[name] for name in ("rent_contract_id", "num_gpu", "extra_fee")},
        "farm_name": row["farm_name"] or "",
        "farm_free_ips": row["farm_free_ips"] or 0,
        "location": Location(row["country"], row["city"], decimal(row["longitude"]), decimal(row["latitude"])),
        "public_config": PublicConfig(*(row[name] for name in ("domain", "gw4", "gw6", "ipv4", "ipv6"))),
        "status": liveness.status(row, now),
        "certification_type": row["certification"],
        "dedicated": derive.is_dedicated(row),
        "in_dedicated_farm": row["farm_dedicated"],
        "rented": bool(row["renter"]),
        "rentable": derive.is_rentable(row),
        "rented_by": row["renter"],
        "power": Power(row["power_state"] or "", row["power_target"] or ""),
        "healthy": bool(row["healthy"]),
        "dmi": Dmi(
            Bios(**(row["bios"] or {})),
            Baseboard(**(row["baseboard"] or {})),
            [Processor(**one) for one in row["processor"] or ()],
            [Memory(**one) for one in row["memory"] or ()],
        ),
        "speed": Speed(row["upload"] or 0.0, row["download"] or 0.0),
        "gpus": [Gpu(one["id"], one["vendor"], one["device"], one["contract"], one["updated_at"]) for one in gpus],
        "price_usd": round(derive.discount(row["price_usd"], balance), 3),
        "features": row["offered"] or [],
    }


def farm(row: Row, ips: Sequence[Row]) -> Farm:
    """A row of `farm` with its addresses."""
    return Farm(
        name=row["name"],
        farm_id=row["farm_id"],
        twin_id=row["twin_id"],
        pricing_policy_id=row["pricing_policy_id"],
        certification_type=row["certification"],
        stellar_address=row["stellar_address"],
        dedicated=row["dedicated"],
        public_ips=[FarmIp(ip_id(ip), ip["ip"], ip["gateway"], ip["contract_id"]) for ip in ips],
    )


def public_ip(row: Row) -> PublicIp:
    """A row of `public_ip`."""
    return PublicIp(ip_id(row), row["ip"], row["gateway"], row["contract_id"], row["farm_id"])


def ip_id(row: Row) -> str:
    """Addresses have no id on the chain."""
    return f"{row['farm_id']}-{row['ip']}"


def twin(row: Row) -> Twin:
    """A row of `twin`."""
    return Twin(row["twin_id"], row["account_id"], row["relay"] or "", row["public_key"] or "")


def contract(row: Row) -> Contract:
    """A row of `contract` with its node's farm."""
    common = {name: row[name] for name in _Contract.__struct_fields__}
    farm: dict[str, Any] = {"farm_name": row["farm_name"] or "", "farm_id": row["farm_id"] or 0}
    match row["type"]:
        case "node":
            names = ("node_id", "deployment_data", "deployment_hash", "number_of_public_ips")
            return NodeContract(**common, details=NodeDetails(**{name: row[name] for name in names}, **farm))
        case "rent":
            return RentContract(**common, details=RentDetails(row["node_id"], **farm))
        case _:
            return NameContract(**common, details=NameDetails(row["name"]))


def decimal(text: str) -> float | None:
    """A coordinate; None for words such as Unknown."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= 360 else None
