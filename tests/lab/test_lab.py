"""A whole lab: the main job, what survives which kill, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from labs import (
    HUB,
    LAYOUT,
    UNITS,
    addresses,
    box_of,
    box_pid,
    core0_pid,
    eventually,
    guests,
    kill,
    spec,
    states,
    unit_pid,
    zos,
)

from zos.bus.client import Bus
from zos.core0.api import Core0Client
from zos.lab.manager import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def test_a_signed_contract_becomes_machines_that_answer(demo: dict[str, Any]) -> None:
    assert demo["proved"] == {
        "user → vm1": "hello from vm1",
        "user → vm2": "hello from vm2",
        "vm1 → vm2": "hello from vm2",
        "vm2 → vm1": "hello from vm1",
    }


def test_what_lies_on_the_hub_is_for_the_nodes_eyes(demo: dict[str, Any]) -> None:
    left = [path.read_bytes() for path in (HUB / "deployments").iterdir()]
    assert len(left) >= len(demo["contracts"])
    assert all(set(json.loads(document)) == {"sealed"} for document in left)


def test_the_users_commands_tell_what_is(demo: dict[str, Any], state: Path) -> None:
    contract = demo["contracts"]["1"]
    assert [one["id"] for one in zos("node", "list", state=state)] == [1, 2]
    assert zos("farm", "list", state=state)[0]["name"] == "lab"
    assert zos("contract", "show", str(contract), state=state)["state"] == "Created"
    workloads = zos("status", str(contract), state=state)["deployment"]["workloads"]
    assert {one["result"]["state"] for one in workloads} == {"ok"}
    machine = next(one["name"] for one in workloads if one["type"] == "zmachine")
    assert "web: serving" in zos("logs", str(contract), machine, state=state)["console"]
    why = zos("why", machine, state=state)
    words = [link["what"].split()[0] for link in why["links"]]
    assert words.index("chain") < words.index("fetch") < words.index("admission") < words.index("machine")
    assert words[-1] == "console"
    assert "[Interface]" in zos("wg", str(contract), state=state)["configuration"]
    missing = zos("status", "999", state=state, check=False)
    assert missing.returncode == 3
    assert "has a deployment of contract 999" in missing.stderr


def test_running_it_again_changes_nothing(demo: dict[str, Any], state: Path) -> None:
    again = zos("lab", "demo", state=state)
    assert again["contracts"] == demo["contracts"]
    assert again["proved"] == demo["proved"]


@pytest.mark.parametrize("unit", UNITS)
async def test_a_killed_daemon_is_back_and_guests_do_not_notice(demo: dict[str, Any], unit: str) -> None:
    before = await guests("node-1")
    old = await unit_pid("node-1", unit)
    await kill("node-1", old)

    async def is_back() -> bool:
        async with Bus(LAYOUT.sockets("node-1")) as bus:
            found = next(one for one in await Core0Client(bus).units() if one.name == unit)
            return found.state == "running" and found.pid not in (0, old)

    await eventually(is_back)

    async def same() -> bool:
        return await guests("node-1") == before

    await eventually(same)
    assert before


async def test_a_killed_core0_is_back_and_guests_do_not_notice(demo: dict[str, Any]) -> None:
    before = await guests("node-2")
    os.kill(core0_pid("node-2"), signal.SIGKILL)

    async def same() -> bool:
        async with Bus(LAYOUT.sockets("node-2")) as bus:
            units = await Core0Client(bus).units()
            return all(one.state == "running" for one in units) and await guests("node-2") == before

    await eventually(same)
    assert before


async def test_a_node_boots_its_guests_with_chain_and_hub_gone(demo: dict[str, Any], state: Path) -> None:
    contract, box = demo["contracts"]["1"], box_of(1, state)
    before = await guests(box)
    lab, away = Lab(LAYOUT), frozenset({"chain", "hub"})
    await lab.power(away | {box}, print)
    await lab.power(away, print)

    async def machines_run() -> bool:
        found = await guests(box)
        return found.keys() == before.keys() and set((await states(box, contract)).values()) == {"ok"}

    async def daemons_run() -> bool:
        # No machine waits for the last stage of the boot.
        async with Bus(LAYOUT.sockets(box)) as bus:
            return all(unit.state == "running" for unit in await Core0Client(bus).units())

    await eventually(machines_run, 60)
    await eventually(daemons_run)
    assert zos("lab", "off", "chain", state=state)["off"] == ["chain", "hub"]
    zos("lab", "up", state=state)
    assert zos("lab", "demo", state=state)["proved"] == demo["proved"]


def test_a_cancelled_contract_takes_its_machine_and_keeps_its_data(demo: dict[str, Any], state: Path) -> None:
    contract, box = demo["contracts"]["1"], box_of(1, state)
    zos("cancel", str(contract), state=state)

    async def gone() -> bool:
        return not await guests(box)

    asyncio.run(eventually(gone))

    async def has_tombstones() -> bool:
        found = zos("tombstones", "1", state=state)
        return {one["kind"] for one in found} == {"disk", "volume"}

    asyncio.run(eventually(has_tombstones))
    disk = next(one for one in zos("tombstones", "1", state=state) if one["kind"] == "disk")
    assert "contract" in disk["evidence"]["detail"]
    assert zos("undelete", "1", disk["id"], state=state)["id"] == disk["id"]
    assert {one["kind"] for one in zos("tombstones", "1", state=state)} == {"volume"}


def test_a_lab_comes_back_after_everything_was_killed(demo: dict[str, Any], state: Path) -> None:
    for name in Lab(LAYOUT).host.observe().boxes:
        os.kill(box_pid(name), signal.SIGKILL)
    again = zos("lab", "demo", state=state)
    assert again["proved"] == demo["proved"]


def assert_told_by_rmb(contract: int, state: Path) -> None:
    """The node tells its tenant by RMB what its sockets tell."""
    found = zos("status", str(contract), "--rmb", state=state)
    assert {one["name"]: one["result"]["state"] for one in found["deployment"]["workloads"]}["ownvm"] == "ok"
    assert zos("why", "ownvm", "--rmb", state=state)["sentence"] == "ownvm is ok"
    assert "[zos] start" in zos("logs", str(contract), "ownvm", "--rmb", state=state)["console"]
    rows = zos("ps", "--rmb", state=state)
    assert {(row["workload"], row["state"]) for row in rows if row["contract"] == contract} >= {("ownvm", "ok")}


async def test_a_users_own_vault_serves_the_node_and_no_hub_is_asked(
    demo: dict[str, Any], state: Path, tmp_path: Path
) -> None:
    box = box_of(1, state)
    on_hub = sorted((HUB / "deployments").iterdir())
    (contract,) = zos("deploy", str(spec(tmp_path, "own")), "--vault", "--rmb", state=state)["contracts"].values()
    assert set((await states(box, contract)).values()) == {"ok"}
    links = zos("why", str(contract), "ownvm", state=state)["links"]
    assert "the deployment was fetched from its owner's vault" in [link["detail"] for link in links]
    assert len(zos("vault", "list", state=state)) == 1
    assert sorted((HUB / "deployments").iterdir()) == on_hub != []
    assert_told_by_rmb(contract, state)
    zos("cancel", str(contract), state=state)
    assert zos("vault", "list", state=state) == []

    async def gone() -> bool:
        return await states(box, contract) == {}

    await eventually(gone, 60)


def test_a_machine_resolves_the_names_of_the_lab_and_learns_that_others_are_not_there(
    demo: dict[str, Any], state: Path, tmp_path: Path
) -> None:
    path = spec(tmp_path, "named")
    script = "/bin/busybox nslookup hub.lab; /bin/busybox nslookup nowhere.example; echo asked; exec sleep 100000"
    path.write_text(path.read_text().replace("entrypoint: /sbin/web", f"entrypoint: sh -c '{script}'"))
    (contract,) = zos("deploy", str(path), state=state)["contracts"].values()

    def console() -> str:
        return str(zos("logs", str(contract), "namedvm", state=state)["console"])

    async def has_asked() -> bool:
        return "\nasked" in console().replace("\r", "")

    asyncio.run(eventually(has_asked, 60))
    assert f"Address: {addresses().address(11)}" in console()
    assert "can't find nowhere.example: NXDOMAIN" in console()
    zos("cancel", str(contract), state=state)
