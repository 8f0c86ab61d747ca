"""Numbers and shapes that everything about flists agrees on. Pure, and imports nothing."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_SIZE = 512 * 1024
DIGEST = 32
OLD_DIGEST = 16
"""Of 0-fs' archives. Their ids and keys stand everywhere among the others, filled up with zeros to 32 bytes."""
ROOT = 1
"""The number of the root in every tree; FUSE's too."""
MAX_NAME = 255
MAX_TARGET = 4095
MAX_URL = 2048
MAX_ROUTES = 256
"""Of one flist: as many as there are first bytes of blocks."""


@dataclass(frozen=True, slots=True)
class Node:
    """One name in a tree."""

    parent: int
    name: bytes
    mode: int
    """As st_mode: type and permissions."""
    uid: int = 0
    gid: int = 0
    size: int = 0
    rdev: int = 0
    mtime: int = 0
    ctime: int = 0
    nlink: int = 1
    first: int = 0
    """Directory: number of its first child. File: index of its first block."""
    count: int = 0
    """Directory: children. File: blocks."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A block as a flist names it, and how long its plain form is."""

    id: bytes
    key: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where blocks are whose id begins with a byte from `start` to `end`."""

    start: int
    end: int
    url: str


def block_count(size: int) -> int:
    """How many blocks a file of this size has."""
    return -(-size // BLOCK_SIZE)


def is_old(digest: bytes) -> bool:
    """Whether an id or key is one of 0-fs: no real hash of 32 bytes ends with 16 zeros."""
    return digest[OLD_DIGEST:] == bytes(DIGEST - OLD_DIGEST)


def stored_as(id: bytes) -> bytes:
    """What stores call a block."""
    return id[:OLD_DIGEST] if is_old(id) else id
