"""Every command of the node: its shape, whose it is, and how it refuses."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zos
from zos.capacityd.api import NoLocation
from zos.chain.api import ContractState, EventKind, Twin
from zos.core0.api.types import UnitState
from zos.errors import ZosError
from zos.model.decode import Malformed
from zos.model.units import Bytes, GiB, MiB
from zos.mycelium import tun
from zos.networkd.api import NetId, Network, NetworkdClient, Planetary
from zos.networkd.model import Address
from zos.provisiond.api import BadUpdate, DeploymentExists, NoSuchDeployment, TwinMismatch
from zos.provisiond.tests import users as u
from zos.rmb.commands import debug
from zos.rmb.commands.admin import NotSupported
from zos.rmb.commands.debug import BadRequest
from zos.rmb.commands.deployment import settled
from zos.rmb.commands.network import public
from zos.rmb.commands.perf import NoResult
from zos.rmb.commands.storage import pool
from zos.rmb.router import Access, Unauthorized, find
from zos.rmb.tests.world import DMI, FARMER, GEOIP, OPERATOR, OUTSIDER, USER, World, unit, world
from zos.storaged.api.types import Pool, PoolKind, PoolState
from zos.verbs.primitive import find as types
from zos.vmd.api import MachineId
from zos.vmd.api.types import MachineState

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
UNSUPPORTED = [name for name in TABLE if name.endswith("public_nic")]


def test_every_command_of_the_grid_is_there_with_its_owner_and_no_other_is():
    assert {name: one.access for name, one in find().items()} == TABLE


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


async def test_mycelium_is_a_feature_while_the_node_is_in_the_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tun, "problem", lambda: "")
    async with world(tmp_path) as w:
        async with asyncio.timeout(10):
            while not (await w.node.mycelium.overlay()).offered:
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


# Deployments


VM = (u.network(), u.zmount(), u.zmachine(mounts=[("disk1", "/data")]))


async def deployed(w: World, *workloads: dict[str, Any], contract: int = 5) -> dict[str, Any]:
    """A deployment of the user's, sent and settled."""
    body = u.document(contract, *workloads)
    u.contract(w.provision, contract, body)
    assert await w.ask("zos.deployment.deploy", u.signed(body)) is None
    for one in workloads:
        await w.becomes(contract, one["name"], "ok")
    return body


async def test_deploy_answers_null_at_once_and_get_has_every_workload_from_then_on(tmp_path: Path):
    async with world(tmp_path) as w:
        body = u.document(5, *VM)  # no contract on the chain yet: nothing can be made
        w.provision.chain.twins[USER] = Twin(USER, u.KEY.public)
        assert await w.router.handle(USER, "zos.deployment.deploy", u.signed(body)) == b"null"
        found = await w.ask("zos.deployment.get", {"contract_id": 5})
        assert [one["name"] for one in found["workloads"]] == ["net1", "disk1", "vm1"]
        for one in found["workloads"]:
            assert {**one["result"], "created": 0} == {"created": 0, "state": "init", "message": "", "data": None}
        u.contract(w.provision, 5, body)
        await w.becomes(5, "vm1", "ok")


async def test_get_is_the_deployment_as_it_was_sent_with_results(tmp_path: Path):
    async with world(tmp_path) as w:
        body = await deployed(w, *VM)
        found = await w.ask("zos.deployment.get", {"Contract_ID": 5})
        signatures = found["signature_requirement"].pop("signatures")
        assert [(one["twin_id"], one["signature_type"], len(one["signature"])) for one in signatures] == [
            (USER, "sr25519", 128)
        ]
        results = {one["name"]: one.pop("result") for one in found["workloads"]}
        for one in body["workloads"]:
            one.pop("result")
        body["signature_requirement"].pop("signatures")
        assert found == body
        assert {name: result["state"] for name, result in results.items()} == dict.fromkeys(results, "ok")
        assert results["disk1"]["data"] == {"volume_id": "26-5-disk1"}
        assert results["vm1"]["data"]["ip"] == "10.20.2.5"
        assert set(results["vm1"]) == {"created", "state", "message", "data"}


