"""Provisiond as a daemon on a fake node: what becomes of a deployment that is let in, and who sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from zos.provisiond.api import NameTaken, NoSuchDeployment
from zos.provisiond.api.errors import NotVerified
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, state, update
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import ChainUnreachable

pytestmark = pytest.mark.virtual


async def test_a_signed_contract_becomes_a_machine(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "vm1", "ok")
    assert result["data"] == {
        "id": "26-5-vm1",
        "ip": "10.20.2.5",
        "planetary_ip": "",
        "mycelium_ip": "",
        "console_url": "",
    }
    machine = host.vmd.machines["26-5-vm1"]
    assert machine.disks[0].path.name == "26-5-disk1"
    assert machine.disks[0].target == "/data"
    assert machine.nics[0].addresses == ("10.20.2.5/24", "fd62:6131:747a:2::5/64")
    assert machine.env == {"PATH": "/bin", "SSH_KEY": "ssh-ed25519 AAAA"}
    assert machine.ssh_keys == ("ssh-ed25519 AAAA",)


async def test_workloads_come_back_in_the_users_order_and_log_init_then_one_final_entry(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, VM[2], VM[1], VM[0]) as client:
        assert [one["name"] for one in (await client.get(5))["workloads"]] == ["vm1", "disk1", "net1"]
        log = [(one["name"], one["result"]["state"]) for one in await client.changes(5)]
    assert log[:3] == [("vm1", "init"), ("disk1", "init"), ("net1", "init")]
    assert sorted(log[3:]) == [("disk1", "ok"), ("net1", "ok"), ("vm1", "ok")]


async def test_a_forged_result_is_erased(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body)
    host.storaged.trouble = ChainUnreachable(url="x", problem="y")
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        (one,) = (await client.get(5))["workloads"]
    assert one["result"]["state"] == "init"
    assert one["result"]["data"] is None


async def test_a_networks_name_is_the_twins_on_this_node(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.network()) as client:
        with pytest.raises(NameTaken):
            await client.deploy(u.signed(u.document(6, u.network())), u.TWIN)


async def test_a_full_pool_is_an_error_of_that_workload_and_others_live(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("big", 1000 * u.GiB), u.zmount("small", u.MiB))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "big", "error")
        await becomes(client, 5, "small", "ok")
    assert "no ssd pool has" in result["message"]


async def test_memory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    host = FakeHost()
    host.total = 3 * u.GiB
    body = u.document(5, u.network(), u.zmachine(compute_capacity={"cpu": 1, "memory": 2 * u.GiB}))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "vm1", "error")
    assert result["message"].startswith("failed to satisfy required capacity: cannot fulfil required memory size")


async def test_a_sibling_that_is_down_is_waited_for(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    host.storaged.trouble = ChainUnreachable(url="storaged", problem="restarting")
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        assert await state(client, 5, "vm1") == "init"
        host.storaged.trouble = None
        await becomes(client, 5, "vm1", "ok")


async def test_an_image_flist_fills_its_first_disk_and_boots_from_it(tmp_path: Path) -> None:
    vm = u.zmachine(mounts=[("disk1", "/ignored")], flist="http://hub/image.fl")
    host = FakeHost()
    async with deployed(tmp_path, host, u.network(), u.zmount(), vm):
        pass
    (fill,) = [request for method, request in host.storaged.agreed if method == "FillDisk"]
    assert (fill.id, fill.source, len(fill.image)) == ("26-5-disk1", "/image.raw", 64)
    machine = host.vmd.machines["26-5-vm1"]
    assert (machine.kind, machine.root, machine.disks[0].target) == ("image", None, "")


async def test_only_the_owner_sees_a_deployment(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        assert len(await client.list(u.TWIN)) == 1
        assert await client.list(27) == []
        with pytest.raises(NoSuchDeployment):
            await client.get(5, 27)


async def test_a_stranger_deploys_nothing_and_what_he_has_runs_on(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM) as client:
        host.kyc.unverified.add(u.TWIN)
        with pytest.raises(NotVerified):
            await client.deploy(u.signed(u.document(6, *VM)), u.TWIN)
        assert await state(client, 5, "vm1") == "ok"


def the_machine(name: str, contract: int) -> dict[str, Any]:
    body = {"public_ip": "", "planetary": False, "interfaces": [{"network": name, "ip": "10.20.2.5"}]}
    return u.document(contract, u.zmachine(network=body))


async def test_a_machine_waits_for_a_network_that_is_on_its_way(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine())
    u.contract(host, 5, body)
    host.networkd.trouble = ChainUnreachable(url="networkd", problem="restarting")
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        async with asyncio.timeout(5):
            while "waiting for net1" not in (await client.why(5, "vm1")).sentence:
                await asyncio.sleep(0.01)
        assert "EnsureTap" not in host.networkd.calls
        host.networkd.trouble = None
        await becomes(client, 5, "vm1", "ok")


async def test_a_machine_waits_for_a_network_of_another_deployment(tmp_path: Path) -> None:
    host, net, machine = FakeHost(), u.document(7, u.network()), the_machine("net1", 6)
    u.contract(host, 6, machine)
    async with node(tmp_path, host, every=60.0) as client:
        await client.deploy(u.signed(net), u.TWIN)
        await client.deploy(u.signed(machine), u.TWIN)
        async with asyncio.timeout(5):
            while "waiting for net1" not in (await client.why(6, "vm1")).sentence:
                await asyncio.sleep(0.01)
        u.contract(host, 7, net)
        await becomes(client, 7, "net1", "ok")
        await becomes(client, 6, "vm1", "ok")


async def test_a_machine_whose_network_never_comes_is_refused_by_name(tmp_path: Path) -> None:
    host, machine = FakeHost(), the_machine("nowhere", 5)
    u.contract(host, 5, machine)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(machine), u.TWIN)
        result = await becomes(client, 5, "vm1", "error")
    assert result["message"] == "it needs `nowhere`, which is missing"
    assert not host.networkd.calls


async def test_an_address_that_a_leaving_machine_still_has_is_waited_for(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.network(), u.zmachine("old")) as client:
        host.vmd.trouble = ChainUnreachable(url="vmd", problem="restarting")
        new = u.document(5, u.network(), {**u.zmachine("new"), "version": 1}, version=1)
        await update(client, host, new)
        async with asyncio.timeout(5):
            while (await client.get(5))["version"] != 1:
                await asyncio.sleep(0.01)
            while "is taken by" not in (await client.why(5, "new")).sentence:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "new") == "init"
        host.vmd.trouble = None
        await becomes(client, 5, "new", "ok")


def large_machine(contract: int) -> dict[str, Any]:
    name, capacity = f"net{contract}", {"cpu": 1, "memory": 3 * u.GiB}
    place = {"public_ip": "", "planetary": False, "interfaces": [{"network": name, "ip": "10.20.2.5"}]}
    net = u.network(name, wireguard_listen_port=3000 + contract)
    return u.document(contract, net, u.zmachine(compute_capacity=capacity, network=place))


async def test_machines_that_are_made_at_once_get_no_more_memory_than_there_is(tmp_path: Path) -> None:
    host = FakeHost()
    host.total = 10 * u.GiB
    host.vmd.gate = asyncio.Event()
    bodies = {contract: large_machine(contract) for contract in range(5, 8)}
    for contract, body in bodies.items():
        u.contract(host, contract, body)
    async with node(tmp_path, host) as client:
        for body in bodies.values():
            await client.deploy(u.signed(body), u.TWIN)
        async with asyncio.timeout(5):
            while "error" not in [await state(client, contract, "vm1") for contract in bodies]:
                await asyncio.sleep(0.01)
        host.vmd.gate.set()
        async with asyncio.timeout(5):
            while "init" in (states := [await state(client, contract, "vm1") for contract in bodies]):
                await asyncio.sleep(0.01)
    assert sorted(states) == ["error", "ok", "ok"]
