"""Shares of what is bounded, and for whom they count: an unknown client is its IPv4 address, or its /64 of IPv6."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from typing import Generic, TypeVar

PREFIX = 64
"""Bits of an IPv6 address that tell one client from another; the rest is its own to choose."""

K = TypeVar("K", bound=Hashable)


def network_of(remote: str | None) -> str:
    """The key under which a client's network address is limited: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        ip = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, PREFIX), strict=False))


class FairQuota(Generic[K]):
    """Divides a total among keys so that no key can use it up alone.

    A key may hold half of what the others leave, and never more than `each`: one greedy key leaves a half, ten leave
    an eleventh, and a key that holds nothing gets something as long as there is anything.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._held: dict[K, int] = {}
        self.used = 0

    def holds(self, key: K) -> int:
        """What the key has taken and not released."""
        return self._held.get(key, 0)

    def fits(self, key: K, amount: int) -> bool:
        """Whether `take` would succeed now."""
        held = self._held.get(key, 0)
        free = self._total - self.used
        return amount <= free and held + amount <= self._each and (not held or 2 * (held + amount) <= free + held)

    def take(self, key: K, amount: int = 1) -> bool:
        """Take it if it fits; False when it does not."""
        if not self.fits(key, amount):
            return False
        self._held[key] = self._held.get(key, 0) + amount
        self.used += amount
        return True

    def release(self, key: K, amount: int = 1) -> None:
        self.used -= amount
        left = self._held[key] - amount
        if left:
            self._held[key] = left
        else:
            del self._held[key]
