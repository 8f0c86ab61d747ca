"""The daemon on a fake host: what callers see over a real socket."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from zos.model.units import GiB, MiB
from zos.runtime.clock import FakeClock
from zos.runtime.ledger import Ledger
from zos.runtime.testing import running
from zos.vmd.api import (
    Accelerator,
    BadMachine,
    LibvirtUnreachable,
    Machine,
    MachineDisk,
    MachineId,
    MachineInfo,
    MachineKind,
    MachineNotRunning,
    MachineState,
    NoSuchMachine,
    PartsMissing,
    StartFailed,
    VmdClient,
)
from zos.vmd.console import Consoles
from zos.vmd.daemon import Config, Vmd
from zos.vmd.fake import FakeHost
from zos.vmd.manager import MachineManager
from zos.vmd.model import GuestState, MachineRecord, RunState

A, B = MachineId("a"), MachineId("b")
MACHINE = Machine(A, "a", MachineKind.CONTAINER, 1, MiB(256), root=Path("/r/a"))
OTHER = dataclasses.replace(MACHINE, id=B, name="b", root=Path("/r/b"))


@asynccontextmanager
async def vmd(folder: Path, host: FakeHost, clock: FakeClock | None = None) -> AsyncIterator[VmdClient]:
    async with running(Vmd, folder, host=host, config=Config(every=0.05), clock=clock) as rt:
        yield VmdClient(rt.bus)


async def becomes(client: VmdClient, id: MachineId, claim: Callable[[MachineInfo], object]) -> MachineInfo:
    async with asyncio.timeout(10):
        while True:
            info = await client.machine(id)
            if claim(info):
                return info
            await asyncio.sleep(0.01)


async def test_a_machine_runs_and_says_how_it_booted(tmp_path: Path):
    async with vmd(tmp_path, FakeHost()) as client:
        info = await client.ensure_machine(MACHINE)
        assert (info.state, info.accel, info.restarts) == (MachineState.RUNNING, "tcg", 0)
        info = await client.machine(A)
        assert info.phases == {"userland": 0.6, "root": 0.7, "entrypoint": 0.9}
        assert await client.list_machines() == (info,)
        assert (await client.acceleration()).kind is Accelerator.TCG


async def test_the_same_request_again_touches_nothing(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        first = await client.ensure_machine(MACHINE)
        assert (await client.ensure_machine(MACHINE)).pid == first.pid
    async with vmd(tmp_path, host) as client:
        assert (await client.machine(A)).pid == first.pid
        assert (await client.ensure_machine(MACHINE)).pid == first.pid
    assert host.done == ["start a"]


async def test_a_changed_definition_restarts_at_once(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        info = await client.ensure_machine(dataclasses.replace(MACHINE, env={"A": "1"}))
        assert (info.state, info.restarts) == (MachineState.RUNNING, 1)
        assert host.done == ["start a", "stop a", "start a"]


async def test_a_crash_is_backed_off_and_started_again(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    async with vmd(tmp_path, host, clock) as client:
        await client.ensure_machine(MACHINE)
        clock.advance(1)
        host.end(A, "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300\n")
        info = await becomes(client, A, lambda info: info.state is MachineState.BACKOFF)
        assert info.detail == "its entrypoint ended with status 3"
        assert 1.7 < info.next_try - clock.time() < 2.3
        assert host.done == ["start a"]
        clock.advance(3)
        info = await becomes(client, A, lambda info: info.state is MachineState.RUNNING)
        assert info.restarts == 1


async def test_a_machine_that_never_starts_is_tried_for_ever_and_its_record_is_kept(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    host.broken = "no memory"
    async with vmd(tmp_path, host, clock) as client:
        with pytest.raises(StartFailed, match="no memory"):
            await client.ensure_machine(MACHINE)
        for tries in range(2, 30):
            clock.advance(400)
            await becomes(client, A, lambda _info: len(host.done) >= tries)  # noqa: B023 - used at once
        info = await client.machine(A)
        assert (info.state, info.detail) == (MachineState.BACKOFF, "machine a could not be started: no memory")
        host.broken = ""
        clock.advance(400)
        await becomes(client, A, lambda info: info.state is MachineState.RUNNING)


async def test_a_broken_guest_is_replaced_and_the_accelerator_is_doubted(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    async with vmd(tmp_path, host, clock) as client:
        await client.ensure_machine(MACHINE)
        host.change(A, state=GuestState.BROKEN, detail="internal error")
        await becomes(client, A, lambda info: info.state is MachineState.BACKOFF)
        assert host.doubts == 1
        clock.advance(3)
        await becomes(client, A, lambda info: info.state is MachineState.RUNNING)


async def test_a_guest_whose_root_is_mounted_anew_is_started_again_and_told_why(tmp_path: Path):
    host = FakeHost()
    host.standing = "aa-1 0:50"
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.standing = ""  # the dead one is gone and the next is not there yet
        await client.ensure_machine(MACHINE)
        assert host.done == ["start a"]
        host.standing = "aa-2 0:50"
        info = await client.ensure_machine(MACHINE)
        assert host.done == ["start a", "stop a", "start a"]
        assert (info.state, info.restarts) == (MachineState.RUNNING, 1)
        assert "mounted anew" in info.detail


async def test_a_guest_that_stalls_on_a_full_pool_is_let_go_on_ever_more_seldom(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    async with vmd(tmp_path, host, clock) as client:
        await client.ensure_machine(MACHINE)
        host.full = True
        host.change(A, state=GuestState.STALLED, detail="a disk refused a write; is the pool full?")
        info = await becomes(client, A, lambda info: info.state is MachineState.PAUSED)
        assert "full" in info.detail
        for tries in (1, 2, 3):
            await becomes(client, A, lambda _info: host.done.count("resume a") >= tries)  # noqa: B023 - used at once
            for _ in range(20):
                host.change(A)
                await client.machine(A)
            assert host.done.count("resume a") == tries
            clock.advance(2.0**tries)
        host.full = False
        await becomes(client, A, lambda info: info.state is MachineState.RUNNING)


async def test_a_dead_file_server_restarts_its_guest(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.change(A, dead_shares=("vroot",))
        info = await becomes(client, A, lambda info: info.state is MachineState.BACKOFF)
        assert "vroot" in info.detail


async def test_pausing_and_going_on_keeps_the_guest(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        first = await client.ensure_machine(MACHINE)
        paused = await client.ensure_machine(dataclasses.replace(MACHINE, paused=True))
        assert (paused.state, paused.pid) == (MachineState.PAUSED, first.pid)
        with pytest.raises(MachineNotRunning, match="paused"):
            await client.send_console(A, b"x")
        again = await client.ensure_machine(MACHINE)
        assert (again.state, again.pid) == (MachineState.RUNNING, first.pid)


async def test_a_grown_disk_is_told(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.change(A, growth={0: GiB(2)})
        await becomes(client, A, lambda _info: host.done[-1] == f"grow 0 to {GiB(2)} a")


async def test_a_drop_ends_it_and_leaves_nothing(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        await client.drop_machine(A)
        await client.drop_machine(A)
        assert host.done == ["start a", "stop a", "forget a"]
        assert await client.list_machines() == ()
        for call in (client.machine(A), client.read_console(A), client.send_console(A, b"x")):
            with pytest.raises(NoSuchMachine):
                await call
        assert not list((tmp_path / "state/vmd/consoles").iterdir())
        assert (await client.ensure_machine(MACHINE)).restarts == 0


async def test_nothing_is_remembered_of_machines_that_are_gone(tmp_path: Path):
    clock = FakeClock()
    host = FakeHost()
    ledgers = (Ledger(tmp_path / "records", MachineRecord), Ledger(tmp_path / "runs", RunState))
    manager = MachineManager(host, Consoles(tmp_path / "consoles"), *ledgers, clock, 0.01)
    turning = asyncio.create_task(manager.run())
    for number in range(3):
        await manager.ensure(dataclasses.replace(MACHINE, id=MachineId(f"m{number}")))
        await manager.drop(MachineId(f"m{number}"))
    async with asyncio.timeout(10):
        while manager._loops or manager._locks:
            await asyncio.sleep(0.01)
    turning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turning


async def test_a_guest_whose_record_was_lost_goes_on_until_it_is_dropped(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
    (tmp_path / "state/vmd/wishes/a.json").write_text("{")
    async with vmd(tmp_path, host) as client:
        assert await client.list_machines() == ()
        assert A in host.guests
        await client.drop_machine(A)
        assert A not in host.guests
        await client.drop_machine(MachineId("../never heard of"))


async def test_a_drop_while_libvirt_is_away_is_done_when_it_is_back(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.away = True
        with pytest.raises(LibvirtUnreachable):
            await client.drop_machine(A)
        host.away = False
        host.lose_connection()
        async with asyncio.timeout(10):
            while await client.list_machines():
                await asyncio.sleep(0.01)


async def test_an_absent_libvirt_ends_nobody_and_costs_no_back_off(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.away = True
        host.lose_connection()
        info = await becomes(client, A, lambda info: info.detail)
        assert info.state is MachineState.RUNNING
        assert "libvirt does not answer" in info.detail
        with pytest.raises(LibvirtUnreachable):
            await client.ensure_machine(OTHER)
        host.away = False
        host.lose_connection()
        await becomes(client, B, lambda info: info.state is MachineState.RUNNING)
        assert (await becomes(client, A, lambda info: not info.detail)).restarts == 0


async def test_what_is_not_there_yet_is_waited_for_without_back_off(tmp_path: Path):
    host = FakeHost()
    host.lacking = "its root /r/a"
    async with vmd(tmp_path, host) as client:
        with pytest.raises(PartsMissing, match="waits for its root"):
            await client.ensure_machine(MACHINE)
        assert (await client.machine(A)).state is MachineState.STARTING
        host.lacking = ""
        await becomes(client, A, lambda info: info.state is MachineState.RUNNING)
        assert host.done == ["start a"]


async def test_a_machine_that_hangs_holds_up_no_other(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.hung.add(A)
        host.lose_connection()
        hanging = asyncio.create_task(client.ensure_machine(dataclasses.replace(MACHINE, env={"A": "1"})))
        info = await client.ensure_machine(OTHER, deadline=5)
        assert info.state is MachineState.RUNNING
        assert len(await client.list_machines()) == 2
        host.end(B)
        await becomes(client, B, lambda info: info.state is MachineState.BACKOFF)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_a_restarted_vmd_goes_on_with_the_back_off(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    async with vmd(tmp_path, host, clock) as client:
        await client.ensure_machine(MACHINE)
        host.end(A)
        before = await becomes(client, A, lambda info: info.state is MachineState.BACKOFF)
    async with vmd(tmp_path, host, clock) as client:
        assert await client.machine(A) == before
        assert host.done == ["start a"]


async def test_a_guest_that_ended_while_vmd_was_away_is_noticed(tmp_path: Path):
    host, clock = FakeHost(), FakeClock()
    async with vmd(tmp_path, host, clock) as client:
        await client.ensure_machine(MACHINE)
    host.end(A, "reboot: Power down\n")
    async with vmd(tmp_path, host, clock) as client:
        info = await becomes(client, A, lambda info: info.state is MachineState.BACKOFF)
        assert info.detail == "the guest switched itself off"


async def test_the_console_is_read_watched_and_typed_on(tmp_path: Path):
    host = FakeHost()
    async with vmd(tmp_path, host) as client:
        await client.ensure_machine(MACHINE)
        host.say(A, "login: ")
        assert (await client.read_console(A)).endswith(b"login: ")
        assert await client.read_console(A, 7) == b"login: "
        await client.send_console(A, b"root\n")
        assert host.typed[A] == b"root\n"
        async with asyncio.timeout(10), aclosing(client.watch_console(A, 7)) as stream:
            assert await anext(stream) == b"login: "
            host.say(A, "ok")
            assert await anext(stream) == b"ok"


async def test_what_cannot_be_a_machine_is_refused_and_not_kept(tmp_path: Path):
    async with vmd(tmp_path, FakeHost()) as client:
        with pytest.raises(BadMachine):
            await client.ensure_machine(dataclasses.replace(MACHINE, cpu=99))
        with pytest.raises(BadMachine):
            await client.ensure_machine(dataclasses.replace(MACHINE, entrypoint="'"))
        disk = (MachineDisk(Path("/d")),)
        await client.ensure_machine(dataclasses.replace(OTHER, disks=disk))
        with pytest.raises(BadMachine, match="machine b already has"):
            await client.ensure_machine(dataclasses.replace(MACHINE, disks=disk))
        assert [info.id for info in await client.list_machines()] == [B]
        with pytest.raises(NoSuchMachine):
            await client.machine(A)
