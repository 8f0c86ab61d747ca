"""How often a guest's console is read for the phases of its boot."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from zos.model.units import MiB
from zos.runtime.testing import running
from zos.vmd import fake
from zos.vmd.api import Machine, MachineDisk, MachineId, MachineKind, VmdClient
from zos.vmd.console import Consoles
from zos.vmd.daemon import Config, Vmd
from zos.vmd.fake import FakeHost
from zos.vmd.model import ObservedGuest

IMAGE = Machine(MachineId("a"), "a", MachineKind.IMAGE, 1, MiB(256), disks=(MachineDisk(Path("/d")),))
CONTAINER = dataclasses.replace(IMAGE, kind=MachineKind.CONTAINER, root=Path("/r"), disks=())


class CountingHost(FakeHost):
    """Counts how often its guests were looked at."""

    looks = 0

    async def observe(self, machine: Machine) -> ObservedGuest | None:
        self.looks += 1
        return await super().observe(machine)


@pytest.mark.parametrize("machine", [IMAGE, CONTAINER], ids=lambda one: one.kind)
async def test_a_console_is_read_again_only_when_more_stands_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine
):
    monkeypatch.setattr(fake, "BOOT", "a loader's words\r\n")
    reads, read = list[MachineId](), Consoles.boot

    def counted(self: Consoles, id: MachineId, offset: int) -> bytes:
        reads.append(id)
        return read(self, id, offset)

    monkeypatch.setattr(Consoles, "boot", counted)
    host = CountingHost()

    async def rounds(count: int) -> None:
        wanted = host.looks + count
        async with asyncio.timeout(20):
            while host.looks < wanted:
                await asyncio.sleep(0.01)

    async with running(Vmd, tmp_path, host=host, config=Config(every=0.02)) as rt:
        client = VmdClient(rt.bus)
        await client.ensure_machine(machine)
        await rounds(3)
        before = len(reads)
        await rounds(20)
        for _ in range(5):
            await client.machine(machine.id)
        assert len(reads) == before, "nothing was written"
        host.say(machine.id, "more\r\n")
        await rounds(5)
        assert len(reads) == before + 1
        host.say(machine.id, "[zos] phase entrypoint 0.90\r\n")
        await rounds(5)
        assert (await client.machine(machine.id)).phases == {"entrypoint": 0.9}
