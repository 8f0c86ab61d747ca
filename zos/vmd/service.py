"""The gRPC service of vmd."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from zos.bus import convert
from zos.vmd.api import vmd_pb2 as pb
from zos.vmd.api.types import Machine, MachineId
from zos.vmd.api.vmd_pb2_grpc import VmdServicer
from zos.vmd.manager import MachineManager


class VmService(VmdServicer):
    """Machines, consoles, acceleration."""

    def __init__(self, manager: MachineManager) -> None:
        self._manager = manager

    async def EnsureMachine(self, request: pb.Machine, context: Any) -> pb.MachineInfo:
        info = await self._manager.ensure(convert.decode(request, Machine))
        return convert.encode(info, pb.MachineInfo)

    async def DropMachine(self, request: pb.DropMachineRequest, context: Any) -> pb.DropMachineReply:
        await self._manager.drop(MachineId(request.id))
        return pb.DropMachineReply()

    async def GetMachine(self, request: pb.GetMachineRequest, context: Any) -> pb.MachineInfo:
        return convert.encode(await self._manager.machine(MachineId(request.id)), pb.MachineInfo)

    async def ListMachines(self, request: pb.ListMachinesRequest, context: Any) -> pb.Machines:
        found = await self._manager.machines()
        return pb.Machines(machines=[convert.encode(machine, pb.MachineInfo) for machine in found])

    async def ReadConsole(self, request: pb.ReadConsoleRequest, context: Any) -> pb.ConsoleBytes:
        return pb.ConsoleBytes(data=self._manager.read_console(MachineId(request.id), request.max_bytes))

    async def WatchConsole(self, request: pb.WatchConsoleRequest, context: Any) -> AsyncIterator[pb.ConsoleBytes]:
        since = int(request.since) if request.HasField("since") else None
        async for end, data in self._manager.watch_console(MachineId(request.id), request.max_bytes, since):
            yield pb.ConsoleBytes(data=data, end=end)

    async def SendConsole(self, request: pb.SendConsoleRequest, context: Any) -> pb.SendConsoleReply:
        await self._manager.send_console(MachineId(request.id), request.data)
        return pb.SendConsoleReply()

    async def GetAcceleration(self, request: pb.GetAccelerationRequest, context: Any) -> pb.Acceleration:
        return convert.encode(await self._manager.acceleration(), pb.Acceleration)
