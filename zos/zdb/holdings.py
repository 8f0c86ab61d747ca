"""What the connections of a server hold in memory, over all and by network; the largest of too much goes."""

from __future__ import annotations

from collections import defaultdict
from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    """A connection."""

    @property
    def network(self) -> str:
        """For whom it counts."""


T = TypeVar("T", bound=Holder)


class Holdings(Generic[T]):
    """Bytes of one kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sizes: dict[T, int] = {}
        self._networks: dict[str, int] = {}
        self.total = 0

    @property
    def is_over(self) -> bool:
        """They are more than there may be."""
        return self.total > self._most

    def of(self, network: str) -> int:
        """What the connections of a network hold."""
        return self._networks.get(network, 0)

    def put(self, one: T, size: int) -> bool:
        """A connection holds so much now; True when that is less than before."""
        before = self._sizes.get(one, 0)
        if size == before:
            return False
        if size:
            self._sizes[one] = size
        else:
            del self._sizes[one]
        self.total += size - before
        held = self._networks.get(one.network, 0) + size - before
        if held:
            self._networks[one.network] = held
        else:
            del self._networks[one.network]
        return size < before

    def largest(self) -> T:
        """The largest of the network that holds the most; there must be one."""
        by_network: dict[str, list[T]] = defaultdict(list)
        for one in self._sizes:
            by_network[one.network].append(one)
        network = max(by_network, key=self.of)
        return max(by_network[network], key=lambda one: self._sizes[one])

    def holders(self) -> tuple[T, ...]:
        """Keys with more than 0 bytes."""
        return tuple(self._sizes)
