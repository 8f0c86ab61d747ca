"""The client of vmd."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.vmd.api import vmd_pb2 as pb
from zos.vmd.api.types import Acceleration, Machine, MachineId, MachineInfo
from zos.vmd.api.vmd_pb2_grpc import VmdStub

PAST = 16 * 1024
"""How much of a console's past a watcher gets first, in bytes."""


class VmdClient(DaemonClient):
    """Machines, consoles, acceleration."""

    name = "vmd"
    stub = VmdStub

    async def ensure_machine(self, machine: Machine, *, deadline: float = 60.0) -> MachineInfo:
        """Run the machine; a change of anything but `paused` restarts it.

        When it could not be started now, the machine stays accepted and is tried again for ever.
        """
        answer = await self.call("EnsureMachine", convert.encode(machine, pb.Machine), deadline=deadline)
        return convert.decode(answer, MachineInfo)

    async def drop_machine(self, id: MachineId, *, deadline: float = 30.0) -> None:
        """End the machine; disks and directories are not touched. An unknown id is fine."""
        await self.call("DropMachine", pb.DropMachineRequest(id=id), deadline=deadline)

    async def machine(self, id: MachineId) -> MachineInfo:
        """Raises NoSuchMachine."""
        return convert.decode(await self.call("GetMachine", pb.GetMachineRequest(id=id)), MachineInfo)

    async def list_machines(self) -> tuple[MachineInfo, ...]:
        """All machines, as observed."""
        answer = await self.call("ListMachines", pb.ListMachinesRequest())
        return tuple(convert.decode(machine, MachineInfo) for machine in answer.machines)

    async def read_console(self, id: MachineId, max_bytes: int = PAST) -> bytes:
        """The last bytes that the guest wrote to its serial console, over all its boots."""
        answer = await self.call("ReadConsole", pb.ReadConsoleRequest(id=id, max_bytes=max_bytes))
        return bytes(answer.data)

    async def watch_console(self, id: MachineId, max_bytes: int = PAST) -> AsyncGenerator[bytes, None]:
        """The console's recent past, then what comes."""
        async with aclosing(self.follow_console(id, None, max_bytes)) as pieces:
            async for _, data in pieces:
                yield data

    async def follow_console(
        self, id: MachineId, since: int | None, max_bytes: int = PAST
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """What was written after `since` (None: the recent past), then what comes: where each piece ends, the piece."""
        request = pb.WatchConsoleRequest(id=id, max_bytes=max_bytes, since=since)
        async for message in self.stream("WatchConsole", request):
            yield int(message.end), bytes(message.data)

    async def send_console(self, id: MachineId, data: bytes) -> None:
        """Type on the guest's serial console."""
        await self.call("SendConsole", pb.SendConsoleRequest(id=id, data=data))

    async def acceleration(self) -> Acceleration:
        """What runs guest code on this node, and why."""
        return convert.decode(await self.call("GetAcceleration", pb.GetAccelerationRequest()), Acceleration)
