"""The fake host keeps the real one's promise: the same claims, asked of both through the API."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from vmnode import tree, vm_node

from zos.bus import Unreachable
from zos.images import guest
from zos.model.units import MiB
from zos.runtime.testing import running
from zos.vmd.api import (
    BadMachine,
    Machine,
    MachineId,
    MachineInfo,
    MachineKind,
    MachineState,
    NoSuchMachine,
    PartsMissing,
    VmdClient,
)
from zos.vmd.daemon import Config, Vmd
from zos.vmd.fake import FakeHost

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

ID = MachineId("a")


@dataclasses.dataclass
class Side:
    """A vmd, a machine for it, and how to end its guest and to take its root away."""

    client: VmdClient
    machine: Machine
    crash: Callable[[], object]
    lacking: Callable[[Machine], Machine]

    async def becomes(self, state: MachineState) -> MachineInfo:
        """Wait for a state."""
        async with asyncio.timeout(60):
            while True:
                info = await self.client.machine(ID)
                if info.state is state:
                    return info
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def real() -> AsyncIterator[Side]:
    await guest.build()
    with vm_node("vmc") as here:
        here.vmd()
        root = tree(here.folder)
        machine = Machine(ID, "a", MachineKind.CONTAINER, 1, MiB(256), root=root, entrypoint="/sbin/talk")
        async with here.bus() as bus:
            client = VmdClient(bus)
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(Unreachable):
                        await client.acceleration()
                        break
                    await asyncio.sleep(0.05)
            yield Side(
                client,
                machine,
                lambda: here.virsh(f"destroy {ID}"),
                lambda machine: dataclasses.replace(machine, root=root / "tmp"),
            )


@contextlib.asynccontextmanager
async def fake(folder: Path) -> AsyncIterator[Side]:
    host = FakeHost()
    machine = Machine(ID, "a", MachineKind.CONTAINER, 1, MiB(256), root=Path("/r"))
    async with running(Vmd, folder, host=host, config=Config(every=2.0)) as rt:

        def lacking(machine: Machine) -> Machine:
            host.lacking = "its root /r"
            return machine

        yield Side(VmdClient(rt.bus), machine, lambda: host.end(ID), lacking)


@pytest.fixture(params=["fake", "real"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    async with fake(tmp_path) if request.param == "fake" else real() as made:
        yield made


async def test_both_hosts_keep_the_same_guest_through_everything_but_a_change(side: Side):
    client, machine = side.client, side.machine
    first = await client.ensure_machine(machine)
    assert (first.state, first.restarts, first.accel) == (MachineState.RUNNING, 0, (await client.acceleration()).kind)
    assert (await client.ensure_machine(machine)).pid == first.pid
    paused = await client.ensure_machine(dataclasses.replace(machine, paused=True))
    assert (paused.state, paused.pid) == (MachineState.PAUSED, first.pid)
    again = await client.ensure_machine(machine)
    assert (again.state, again.pid, again.restarts) == (MachineState.RUNNING, first.pid, 0)
    changed = await client.ensure_machine(dataclasses.replace(machine, env={"A": "1"}))
    assert (changed.state, changed.restarts) == (MachineState.RUNNING, 1)
    assert changed.pid != first.pid


async def test_both_hosts_tell_of_an_end_and_start_again(side: Side):
    await side.client.ensure_machine(side.machine)
    side.crash()
    info = await side.becomes(MachineState.BACKOFF)
    assert info.next_try > info.since
    assert (info.pid, info.detail != "") == (0, True)
    assert (await side.becomes(MachineState.RUNNING)).restarts == 1
    assert b"[zos] start 1" in await side.client.read_console(ID, 100_000)
    await side.client.drop_machine(ID)
    await side.client.drop_machine(ID)
    with pytest.raises(NoSuchMachine):
        await side.client.read_console(ID)


async def test_both_hosts_refuse_alike(side: Side):
    with pytest.raises(BadMachine):
        await side.client.ensure_machine(dataclasses.replace(side.machine, memory=MiB(1)))
    with pytest.raises(PartsMissing):
        await side.client.ensure_machine(side.lacking(side.machine))
    assert (await side.client.machine(ID)).state is MachineState.STARTING
