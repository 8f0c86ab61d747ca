"""Every command of the grid: who may, in which shape it answers, and what an empty node says."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import zos
from zos.bus import Unreachable
from zos.capacityd.api import NoLocation
from zos.chain.api import Twin
from zos.core0.api.types import UnitState
from zos.errors import ZosError
from zos.model.decode import Malformed
from zos.model.units import Bytes, GiB, MiB
from zos.mycelium import tun
from zos.networkd.api import NetId, Network, NetworkdClient, Planetary
from zos.networkd.model import Address
from zos.primitives import find as types
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM
from zos.rmb.commands.admin import NotSupported
from zos.rmb.commands.network import public
from zos.rmb.commands.perf import NoResult
from zos.rmb.commands.storage import pool
from zos.rmb.router import Access, Unauthorized, find
from zos.rmb.tests.deployed import deployed
from zos.rmb.tests.world import DMI, FARMER, GEOIP, OPERATOR, OUTSIDER, USER, World, unit, world
from zos.storaged.api.types import Pool, PoolKind, PoolState

ANY, OWNER, FARM, ADMIN = Access.ANY, Access.OWNER, Access.FARMER, Access.ADMIN

# What the grid's clients know, and whose it is.
TABLE = {
    "zos.deployment.deploy": OWNER,
    "zos.deployment.update": OWNER,
    "zos.deployment.delete": ANY,
    "zos.deployment.get": OWNER,
    "zos.deployment.list": OWNER,
    "zos.deployment.changes": OWNER,
    "zos.statistics.get": ANY,
    "zos.storage.pools": ANY,
    "zos.gpu.list": ANY,
    "zos.network.list_wg_ports": ANY,
    "zos.network.public_config_get": ANY,
    "zos.network.interfaces": ANY,
    "zos.network.has_ipv6": ANY,
    "zos.network.list_public_ips": ANY,
    "zos.network.list_private_ips": OWNER,
    "zos.system.version": ANY,
    "zos.system.dmi": ANY,
    "zos.system.hypervisor": ANY,
    "zos.system.diagnostics": ANY,
    "zos.system.node_features_get": ANY,
    "zos.perf.get": ANY,
    "zos.perf.get_all": ANY,
    "zos.location.get": ANY,
    "zos.admin.interfaces": FARM,
    "zos.admin.get_public_nic": FARM,
    "zos.admin.set_public_nic": FARM,
    "zos.network.admin.interfaces": FARM,
    "zos.network.admin.get_public_nic": FARM,
    "zos.network.admin.set_public_nic": FARM,
    "zos.debug.deployment.list": ADMIN,
    "zos.debug.deployment.get": ADMIN,
    "zos.debug.deployment.history": ADMIN,
    "zos.debug.deployment.info": ADMIN,
    "zos.debug.deployment.health": ADMIN,
}
OURS = {f"zos.deployment.{name}": OWNER for name in ("why", "watch", "console", "type")}
UNSUPPORTED = [name for name in TABLE if name.endswith("public_nic")]


def test_every_command_of_the_grid_is_there_with_its_owner_and_no_other_is():
    assert {name: one.access for name, one in find().items()} == TABLE | OURS


@pytest.mark.parametrize("name", [name for name, access in TABLE.items() if access in (FARM, ADMIN)])
async def test_a_command_of_farmer_or_operator_is_refused_to_others(tmp_path: Path, name: str):
    async with world(tmp_path) as w:
        for caller in (USER, OPERATOR if TABLE[name] is FARM else FARMER):
            with pytest.raises(Unauthorized, match=r"^unauthorized$"):
                await w.ask(name, {"deployment": "26:5"}, caller)


SHAPES: list[tuple[str, Any, Any]] = [
    ("zos.system.version", None, {"zos": zos.__version__, "zinit": f"v{zos.__version__}"}),
    ("zos.system.hypervisor", None, "kvm"),
    ("zos.gpu.list", None, []),
    ("zos.network.list_public_ips", None, []),
    ("zos.network.list_private_ips", {"network_name": "net1"}, []),
    ("zos.network.has_ipv6", None, False),
    ("zos.deployment.list", None, []),
]


async def test_what_an_empty_node_answers(tmp_path: Path):
    async with world(tmp_path) as w:
        for command, argument, wanted in SHAPES:
            assert await w.ask(command, argument) == wanted, command
            if argument is None:
                assert await w.ask(command, b"") == wanted, command


async def planetary(w: World) -> Planetary:
    """The node in the planetary network, once its key is known."""
    async with asyncio.timeout(10):
        while not (found := await w.node.networkd.planetary()).address:
            await asyncio.sleep(0.02)
    return found


async def test_the_planetary_network_is_a_feature_and_an_interface(tmp_path: Path):
    async with world(tmp_path) as w:
        there = await planetary(w)
        assert "yggdrasil" in await w.ask("zos.system.node_features_get")
        found = await w.ask("zos.network.interfaces")
        assert found == {"zos": ["192.0.2.21"], "ygg": [there.gateway, there.address]}


async def test_a_node_that_cannot_be_in_the_planetary_network_does_not_offer_it(tmp_path: Path):
    async with world(tmp_path) as w:
        w.network.lacks = "/dev/net/tun is missing"
        assert "yggdrasil" not in await w.ask("zos.system.node_features_get")
        assert (await w.ask("zos.network.interfaces"))["ygg"] == []


async def is_offered(w: World) -> bool:
    """Whether the mycelium daemon, which starts last, offers the overlay."""
    try:
        return (await w.node.mycelium.overlay()).offered
    except Unreachable:
        return False


async def test_mycelium_is_a_feature_while_the_node_is_in_the_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tun, "problem", lambda: "")
    async with world(tmp_path) as w:
        async with asyncio.timeout(10):
            while not await is_offered(w):
                await asyncio.sleep(0.02)
        assert "mycelium" in await w.ask("zos.system.node_features_get")
    async with world(tmp_path / "off", overlay=False) as w:
        assert "mycelium" not in await w.ask("zos.system.node_features_get")


async def test_features_are_the_types_that_are_taken_and_what_they_bring(tmp_path: Path):
    async with world(tmp_path) as w:
        found = await w.ask("zos.system.node_features_get")
        assert len(found) == len(set(found))
        assert {"network", "volume", "zmount", "zmachine", "wireguard"} <= set(found)
        assert set(types()) <= set(found)
        for absent in {"zdb", "qsfs", "zlogs", "zmachine-light"} - set(found):
            with pytest.raises(Malformed, match=f"unknown type '{absent}'"):
                await w.ask("zos.deployment.deploy", u.document(9, u.workload("x", absent, {})))


def test_public_addresses_are_those_of_running_workloads():
    def one(kind: str, state: str, data: Any) -> dict[str, Any]:
        return {"workloads": [{"type": kind, "result": {"state": state, "data": data}}]}

    deployments = [
        one("ip", "ok", {"ip": "198.51.100.5/24", "ip6": "", "gateway": "198.51.100.1"}),
        one("ipv4", "ok", {"ip": "198.51.100.6/24"}),
        one("ip", "ok", {"ip": "", "ip6": "2001:db8::5/64"}),
        one("ip", "ok", None),
        one("ip", "error", {"ip": "198.51.100.7/24"}),
        one("zmachine", "ok", {"ip": "10.20.2.5"}),
    ]
    assert public(deployments) == ["198.51.100.5/24", "198.51.100.6/24"]


async def test_private_addresses_are_those_of_the_callers_machines_in_his_network(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, *VM)
        assert await w.ask("zos.network.list_private_ips", {"network_name": "net1"}) == ["10.20.2.5"]
        assert await w.ask("zos.network.list_private_ips", {"network_name": "net2"}) == []
        assert await w.ask("zos.network.list_private_ips", {"network_name": "net1"}, OUTSIDER) == []
        with pytest.raises(Malformed):
            await w.ask("zos.network.list_private_ips", {"network_name": 1})


async def test_the_address_of_a_machine_that_is_being_made_is_taken_already(tmp_path: Path):
    async with world(tmp_path) as w:
        w.provision.chain.twins[USER] = Twin(USER, u.KEY.public)
        await w.ask("zos.deployment.deploy", u.signed(u.document(5, *VM)))
        assert await w.ask("zos.network.list_private_ips", {"network_name": "net1"}) == ["10.20.2.5"]


async def test_statistics_of_an_unused_node_have_used_equal_to_system(tmp_path: Path):
    async with world(tmp_path) as w:
        found = await w.ask("zos.statistics.get")
        assert list(found) == ["total", "used", "system", "users", "open_connections"]
        assert found["total"] == {"cru": 8, "sru": GiB(150), "hru": GiB(200), "mru": GiB(32), "ipv4u": 0}
        assert found["system"] == {"cru": 0, "sru": GiB(5), "hru": 0, "mru": GiB(32) // 10, "ipv4u": 0}
        assert found["used"] == found["system"]
        assert list(found["total"]) == ["cru", "sru", "hru", "mru", "ipv4u"]
        assert found["users"] == {"deployments": 0, "workloads": 0, "last_deployment_timestamp": 0}
        assert found["open_connections"] == 12


async def test_statistics_count_what_is_deployed(tmp_path: Path):
    async with world(tmp_path) as w:
        before = await w.ask("zos.statistics.get")
        await deployed(w, *VM)
        after = await w.ask("zos.statistics.get")
        taken = {unit: after["used"][unit] - before["used"][unit] for unit in after["used"]}
        assert taken == {"cru": 1, "sru": u.GiB + 500 * MiB(1), "hru": 0, "mru": MiB(512), "ipv4u": 0}
        created = [one["result"]["created"] for one in (await w.ask("zos.deployment.changes", {"contract_id": 5}))]
        assert after["users"] == {"deployments": 1, "workloads": 3, "last_deployment_timestamp": max(created)}
        assert (after["total"], after["system"]) == (before["total"], before["system"])


async def test_pools_are_told_with_what_can_be_put_on_each(tmp_path: Path):
    async with world(tmp_path) as w:
        found = await w.ask("zos.storage.pools")
        assert sorted((one["type"], one["size"]) for one in found) == [
            ("hdd", GiB(200)),
            ("ssd", GiB(50)),
            ("ssd", GiB(100)),
        ]
        assert all(set(one) == {"name", "type", "size", "used"} and 0 < one["used"] < one["size"] for one in found)
        seen = {one.name: one for one in await w.node.storaged.list_pools()}
        for one in found:
            assert one["size"] - one["used"] == seen[one["name"]].usable - seen[one["name"]].promised


def test_a_pool_that_is_overfull_has_no_room_and_not_less():
    full = Pool("p", PoolKind.SSD, "/dev/x", Bytes(10), Bytes(8), Bytes(9), Bytes(0), Bytes(0), PoolState.READY)
    assert pool(full) == {"name": "p", "type": "ssd", "size": 10, "used": 10}
    assert pool(dataclasses.replace(full, promised=Bytes(5)))["used"] == 7


async def test_a_device_that_is_no_pool_is_not_told(tmp_path: Path):
    async with world(tmp_path) as w:
        assert [one.state for one in await w.node.storaged.list_pools()].count(PoolState.FOREIGN) == 1
        assert len(await w.ask("zos.storage.pools")) == 3


async def test_ports_of_networks_and_of_the_node_are_listed(tmp_path: Path):
    async with world(tmp_path) as w:
        before = await w.ask("zos.network.list_wg_ports")
        await NetworkdClient(w.node.networkd._bus).ensure_network(
            Network(NetId("B3gDSpMoHJXdF"), USER, "net1", "10.20.0.0/16", "10.20.2.0/24", u.WG, 3020)
        )
        assert await w.ask("zos.network.list_wg_ports") == sorted([*before, 3020])
        assert all(isinstance(port, int) for port in before)


async def test_addresses_of_the_internet_are_told_and_private_ipv6_is_not(tmp_path: Path):
    async with world(tmp_path) as w:
        bridge = w.network.root.links["zos"]
        more = {Address(text) for text in ("2001:db8::5/64", "fd00::5/64", "fe80::5/64", "10.9.0.5/24")}
        w.network.root.links["zos"] = dataclasses.replace(bridge, addresses=bridge.addresses | more)
        found = await w.ask("zos.network.interfaces")
        assert sorted(found["zos"]) == ["10.9.0.5", "192.0.2.21", "2001:db8::5"]
        assert await w.ask("zos.network.has_ipv6") is True
        shown = await w.ask("zos.admin.interfaces", caller=FARMER)
        assert sorted(shown["zos"]["ips"]) == ["10.9.0.5/24", "192.0.2.21/24", "2001:db8::5/64"]


async def test_a_node_without_public_configuration_says_so(tmp_path: Path):
    async with world(tmp_path) as w:
        with pytest.raises(ZosError, match=r"^no public configuration$"):
            await w.ask("zos.network.public_config_get")


async def test_the_firmware_is_told_as_indexers_read_it(tmp_path: Path):
    async with world(tmp_path) as w:
        found = await w.ask("zos.system.dmi")
    assert found["tooling"] == {"aggregator": "dmidecode 3.4", "decoder": f"zos {zos.__version__}"}
    assert [(one["typestr"], one["typenum"]) for one in found["sections"]] == [("BIOS", 0), ("Baseboard", 2)]
    assert [one["handleline"] for one in found["sections"]] == [x for x in DMI.splitlines() if x.startswith("Handle")]
    (bios,) = found["sections"][0]["subsections"]
    assert bios["title"] == "BIOS Information"
    assert bios["properties"]["Vendor"] == {"value": "SeaBIOS"}
    items = ["PCI is supported", "Booting from CD is supported"]
    assert bios["properties"]["Characteristics"] == {"value": "", "items": items}
    (board,) = found["sections"][1]["subsections"]
    assert board["properties"]["Product Name"] == {"value": "Board: the first"}


async def test_a_node_whose_parts_work_is_healthy(tmp_path: Path):
    async with world(tmp_path) as w:
        found = await w.ask("zos.system.diagnostics")
        assert (found["system_status_ok"], found["healthy"]) == (True, True)
        assert set(found["modules"]) == {"storage", "network", "vmd"}
        assert found["modules"]["storage"]["status"] == {
            "objects": [{"Name": "storaged", "Version": "v1"}],
            "workers": [{"state": "free", "time": "2023-11-14T22:13:20Z"}],
        }


async def test_a_daemon_that_is_down_is_told_and_a_lost_chain_is_unhealthy(tmp_path: Path):
    async with world(tmp_path) as w:
        w.units[:] = [unit("storaged"), unit("vmd", UnitState.BACKOFF, "it ended with status 1")]
        w.chain.connected = False
        found = await w.ask("zos.system.diagnostics")
        assert (found["system_status_ok"], found["healthy"]) == (False, False)
        assert found["modules"]["vmd"]["error"] == {"message": "backoff: it ended with status 1"}
        assert "error" not in found["modules"]["storage"]
        health = await w.ask("zos.perf.get", {"Name": "healthcheck"})
        assert health["result"] == {"cache": [], "network": ["the chain is not connected: no endpoint answers"]}


async def test_an_uplink_without_address_and_a_missing_cache_are_unhealthy(tmp_path: Path):
    async with world(tmp_path) as w:
        for device in w.storage.disks.values():
            device.observed = dataclasses.replace(device.observed, cache=None, cache_mounted=False)
            device.broken = "it smells"
        bridge = w.network.root.links["zos"]
        w.network.root.links["zos"] = dataclasses.replace(bridge, addresses=frozenset())
        async with asyncio.timeout(10):
            while not (result := (await w.ask("zos.perf.get", {"name": "healthcheck"}))["result"])["cache"]:
                await asyncio.sleep(0.02)
        assert result["network"] == ["the uplink has no address"]
        assert len(result["cache"]) == 1
        assert (await w.ask("zos.system.diagnostics"))["healthy"] is False


async def test_measurements_are_told_by_name_and_what_was_not_measured_is_not_found(tmp_path: Path):
    async with world(tmp_path) as w:
        (one,) = await w.ask("zos.perf.get_all")
        assert set(one) == {"name", "description", "timestamp", "result"}
        assert one == {**await w.ask("zos.perf.get", {"name": "healthcheck"}), "timestamp": one["timestamp"]}
        for name in ({"name": "iperf"}, {"name": "cpu-benchmark"}, None, {}):
            with pytest.raises(NoResult, match=r"^result not found$"):
                await w.ask("zos.perf.get", name)


async def test_the_location_is_what_a_service_says_and_asked_once_a_day(tmp_path: Path):
    async with world(tmp_path) as w:
        with pytest.raises(NoLocation, match=r"^failed to fetch location information$"):
            await w.ask("zos.location.get")
        answer = {"longitude": 4.35, "latitude": 50.85, "country_name": "Belgium", "country_code": "BE", "x": 1}
        w.machine.places[GEOIP] = json.dumps(answer).encode()
        answer.pop("x")
        wanted = {**answer, "continent": "Unknown", "city_name": "Unknown"}
        with pytest.raises(NoLocation):
            await w.ask("zos.location.get")
        assert w.machine.asked == ["http://gone/", GEOIP], "a refusal is remembered for a minute"
        w.machine.asked.clear()
        w.clock.advance(60)
        assert await w.ask("zos.location.get") == wanted
        assert await w.ask("zos.location.get") == wanted
        assert w.machine.asked == ["http://gone/", GEOIP]


async def test_the_farmer_sees_his_cards_under_both_names(tmp_path: Path):
    async with world(tmp_path) as w:
        for name in ("zos.admin.interfaces", "zos.network.admin.interfaces"):
            found = await w.ask(name, caller=FARMER)
            assert found["zos"]["ips"] == ["192.0.2.21/24"]
            assert set(found) == {"zos", "eth0"}
            assert all(set(one) == {"ips", "mac"} for one in found.values())


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_a_public_card_is_not_supported(tmp_path: Path, name: str):
    async with world(tmp_path) as w:
        with pytest.raises(NotSupported, match=r"^not supported$"):
            await w.ask(name, "eth0", FARMER)
