"""Machines in the planetary network and in Mycelium."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zos.model import mycelium as overlay
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import KEY, OVERLAY, becomes, deployed, removed, state, update
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import ChainUnreachable

pytestmark = pytest.mark.virtual


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
    assert "EnsureVolume" not in host.storaged.calls


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
    assert "EnsureVolume" not in host.storaged.calls


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
    host = FakeHost()
    async with deployed(tmp_path, host, OVERLAY[0]) as client:
        plain = u.document(5, {**u.network(), "version": 1}, version=1)
        await update(client, host, plain)
        async with asyncio.timeout(5):
            while (await client.changes(5))[-1]["version"] != 1 or await state(client, 5, "net1") != "ok":
                await asyncio.sleep(0.01)
        assert not host.mycelium.identities
        rounds = host.networkd.calls.count("EnsureNetwork")
        async with asyncio.timeout(5):
            while host.networkd.calls.count("EnsureNetwork") < rounds + 2:
                await asyncio.sleep(0.01)
    assert host.mycelium.calls.count("DropIdentity") == 1
