"""Provisiond as a daemon on a fake node: what is let in, what is made of it, what survives."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from zos.chain.api import Block, ContractState, EventKind, Twin
from zos.chain.api.types import ContractEvent
from zos.errors import ZosError
from zos.model import mycelium as overlay
from zos.model.decode import Malformed
from zos.model.evidence import EvidenceKind
from zos.model.signing import BadSignature
from zos.provisiond.admission import MOST_BYTES, MOST_SIGNERS, MOST_WAITING, MOST_WORKLOADS
from zos.provisiond.api import (
    BadUpdate,
    DeploymentExists,
    NameTaken,
    NoSuchDeployment,
    ProvisiondClient,
    TwinMismatch,
)
from zos.provisiond.api.errors import NotVerified, TooManyWaiting
from zos.provisiond.tests import users as u
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import ChainUnreachable, KeyKind, LocalKey

pytestmark = pytest.mark.virtual


async def state(client: ProvisiondClient, contract: int, name: str) -> str:
    found = await client.get(contract)
    return next((one["result"]["state"] for one in found["workloads"] if one["name"] == name), "gone")


async def becomes(client: ProvisiondClient, contract: int, name: str, wanted: str) -> dict[str, Any]:
    """Wait until a workload is in a state."""
    async with asyncio.timeout(10):
        async for progress in client.watch(contract):
            if progress.workload == name and progress.state == wanted:
                break
    found = await client.get(contract)
    return dict(next(one for one in found["workloads"] if one["name"] == name)["result"])


async def removed(client: ProvisiondClient, contract: int) -> None:
    """Wait until a deployment is gone altogether."""
    async with asyncio.timeout(10):
        while any(one["contract_id"] == contract for one in await client.list()):
            await asyncio.sleep(0.01)


VM = (u.network(), u.zmount(), u.zmachine(mounts=[("disk1", "/data")]))


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


PLANETARY = u.zmachine(
    network={"public_ip": "", "planetary": True, "interfaces": [{"network": "net1", "ip": "10.20.2.5"}]}
)


async def test_a_planetary_machine_has_a_second_interface_and_tells_its_address(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(1234, u.network(), PLANETARY)
    u.contract(host, 1234, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 1234, "vm1", "ok")
        # The grid's own vectors: tap, hardware address and interface part of `ygg` of workload 26-1234-vm1.
        address = result["data"]["planetary_ip"]
        subnet = address.removesuffix(":9434:8c5a:8a20:97d0")
        assert subnet.startswith("3")
        assert subnet != address
        private, planetary = host.vmd.machines["26-1234-vm1"].nics
        assert private.gateway == "10.20.2.1"
        assert (planetary.tap, planetary.mac) == ("t-AA9j9eBFDtpjD", "22:5b:7a:01:cd:70")
        assert planetary.addresses == (f"{address}/64",)
        assert [(one.dest, one.via) for one in planetary.routes] == [("200::/7", f"{subnet}::1")]
        assert (planetary.gateway, planetary.gateway6) == ("", "")
        u.cancel(host, 1234)
        await removed(client, 1234)
    assert not host.networkd.taps


async def test_a_node_without_the_planetary_network_refuses_by_name_and_makes_nothing(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), PLANETARY)
    host.below.networkd.lacks = "the program yggdrasil is not installed"
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "vm1", "error")
        words = "this node offers no planetary network: the program yggdrasil is not installed"
        assert result["message"] == words
        assert (await client.why(5, "vm1")).sentence == f"vm1 failed: {words}"
    assert not host.networkd.taps
    assert not host.storaged.calls


KEY = "3d8e3b1c5f0a4e7d9c2b6a5f8e1d4c7b0a9f8e7d6c5b4a392817065f4e3d2c1b"
OVERLAY = (
    u.network(mycelium={"hex_key": KEY, "peers": []}),
    u.zmachine(
        network={
            "public_ip": "",
            "planetary": False,
            "interfaces": [{"network": "net1", "ip": "10.20.2.5"}],
            "mycelium": {"Network": "net1", "hex_seed": "0a0b0c0d0e0f"},
        }
    ),
)


async def test_a_machine_in_the_overlay_lives_in_its_networks_subnet_and_tells_its_address(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(1234, *OVERLAY)
    u.contract(host, 1234, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 1234, "vm1", "ok")
        net = overlay.subnet(overlay.public_key(bytes.fromhex(KEY)))
        address = str(overlay.machine(net, bytes.fromhex("0a0b0c0d0e0f")))
        assert result["data"]["mycelium_ip"] == address
        _, nic = host.vmd.machines["26-1234-vm1"].nics
        # The grid's own vectors: tap and hardware address of `mycelium` of workload 26-1234-vm1.
        assert (nic.tap, nic.mac) == ("t-FMM8nnDHtrTXn", "d2:e0:f7:d6:32:8d")
        assert nic.addresses == (f"{address}/64",)
        assert [(one.dest, one.via) for one in nic.routes] == [("400::/7", str(overlay.gateway(net)))]
        (identity,) = host.mycelium.identities.values()
        assert identity.key.hex() == KEY
        u.cancel(host, 1234)
        await removed(client, 1234)
    assert not host.networkd.taps
    assert not host.mycelium.identities


async def test_a_node_without_the_overlay_refuses_the_machine_by_name_and_keeps_the_network(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *OVERLAY[:2])
    host.below.mycelium.lacks = "the farmer turned it off"
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        assert (await becomes(client, 5, "net1", "ok"))["state"] == "ok"
        result = await becomes(client, 5, "vm1", "error")
        assert result["message"] == "no mycelium address can be had here: the farmer turned it off"
    assert not host.networkd.taps
    assert not host.storaged.calls


async def test_workloads_come_back_in_the_users_order_and_log_init_then_one_final_entry(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, VM[2], VM[1], VM[0])
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
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


async def refused(
    tmp_path: Path, body: dict[str, Any], document: bytes | None = None, sender: int = u.TWIN
) -> ZosError:
    host = FakeHost()
    u.contract(host, 5, u.document(5, u.zmount()))
    async with node(tmp_path, host) as client:
        with pytest.raises(ZosError) as caught:
            await client.deploy(document or u.signed(body), sender)
        with pytest.raises(NoSuchDeployment):
            await client.get(5)
    assert not host.storaged.calls
    return caught.value


async def test_a_deployment_in_another_twins_name_is_refused(tmp_path: Path) -> None:
    assert isinstance(await refused(tmp_path, u.document(5, u.zmount()), sender=27), TwinMismatch)


async def test_an_unknown_type_is_refused_with_its_path(tmp_path: Path) -> None:
    body = u.document(5, u.zmount(), u.workload("x", "zteapot", {}))
    document = json.dumps(body).encode()
    err = await refused(tmp_path, body, document)
    assert isinstance(err, Malformed)
    assert "workloads[1].type" in str(err)


@pytest.mark.parametrize(
    ("workload", "path"),
    [
        (u.workload("d", "zmount", {"size": -1}), "workloads[0].data.size"),
        (u.workload("d", "zmount", {"size": 2**64}), "workloads[0].data.size"),
        (u.workload("d", "zmount", {"size": 1.5}), "workloads[0].data.size"),
        (u.workload("d", "zmount", {"size": 0}), "workloads[0].data.size"),
        (u.workload("a b", "zmount", {"size": 1}), "workloads[0].name"),
        (u.workload("ygg", "zmount", {"size": 1}), "workloads[0].name"),
        (u.zmachine(compute_capacity={"cpu": 256, "memory": u.GiB}), "workloads[0].data.compute_capacity.cpu"),
        (u.zmachine(compute_capacity={"cpu": 1, "memory": 1}), "workloads[0].data.compute_capacity.memory"),
        (u.zmachine(mounts=[("nodisk", "/data")]), "workloads[0].data.mounts[0].name"),
        (u.zmachine(network={"interfaces": []}), "workloads[0].data.network.interfaces"),
        (u.network(ip_range=""), "workloads[0].data.ip_range"),
        (u.network(subnet="10.20.2.0"), "workloads[0].data.subnet"),
    ],
)
async def test_bad_input_names_its_path(tmp_path: Path, workload: dict[str, Any], path: str) -> None:
    body = u.document(5, workload)
    assert path in str(await refused(tmp_path, body, json.dumps(body).encode()))


async def test_twice_the_same_name_is_refused(tmp_path: Path) -> None:
    err = await refused(tmp_path, u.document(5, u.zmount(), u.zmount()))
    assert "multiple workloads with the same name 'disk1'" in str(err)


async def test_a_deployment_of_too_many_workloads_is_refused(tmp_path: Path) -> None:
    body = u.document(5, *(u.zmount(f"d{number}") for number in range(MOST_WORKLOADS + 1)))
    assert "workloads: a deployment has at most 500" in str(await refused(tmp_path, body))


async def test_a_deployment_of_too_many_signers_is_refused_before_any_of_them_is_looked_up(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    document = json.loads(u.signed(body))
    document["signature_requirement"]["requests"] = [
        {"twin_id": twin, "required": False, "weight": 1} for twin in range(100, 100 + MOST_SIGNERS + 1)
    ]
    text = str(await refused(tmp_path, body, json.dumps(document).encode()))
    assert "signature_requirement: a deployment has at most 64 signers" in text


async def test_a_signature_of_somebody_else_is_refused(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    err = await refused(tmp_path, body, u.signed(body, LocalKey.of_text("//Mallory", KeyKind.SR25519)))
    assert isinstance(err, BadSignature)


async def test_a_missing_signature_is_refused_and_one_sent_twice_is_taken(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    assert "missing required signature" in str(await refused(tmp_path, body, json.dumps(body).encode()))
    twice = json.loads(u.signed(body))
    twice["signature_requirement"]["signatures"] *= 2
    host = FakeHost()
    u.contract(host, 5, body)
    async with node(tmp_path / "2", host) as client:
        await client.deploy(json.dumps(twice).encode(), u.TWIN)
        await becomes(client, 5, "disk1", "ok")


async def test_weights_that_are_not_reached_are_refused(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    body["signature_requirement"]["weight_required"] = 2
    assert "weight is not reached: 1 of 2" in str(await refused(tmp_path, body))


async def error_of(tmp_path: Path, **changes: Any) -> str:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body, **changes)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "disk1", "error")
        sentence = (await client.why(5)).sentence
    assert not host.storaged.calls
    assert result["message"] in sentence
    return str(result["message"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"deployment_hash": "0" * 32}, "contract hash does not match deployment hash"),
        ({"node": 2}, "invalid node address in contract"),
        ({"twin": 27}, "contract 5 belongs to twin 27"),
        ({"state": ContractState.DELETED_CANCELED}, "contract 5 is deleted canceled"),
    ],
)
async def test_a_contract_that_does_not_carry_the_deployment_is_an_error_on_each_workload(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    assert text in await error_of(tmp_path, **changes)


async def test_a_contract_that_is_over_already_is_an_error(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 9, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "disk1", "error")
    assert "contract 5 is not on the chain" in result["message"]
    assert not host.storaged.calls


async def test_a_contract_that_is_not_finalized_yet_is_waited_for(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 4, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        assert await state(client, 5, "disk1") == "init"
        u.contract(host, 5, body)
        await becomes(client, 5, "disk1", "ok")


async def test_an_unreachable_chain_is_waited_for_and_makes_no_error(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        host.chain.trouble = ChainUnreachable(url="ws://x", problem="nobody there")
        host.chain.emit(ContractEvent(EventKind.CANCELED, 5, host.chain.block))
        second = u.document(6, u.zmount("disk2"))
        with pytest.raises(ChainUnreachable):
            await client.deploy(u.signed(second), u.TWIN)
        assert await state(client, 5, "disk1") == "ok"
        assert "26-5-disk1" in host.storaged.disks
        host.chain.contracts.pop(5)
        host.chain.trouble = None
        await removed(client, 5)


async def test_a_restart_without_chain_and_hub_keeps_everything(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
    host.chain.trouble = ChainUnreachable(url="ws://x", problem="nobody there")
    host.vmd.machines.clear()
    async with node(tmp_path, host) as client:
        async with asyncio.timeout(5):
            while not host.vmd.machines:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "vm1") == "ok"
    assert not host.storaged.dropped


async def test_an_empty_list_of_contracts_ends_nothing(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body)
    async with node(tmp_path, host, audit=0.05) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        host.chain.silent = True
        rounds = host.chain.calls.count("node_contracts")
        async with asyncio.timeout(5):
            while host.chain.calls.count("node_contracts") < rounds + 3:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "disk1") == "ok"
    assert not host.storaged.dropped


async def test_a_cancelled_contract_is_taken_away_with_evidence(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
        u.cancel(host, 5)
        await removed(client, 5)
        with pytest.raises(NoSuchDeployment):
            await client.get(5)
    left = [host.vmd.machines, host.networkd.taps, host.networkd.networks, host.flistd.mounts]
    assert not any(left)
    assert {id for id, _ in host.storaged.dropped} == {"26-5-disk1", "rootfs-26-5-vm1"}
    evidence = host.storaged.dropped[0][1]
    assert (evidence.kind, evidence.contract, evidence.block) == (EvidenceKind.CONTRACT_CANCELLED, 5, 11)


async def test_grace_pauses_and_payment_resumes(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    made = u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
        host.chain.contracts[5] = dataclasses.replace(made, state=ContractState.GRACE, grace_block=9)
        u.happened(host, EventKind.GRACE_STARTED, 5)
        result = await becomes(client, 5, "vm1", "paused")
        assert result["message"] == "paused"
        assert host.vmd.machines["26-5-vm1"].paused
        host.chain.contracts[5] = made
        u.happened(host, EventKind.GRACE_ENDED, 5)
        await becomes(client, 5, "vm1", "ok")
    assert not host.vmd.machines["26-5-vm1"].paused


async def test_an_update_adds_removes_and_grows(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"), u.zmount("b"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "b", "ok")
        grown = {**u.zmount("a", 2 * u.GiB), "version": 1}
        added = {**u.volume("c"), "version": 1}
        new = u.document(5, grown, added, version=1)
        u.contract(host, 5, new)
        await client.update(u.signed(new), u.TWIN)
        await becomes(client, 5, "c", "ok")
        assert await state(client, 5, "b") == "gone"
        log = [(one["name"], one["version"], one["result"]["state"]) for one in await client.changes(5)]
    assert host.storaged.disks["26-5-a"].size == 2 * u.GiB
    assert [evidence.kind for _, evidence in host.storaged.dropped] == [EvidenceKind.SIGNED_UPDATE]
    assert log.count(("a", 1, "ok")) == 1
    assert ("b", 0, "deleted") in log


async def test_a_shrunk_disk_is_unchanged_and_goes_on_as_it_was(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a", 2 * u.GiB))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "a", "ok")
        new = u.document(5, {**u.zmount("a", u.GiB), "version": 1}, version=1)
        u.contract(host, 5, new)
        await client.update(u.signed(new), u.TWIN)
        async with asyncio.timeout(5):
            while (await client.changes(5))[-1]["result"]["state"] != "unchanged":
                await asyncio.sleep(0.01)
        last = (await client.changes(5))[-1]
        (now,) = (await client.get(5))["workloads"]
    assert last["result"]["message"] == "not safe to shrink a disk"
    assert (now["version"], now["data"]["size"], now["result"]["state"]) == (0, 2 * u.GiB, "ok")
    assert host.storaged.disks["26-5-a"].size == 2 * u.GiB


async def test_an_update_whose_hash_the_contract_does_not_have_leaves_what_runs(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "a", "ok")
        await client.update(u.signed(u.document(5, {**u.zmount("a", 9 * u.GiB), "version": 1}, version=1)), u.TWIN)
        async with asyncio.timeout(60):
            while (await client.changes(5))[-1]["result"]["state"] != "unchanged":
                await asyncio.sleep(0.01)
        assert await state(client, 5, "a") == "ok"
    assert host.storaged.disks["26-5-a"].size == u.GiB


async def test_updates_that_do_not_follow_are_refused(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
        with pytest.raises(DeploymentExists):
            await client.deploy(u.signed(body), u.TWIN)
        with pytest.raises(BadUpdate, match="expecting deployment version 1, got 2"):
            await client.update(u.signed(u.document(5, *VM, version=2)), u.TWIN)
        larger = u.zmachine(mounts=[("disk1", "/data")], entrypoint="/sbin/other")
        changed = u.document(5, VM[0], VM[1], {**larger, "version": 1}, version=1)
        with pytest.raises(BadUpdate, match="does not support upgrade"):
            await client.update(u.signed(changed), u.TWIN)


async def test_a_version_that_was_refused_may_be_sent_again_and_its_old_verdict_is_not_told(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "a", "ok")
        new = u.document(5, {**u.zmount("a", 2 * u.GiB), "version": 1}, version=1)
        await client.update(u.signed(new), u.TWIN)
        async with asyncio.timeout(60):
            while (await client.changes(5))[-1]["result"]["state"] != "unchanged":
                await asyncio.sleep(0.01)
        u.contract(host, 5, new)
        await client.update(u.signed(new), u.TWIN)
        assert "unchanged" not in [one["result"]["state"] for one in await client.changes(5)]
        async with asyncio.timeout(5):
            while (await client.changes(5))[-1]["version"] != 1 or await state(client, 5, "a") != "ok":
                await asyncio.sleep(0.01)
        log = [(one["version"], one["result"]["state"]) for one in await client.changes(5)]
    assert log == [(0, "init"), (0, "ok"), (1, "init"), (1, "ok")]


async def test_the_newer_of_two_documents_of_a_version_is_the_one_that_counts(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "a", "ok")
        wrong = u.document(5, {**u.zmount("a", 3 * u.GiB), "version": 1}, version=1)
        right = u.document(5, {**u.zmount("a", 2 * u.GiB), "version": 1}, version=1)
        u.contract(host, 5, right)
        host.chain.gate = asyncio.Event()
        await client.update(u.signed(wrong), u.TWIN)
        async with asyncio.timeout(5):
            await host.chain.waiting.wait()
        await client.update(u.signed(right), u.TWIN)
        host.chain.gate.set()
        async with asyncio.timeout(5):
            while (await client.changes(5))[-1]["version"] != 1 or await state(client, 5, "a") != "ok":
                await asyncio.sleep(0.01)
        assert "unchanged" not in [one["result"]["state"] for one in await client.changes(5)]
    assert host.storaged.disks["26-5-a"].size == 2 * u.GiB


MALLORY = LocalKey.of_text("//Mallory", KeyKind.SR25519)


def squat(host: FakeHost, contract: int, **extra: Any) -> bytes:
    """Another twin's document for a contract that is not his."""
    host.chain.twins[27] = Twin(27, MALLORY.public)
    requirement = {"requests": [{"twin_id": 27, "required": True, "weight": 1}], "weight_required": 1}
    body = u.document(contract, u.zmount("mine"), **extra) | {"twin_id": 27, "signature_requirement": requirement}
    return u.signed(body, MALLORY, 27)


