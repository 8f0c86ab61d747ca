"""Keeps the node in the planetary network: its key, the machines' taps, the process; observe, plan, apply.

Nothing else waits for it. What it needs beyond the machine is its key, which core-0 derives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from zos.errors import Kind, ZosError
from zos.networkd import check, model
from zos.networkd.api.errors import AddressTaken, NoPlanetary, PlanetaryNotUp
from zos.networkd.api.types import OverlayTapInfo, Planetary, PlanetaryTap, TapId
from zos.networkd.host.contract import Host
from zos.networkd.planetary import LISTEN, Place, PlanetaryWish, YggdrasilSeen, plan, process, tap_info
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.networkd")

WHERE = "(planetary)"


class PlanetaryKeeper:
    """The planetary part of networkd."""

    def __init__(
        self,
        host: Host,
        taps: Ledger[PlanetaryTap],
        seed: Callable[[], Awaitable[bytes]],
        *,
        on: bool = True,
        peers: tuple[str, ...] = (),
        listen: tuple[str, ...] = LISTEN,
    ) -> None:
        self._host = host
        self._taps = taps
        self._seed = seed
        self._on = on
        self._peers = peers
        self._listen = listen
        self._lock = asyncio.Lock()
        self._place: Place | None = None
        self._trouble = ""
        self._seen = YggdrasilSeen()
        self._was_up = False

    def problem(self) -> str:
        """Why the node cannot be in the planetary network; empty when it can."""
        if not self._on:
            return "the farmer turned it off"
        for peer in self._peers:
            if not _is_peer(peer):
                return f"`{peer}` of planetary_peers is no tcp://ADDRESS:PORT or tls://ADDRESS:PORT"
        return self._host.planetary_problem()

    def devices(self) -> frozenset[str]:
        """The taps that are wished for."""
        return frozenset(model.tap(tap.id) for tap in self._all())

    async def ensure_tap(self, asked: PlanetaryTap) -> OverlayTapInfo:
        """Accept a tap and make it so; it is there at once, with or without peers.

        One that was accepted before is made whatever became of the process.
        """
        tap = check.canonical_planetary_tap(asked)
        async with self._lock:
            before = self._taps.get(tap.id)
            if before != tap:
                self._admit(tap)
            place = await self._whereabouts()
            try:
                if before != tap:
                    self._taps.put(tap.id, tap)
                await self._make(place)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW and before is None:
                    self._taps.drop(tap.id)
                raise
        return tap_info(place, tap)

    def _admit(self, tap: PlanetaryTap) -> None:
        if problem := self.problem():
            raise NoPlanetary(problem=problem)
        if self._trouble and not self._was_up:
            raise PlanetaryNotUp(problem=self._trouble)
        for other in self._all():
            if other.id != tap.id and other.mac == tap.mac:
                raise AddressTaken(what="hardware address", address=tap.mac, tap=other.id, network=WHERE)

    async def drop_tap(self, id: TapId) -> None:
        """Remove a tap."""
        async with self._lock:
            if self._taps.get(id) is not None:
                self._taps.drop(id)
                await self._make(await self._whereabouts())

    async def reconcile(self) -> None:
        """All of it once."""
        is_off = bool(self.problem())
        try:
            async with self._lock:
                if is_off and not self._all():
                    await self._host.apply(plan(None, await self._host.observe_planetary()))
                else:
                    await self._make(await self._whereabouts())
            await self._run(None if is_off else self._wish(await self._whereabouts()))
        except ZosError as err:
            if self._place is not None:  # until then it is only core-0 that is waited for
                self._trouble = err.explain()
            raise
        self._trouble = ""

    def planetary(self) -> Planetary:
        """How it stands."""
        problem = self.problem()
        detail = problem or self._trouble
        place = self._place
        if place is None:
            return Planetary(not detail, detail)
        return Planetary(
            offered=not detail,
            detail=detail,
            address=str(place.address),
            subnet=str(place.subnet),
            gateway=str(place.gateway),
            peers=tuple(sorted(self._seen.peers)),
        )

    async def _whereabouts(self) -> Place:
        if self._place is None:
            self._place = Place(await self._seed())
        return self._place

    def _wish(self, place: Place) -> PlanetaryWish:
        return PlanetaryWish(place, self._all(), self._peers, self._listen)

    async def _make(self, place: Place) -> None:
        """The machines' side as wished."""
        steps = plan(self._wish(place), await self._host.observe_planetary(self.devices()))
        if steps:
            log.info("planetary network: %d steps", len(steps))
            await self._host.apply(steps)

    async def _run(self, want: PlanetaryWish | None) -> None:
        """The process as wished."""
        self._seen = await self._host.observe_yggdrasil()
        steps = process(want, self._seen)
        if steps:
            await self._host.apply(steps)
            self._seen = await self._host.observe_yggdrasil()
        self._was_up = want is not None

    def _all(self) -> tuple[PlanetaryTap, ...]:
        return tuple(tap for _, tap in self._taps.items())


def _is_peer(uri: str) -> bool:
    """Whether yggdrasil lists this peer as we write it: by an address, not by a name."""
    try:
        parts = urlsplit(uri)
        ip_address(parts.hostname or "")
        return parts.scheme in ("tcp", "tls") and bool(parts.port) and not parts.path
    except ValueError:
        return False