async def test_changes_has_init_then_one_final_entry_of_each_version(tmp_path: Path):
    async with world(tmp_path) as w:
        body = await deployed(w, u.zmount(), u.volume())
        body["version"] = body["workloads"][0]["version"] = 1
        body["workloads"][0]["data"]["size"] = 2 * u.GiB
        u.contract(w.provision, 5, body)
        assert await w.ask("zos.deployment.update", u.signed(body)) is None
        await w.becomes(5, "disk1", "ok")
        log = await w.ask("zos.deployment.changes", {"contract_id": 5})
        while len(log) < 6:
            log = await w.ask("zos.deployment.changes", {"contract_id": 5})
        told = [(one["name"], one["version"], one["result"]["state"]) for one in log]
        assert told[:2] == [("disk1", 0, "init"), ("vol1", 0, "init")]
        assert sorted(told[2:4]) == [("disk1", 0, "ok"), ("vol1", 0, "ok")]
        assert told[4:] == [("disk1", 1, "init"), ("disk1", 1, "ok")]
        assert (await w.ask("zos.deployment.get", {"contract_id": 5}))["version"] == 1


async def test_a_pause_that_is_over_leaves_one_ok_in_the_changes(tmp_path: Path):
    async with world(tmp_path) as w:
        body = await deployed(w, u.zmount())
        told = []
        for state, kind in (
            (ContractState.GRACE, EventKind.GRACE_STARTED),
            (ContractState.CREATED, EventKind.GRACE_ENDED),
        ):
            u.contract(w.provision, 5, body, state=state)
            u.happened(w.provision, kind, 5)
            await w.becomes(5, "disk1", "paused" if state is ContractState.GRACE else "ok")
            told.append([one["result"]["state"] for one in await w.ask("zos.deployment.changes", {"contract_id": 5})])
        assert told == [["init", "paused"], ["init", "ok"]]
        history = (await w.ask("zos.debug.deployment.history", {"deployment": "26:5"}, OPERATOR))["history"]
        assert [one["state"] for one in history] == ["init", "ok", "paused", "ok"]


entries = st.builds(
    lambda name, version, state: {"name": name, "version": version, "result": {"state": state}},
    st.sampled_from("ab"),
    st.integers(0, 2),
    st.sampled_from(["init", "ok", "error", "paused", "deleted", "unchanged"]),
)


@given(st.lists(entries))
def test_changes_end_each_version_with_what_came_last_and_repeat_nothing(log: list[dict[str, Any]]):
    found = settled(log)
    remaining = iter(log)
    assert all(any(one is other for other in remaining) for one in found), "in the log's order"
    for key in {(one["name"], one["version"]) for one in log}:
        mine = [one["result"]["state"] for one in found if (one["name"], one["version"]) == key]
        assert mine[-1] == [one["result"]["state"] for one in log if (one["name"], one["version"]) == key][-1]
        assert len([state for state in mine if state != "init"]) <= 1


@pytest.mark.parametrize("command", ["zos.deployment.get", "zos.deployment.changes"])
async def test_what_is_somebody_elses_or_unknown_is_not_found(tmp_path: Path, command: str):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        for caller, contract in ((OUTSIDER, 5), (USER, 6), (FARMER, 5), (OPERATOR, 5)):
            with pytest.raises(NoSuchDeployment, match=r"^deployment not found$"):
                await w.ask(command, {"contract_id": contract}, caller)
        with pytest.raises(NoSuchDeployment):
            await w.ask(command)
        for wrong in ({"contract_id": "5"}, {"contract_id": -1}, {"contract_id": 5.0}, [5], b"{"):
            with pytest.raises(Malformed):
                await w.ask(command, wrong)