async def test_nobody_keeps_a_contract_from_its_owner_by_being_first(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    async with node(tmp_path, host) as client:
        await client.deploy(squat(host, 5), 27)
        u.contract(host, 5, body)
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        with pytest.raises(NoSuchDeployment):
            await client.get(5, 27)
        with pytest.raises(DeploymentExists):
            await client.deploy(squat(host, 5), 27)
        assert await state(client, 5, "disk1") == "ok"


async def test_nobody_keeps_a_contract_from_the_document_that_it_names(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, u.zmount())
    host.documents["http://hub/x"] = u.signed(body)
    async with node(tmp_path, host) as client:
        await client.deploy(squat(host, 7), 27)
        u.contract(host, 7, body, deployment_data=b'{"pull": {"url": "http://hub/x"}}')
        u.happened(host, EventKind.CREATED, 7)
        await becomes(client, 7, "disk1", "ok")
        assert [one["twin_id"] for one in await client.list()] == [u.TWIN]


async def test_documents_that_no_contract_carries_are_bounded(tmp_path: Path) -> None:
    host = FakeHost()
    async with node(tmp_path, host, every=60.0) as client:
        for contract in range(1, MOST_WAITING + 1):
            await client.deploy(squat(host, contract), 27)
        with pytest.raises(TooManyWaiting, match="twin 27 has 100 deployments here that no contract carries"):
            await client.deploy(squat(host, 1000), 27)
        body = u.document(2000, u.zmount())
        u.contract(host, 2000, body)
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 2000, "disk1", "ok")


