"""What a user is told of changes that were refused, of waits, and of what the chain says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from zos.chain.api import ContractEvent, EventKind
from zos.chain.api.types import ContractState
from zos.errors import ZosError
from zos.flistd.api import FlistUnreachable
from zos.model import mycelium as overlay
from zos.mycelium.api import MyceliumClient
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.types import Progress
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import KEY, OVERLAY, VM, becomes, deployed, state, update
from zos.provisiond.tests.host import FakeHost, node

pytestmark = pytest.mark.virtual
INTERFACES = [{"network": "net1", "ip": "10.20.2.6"}]


async def first(client: ProvisiondClient, contract: int, **wanted: Any) -> Progress:
    """The first progress that has these fields."""
    stream: AsyncIterator[Progress]
    async with asyncio.timeout(120), aclosing(client.watch(contract)) as stream:
        async for one in stream:
            if all(getattr(one, name) == value for name, value in wanted.items()):
                return one
    raise AssertionError("the stream ended")


def url(host: FakeHost, contract: int, body: dict[str, Any]) -> None:
    """A contract whose document lies at a URL."""
    host.documents[f"http://hub/{contract}"] = u.signed(body)
    u.contract(host, contract, body, deployment_data=b'{"pull": {"url": "http://hub/%d"}}' % contract)
    host.chain.emit(ContractEvent(EventKind.CREATED, contract, host.chain.block))


async def test_a_change_that_is_refused_is_told_by_stream_result_and_why(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM) as client:
        grown = u.document(5, VM[0], {**u.zmount("disk1", 9 * u.GiB), "version": 1}, VM[2], version=1)
        await update(client, host, grown)
        told = await first(client, 5, workload="disk1", state="unchanged")
        assert (told.version, "delete the VM first" in told.message) == (1, True)
        (result,) = [one["result"] for one in (await client.get(5))["workloads"] if one["name"] == "disk1"]
        assert (result["state"], "delete the VM first" in result["message"]) == ("ok", True)
        assert "delete the VM first" in (await client.why(5)).sentence


async def test_why_says_when_the_chain_carries_another_document_and_what_was_refused(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a")) as client:
        bad = u.document(5, {**u.zmount("a", 10), "version": 1}, version=1)
        u.contract(host, 5, bad)
        with pytest.raises(ZosError):
            await client.update(u.signed(bad), u.TWIN)
        sentence = (await client.why(5)).sentence
        assert "carries another document" in sentence
        assert "too small for a file system" in sentence
        assert (await first(client, 5, workload="", state="error")).version == 1
        good = u.document(5, {**u.zmount("a", 2 * u.GiB), "version": 1}, version=1)
        await update(client, host, good)
        assert (await first(client, 5, workload="a", state="ok", version=1)).message == ""
        assert "as it was signed" in (await client.why(5)).sentence


async def test_a_document_that_is_not_taken_in_is_told_to_who_watches(tmp_path: Path) -> None:
    host, body, other = FakeHost(), u.document(5, u.network("net1")), u.document(6, u.network("net1"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        url(host, 6, other)
        told = await first(client, 6, workload="", state="error")
        assert "same name 'net1'" in told.message


async def test_a_name_that_is_being_removed_is_waited_for(tmp_path: Path) -> None:
    host, body, other = FakeHost(), u.document(5, u.network("net1")), u.document(6, u.network("net1"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        host.networkd.gate = asyncio.Event()
        u.contract(host, 5, body, state=ContractState.DELETED_CANCELED)
        host.chain.emit(ContractEvent(EventKind.CANCELED, 5, host.chain.block))
        u.contract(host, 6, other)
        async with asyncio.timeout(60):
            while "DropNetwork" not in host.networkd.calls:
                await asyncio.sleep(0.1)
        await client.deploy(u.signed(other), u.TWIN)
        told = "waiting for the removal of the `net1` before"
        await first(client, 6, workload="net1", state="init", message=told)
        host.networkd.gate.set()
        await becomes(client, 6, "net1", "ok")
    assert len(host.networkd.networks) == 1


async def test_a_description_changes_without_the_machine_being_made_again(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM, every=3600.0) as client:
        new = u.document(5, VM[0], VM[1], {**VM[2], "version": 1, "description": "mine"}, version=1)
        await update(client, host, new)
        async with asyncio.timeout(60):
            while (await client.get(5))["version"] == 0:
                await asyncio.sleep(0.1)
        (vm,) = [one for one in (await client.get(5))["workloads"] if one["name"] == "vm1"]
        assert (vm["description"], vm["version"], vm["result"]["state"]) == ("mine", 1, "ok")
        last = (await client.changes(5))[-1]
        assert (last["name"], last["version"], last["result"]["state"]) == ("vm1", 1, "ok")
        states = [one["result"]["state"] for one in await client.changes(5) if one["name"] == "vm1"]
        assert states == ["init", "ok", "ok"]


async def test_a_machine_that_failed_is_mended_under_its_own_name(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, VM[0], u.zmachine(flist="http://hub/image.fl"))
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        assert "needs a disk to boot from" in (await becomes(client, 5, "vm1", "error"))["message"]
        address = {"public_ip": "", "planetary": False, "interfaces": [{"network": "net1", "ip": "10.20.2.9"}]}
        machine = u.zmachine(network=address, size=3 * u.GiB, compute_capacity={"cpu": 1, "memory": u.GiB})
        mended = u.document(5, VM[0], {**machine, "version": 1}, version=1)
        await update(client, host, mended)
        async with asyncio.timeout(60):
            while await state(client, 5, "vm1") != "ok":
                await asyncio.sleep(0.1)


async def test_a_flist_that_nobody_can_reach_ends_the_first_making_after_a_minute_and_nothing_else(
    tmp_path: Path,
) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    host.flistd.trouble = FlistUnreachable(url="http://hub/vm.fl", problem="no route to host")
    async with node(tmp_path, host, every=10.0) as client:
        began = asyncio.get_running_loop().time()
        await client.deploy(u.signed(body), u.TWIN)
        async with asyncio.timeout(200):
            while await state(client, 5, "vm1") != "error":
                await asyncio.sleep(1)
        assert 55 < asyncio.get_running_loop().time() - began < 110
        assert "no route to host" in (await client.why(5)).sentence
        host.flistd.trouble = None
        again = u.document(5, VM[0], VM[1], {**VM[2], "version": 1}, version=1)
        await update(client, host, again)
        async with asyncio.timeout(200):
            while await state(client, 5, "vm1") != "ok":
                await asyncio.sleep(1)
        host.flistd.trouble = FlistUnreachable(url="http://hub/vm.fl", problem="no route to host")
        await asyncio.sleep(300)
        assert await state(client, 5, "vm1") == "ok"


async def test_another_mycelium_key_with_an_update_leaves_machines_their_addresses(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *OVERLAY)
    u.contract(host, 5, body)
    async with node(tmp_path, host, every=5.0) as client:
        await client.deploy(u.signed(body), u.TWIN)
        before = (await becomes(client, 5, "vm1", "ok"))["data"]["mycelium_ip"]
        mycelium = host.clients.of(MyceliumClient)
        keys = [overlay.subnet(overlay.public_key(bytes.fromhex(key))) for key in (KEY, "cd" * 32)]
        net = u.network(mycelium={"hex_key": "cd" * 32, "peers": []})
        second = u.zmachine("vm2", network={**OVERLAY[1]["data"]["network"], "interfaces": INTERFACES})
        changed = u.document(5, {**net, "version": 1}, OVERLAY[1], {**second, "version": 1}, version=1)
        await update(client, host, changed)
        after = (await becomes(client, 5, "vm2", "ok"))["data"]["mycelium_ip"]
        await asyncio.sleep(20)
        found = {one["name"]: one["result"] for one in (await client.get(5))["workloads"]}
        # The new machine is in the new key's subnet, and the old one stays where it is: both keys are announced.
        assert found["vm1"]["data"]["mycelium_ip"] == before
        assert IPv6Address(after) in keys[1]
        assert {one["state"] for one in found.values()} == {"ok"}
        assert {IPv6Network(one.subnet) for one in await mycelium.identities()} == set(keys)
        # With its last machine the old key goes.
        left = u.document(5, {**net, "version": 1}, {**second, "version": 1}, version=2)
        await update(client, host, left)
        async with asyncio.timeout(60):
            while {IPv6Network(one.subnet) for one in await mycelium.identities()} != {keys[1]}:
                await asyncio.sleep(1)
        assert (await client.get(5))["workloads"][1]["result"]["data"]["mycelium_ip"] == after
