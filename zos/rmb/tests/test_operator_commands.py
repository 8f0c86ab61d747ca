"""Commands of operators: everybody's deployments, the state of machines, health."""

from __future__ import annotations

from pathlib import Path

import pytest

from zos.provisiond.api import NoSuchDeployment
from zos.provisiond.tests import users as u
from zos.rmb.commands import debug
from zos.rmb.commands.debug import BadRequest
from zos.rmb.tests.deployed import deployed, with_machine
from zos.rmb.tests.world import OPERATOR, OUTSIDER, USER, world


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
