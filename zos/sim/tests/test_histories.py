"""Random histories, and the faults that they found, each in its smallest form."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import subprocess
import sys

import pytest

from zos.chain.api import ChainDoubtful
from zos.flistd.api.errors import MountFailed
from zos.model.units import GiB
from zos.provisiond.api import BadUpdate
from zos.runtime.depth import deep
from zos.sim import workloads as w
from zos.sim.hosts import NO_FLIST
from zos.sim.node import SimNode
from zos.storaged.api import StoragedClient
from zos.storaged.api.errors import DeviceRefused

SHORT = deep(8)


@pytest.mark.process
@pytest.mark.timeout(300)
def test_random_histories_keep_every_invariant() -> None:
    """`make sim` plays a thousand."""
    argv = [sys.executable, "-m", "zos.sim", "--count", str(SHORT), "--jobs", "2"]
    done = subprocess.run(argv, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SHORT} histories" in done.stdout


@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_fault_at_any_await_breaks_no_invariant() -> None:
    """`python -m zos.sim.matrix` plays every point."""
    argv = [sys.executable, "-m", "zos.sim.matrix", "--every", str(max(1, 150 // deep(1))), "--jobs", "2"]
    done = subprocess.run(argv, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 histories with violations" in done.stdout


@pytest.mark.virtual
async def test_a_machine_that_waits_keeps_its_memory() -> None:
    async with SimNode() as node:
        refusal = MountFailed(action="mount", problem="the device is busy")
        node.trouble("flistd").errors += [refusal] * 100
        first = await node.deploy(w.network(), w.zmachine(memory=int(GiB(8))))
        device = node.hosts.storaged.disks["/dev/sda"]
        await node.until(lambda: "rootfs-2-1-vm1" in device.observed.volumes)
        # Its round after the restart does not come as far as the machine.
        node.trouble("networkd").stuck = True
        await node.restart("provisiond")
        second = await node.deploy(w.zmachine(ip="10.20.2.6", memory=int(GiB(8))))
        assert "memory" in (await node.becomes(second, "vm1", "error"))["message"]
        await node.restart("networkd")
        node.trouble("networkd").stuck = False
        node.trouble("flistd").errors.clear()
        await node.becomes(first, "vm1", "ok")


async def refused(node: SimNode) -> int:
    """A contract whose deployment, a network, is refused since it carries another; returns its id."""
    user = node.user
    contract = await node.contract(w.document(user.twin, 0, [w.zmount()]))
    other = w.document(user.twin, contract, [w.network()])
    await node.provisiond.deploy(w.signed(other, user.key, user.twin), user.twin)
    await node.becomes(contract, "net1", "error")
    return contract


@pytest.mark.virtual
async def test_a_refused_deployment_holds_no_names() -> None:
    async with SimNode() as node:
        await refused(node)
        await node.becomes(await node.deploy(w.network()), "net1", "ok")


@pytest.mark.virtual
async def test_a_disk_waits_for_a_pool_that_is_out_of_order_for_a_moment() -> None:
    async with SimNode() as node:
        refusal = DeviceRefused(action="look at it", problem="Input/output error")
        node.trouble("storaged").errors += [refusal] * 6
        await node.restart("storaged")
        await node.becomes(await node.deploy(w.zmount()), "disk1", "ok")


@pytest.mark.virtual
async def test_an_update_outlives_a_reorganisation_that_takes_its_block_back() -> None:
    async with SimNode(lag=3) as node:
        contract = await node.deploy(w.zmount())
        await node.becomes(contract, "disk1", "ok")
        # The contract changes twice, so that the block that stays carries neither what is in force nor the update.
        lost = w.document(node.user.twin, contract, [{**w.zmount("disk1"), "version": 1}, w.volume("lost")], 1)
        await node.set_hash(contract, lost)
        await node.update(contract, w.zmount(), {**w.volume("more"), "version": 1}, version=1)
        await asyncio.sleep(2)  # the node reads the block
        node.chain.node.faults.stalled = True
        assert node.chain.reorganise(1) == 1
        await asyncio.sleep(40)  # and reads that it is gone
        node.chain.node.faults.stalled = False
        await node.becomes(contract, "more", "ok")


@pytest.mark.virtual
async def test_a_contract_that_ends_during_an_update_takes_everything_with_it() -> None:
    async with SimNode() as node:
        contract = await node.deploy(w.zmount())
        await node.becomes(contract, "disk1", "ok")
        # Update and end become final together.
        node.chain.node.faults.unfinal = True
        await node.update(contract, w.zmount(), {**w.volume("more"), "version": 1}, version=1)
        await node.cancel(contract)
        node.chain.node.faults.unfinal = False
        await node.becomes(contract, "disk1", "gone")


@pytest.mark.virtual
async def test_what_was_refused_with_one_document_is_made_by_the_next() -> None:
    async with SimNode() as node:
        user = node.user
        first = w.document(user.twin, 0, [w.zmount()])
        contract = await node.contract(first)
        # The contract moves on before its first document comes, which is refused therefore.
        await node.set_hash(contract, w.document(user.twin, contract, [w.volume()], 0))
        changed = node.chain.node.head.number
        await node.chain.until(lambda: node.chain.node.finalized >= changed)
        await node.provisiond.deploy(w.signed({**first, "contract_id": contract}, user.key, user.twin), user.twin)
        await node.becomes(contract, "disk1", "error")
        await node.update(contract, w.zmount(), {**w.volume(), "version": 1}, version=1)
        await node.becomes(contract, "disk1", "ok")


@pytest.mark.virtual
async def test_a_contract_that_ends_while_nobody_reads_the_chain_takes_everything_with_it() -> None:
    async with SimNode() as node:
        contract = await node.deploy(w.zmount())
        await node.becomes(contract, "disk1", "ok")
        await node.stop("chain")
        await node.cancel(contract)
        await asyncio.sleep(1300)  # the gap is so long that the events in it are not read any more
        await node.start("chain")
        await node.becomes(contract, "disk1", "gone", within=120)


@pytest.mark.virtual
async def test_a_document_whose_contract_is_over_already_is_refused_and_then_forgotten() -> None:
    async with SimNode() as node:
        user = node.user
        body = w.document(user.twin, 0, [w.zmount()])
        contract = await node.contract(body)
        await node.cancel(contract)
        cancelled = node.chain.node.head.number
        await node.chain.until(lambda: node.chain.node.finalized >= cancelled)
        await asyncio.sleep(1)  # the node has read the event, and does not know what it is about
        await node.provisiond.deploy(w.signed({**body, "contract_id": contract}, user.key, user.twin), user.twin)
        await node.becomes(contract, "disk1", "error")
        await node.becomes(contract, "disk1", "gone")


@pytest.mark.virtual
async def test_the_end_of_a_refused_deployment_leaves_the_network_to_another_that_has_its_name() -> None:
    async with SimNode() as node:
        contract = await refused(node)
        second = await node.deploy(w.network())
        await node.becomes(second, "net1", "ok")
        spaces = set(node.hosts.networkd.spaces)
        await node.cancel(contract)
        await node.becomes(contract, "net1", "gone")
        assert set(node.hosts.networkd.spaces) == spaces


@pytest.mark.virtual
async def test_a_chain_whose_state_is_empty_for_a_while_hides_no_end() -> None:
    async with SimNode() as node:
        contract = await node.deploy(w.zmount())
        await node.becomes(contract, "disk1", "ok")
        await node.cancel(contract)
        node.chain.node.faults.empty = True
        await asyncio.sleep(60)
        node.chain.node.faults.empty = False
        await node.becomes(contract, "disk1", "gone", within=120)


@pytest.mark.virtual
async def test_an_update_may_follow_on_one_that_is_not_final_yet() -> None:
    async with SimNode() as node:
        contract = await node.deploy(w.zmount(size=int(GiB(1))))
        await node.becomes(contract, "disk1", "ok")
        node.chain.node.faults.unfinal = True
        grown = {**w.zmount(size=int(GiB(2))), "version": 1}
        await node.update(contract, grown, {**w.volume("one"), "version": 1}, version=1)
        volumes = {**w.volume("one"), "version": 1}, {**w.volume("two"), "version": 2}
        with pytest.raises(BadUpdate, match="expecting deployment version 1, got 3"):
            await node.update(contract, grown, *volumes, version=3)
        await node.update(contract, grown, *volumes, version=2)
        await asyncio.sleep(30)
        node.chain.node.faults.unfinal = False
        for name in ("one", "two"):
            await node.becomes(contract, name, "ok")
        device = node.hosts.storaged.disks["/dev/sda"]
        await node.until(lambda: device.observed.disks[f"2-{contract}-disk1"].size == GiB(2))


@pytest.mark.virtual
async def test_a_twin_is_not_missing_from_a_chain_whose_state_is_empty() -> None:
    async with SimNode() as node:
        body = w.document(node.user.twin, 0, [w.zmount()])
        contract = await node.contract(body)
        node.chain.node.faults.empty = True
        document = w.signed({**body, "contract_id": contract}, node.user.key, node.user.twin)
        with pytest.raises(ChainDoubtful):
            await node.provisiond.deploy(document, node.user.twin)


@pytest.mark.virtual
async def test_a_tap_goes_soon_although_networkd_dies_between_its_record_and_its_link() -> None:
    async with SimNode() as node:
        contract = await node.deploy(w.network(), w.zmachine())
        await node.becomes(contract, "vm1", "ok")
        links, records = node.hosts.networkd.root.links, node.folder / "state/networkd/taps"
        (tap,) = (name for name in links if name.startswith("t-"))

        def kill_once(_: contextvars.Context) -> None:
            if not list(records.glob("*.json")):
                node.loop.watcher = None
                node.kill("networkd")

        await node.cancel(contract)
        node.loop.watcher = kill_once
        await node.until(lambda: node.units["networkd"].deaths)
        assert tap in links
        await node.until(lambda: tap not in links and not node.hosts.networkd.spaces, within=60)


@pytest.mark.virtual
async def test_what_cannot_be_made_holds_nothing_whoever_is_killed_meanwhile() -> None:
    async with SimNode() as node:
        pools = node.client(StoragedClient)

        async def promised() -> dict[str, int]:
            """Without what empty tombstones take."""
            return {pool.name: pool.promised - pool.kept for pool in await pools.list_pools()}

        before = await promised()
        killed = ("provisiond", "storaged", "provisiond", "vmd", "provisiond", "networkd", "provisiond", "flistd")
        made = []
        for number, daemon in enumerate(killed):
            ip = f"10.{30 + number}.2.5"
            machine = w.zmachine(net=f"net{number}", ip=ip, size=int(GiB(8)), memory=int(GiB(8)), flist=NO_FLIST)
            made.append(await node.deploy(w.network(f"net{number}", 30 + number), machine))
            node.loop.after_steps(400 + 150 * number, functools.partial(node.kill, daemon))
            assert "there is no flist" in (await node.becomes(made[-1], "vm1", "error"))["message"]
        device = node.hosts.storaged.disks["/dev/sda"]
        await node.until(lambda: not device.observed.volumes.keys() - {"zos-cache"}, within=120)
        assert await promised() == before
        assert not node.hosts.flistd.mounts
        told = [node.chain.get("SmartContractModule.NodeContractResources", one)["used"] for one in made]
        assert not any(any(one.values()) for one in told)
