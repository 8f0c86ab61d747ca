"""What a node has and a workload takes; checked arithmetic, so that nothing ever wraps or goes below zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zos.model.units import GiB, MiB


@dataclass(frozen=True, slots=True)
class Capacity:
    """CRU in cores, SRU (SSD), HRU (HDD) and MRU (memory) in bytes, public IPv4 addresses."""

    cru: int = 0
    sru: int = 0
    hru: int = 0
    mru: int = 0
    ipv4u: int = 0

    def __add__(self, other: Capacity) -> Capacity:
        return Capacity(
            self.cru + other.cru,
            self.sru + other.sru,
            self.hru + other.hru,
            self.mru + other.mru,
            self.ipv4u + other.ipv4u,
        )

    def without(self, other: Capacity) -> Capacity:
        """What is left; never below zero."""
        return Capacity(
            max(self.cru - other.cru, 0),
            max(self.sru - other.sru, 0),
            max(self.hru - other.hru, 0),
            max(self.mru - other.mru, 0),
            max(self.ipv4u - other.ipv4u, 0),
        )


def total(parts: Iterable[Capacity]) -> Capacity:
    result = Capacity()
    for part in parts:
        result += part
    return result


def reserved_memory(total: int) -> int:
    """Bytes of memory that a node keeps for itself: a tenth, at least 2 GiB, never more than there is."""
    return min(max(total // 10, int(GiB(2))), total)


def machine_memory(size: int) -> int:
    """Bytes of the node's memory that a machine of this size takes: QEMU, its file servers and page tables come on top.

    0 for what is no machine.
    """
    return size + int(MiB(96)) + size // 64 if size else 0
