"""Numbers and shapes that everything about flists agrees on. Pure, and imports nothing."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_SIZE = 512 * 1024
DIGEST = 32
ROOT = 1
"""The number of the root in every tree; FUSE's too."""
MAX_NAME = 255
MAX_TARGET = 4095
MAX_URL = 2048


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