async def test_a_networks_name_is_the_twins_on_this_node(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network())
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
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
    host, body = FakeHost(), u.document(5, u.network(), u.zmount(), vm)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
    (fill,) = [request for method, request in host.storaged.agreed if method == "FillDisk"]
    assert (fill.id, fill.source, len(fill.image)) == ("26-5-disk1", "/image.raw", 64)
    machine = host.vmd.machines["26-5-vm1"]
    assert (machine.kind, machine.root, machine.disks[0].target) == ("image", None, "")


async def test_a_contract_that_names_its_document_is_fetched_by_the_node(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, *VM)
    url = "http://hub/deployments/x"
    data = json.dumps({"version": 3, "pull": {"url": url}}).encode()
    u.contract(host, 7, body, deployment_data=data)
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        async with asyncio.timeout(5):
            while host.chain.calls.count("contract") < 2:
                await asyncio.sleep(0.01)
        host.documents[url] = u.signed(body)
        await becomes(client, 7, "vm1", "ok")
        story = (await client.why(7, "vm1")).history
    words = [link.what for link in story]
    assert words.index("chain") < words.index("fetch") < words.index("admission")
    assert words[-1] == "console"


async def test_a_contract_may_name_its_owners_vault(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, *VM)
    u.contract(host, 7, body, deployment_data=b'{"version":3,"pull":{"rmb":"vault"}}')
    host.documents[host.chain.contracts[7].deployment_hash] = u.signed(body)
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        await becomes(client, 7, "vm1", "ok")
        links = (await client.why(7, "vm1")).history
    assert "the deployment was fetched from its owner's vault" in [link.detail for link in links]


