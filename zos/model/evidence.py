"""The proof without which nothing destroys tenant data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EvidenceKind(StrEnum):
    """Who said that the data may go."""

    CONTRACT_CANCELLED = "contract_cancelled"
    """The contract was read, by its id, at a finalized block and is gone or in a deleted state."""
    SIGNED_UPDATE = "signed_update"
    """The tenant signed a newer version of the deployment that no longer has the workload."""
    NEVER_MADE = "never_made"
    """Its first making ended in an error: it was made for that, and nobody but the node wrote to it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why data may go, and where that was read."""

    kind: EvidenceKind
    contract: int
    block: int
    """Number of the finalized block at which the contract was read."""
    detail: str = ""
