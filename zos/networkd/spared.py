"""Spares what runs and has no record: a lost record must not cut off a guest."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from zos.networkd import model
from zos.networkd.api.types import NetId
from zos.networkd.firewall import ObservedFirewall
from zos.networkd.host.contract import Host
from zos.networkd.model import Link, Observed
from zos.networkd.segment import ObservedSegment
from zos.runtime.clock import Clock

log = logging.getLogger("zos.networkd")


class SparingHost:
    """A host that does not show the networks and taps that had no record at the start, for so many seconds.

    Whoever wants one asks for it again in that time, which makes its record; it is found as it was. What nobody asked
    for is shown then, and goes. Everything else is the host's own.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        seconds: float,
        recorded: Callable[[], Collection[str]],
        ports: Callable[[], Collection[int]],
    ) -> None:
        self._host = host
        self._recorded = recorded
        self._recorded_ports = ports
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self._networks: frozenset[NetId] = frozenset()
        self._taps: frozenset[str] = frozenset()
        self._ports: frozenset[int] = frozenset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    async def find(self, networks: Collection[str]) -> None:
        """Look once what is there without a record."""
        self._networks = await self._host.networks() - {NetId(id) for id in networks}
        self._taps = frozenset((await self._host.taps()).keys() - set(self._recorded()))
        self._ports = (await self._host.observe_firewall()).ports
        if self._networks or self._taps:
            things = ", ".join(sorted([*self._networks, *self._taps]))
            log.warning("%s are there and have no record: they are spared for a while", things)

    def _spared(self) -> frozenset[str]:
        return self._taps - set(self._recorded()) if self._clock.monotonic() < self._until else frozenset()

    async def networks(self) -> frozenset[NetId]:
        found = await self._host.networks()
        return found - self._networks if self._clock.monotonic() < self._until else found

    async def taps(self) -> Mapping[str, Link]:
        return _without(await self._host.taps(), self._spared())

    async def observe(self, id: NetId, taps: Iterable[str] = ()) -> Observed:
        observed = await self._host.observe(id, taps)
        links = _without(observed.root.links, self._spared())
        return dataclasses.replace(observed, root=dataclasses.replace(observed.root, links=links))

    async def guards(self) -> frozenset[str]:
        return await self._host.guards() - self._spared()

    async def observe_firewall(self) -> ObservedFirewall:
        observed = await self._host.observe_firewall()
        spared = self._ports - set(self._recorded_ports()) if self._clock.monotonic() < self._until else frozenset()
        return dataclasses.replace(observed, ports=observed.ports - spared)

    async def observe_segment(self, bridge: str, taps: Iterable[str] = ()) -> ObservedSegment:
        observed = await self._host.observe_segment(bridge, taps)
        return dataclasses.replace(observed, links=_without(observed.links, self._spared()))


def _without(links: Mapping[str, Link], spared: frozenset[str]) -> dict[str, Link]:
    return {name: link for name, link in links.items() if name not in spared or not model.is_tap(name)}
