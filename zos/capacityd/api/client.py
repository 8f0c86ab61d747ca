"""The client of capacityd."""

from __future__ import annotations

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.capacityd.api import capacityd_pb2 as pb
from zos.capacityd.api.capacityd_pb2_grpc import CapacitydStub
from zos.capacityd.api.types import Counters, Dmi, Inventory, Location


class CapacitydClient(DaemonClient):
    """Inventory and counters."""

    name = "capacityd"
    stub = CapacitydStub

    async def counters(self) -> Counters:
        """What the node has and what is used of it."""
        return convert.decode(await self.call("GetCounters", pb.GetCountersRequest(), deadline=10.0), Counters)

    async def inventory(self) -> Inventory:
        """The node's hardware, with the disks that are pools."""
        return convert.decode(await self.call("GetInventory", pb.GetInventoryRequest(), deadline=10.0), Inventory)

    async def dmi(self) -> Dmi:
        """What the firmware says of the hardware; an error where there is no firmware that does."""
        return convert.decode(await self.call("GetDmi", pb.GetDmiRequest(), deadline=10.0), Dmi)

    async def location(self) -> Location:
        """Where the node is, at most a day old; NoLocation when nobody tells."""
        return convert.decode(await self.call("GetLocation", pb.GetLocationRequest(), deadline=10.0), Location)
