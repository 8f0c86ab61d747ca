"""The JSON shapes of answers, as grid clients read them. Pure.

Names on the wire, encoding and OpenAPI schemas all come from these classes.
"""

from __future__ import annotations

from msgspec import Struct, field

from zos.explorer.rules import Status


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
    """Measured speed in bits per second."""

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


class AnyNode(Struct, kw_only=True):
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
    status: Status
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


class Node(AnyNode, kw_only=True):
    """A node of a list."""

    total_resources: Capacity
    used_resources: Capacity


class NodeWithNestedCapacity(AnyNode, kw_only=True):
    """A node asked for alone: the same but for its resources."""

    capacity: NestedCapacity


class NodeStatus(Struct):
    status: Status


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
    """What a twin or contract spent, in TFT."""

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


class AnyContract(Struct):
    contract_id: int
    twin_id: int
    state: str
    created_at: int
    type: str


class NodeContract(AnyContract):
    details: NodeDetails


class NameContract(AnyContract):
    details: NameDetails


class RentContract(AnyContract):
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
