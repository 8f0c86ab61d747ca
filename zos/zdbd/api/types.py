"""The types of zdbd's API. Sizes are in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NewType

from zos.model.units import Bytes

NOTHING = Bytes(0)

DISK_MEMORY_SHARE, DISK_LEAST_MEMORY = 4, 2 << 30
"""What a disk's process may take: one in so many of the machine's bytes of memory, but not less than the second."""

NamespaceId = NewType("NamespaceId", str)
"""From the caller, e.g. a workload id; clients name the namespace by it."""


class Mode(StrEnum):
    """Who chooses the keys."""

    USER = "user"
    SEQ = "seq"
    """The server counts."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace, and the volume that holds it."""

    id: NamespaceId
    pool: str
    """The volume's pool: one process serves all namespaces of a pool."""
    path: Path
    """The volume's folder."""
    size: Bytes
    """Of live values, at most."""
    mode: Mode
    password: str = field(default="", repr=False)
    """Empty: everybody may write."""
    public: bool = False
    """Readable without the password."""
    frozen: bool = False
    """Neither readable nor writable for now."""


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace as it is served."""

    id: NamespaceId
    pool: str
    size: Bytes
    mode: Mode
    public: bool
    frozen: bool
    addresses: tuple[str, ...]
    """Where the node's 0-dbs are reached: public, planetary, Mycelium, as far as the node has them."""
    port: int
    entries: int = 0
    used: Bytes = NOTHING
    """By live values."""
    detail: str = ""
    """Why it is not served; empty when it is."""