async def test_list_is_the_callers_own_and_only_what_lives(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        failing = u.document(6, u.zmount("disk2"))
        u.contract(w.provision, 6, failing, deployment_hash="0" * 32)
        await w.ask("zos.deployment.deploy", u.signed(failing))
        await w.becomes(6, "disk2", "error")
        assert [one["contract_id"] for one in await w.ask("zos.deployment.list")] == [5]
        assert await w.ask("zos.deployment.list", caller=OUTSIDER) == []


async def test_delete_is_always_refused(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        for caller in (USER, OUTSIDER):
            with pytest.raises(ZosError) as caught:
                await w.ask("zos.deployment.delete", {"contract_id": 5}, caller)
            assert str(caught.value) == "deletion over the api is disabled, please cancel your contract instead"
        assert await w.states(5) == {"disk1": "ok"}


async def test_nobody_deploys_or_updates_in_anothers_name(tmp_path: Path):
    async with world(tmp_path) as w:
        body = u.document(5, u.zmount())
        u.contract(w.provision, 5, body)
        for command in ("zos.deployment.deploy", "zos.deployment.update"):
            with pytest.raises(TwinMismatch, match=r"^twin id mismatch \(deployment: 26, message: 27\)$"):
                await w.ask(command, u.signed(body), OUTSIDER)
            for empty in (b"", b"null"):
                with pytest.raises(TwinMismatch, match=r"deployment: 0, message: 26"):
                    await w.ask(command, empty)


async def test_a_deployment_that_cannot_be_taken_is_refused_with_the_grids_words(tmp_path: Path):
    async with world(tmp_path) as w:
        body = await deployed(w, *VM)
        with pytest.raises(DeploymentExists, match="exists"):
            await w.ask("zos.deployment.deploy", u.signed(body))
        with pytest.raises(BadUpdate, match="expecting deployment version 1, got 0: upgrade validation error"):
            await w.ask("zos.deployment.update", u.signed(body))
        body["version"] = body["workloads"][2]["version"] = 1
        with pytest.raises(BadUpdate, match="'zmachine' does not support upgrade: upgrade validation error"):
            await w.ask("zos.deployment.update", u.signed(body))
        with pytest.raises(NoSuchDeployment, match="deployment not found"):
            await w.ask("zos.deployment.update", u.signed(u.document(6, u.zmount())))
        with pytest.raises(Malformed, match=r"workloads\[0\]\.type"):
            await w.ask("zos.deployment.deploy", u.document(6, u.workload("x", "zteapot", {})))
        with pytest.raises(Malformed):
            await w.ask("zos.deployment.deploy", b"[" * 20)


async def test_an_update_as_the_typescript_client_sends_it_is_taken(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        body = await w.ask("zos.deployment.get", {"contract_id": 5})
        body |= {"version": 1, "node_id": 1}
        body["workloads"].append({**u.zmount("disk2"), "version": 1, "contractId": 5, "nodeId": 1})
        u.contract(w.provision, 5, body)
        sent = json.loads(u.signed(body))
        sent["signature_requirement"]["signatures"] *= 2
        del sent["signature_requirement"]["signature_style"]
        assert await w.ask("zos.deployment.update", sent) is None
        await w.becomes(5, "disk2", "ok")


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


# The node


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
            Network(NetId("B3gDSpMoHJXdF"), USER, "net1", "10.20.0.0/16", "10.20.2.0/24", u.WG, 3011)
        )
        assert await w.ask("zos.network.list_wg_ports") == sorted([*before, 3011])
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


# Farmer and operators


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


async def test_operators_list_everybodys_deployments(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount(), u.network())
        states = [
            {"type": "zmount", "name": "disk1", "state": "ok"},
            {"type": "network", "name": "net1", "state": "ok"},
        ]
        wanted = {"deployments": [{"twin_id": USER, "contract_id": 5, "workloads": states}]}
        for argument in (None, {"twin_id": 0}, {"twin_id": USER}):
            assert await w.ask("zos.debug.deployment.list", argument, OPERATOR) == wanted
        nobody = await w.ask("zos.debug.deployment.list", {"twin_id": OUTSIDER}, OPERATOR)
        assert nobody == {"deployments": []}


async def test_operators_see_a_deployment_and_its_history(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        own = await w.ask("zos.deployment.get", {"contract_id": 5})
        assert await w.ask("zos.debug.deployment.get", {"deployment": "26:5"}, OPERATOR) == {"deployment": own}
        found = await w.ask("zos.debug.deployment.history", {"deployment": "26:5"}, OPERATOR)
        assert found["deployment"] == "26:5"
        assert [(one["seq"], one["name"], one["type"], one["state"]) for one in found["history"]] == [
            (1, "disk1", "zmount", "init"),
            (2, "disk1", "zmount", "ok"),
        ]
        assert set(found["history"][0]) == {"seq", "type", "name", "created", "state", "message"}


@pytest.mark.parametrize("noun", ["get", "history", "info", "health"])
async def test_a_deployment_that_is_not_named_well_is_refused(tmp_path: Path, noun: str):
    async with world(tmp_path) as w:
        for text in ("", "26", "26:5:1", "a:5", "26:-5", "26: 5", f"{2**32}:5", "26:" + "9" * 40, "\u0662:5"):
            argument = {"deployment": text, "workload": "vm1"}
            with pytest.raises(BadRequest, match="deployment"):
                await w.ask(f"zos.debug.deployment.{noun}", argument, OPERATOR)
        with pytest.raises(NoSuchDeployment):
            await w.ask(f"zos.debug.deployment.{noun}", {"deployment": "27:5", "workload": "vm1"}, OPERATOR)


async def with_machine(w: World) -> None:
    """The user's machine, which has begun to speak."""
    await deployed(w, *VM)
    id = MachineId("26-5-vm1")
    async with asyncio.timeout(10):
        while (await w.node.vmd.machine(id)).state is not MachineState.RUNNING:
            await asyncio.sleep(0.01)
    w.vm.say(id, "login: ")


async def test_operators_read_a_machines_state_and_console(tmp_path: Path):
    async with world(tmp_path) as w:
        await with_machine(w)
        for verbose in (False, True):
            argument = {"deployment": "26:5", "workload": "vm1", "verbose": verbose}
            found = await w.ask("zos.debug.deployment.info", argument, OPERATOR)
            assert found["logs"].endswith("login: ")
        assert (found["workload_id"], found["type"], found["name"]) == ("26-5-vm1", "zmachine", "vm1")
        assert found["info"]["state"] == "running"
        argument = {"deployment": "26:5", "workload": "net1"}
        network = await w.ask("zos.debug.deployment.info", argument, OPERATOR)
        assert set(network["info"]) == {"net_id", "namespace", "state"}


@pytest.mark.parametrize(
    ("workload", "problem"),
    [
        ("", "workload name is required"),
        ("vm9", "workload 'vm9' not found in deployment"),
        ("disk1", "workload type 'zmount' not supported for info command"),
    ],
)
async def test_info_of_anything_else_is_refused(tmp_path: Path, workload: str, problem: str):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        argument = {"deployment": "26:5", "workload": workload}
        with pytest.raises(BadRequest, match=problem):
            await w.ask("zos.debug.deployment.info", argument, OPERATOR)


async def test_health_looks_at_machines_and_networks(tmp_path: Path):
    async with world(tmp_path) as w:
        await with_machine(w)
        found = await w.ask("zos.debug.deployment.health", {"deployment": "26:5"}, OPERATOR)
        assert (found["twin_id"], found["contract_id"]) == (26, 5)
        status = {one["name"]: one["status"] for one in found["workloads"]}
        assert status == {"vm1": "healthy", "net1": "healthy"}
        for one in found["workloads"]:
            assert set(one) == {"workload_id", "type", "name", "status", "checks"}
            assert all(set(check) == {"name", "ok", "message", "evidence"} for check in one["checks"])


def test_a_network_that_networkd_does_not_have_is_not_healthy():
    assert not debug._check_network(None, "n")["ok"]


async def test_no_command_is_run_for_anybody(tmp_path: Path):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        for deployment in ({}, {"deployment": "26:5"}):
            argument = {**deployment, "options": {"system_probe": "id"}}
            with pytest.raises(BadRequest, match="system_probe is not offered"):
                await w.ask("zos.debug.deployment.health", argument, OPERATOR)
