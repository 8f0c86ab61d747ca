"""The types of core-0's API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """What the node's key is used for; each daemon has its own purposes, and nobody else's."""

    CHAIN = "chain"
    """Signs a whole extrinsic payload (never its hash: core-0 hashes one that is longer than 256 bytes itself)."""
    RMB = "rmb"
    """Signs the 16-byte MD5 of an RMB envelope, or the text of a relay token."""
    AGREE = "agree"
    """Agrees on keys with other twins; signs nothing."""


class KeyUse(StrEnum):
    """What a key of its own is derived for, that a sibling holds itself; the node's key cannot be found from it."""

    PLANETARY = "planetary"
    """The node's ed25519 key in the planetary network: its addresses there follow from it."""
    MYCELIUM = "mycelium"
    """The X25519 key of the node in the Mycelium overlay."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is."""

    public_key: bytes
    """ed25519, 32 bytes."""
    address: str
    """The same key as SS58 address with prefix 42."""
    e2e_key: bytes
    """secp256k1, 33 bytes (compressed): what twins encrypt to when they write to this node."""


class UnitState(StrEnum):
    """How a supervised daemon is."""

    WAITING = "waiting"
    """An earlier stage is not ready yet."""
    STARTING = "starting"
    """The process runs and is not ready yet."""
    RUNNING = "running"
    """Ready, and healthy when last asked."""
    BACKOFF = "backoff"
    """It ended; `next_try` says when it is started again."""
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class UnitInfo:
    """What core-0 tells of a daemon that it supervises."""

    name: str
    state: UnitState
    pid: int
    """0 when no process runs."""
    restarts: int
    since: float
    """Unix seconds of the last change of state."""
    next_try: float
    """Unix seconds, 0 when none is planned."""
    detail: str
    user: int = 0
    """The id of the system's user that it is."""
