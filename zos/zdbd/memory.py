"""What a disk's process does with the memory that its control group has: what is for clients, and what for keys."""

from __future__ import annotations

import os

from zos.runtime import cgroup
from zos.zdb.memory import Memory
from zos.zdb.server import MOST_ANSWERS, MOST_REQUESTS
from zos.zdbd.api.types import DISK_LEAST_MEMORY, DISK_MEMORY_SHARE

ITSELF = 256 << 20
"""Bytes for the program, and for as many namespaces as a disk may have, connections and files."""


def limit() -> int:
    """Bytes that this process may take, as its control group says, or as core-0 would have it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meant = max(DISK_LEAST_MEMORY, machine // DISK_MEMORY_SHARE)
    return min(meant, cgroup.own_limit() or meant)


def for_keys(limit: int) -> Memory:
    """The part of so many bytes that is for keys: what clients and the program leave, less a fifth that a heap wastes.

    Keys that are on the disk already may take a little more, so that what fitted once is opened again. Pure.
    """
    total = max(limit // 4, limit - MOST_REQUESTS - MOST_ANSWERS - ITSELF) * 4 // 5
    return Memory(total, total + limit // 16)


def assured(memory: Memory, size: int, disk: int) -> int:
    """What a namespace has of it for sure: as much of the half that is for this as its size is of the disk. Pure."""
    return memory.assured * size // max(disk, 1)
