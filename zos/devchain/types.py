"""The grid's SCALE types that several pallets share (spec 145)."""

from __future__ import annotations

from zos.scale.types import (
    ACCOUNT,
    BOOL,
    BYTES,
    U8,
    U16,
    U32,
    U64,
    Bytes,
    Enum,
    Option,
    Struct,
    Variant,
    Vec,
    Wrapped,
    struct,
)

GRID = "tfchain_support::types"


def words(path: str, *names: str) -> Enum:
    """An enum without contents."""
    return Enum(path, tuple(Variant(name, index) for index, name in enumerate(names)))


RESOURCES = struct("tfchain_support::resources::Resources", hru=U64, sru=U64, cru=U64, mru=U64)
BOUNDED = Bytes(1 << 16)
"""Bytes that the grid's chain bounds. Strict clients know types by their structure; the bounds that count are those of
the pallets' own checks."""
LOCATION = struct(
    f"{GRID}::Location",
    city=Wrapped("pallet_tfgrid::node::CityName", BOUNDED),
    country=Wrapped("pallet_tfgrid::node::CountryName", BOUNDED),
    latitude=BOUNDED,
    longitude=BOUNDED,
)
LOCATION_INPUT = struct(
    "pallet_tfgrid::types::LocationInput",
    city=Bytes(58),
    country=Bytes(56),
    latitude=Bytes(50),
    longitude=Bytes(50),
)
IP4 = struct(f"{GRID}::IP4", ip=BOUNDED, gw=BOUNDED)
IP6 = struct(f"{GRID}::IP6", ip=BOUNDED, gw=BOUNDED)
PUBLIC_CONFIG = struct(f"{GRID}::PublicConfig", ip4=IP4, ip6=Option(IP6), domain=Option(Bytes(128)))
INTERFACE_INPUT = struct(f"{GRID}::Interface", name=Bytes(20), mac=Bytes(17), ips=Vec(Bytes(42), 10))
INTERFACE = struct(
    f"{GRID}::Interface",
    name=Wrapped("pallet_tfgrid::interface::InterfaceName", Bytes(20)),
    mac=Wrapped("pallet_tfgrid::interface::InterfaceMac", Bytes(17)),
    ips=Vec(Wrapped("pallet_tfgrid::interface::InterfaceIp", Bytes(42)), 10),
)
PUBLIC_IP = struct(f"{GRID}::PublicIP", ip=BOUNDED, gateway=BOUNDED, contract_id=U64)
PUBLIC_IPS = Vec(PUBLIC_IP, 1 << 16)
FARM_CERTIFICATION = words(f"{GRID}::FarmCertification", "NotCertified", "Gold")
NODE_CERTIFICATION = words(f"{GRID}::NodeCertification", "Diy", "Certified")
FARM_LIMITS = struct(
    f"{GRID}::FarmingPolicyLimit",
    farming_policy_id=U32,
    cu=Option(U64),
    su=Option(U64),
    end=Option(U64),
    node_count=Option(U32),
    node_certification=BOOL,
)
FARM = struct(
    f"{GRID}::Farm",
    version=U32,
    id=U32,
    name=Wrapped("pallet_tfgrid::farm::FarmName", BOUNDED),
    twin_id=U32,
    pricing_policy_id=U32,
    certification=FARM_CERTIFICATION,
    public_ips=PUBLIC_IPS,
    dedicated_farm=BOOL,
    farming_policy_limits=Option(FARM_LIMITS),
)
NODE = struct(
    f"{GRID}::Node",
    version=U32,
    id=U32,
    farm_id=U32,
    twin_id=U32,
    resources=RESOURCES,
    location=LOCATION,
    public_config=Option(PUBLIC_CONFIG),
    created=U64,
    farming_policy_id=U32,
    interfaces=Vec(INTERFACE),
    certification=NODE_CERTIFICATION,
    secure_boot=BOOL,
    virtualized=BOOL,
    serial_number=Option(Wrapped("pallet_tfgrid::node::SerialNumber", BOUNDED)),
    connection_price=U32,
)
POWER = words(f"{GRID}::Power", "Up", "Down")
POWER_STATE = Enum(f"{GRID}::PowerState", (Variant("Up", 0), Variant("Down", 1, ((None, U32),))))
NODE_POWER = struct(f"{GRID}::NodePower", state=POWER_STATE, target=POWER)
ENTITY_PROOF = struct("pallet_tfgrid::types::EntityProof", entity_id=U32, signature=BYTES)
TWIN = struct(
    "pallet_tfgrid::types::Twin",
    id=U32,
    account_id=ACCOUNT,
    relay=Option(BOUNDED),
    entities=Vec(ENTITY_PROOF),
    pk=Option(BOUNDED),
)
TERMS = struct(
    "pallet_tfgrid::types::TermsAndConditions",
    account_id=ACCOUNT,
    timestamp=U64,
    document_link=BOUNDED,
    document_hash=BOUNDED,
)
UNIT = words("pallet_tfgrid::types::Unit", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terrabytes")
POLICY = struct("pallet_tfgrid::types::Policy", value=U32, unit=UNIT)
PRICING_POLICY = struct(
    "pallet_tfgrid::types::PricingPolicy",
    version=U32,
    id=U32,
    name=BYTES,
    su=POLICY,
    cu=POLICY,
    nu=POLICY,
    ipu=POLICY,
    unique_name=POLICY,
    domain_name=POLICY,
    foundation_account=ACCOUNT,
    certified_sales_account=ACCOUNT,
    discount_for_dedication_nodes=U8,
)
FARMING_POLICY = Struct(
    "pallet_tfgrid::types::FarmingPolicy",
    (
        ("version", U32),
        ("id", U32),
        ("name", BYTES),
        ("cu", U32),
        ("su", U32),
        ("nu", U32),
        ("ipv4", U32),
        ("minimal_uptime", U16),
        ("policy_created", U32),
        ("policy_end", U32),
        ("immutable", BOOL),
        ("default", BOOL),
        ("node_certification", NODE_CERTIFICATION),
        ("farm_certification", FARM_CERTIFICATION),
    ),
)
