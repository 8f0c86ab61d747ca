"""The types of chain's API: blocks, twins, contracts, and this node on the chain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

UNKNOWN = "Unknown"
"""The chain's word for a place that nobody told."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number and hash (0x…)."""

    number: int = 0
    hash: str = ""


class ContractState(StrEnum):
    """How a contract stands."""

    CREATED = "created"
    GRACE = "grace"
    """Unpaid; workloads are paused."""
    DELETED_CANCELED = "deleted_canceled"
    DELETED_OUT_OF_FUNDS = "deleted_out_of_funds"


@dataclass(frozen=True, slots=True)
class PublicIp:
    """An address that a contract reserved."""

    ip: str
    gateway: str
    contract: int = 0


@dataclass(frozen=True, slots=True)
class NodeContract:
    """A node contract, as read at a block."""

    id: int
    twin: int
    node: int
    state: ContractState
    grace_block: int
    """Block at which the grace period began; 0 when there is none."""
    deployment_hash: str
    """32 hex characters."""
    deployment_data: bytes
    public_ips: tuple[PublicIp, ...]
    at: Block


@dataclass(frozen=True, slots=True)
class Twin:
    """An identity on the chain: who may send messages and own contracts."""

    id: int
    account: bytes
    """The account's public key, 32 bytes."""
    relay: str = ""
    pk: bytes = b""


@dataclass(frozen=True, slots=True)
class Farm:
    """An owner's group of nodes."""

    id: int
    name: str
    twin: int
    """The farmer's."""


class EventKind(StrEnum):
    """What happened to a contract."""

    PRESENT = "present"
    """It is among the node's active contracts; said at the beginning and after every gap."""
    LISTED = "listed"
    """Every active contract was told (`contract` is 0). What else somebody knows of may have ended meanwhile."""
    CREATED = "created"
    UPDATED = "updated"
    CANCELED = "canceled"
    GRACE_STARTED = "grace_started"
    GRACE_ENDED = "grace_ended"


@dataclass(frozen=True, slots=True)
class ContractEvent:
    """Something that happened to a contract of this node, in a finalized block. A reason to look, not a verdict."""

    kind: EventKind
    contract: int
    block: Block


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """The connection, and this node on the chain."""

    url: str
    connected: bool
    spec: int
    finalized: Block
    farm: int
    twin: int
    """0 when the node has none yet."""
    node: int
    """0 when the node is not registered yet."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network card as the chain wants it: addresses without prefix length."""

    name: str
    mac: str
    ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What the chain keeps about a node. Sizes in bytes, cru in threads."""

    farm: int
    cru: int
    mru: int
    sru: int
    hru: int
    interfaces: tuple[Interface, ...] = ()
    city: str = UNKNOWN
    country: str = UNKNOWN
    latitude: str = UNKNOWN
    longitude: str = UNKNOWN
    """Degrees, in decimal."""
    secure_boot: bool = False
    virtualized: bool = False
    serial_number: str = ""


@dataclass(frozen=True, slots=True)
class ContractResources:
    """What a contract uses of the node."""

    contract: int
    cru: int = 0
    sru: int = 0
    hru: int = 0
    mru: int = 0


@dataclass(frozen=True, slots=True)
class PublicConfig:
    """A node's public addresses as its farmer set them; all empty when he set none."""

    ip4: str = ""
    """With prefix."""
    gw4: str = ""
    ip6: str = ""
    gw6: str = ""
    domain: str = ""
