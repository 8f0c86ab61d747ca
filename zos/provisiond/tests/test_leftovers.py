"""What a first making that fails leaves behind: it is given back, or billed, and no tenant's data goes."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from zos.bus import TooSlow, Unreachable
from zos.chain.api.types import ContractResources
from zos.errors import ZosError
from zos.fetch.errors import FetchFailed
from zos.flistd.api import FlistUnreachable, NoSuchFlist
from zos.model.deployment import ResultState
from zos.model.evidence import EvidenceKind
from zos.primitives import find
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.model import Item, Phase, Record
from zos.provisiond.patience import patience
from zos.provisiond.plan import Do, plan
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, state, update
from zos.provisiond.tests.host import FakeHost, node
from zos.sim import workloads as w
from zos.storaged.api.errors import PoolGone
from zos.verbs.vmd import NotRunning
from zos.vmd.api.errors import LibvirtUnreachable, StartFailed
from zos.zdbd.api.errors import NotServed

pytestmark = pytest.mark.virtual

ROOT = "rootfs-26-5-vm1"
GONE = NoSuchFlist(url="http://hub/none.fl", status=404)
AWAY = LibvirtUnreachable(uri="qemu:///system", problem="it restarts")
NET, MACHINE = u.network(), u.zmachine(size=3 * u.GiB, flist="http://hub/none.fl")


async def until(is_so: Callable[[], bool], within: float = 60.0) -> None:
    async with asyncio.timeout(within):
        while not is_so():
            await asyncio.sleep(0.1)


def told(host: FakeHost) -> ContractResources:
    """What the chain knows of contract 5."""
    known = [one for one in host.chain.reported if one.contract == 5]
    return known[-1] if known else ContractResources(5, 0, 0, 0, 0)


def kept(host: FakeHost) -> set[str]:
    """What lies on the pools."""
    pools = [device.observed for device in host.below.storaged.disks.values()]
    return {id for pool in pools for id in (*pool.volumes, *pool.disks) if id.split("-")[0] in ("26", "rootfs")}


async def deploy(client: ProvisiondClient, host: FakeHost, *workloads: dict[str, object]) -> None:
    body = u.document(5, *workloads)
    u.contract(host, 5, body)
    await client.deploy(u.signed(body), u.TWIN)


async def test_a_machine_without_a_flist_keeps_nothing_of_the_node(tmp_path: Path) -> None:
    host = FakeHost()
    host.below.flistd.web["http://hub/none.fl"] = GONE
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, MACHINE)
        await becomes(client, 5, "vm1", "error")
        await until(lambda: not kept(host))
        await asyncio.sleep(60)
        assert (host.vmd.machines, host.flistd.mounts, host.networkd.taps) == ({}, {}, {})
        assert [evidence.kind for _, evidence in host.storaged.dropped] == [EvidenceKind.NEVER_MADE]
        assert (await state(client, 5, "net1"), told(host)) == ("ok", ContractResources(5, 0, 0, 0, 0))


async def test_what_is_to_be_given_back_is_given_back_after_a_kill(tmp_path: Path) -> None:
    host = FakeHost()
    host.below.flistd.web["http://hub/none.fl"] = GONE
    host.vmd.trouble = AWAY
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, MACHINE)
        await becomes(client, 5, "vm1", "error")
        await asyncio.sleep(5)
        assert kept(host) == {ROOT}, "the machine goes first, and vmd does not answer"
    host.vmd.trouble = None
    async with node(tmp_path, host, every=20.0) as client:
        await until(lambda: not kept(host))
        assert await state(client, 5, "vm1") == "error"


async def test_what_cannot_be_given_back_for_long_is_billed_until_it_is(tmp_path: Path) -> None:
    host = FakeHost()
    host.below.flistd.web["http://hub/none.fl"] = GONE
    host.vmd.trouble = AWAY
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, MACHINE)
        await becomes(client, 5, "vm1", "error")
        await asyncio.sleep(700)
        assert (told(host).sru, told(host).mru) == (3 * u.GiB, 512 * u.MiB)
        host.vmd.trouble = None
        await until(lambda: not told(host).sru and not told(host).mru and not kept(host))


async def test_the_next_version_makes_it_anew(tmp_path: Path) -> None:
    host = FakeHost()
    host.below.flistd.web["http://hub/none.fl"] = GONE
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, MACHINE)
        await becomes(client, 5, "vm1", "error")
        await until(lambda: not kept(host))
        mended = {**u.zmachine(size=3 * u.GiB), "version": 1}
        await update(client, host, u.document(5, NET, mended, version=1))
        await becomes(client, 5, "vm1", "ok")
        await until(lambda: told(host).sru == 3 * u.GiB)
        assert kept(host) == {ROOT}


async def test_what_was_there_before_is_kept_and_billed(tmp_path: Path) -> None:
    """provisiond's records were lost, and the document comes again: nothing of this first making is new."""
    host = FakeHost()
    async with deployed(tmp_path, host, NET, u.zmachine(size=3 * u.GiB)):
        pass
    shutil.rmtree(tmp_path / "state/provisiond")
    host.chain.reported.clear()
    host.flistd.trouble = GONE
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, u.zmachine(size=3 * u.GiB))
        await becomes(client, 5, "vm1", "error")
        host.flistd.trouble = None
        await until(lambda: told(host).sru == 3 * u.GiB)
        assert (kept(host), host.storaged.dropped) == ({ROOT}, [])
        assert (told(host).cru, told(host).mru, host.below.vmd.guests) == (0, 0, {})


