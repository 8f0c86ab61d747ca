"""Registers the node and keeps its uptime reported; answers what the node has."""

from __future__ import annotations

import logging

from zos.bus.client import Bus
from zos.capacityd import record
from zos.capacityd.api.types import Counters, Inventory
from zos.capacityd.host import Machine
from zos.chain.api import ChainClient, NotRegistered
from zos.networkd.api import NetworkdClient
from zos.provisiond.api import ProvisiondClient
from zos.runtime.loops import Wake
from zos.storaged.api import StoragedClient

log = logging.getLogger("zos.capacityd")


class Reporter:
    """The node's capacity, told to the chain and to whoever asks."""

    def __init__(self, machine: Machine, bus: Bus, farm: int, registered: Wake) -> None:
        self._machine = machine
        self._storaged = StoragedClient(bus)
        self._networkd = NetworkdClient(bus)
        self._provisiond = ProvisiondClient(bus)
        self._chain = ChainClient(bus)
        self._farm = farm
        self._registered = registered
        self._node = 0

    async def inventory(self) -> Inventory:
        """The machine with its disks."""
        return self._machine.inventory(record.storage(await self._storaged.list_pools()))

    async def counters(self) -> Counters:
        """What there is and what is used."""
        pools = await self._storaged.list_pools()
        inventory = self._machine.inventory(record.storage(pools))
        usage = await self._provisiond.usage()
        return record.counters(inventory, pools, usage, self._machine.connections())

    async def register(self) -> None:
        """Make the chain's record of this node what the node is."""
        cards = record.interfaces(await self._networkd.uplinks())
        status = await self._chain.register(record.node_record(self._farm, await self.inventory(), cards))
        if status.node and status.node != self._node:
            log.info("this is node %d of farm %d (twin %d)", status.node, self._farm, status.twin)
            self._node = status.node
            self._registered.set()

    async def report_uptime(self) -> None:
        """Seconds since boot; before the node is registered there is nobody to report for."""
        status = await self._chain.status()
        if not status.node:
            raise NotRegistered()
        await self._chain.report_uptime(self._machine.uptime())
