"""The gRPC service of capacityd."""

from __future__ import annotations

from typing import Any

from zos.bus import convert
from zos.capacityd.api import capacityd_pb2 as pb
from zos.capacityd.api.capacityd_pb2_grpc import CapacitydServicer
from zos.capacityd.reporter import Reporter


class CapacityService(CapacitydServicer):
    """Inventory, counters, firmware and place."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    async def GetCounters(self, request: pb.GetCountersRequest, context: Any) -> pb.Counters:
        return convert.encode(await self._reporter.counters(), pb.Counters)

    async def GetInventory(self, request: pb.GetInventoryRequest, context: Any) -> pb.Inventory:
        return convert.encode(await self._reporter.inventory(), pb.Inventory)

    async def GetDmi(self, request: pb.GetDmiRequest, context: Any) -> pb.Dmi:
        return convert.encode(await self._reporter.dmi(), pb.Dmi)

    async def GetLocation(self, request: pb.GetLocationRequest, context: Any) -> pb.Location:
        return convert.encode(await self._reporter.location(), pb.Location)