async def test_a_machine_that_cannot_start_ends_and_its_disk_is_kept_and_billed(tmp_path: Path) -> None:
    """It may have run for a moment: what its root volume holds is its tenant's."""
    host = FakeHost()
    host.vmd.trouble = StartFailed(id="26-5-vm1", problem="the kernel is too large")
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, u.zmachine(size=3 * u.GiB))
        await asyncio.sleep(500)
        assert await state(client, 5, "vm1") == "init"
        async with asyncio.timeout(300):
            while await state(client, 5, "vm1") == "init":
                await asyncio.sleep(1)
        result = await becomes(client, 5, "vm1", "error")
        assert "the kernel is too large" in result["message"]
        host.vmd.trouble = None
        await until(lambda: told(host).sru == 3 * u.GiB)
        assert (kept(host), told(host).mru, host.flistd.mounts) == ({ROOT}, 0, {})
        await update(client, host, u.document(5, NET, version=1))
        await until(lambda: not kept(host) and not told(host).sru)
        assert [evidence.kind for _, evidence in host.storaged.dropped] == [EvidenceKind.SIGNED_UPDATE]


async def test_a_flist_that_cannot_be_read_whole_holds_memory_for_a_minute(tmp_path: Path) -> None:
    host = FakeHost()
    host.below.flistd.web["http://hub/none.fl"] = FetchFailed(url="http://hub/none.fl", problem="it is too slow")
    async with node(tmp_path, host, every=20.0) as client:
        large = u.zmachine(flist="http://hub/none.fl", memory=60 * u.GiB)
        await deploy(client, host, NET, large)
        async with asyncio.timeout(120):
            while await state(client, 5, "vm1") == "init":
                await asyncio.sleep(1)
        await until(lambda: not kept(host))
        body = u.document(6, u.zmachine("vm2", ip="10.20.2.6", memory=60 * u.GiB))
        u.contract(host, 6, body)
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 6, "vm2", "ok")


async def test_what_waits_for_the_node_is_not_given_up_and_billed_in_time(tmp_path: Path) -> None:
    host = FakeHost()
    host.vmd.trouble = AWAY
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, u.zmachine(size=3 * u.GiB))
        await asyncio.sleep(500)
        assert told(host).sru == 0
        await asyncio.sleep(200)
        assert await state(client, 5, "vm1") == "init"
        assert (told(host).sru, told(host).mru) == (3 * u.GiB, 512 * u.MiB)
        host.vmd.trouble = None
        async with asyncio.timeout(60):
            while await state(client, 5, "vm1") != "ok":
                await asyncio.sleep(1)
        assert kept(host) == {ROOT}


async def test_a_volume_without_its_namespace_is_billed_in_time(tmp_path: Path) -> None:
    host = FakeHost()
    host.asked("zdbd").trouble = NotServed(id="26-5-db1", problem="its index is damaged")
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, w.zdb(size=2 * u.GiB))
        await asyncio.sleep(700)
        assert (await state(client, 5, "db1"), told(host).hru, kept(host)) == ("init", 2 * u.GiB, {"26-5-db1"})


async def test_what_waits_and_holds_nothing_is_not_billed(tmp_path: Path) -> None:
    host = FakeHost()
    host.networkd.trouble = AWAY
    async with node(tmp_path, host, every=20.0) as client:
        await deploy(client, host, NET, u.zmachine())
        await asyncio.sleep(900)
        assert (await state(client, 5, "net1"), await state(client, 5, "vm1")) == ("init", "init")
        assert told(host) == ContractResources(5, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("err", "seconds"),
    [
        (FlistUnreachable(url="http://hub/a.fl", problem="nobody answers"), 60),
        (FetchFailed(url="http://store/", problem="too slow"), 60),
        (StartFailed(id="vm1", problem="no kernel"), 600),
        (NotRunning(state="stopped", detail=""), 600),
        (TooSlow(daemon="flistd", call="EnsureMount", deadline=30), 600),
        (AWAY, None),
        (PoolGone(kind="disk", id="a", pool="p", state="missing", detail=""), None),
        (Unreachable(daemon="vmd", socket="/run/zos/vmd/bus.sock"), None),
    ],
)
def test_how_long_a_first_making_may_fail_for_now(err: ZosError, seconds: float | None) -> None:
    assert patience(err) == seconds


def test_the_cause_behind_an_error_counts() -> None:
    for cause, seconds in ((AWAY, None), (FetchFailed(url="http://store/", problem="too slow"), 60)):
        err = StartFailed(id="vm1", problem="it waits")
        err.__cause__ = cause
        assert patience(err) == seconds


async def test_what_waits_to_be_changed_is_billed_as_it_is(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, VM[1], every=20.0) as client:
        await until(lambda: told(host).sru == u.GiB)
        host.storaged.trouble = AWAY
        larger, more = {**u.zmount(size=2 * u.GiB), "version": 1}, {**u.network(), "version": 1}
        await update(client, host, u.document(5, larger, more, version=1))
        await becomes(client, 5, "net1", "ok")
        await asyncio.sleep(60)
        assert (await state(client, 5, "disk1"), told(host).sru) == ("init", u.GiB)


def test_what_an_earlier_release_left_behind_is_looked_at_once() -> None:
    failed = Item(0, "vm1", "zmachine", {}, state=ResultState.ERROR)
    record = Record(26, 5, 0, Phase.ACTIVE, items=(failed,))
    (clear,) = plan(record, find())
    assert (clear.do, failed.takes(), record.is_idle()) == (Do.CLEAR, False, True)
    refused = Item(0, "vm1", "zmachine", {}).settled(ResultState.ERROR, 1, "nothing was asked for")
    assert plan(record.with_item(refused), find()) == ()
    assert plan(record.with_item(dataclasses.replace(failed, applied={})), find()) == ()