async def test_a_pulled_document_that_is_not_the_contracts_is_told_and_makes_nothing(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, u.zmount())
    data = b'{"pull": {"url": "http://hub/x"}}'
    u.contract(host, 7, body, deployment_data=data)
    host.documents["http://hub/x"] = u.signed(u.document(0, u.zmount("other")))
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        async with asyncio.timeout(5):
            while True:
                try:
                    sentence = (await client.why(7)).sentence
                    break
                except NoSuchDeployment:
                    await asyncio.sleep(0.01)
    assert "contract hash does not match deployment hash" in sentence
    assert not host.storaged.calls


async def test_what_a_contract_uses_is_reported(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
        async with asyncio.timeout(5):
            while not host.chain.reported or host.chain.reported[-1].cru != 1:
                await asyncio.sleep(0.01)
        usage = await client.usage()
    last = host.chain.reported[-1]
    assert (last.contract, last.mru, last.sru) == (5, 512 * u.MiB, u.GiB + 500 * u.MiB)
    assert (usage.deployments, usage.workloads, usage.cru) == (1, 3, 1)


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
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
        host.kyc.unverified.add(u.TWIN)
        with pytest.raises(NotVerified):
            await client.deploy(u.signed(u.document(6, *VM)), u.TWIN)
        assert await state(client, 5, "vm1") == "ok"


def the_machine(name: str, contract: int) -> dict[str, Any]:
    body = {"public_ip": "", "planetary": False, "interfaces": [{"network": name, "ip": "10.20.2.5"}]}
    return u.document(contract, u.zmachine(network=body))


async def test_a_plain_network_needs_nothing_of_mycelium(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network())
    host.mycelium.trouble = ChainUnreachable(url="mycelium", problem="is off")
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        u.cancel(host, 5)
        await removed(client, 5)
    assert not host.mycelium.calls


async def test_a_network_that_loses_its_mycelium_key_is_dropped_there_once(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, OVERLAY[0])
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        plain = u.document(5, {**u.network(), "version": 1}, version=1)
        u.contract(host, 5, plain)
        await client.update(u.signed(plain), u.TWIN)
        async with asyncio.timeout(5):
            while (await client.changes(5))[-1]["version"] != 1 or await state(client, 5, "net1") != "ok":
                await asyncio.sleep(0.01)
        assert not host.mycelium.identities
        rounds = host.networkd.calls.count("EnsureNetwork")
        async with asyncio.timeout(5):
            while host.networkd.calls.count("EnsureNetwork") < rounds + 2:
                await asyncio.sleep(0.01)
    assert host.mycelium.calls.count("DropIdentity") == 1


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
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine("old"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "old", "ok")
        host.vmd.trouble = ChainUnreachable(url="vmd", problem="restarting")
        new = u.document(5, u.network(), {**u.zmachine("new"), "version": 1}, version=1)
        u.contract(host, 5, new)
        await client.update(u.signed(new), u.TWIN)
        async with asyncio.timeout(5):
            while (await client.get(5))["version"] != 1:
                await asyncio.sleep(0.01)
            while "is taken by" not in (await client.why(5, "new")).sentence:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "new") == "init"
        host.vmd.trouble = None
        await becomes(client, 5, "new", "ok")


