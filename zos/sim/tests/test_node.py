"""The simulator keeps its promises: real daemons, virtual time, the same story for the same seed."""

from __future__ import annotations

import asyncio

import pytest

from zos.bus import TooSlow, Unreachable
from zos.model.units import GiB
from zos.networkd.api import NetworkdClient
from zos.provisiond.api import NoSuchDeployment
from zos.sim import workloads as w
from zos.sim.loop import Stuck, run
from zos.sim.node import SimNode
from zos.storaged.api import StoragedClient
from zos.storaged.api.types import Volume, VolumeId
from zos.vmd.api import VmdClient

VM = (w.network(), w.zmount("disk1"), w.zmachine(mounts=[("disk1", "/data")]))


@pytest.mark.virtual
async def test_a_deployment_is_made_by_the_real_daemons_and_removed_with_its_contract():
    async with SimNode() as node:
        contract = await node.deploy(*VM)
        result = await node.becomes(contract, "vm1", "ok")
        assert result["data"]["ip"] == "10.20.2.5"
        assert [one.id for one in await node.client(StoragedClient).list_disks()] == ["2-1-disk1"]
        (machine,) = await node.client(VmdClient).list_machines()
        assert machine.id == "2-1-vm1"
        assert node.hosts.vmd.guests
        await node.cancel(contract)
        await node.becomes(contract, "vm1", "gone")
        await node.until(lambda: not node.hosts.vmd.guests)
        with pytest.raises(NoSuchDeployment):
            await node.provisiond.get(contract)


@pytest.mark.virtual
async def test_node_and_chain_have_one_time():
    async with SimNode() as node:
        began = node.clock.time()
        await asyncio.sleep(1800)
        assert node.clock.time() - began == pytest.approx(1800)
        assert node.clock.time() - node.chain.node.head.now / 1000 < 10


@pytest.mark.virtual
async def test_a_daemon_that_is_down_does_not_answer_and_one_that_comes_back_does():
    async with SimNode() as node:
        client = node.client(NetworkdClient)
        await node.stop("networkd")
        with pytest.raises(Unreachable):
            await client.list_networks()
        await node.start("networkd")
        assert await client.list_networks() == ()


@pytest.mark.virtual
async def test_a_call_has_its_deadline_in_virtual_time():
    async with SimNode() as node:
        node.trouble("storaged").stuck = True
        began = node.loop.time()
        with pytest.raises(TooSlow):
            await node.client(StoragedClient).ensure_volume(Volume(VolumeId("2-1-vol"), GiB(1)))
        assert 5 <= node.loop.time() - began <= 120


@pytest.mark.virtual
async def test_a_daemon_that_is_killed_comes_back_with_what_it_kept_and_nothing_else():
    async with SimNode() as node:
        contract = await node.deploy(*VM)
        await node.becomes(contract, "vm1", "ok")
        for name in tuple(node.units):
            node.kill(name)
        await asyncio.sleep(5)
        assert await node.state(contract, "vm1") == "ok"
        assert {unit.deaths for unit in node.units.values()} == {1}
        assert list(node.hosts.vmd.guests) == ["2-1-vm1"]


def test_the_same_seed_tells_the_same_story():
    async def story() -> tuple[int, float, int]:
        async with SimNode(7, jitter=0.02) as node:
            node.kill_after(300, "provisiond")
            contract = await node.deploy(*VM)
            await node.becomes(contract, "vm1", "ok")
            return node.loop.steps, node.loop.time(), node.switchboard.calls

    assert run(story()) == run(story())


def test_waiting_for_what_never_comes_is_told_at_once():
    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        run(story())
