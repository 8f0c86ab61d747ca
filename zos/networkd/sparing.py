"""Spares what runs and has no record: a lost record must not cut off a guest."""

from __future__ import annotations

import asyncio
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
from zos.runtime.threads import CallTooSlow

log = logging.getLogger("zos.networkd")

LOOK = 10.0


class SparingHost:
    """A host that does not show the networks and taps that had no record at the start, for so many seconds.

    Whoever wants one asks for it again in that time, which makes its record; it is found as it was. What nobody asked
    for is shown then, and goes. What was `removed` on purpose, and everything else, is shown at once.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        seconds: float,
        networks: Collection[str],
        recorded: Callable[[], Collection[str]],
        ports: Callable[[], Collection[int]],
        removed: Collection[str],
    ) -> None:
        self._host = host
        self._kept = frozenset(map(NetId, {*networks, *removed}))
        self._removed = frozenset(removed)
        self._looking = asyncio.Lock()
        self._has_looked = False
        self._recorded = recorded
        self._recorded_ports = ports
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self._networks: frozenset[NetId] = frozenset()
        self._taps: frozenset[str] = frozenset()
        self._ports: frozenset[int] = frozenset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    async def _look(self) -> None:
        """Look once what is there without a record, before anything is told: a kernel that hangs delays no start."""
        async with self._looking:
            if self._has_looked:
                return
            try:
                async with asyncio.timeout(LOOK):
                    await self._look_now()
            except TimeoutError:
                raise CallTooSlow(what="look what is there", seconds=LOOK) from None
            self._has_looked = True

    async def _look_now(self) -> None:
        self._networks = await self._host.networks() - self._kept
        self._taps = frozenset((await self._host.taps()).keys() - set(self._recorded()) - self._removed)
        self._ports = (await self._host.observe_firewall()).ports
        if self._networks or self._taps:
            things = ", ".join(sorted([*self._networks, *self._taps]))
            log.warning("%s are there and have no record: they are spared for a while", things)

    def _spared(self) -> frozenset[str]:
        return self._taps - set(self._recorded()) if self._clock.monotonic() < self._until else frozenset()

    async def networks(self) -> frozenset[NetId]:
        await self._look()
        found = await self._host.networks()
        return found - self._networks if self._clock.monotonic() < self._until else found

    async def taps(self) -> Mapping[str, Link]:
        await self._look()
        return _without(await self._host.taps(), self._spared())

    async def observe(self, id: NetId, taps: Iterable[str] = (), *, tunnel: bool = True) -> Observed:
        await self._look()
        observed = await self._host.observe(id, taps, tunnel=tunnel)
        links = _without(observed.root.links, self._spared())
        spares = links.keys() != observed.root.links.keys()
        return dataclasses.replace(observed, root=dataclasses.replace(observed.root, links=links), spares=spares)

    async def guards(self) -> frozenset[str]:
        await self._look()
        return await self._host.guards() - self._spared()

    async def observe_firewall(self) -> ObservedFirewall:
        await self._look()
        observed = await self._host.observe_firewall()
        spared = self._ports - set(self._recorded_ports()) if self._clock.monotonic() < self._until else frozenset()
        return dataclasses.replace(observed, ports=observed.ports - spared)

    async def observe_segment(self, bridge: str, taps: Iterable[str] = ()) -> ObservedSegment:
        await self._look()
        observed = await self._host.observe_segment(bridge, taps)
        links = _without(observed.links, self._spared())
        return dataclasses.replace(observed, links=links, spares=links.keys() != observed.links.keys())


def _without(links: Mapping[str, Link], spared: frozenset[str]) -> dict[str, Link]:
    return {name: link for name, link in links.items() if name not in spared or not model.is_tap(name)}
