"""Registers the node and keeps its uptime reported; answers what the node has."""

from __future__ import annotations

import dataclasses
import logging

from zos.bus.client import Bus
from zos.capacityd import dmi, record
from zos.capacityd.api.errors import NoLocation
from zos.capacityd.api.types import Counters, Dmi, Inventory, Location
from zos.capacityd.cached import CachedAnswer
from zos.capacityd.host import LinuxHost
from zos.chain.api import ChainClient, NotRegistered
from zos.errors import ZosError
from zos.networkd.api import BadPublicConfig, NetworkdClient, PublicConfig
from zos.provisiond.api import ProvisiondClient
from zos.runtime.clock import Clock
from zos.runtime.loops import Wake
from zos.storaged.api import StoragedClient

log = logging.getLogger("zos.capacityd")

DAY = 86400.0


class Reporter:
    """The node's capacity, told to the chain and to whoever asks."""

    def __init__(
        self, host: LinuxHost, bus: Bus, farm: int, registered: Wake, geoip: tuple[str, ...], clock: Clock
    ) -> None:
        self._host = host
        self._storaged = StoragedClient(bus)
        self._networkd = NetworkdClient(bus)
        self._provisiond = ProvisiondClient(bus)
        self._chain = ChainClient(bus)
        self._farm = farm
        self._registered = registered
        self._geoip = geoip
        self.dmi = CachedAnswer(self._read_dmi, clock, DAY)
        """What the firmware says."""
        self.location = CachedAnswer(self._find_location, clock, DAY)
        """Where the node is; asked once a day."""
        self._node = 0
        self._half: PublicConfig | None = None
        """The public configuration of which only the IPv4 part can be had."""

    async def inventory(self) -> Inventory:
        return self._host.inventory(record.storage(await self._storaged.list_pools()))

    async def counters(self) -> Counters:
        pools = await self._storaged.list_pools()
        inventory = self._host.inventory(record.storage(pools))
        usage = await self._provisiond.usage()
        return record.counters(inventory, pools, usage, self._host.connections())

    async def _read_dmi(self) -> Dmi:
        return dmi.parse(await self._host.dmidecode())

    async def _find_location(self) -> Location:
        for url in self._geoip:
            try:
                return record.location(await self._host.fetch(url))
            except ZosError as err:
                log.warning("%s: %s", url, err.explain())
        raise NoLocation()

    async def register(self) -> None:
        """Make the chain's record of this node what the node is."""
        cards = record.interfaces(await self._networkd.uplinks())
        found = record.node_record(self._farm, await self.inventory(), cards, await self._place())
        status = await self._chain.register(found)
        if status.node and status.node != self._node:
            log.info("this is node %d of farm %d (twin %d)", status.node, self._farm, status.twin)
            self._node = status.node
            self._registered.set()

    async def _place(self) -> Location | None:
        try:
            return await self.location()
        except NoLocation:
            return None

    async def apply_public_config(self) -> None:
        """Give networkd the public configuration that the farmer set on the chain."""
        found = await self._chain.public_config()
        wanted = PublicConfig(found.ip4, found.gw4, found.ip6, found.gw6, found.domain)
        four = dataclasses.replace(wanted, ip6="", gw6="")
        if wanted == self._half:
            wanted = four
        if wanted != await self._networkd.public_config():
            try:
                await self._networkd.set_public_config(wanted)
            except BadPublicConfig as err:
                # One family that cannot be keeps the node from none of the other.
                if err.facts.get("field") not in ("ip6", "gw6"):
                    raise
                log.warning("%s; the node has its IPv4 address only", err.explain())
                self._half, wanted = wanted, four
                await self._networkd.set_public_config(wanted)
            log.info("public configuration: %s", ", ".join(wanted.addresses) or "none")

    async def report_uptime(self) -> None:
        """Seconds since boot; before the node is registered there is nobody to report for."""
        status = await self._chain.status()
        if not status.node:
            raise NotRegistered()
        await self._chain.report_uptime(self._host.uptime())
