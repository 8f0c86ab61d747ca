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
    """Divides a total among keys so that no key can use it up alone, nor can many together.

    A key may grow as long as what is left free is as much as it holds, times the keys that hold as much as it. So `n`
    keys always leave `1 / (n + 1)` of the total: one a half, ten an eleventh, in whatever order they come. A key that
    holds nothing gets one as long as there is one.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._held: dict[K, int] = {}
        self._sizes = [0] * (total.bit_length() + 1)
        """How many keys hold an amount of so many binary digits: within a factor of two as much as one another."""
        self.used = 0

    def holds(self, key: K) -> int:
        """What the key has taken and not released."""
        return self._held.get(key, 0)

    def fits(self, key: K, amount: int) -> bool:
        """Whether `take` would succeed now."""
        held, free = self._held.get(key, 0), self._total - self.used - amount
        after = held + amount
        if free < 0 or after > self._each:
            return False
        if after == 1:
            return True
        digits = after.bit_length()
        like = sum(self._sizes[digits:]) + (held.bit_length() != digits)
        return like * after <= free

    def take(self, key: K, amount: int = 1) -> bool:
        """Take it if it fits; False when it does not."""
        if not self.fits(key, amount):
            return False
        self._put(key, self._held.get(key, 0) + amount)
        return True

    def release(self, key: K, amount: int = 1) -> None:
        self._put(key, self._held.get(key, 0) - amount)

    def _put(self, key: K, amount: int) -> None:
        held = self._held.pop(key, 0)
        self.used += amount - held
        if held:
            self._sizes[held.bit_length()] -= 1
        if amount:
            self._sizes[amount.bit_length()] += 1
            self._held[key] = amount


class PairQuota(Generic[K]):
    """Divides a total among keys, and what each key may have among those it is for: one of them costs only its own."""

    def __init__(self, total: int, each: int) -> None:
        self._all: FairQuota[K] = FairQuota(total, each)
        self._each = each
        self._of: dict[K, FairQuota[K]] = {}

    @property
    def used(self) -> int:
        return self._all.used

    def fits(self, key: K, other: K, amount: int) -> bool:
        """Whether `take` would succeed now."""
        of = self._of.get(key)
        return self._all.fits(key, amount) and (of or FairQuota(self._each, self._each)).fits(other, amount)

    def take(self, key: K, other: K, amount: int = 1) -> bool:
        """Take it if it fits; False when it does not."""
        if not self.fits(key, other, amount):
            return False
        self._all.take(key, amount)
        self._of.setdefault(key, FairQuota(self._each, self._each)).take(other, amount)
        return True

    def release(self, key: K, other: K, amount: int = 1) -> None:
        self._all.release(key, amount)
        self._of[key].release(other, amount)
        if not self._of[key].used:
            del self._of[key]
