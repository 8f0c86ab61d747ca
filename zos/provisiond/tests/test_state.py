"""What is believed of what runs, and of whose it is: observed, bounded, and told."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from zos.flistd.api import FlistUnreachable
from zos.model.units import GiB, MiB
from zos.provisiond import manager
from zos.provisiond.api.errors import NoSuchDeployment
from zos.provisiond.contracts import STRANGE
from zos.provisiond.executor import Executor
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, removed, squat, state
from zos.provisiond.tests.host import FakeHost, node
from zos.vmd.model import GuestState

pytestmark = pytest.mark.virtual


async def test_a_machine_that_never_ran_is_not_ok(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    host.below.vmd.broken = "mkfs.ext4 ended with status 1"
    u.contract(host, 5, body)
    async with node(tmp_path, host, every=20.0) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        await asyncio.sleep(60)
        assert await state(client, 5, "vm1") == "init"
        for why in (await client.why(5), await client.why(5, "vm1")):
            assert "mkfs.ext4 ended with status 1" in why.sentence
        host.below.vmd.broken = ""
        async with asyncio.timeout(900):
            while await state(client, 5, "vm1") != "ok":
                await asyncio.sleep(1)


async def test_a_machine_that_ran_and_does_not_any_more_stays_ok_for_clients_and_why_says_how_it_is(
    tmp_path: Path,
) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM, every=20.0) as client:
        assert "as it was signed" in (await client.why(5)).sentence
        host.below.vmd.broken = "no kernel"
        (id,) = host.below.vmd.guests
        host.below.vmd.end(id, "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300\n")
        await asyncio.sleep(30)
        assert await state(client, 5, "vm1") == "ok"
        assert "no kernel" in (await client.why(5)).sentence


async def test_what_a_guest_could_not_do_at_its_start_is_told(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM, every=20.0) as client:
        (id,) = host.below.vmd.guests
        words = "no name server answered when it started"
        host.below.vmd.say(id, f"[zos] warning {words}\n")
        for workload in ("", "vm1"):
            async with asyncio.timeout(60):
                while words not in (await client.why(5, workload)).sentence:
                    await asyncio.sleep(1)
        assert "as it was signed" in (await client.why(5)).sentence


async def test_a_machine_whose_flist_cannot_be_read_is_ok_and_why_says_what_is_missing(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM, every=20.0) as client:
        (tree,) = host.below.flistd.trees
        words = "no block store of the flist has block 00ff"
        host.below.flistd.told[tree.partition("-")[0]] = words
        for workload in ("", "vm1"):
            assert words in (await client.why(5, workload)).sentence
        assert await state(client, 5, "vm1") == "ok"
        host.below.flistd.told.clear()
        assert "as it was signed" in (await client.why(5)).sentence


async def test_a_lost_disk_is_told_by_result_and_why_although_it_stays_ok(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a"), u.zmount("b"), every=20.0) as client:
        await becomes(client, 5, "b", "ok")
        await asyncio.sleep(200)  # until btrfs has surely written it down
        (device,) = [one for one in host.below.storaged.disks.values() if one.observed.disks]
        left = {id: disk for id, disk in device.observed.disks.items() if not id.endswith("-a")}
        device.observed = dataclasses.replace(device.observed, disks=left)
        async with asyncio.timeout(120):
            while "not there any more" not in (await client.why(5)).sentence:
                await asyncio.sleep(1)
        told = {one["name"]: one["result"] for one in (await client.get(5))["workloads"]}
        assert (told["a"]["state"], told["b"]["state"], told["b"]["message"]) == ("ok", "ok", "")
        assert "not there any more" in told["a"]["message"]
        assert "not there any more" in (await client.why(5, "a")).sentence


async def test_nothing_is_remembered_of_a_making_that_its_user_gave_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Executor] = []

    def executor(*args: Any) -> Executor:
        made.append(Executor(*args))
        return made[-1]

    monkeypatch.setattr(manager, "Executor", executor)
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine())
    host.flistd.trouble = FlistUnreachable(url="http://hub/a.flist", problem="nobody is there")
    u.contract(host, 5, body)
    async with node(tmp_path, host, every=5.0) as client:
        await client.deploy(u.signed(body), u.TWIN)
        async with asyncio.timeout(30):
            while not made[0]._since:
                await asyncio.sleep(0.1)
        host.flistd.trouble = None
        u.cancel(host, 5)
        await removed(client, 5)
        assert made[0]._since == {}


async def test_what_qemu_itself_takes_counts_against_the_memory(tmp_path: Path) -> None:
    host = FakeHost()
    host.total = 4 * u.GiB
    body = u.document(5, u.network(), u.zmachine(compute_capacity={"cpu": 1, "memory": 2 * u.GiB}))
    u.contract(host, 5, body)
    async with node(tmp_path, host, every=20.0) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "vm1", "error")
    assert f"out of usable {int(GiB(2)) - int(MiB(96)) - int(MiB(32))} bytes" in result["message"]


async def test_a_stalled_guest_is_told(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM, every=20.0) as client:
        host.below.vmd.full = True
        (id,) = host.below.vmd.guests
        host.below.vmd.change(id, state=GuestState.STALLED, detail="a disk refused a write; is the pool full?")
        await asyncio.sleep(5)
        assert "is the pool full?" in (await client.why(5)).sentence
        assert await state(client, 5, "vm1") == "ok"


async def test_a_document_of_a_contract_that_is_not_ours_goes_after_a_while_and_is_never_reported(
    tmp_path: Path,
) -> None:
    host, body = FakeHost(), u.document(7, u.zmount())
    u.contract(host, 5, u.document(5, u.zmount()))
    u.contract(host, 7, body)
    async with node(tmp_path, host, every=20.0) as client:
        await client.deploy(squat(host, 5), 27)
        await client.deploy(squat(host, 1_000_000), 27)  # no contract has this number yet
        await becomes(client, 5, "mine", "error")
    async with node(tmp_path, host, every=20.0) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 7, "disk1", "ok")
        await asyncio.sleep(60)
        assert {one.contract for one in host.chain.reported} == {7}
        assert await state(client, 5, "mine") == "error"
        await asyncio.sleep(3 * STRANGE)
        for contract in (5, 1_000_000):
            with pytest.raises(NoSuchDeployment):
                await client.get(contract)
        assert await state(client, 7, "disk1") == "ok"
