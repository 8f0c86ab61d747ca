"""What networkd needs of a host; contract tests run on the real one and on the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from zos.networkd.api.types import NetId
from zos.networkd.firewall import ObservedFirewall
from zos.networkd.model import Link, Observed, ObservedTunnel
from zos.networkd.node import ObservedNode
from zos.networkd.planetary import ObservedYggdrasil
from zos.networkd.segment import ObservedSegment
from zos.networkd.steps import Step


class Host(Protocol):
    """Observes the machine and applies steps."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a tunnel or the node's yggdrasil ends by itself."""

    async def networks(self) -> frozenset[NetId]:
        """The networks of which anything exists."""

    async def taps(self) -> Mapping[str, Link]:
        """All our taps, by device."""

    async def observe_node(self) -> ObservedNode:
        """The node's own part."""

    async def observe(self, id: NetId, taps: Iterable[str] = (), *, tunnel: bool = True) -> Observed:
        """One network resource, with the taps on it and those named, with or without asking for its tunnel."""

    async def observe_tunnel(self, id: NetId) -> ObservedTunnel | None:
        """Its tunnel; None when there is none, or nothing serves it."""

    def planetary_problem(self) -> str:
        """What this machine lacks for the planetary network; empty when nothing."""

    async def observe_segment(self, bridge: str, taps: Iterable[str] = ()) -> ObservedSegment:
        """A bridge of the node, with the taps on it and those named."""

    async def observe_firewall(self) -> ObservedFirewall:
        """The tables of the root namespace."""

    async def guards(self) -> frozenset[str]:
        """All our taps that have a guard, whether they are there or not."""

    async def observe_yggdrasil(self) -> ObservedYggdrasil:
        """Whether yggdrasil runs, for which configuration, and which peers it has."""

    async def apply(self, steps: Sequence[Step]) -> None:
        """Apply the steps in order; raises at the first that fails."""
