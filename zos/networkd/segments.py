"""Makes the taps that are on bridges of the node: observe, plan, apply, one place at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import defaultdict
from typing import Any

from zos.errors import ZosError
from zos.networkd import model, places
from zos.networkd.api.types import Place, Tap, TapInfo
from zos.networkd.firewall_manager import Firewall
from zos.networkd.host.contract import Host
from zos.networkd.model import Link
from zos.networkd.place import Node, OnNode, Segment
from zos.networkd.segment import ObservedSegment, plan
from zos.networkd.taps import TapStore

log = logging.getLogger("zos.networkd")


class SegmentManager:
    """The bridges of the node that tenants share."""

    def __init__(self, host: Host, taps: TapStore, node: Node, firewall: Firewall) -> None:
        self._host = host
        self._firewall = firewall
        self._taps = taps
        self._node = node
        self._places = {place.place: place for place in places.on_node()}
        self._locks: dict[Place, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._settings: dict[Place, Any] = {}
        self._troubles: dict[Place, str] = {}

    def trouble(self, place: Place) -> str:
        """Why its taps are not as desired; empty when they are."""
        return self._troubles.get(place, "")

    def lock(self, tap: Tap) -> asyncio.Lock:
        return self._locks[tap.place]

    async def admit(self, tap: Tap, before: Tap | None) -> Tap:
        """Raise when a new or changed tap is not acceptable. An accepted one stays, even if the place fails later."""
        if before is None or dataclasses.replace(before, owner=tap.owner) != tap:
            self._places[tap.place].admit(tap, self._node, self._taps.all())
        await self._setting(self._places[tap.place])
        return tap

    async def make(self, tap: Tap) -> TapInfo:
        """Make the tap, by reconciling its place."""
        place = self._places[tap.place]
        observed = await self._make(place)
        return place.info(tap, await self._setting(place), observed.links.get(model.tap(tap.id)))

    async def remove(self, tap: Tap) -> None:
        """Remove the tap, by reconciling its place."""
        await self._make(self._places[tap.place])

    def info(self, tap: Tap, observed: Link | None) -> TapInfo | None:
        """None while the place's setting is not known."""
        setting = self._settings.get(tap.place)
        return None if setting is None else self._places[tap.place].info(tap, setting, observed)

    async def reconcile(self, place: OnNode[Any]) -> None:
        """Make all taps of a place."""
        async with self._locks[place.place]:
            await self._make(place)

    async def _setting(self, place: OnNode[Any]) -> Any:
        self._settings[place.place] = setting = await place.setting(self._node)
        return setting

    async def _desired(self, place: OnNode[Any]) -> Segment:
        taps = self._taps.of_place(place.place)
        if not taps and place.problem(self._node):
            return place.nothing()
        return place.segment(await self._setting(place), taps)

    async def _make(self, place: OnNode[Any]) -> ObservedSegment:
        """All of a place as desired; returns what was there."""
        desired = await self._desired(place)
        try:
            if desired.guards:
                await self._firewall.require()
            observed = await self._host.observe_segment(desired.bridge, [guard.device for guard in desired.guards])
            steps = plan(desired, observed)
            if steps:
                log.info("%s: %d steps", desired.bridge, len(steps))
                await self._host.apply(steps)
        except ZosError as err:
            self._troubles[place.place] = err.explain()
            raise
        self._troubles.pop(place.place, None)
        return observed