async def test_what_becomes_ok_while_a_report_is_under_way_is_reported_after_it(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine())
    u.contract(host, 5, body)
    host.chain.report_gate = asyncio.Event()
    host.vmd.trouble = ChainUnreachable(url="vmd", problem="restarting")
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        async with asyncio.timeout(5):
            while "report_resources" not in host.chain.calls:
                await asyncio.sleep(0.01)
        host.vmd.trouble = None
        await becomes(client, 5, "vm1", "ok")
        host.chain.report_gate.set()
        async with asyncio.timeout(5):
            while not host.chain.reported or host.chain.reported[-1].cru != 1:
                await asyncio.sleep(0.01)


async def test_a_document_that_cannot_be_fetched_keeps_nothing_from_its_pause_and_end(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, *VM)
    url = "http://hub/x"
    data = json.dumps({"pull": {"url": url}}).encode()
    host.documents[url] = u.signed(body)
    u.contract(host, 7, body, deployment_data=data)
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        await becomes(client, 7, "vm1", "ok")
        del host.documents[url]
        host.chain.block = Block(12, "0x" + "0c" * 32)
        other = u.contract(host, 7, u.document(0, u.network()), deployment_data=data)
        u.happened(host, EventKind.UPDATED, 7)
        host.chain.contracts[7] = dataclasses.replace(other, state=ContractState.GRACE)
        u.happened(host, EventKind.GRACE_STARTED, 7)
        await becomes(client, 7, "vm1", "paused")
        u.cancel(host, 7)
        await removed(client, 7)
    assert not host.vmd.machines


