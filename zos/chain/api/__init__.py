"""The API of chain."""

from zos.chain.api.client import ChainClient
from zos.chain.api.errors import (
    ChainBehind,
    ChainDoubtful,
    NoSuchContract,
    NoSuchFarm,
    NoSuchTwin,
    NotANodeContract,
    NotRegistered,
    Orphan,
)
from zos.chain.api.types import (
    Block,
    ChainStatus,
    ContractEvent,
    ContractResources,
    ContractState,
    EventKind,
    Farm,
    Interface,
    NodeContract,
    NodeRecord,
    PublicIp,
    Twin,
)

__all__ = [
    "Block",
    "ChainBehind",
    "ChainClient",
    "ChainDoubtful",
    "ChainStatus",
    "ContractEvent",
    "ContractResources",
    "ContractState",
    "EventKind",
    "Farm",
    "Interface",
    "NoSuchContract",
    "NoSuchFarm",
    "NoSuchTwin",
    "NodeContract",
    "NodeRecord",
    "NotANodeContract",
    "NotRegistered",
    "Orphan",
    "PublicIp",
    "Twin",
]
