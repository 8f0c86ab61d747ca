"""What provisiond's API speaks of, beside deployments, which cross it as the JSON that clients know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that led to the present state of a deployment."""

    what: str
    """chain, fetch, admission, the name of a step, machine, console."""
    detail: str
    at: float
    """Unix seconds; 0 when it has no moment."""
    took: float = 0.0
    """Seconds."""
    workload: str = ""


@dataclass(frozen=True, slots=True)
class Why:
    """One sentence, and what led there."""

    sentence: str
    history: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """A workload's state; `workload` is empty for the deployment as a whole."""

    contract: int
    workload: str
    type: str
    state: str
    """Of the deployment: `error` when a document was refused, `init` while it is waited for, `deleted` at its end."""
    message: str
    at: float
    version: int = -1
    """Of the deployment that this is about; -1: of none that the node has taken in."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What workloads in ok and paused take. Sizes in bytes."""

    cru: int = 0
    sru: int = 0
    hru: int = 0
    mru: int = 0
    ipv4u: int = 0
    deployments: int = 0
    workloads: int = 0
    last_deployment: int = 0
    """Unix seconds."""