async def test_a_name_that_is_removed_and_comes_again_is_a_new_disk(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"), u.zmount("b"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "a", "ok")
        host.storaged.trouble = ChainUnreachable(url="storaged", problem="restarting")
        for version, workloads in ((1, [u.zmount("b")]), (2, [u.zmount("b"), {**u.zmount("a"), "version": 2}])):
            new = u.document(5, *workloads, version=version)
            u.contract(host, 5, new)
            await client.update(u.signed(new), u.TWIN)
            async with asyncio.timeout(5):
                while (await client.get(5))["version"] != version:
                    await asyncio.sleep(0.01)
        assert await state(client, 5, "a") == "init"
        host.storaged.trouble = None
        await becomes(client, 5, "a", "ok")
        log = [(one["version"], one["result"]["state"]) for one in await client.changes(5) if one["name"] == "a"]
    assert [id for id, _ in host.storaged.dropped] == ["26-5-a"]
    assert log == [(0, "init"), (0, "ok"), (2, "init"), (0, "deleted"), (2, "ok")]


async def test_a_document_is_bounded_in_bytes(tmp_path: Path) -> None:
    body = u.document(5, u.zmount(), metadata="x" * MOST_BYTES)
    assert "at most 1048576 are taken" in str(await refused(tmp_path, body))


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


async def test_an_update_is_waited_for_while_our_endpoint_may_lag_behind_the_clients(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "a", "ok")
        new = u.document(5, {**u.zmount("a", 2 * u.GiB), "version": 1}, version=1)
        await client.update(u.signed(new), u.TWIN)
        await asyncio.sleep(15)
        assert "the chain does not show a change of contract 5 yet" in (await client.why(5)).sentence
        u.contract(host, 5, new)
        async with asyncio.timeout(60):
            while (await client.get(5))["version"] != 1:
                await asyncio.sleep(0.01)
        assert "unchanged" not in [one["result"]["state"] for one in await client.changes(5)]
