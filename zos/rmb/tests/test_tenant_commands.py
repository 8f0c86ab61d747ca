"""What a contract's twin asks of its own on a node without another way in: to whom it is told, and when."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from zos.chain.api import NoSuchContract
from zos.provisiond.api import NoSuchDeployment
from zos.provisiond.tests import users as u
from zos.rmb.commands import tenant
from zos.rmb.commands.debug import BadRequest
from zos.rmb.errors import Refused
from zos.rmb.tests.deployed import deployed, with_machine
from zos.rmb.tests.overrelay import bus
from zos.rmb.tests.world import FARMER, OPERATOR, OUTSIDER, USER, world
from zos.vmd.api.types import MachineId

COMMANDS = ("why", "watch", "console", "type")
ASKED = {"contract_id": 5, "name": "vm1", "data": "eA=="}


async def test_the_owner_is_told_why_and_sees_and_uses_the_console(tmp_path: Path):
    async with world(tmp_path) as w:
        await with_machine(w)
        told = await w.ask("zos.deployment.why", {"contract_id": 5})
        assert told["sentence"] == "contract 5 is as it was signed: 3 workloads are ok"
        assert "admission" in {one["what"] for one in told["history"]}
        assert (await w.ask("zos.deployment.why", ASKED))["sentence"] == "vm1 is ok"
        past = await w.ask("zos.deployment.console", {**ASKED, "bytes": 7})
        assert base64.b64decode(past["data"]) == b"login: "
        assert await w.ask("zos.deployment.type", {**ASKED, "data": base64.b64encode(b"root\n").decode()}) is None
        w.vm.say(MachineId("26-5-vm1"), "Password: ")
        more = await w.ask("zos.deployment.console", {**ASKED, "since": past["end"]})
        assert base64.b64decode(more["data"]).endswith(b"Password: ")
        assert more["end"] > past["end"]


async def test_who_waits_is_told_when_something_changes_and_otherwise_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with world(tmp_path) as w:
        await deployed(w, u.zmount())
        first = await w.ask("zos.deployment.watch", {"contract_id": 5})
        assert [(one["workload"], one["state"]) for one in first["progress"]] == [("disk1", "ok")]
        asking = asyncio.create_task(w.ask("zos.deployment.watch", {"contract_id": 5, "seen": first["seen"]}))
        body = u.document(5, {**u.zmount(size=2 * u.GiB), "version": 1}, version=1)
        u.contract(w.provision, 5, body)
        await w.ask("zos.deployment.update", u.signed(body))
        async with asyncio.timeout(5):
            assert (await asking)["seen"] != first["seen"]
        await w.becomes(5, "disk1", "ok")
        monkeypatch.setattr(tenant, "WAIT", 0.3)
        last = await w.ask("zos.deployment.watch", {"contract_id": 5})
        assert (await w.ask("zos.deployment.watch", {"contract_id": 5, "seen": last["seen"]}))["seen"] == last["seen"]


@pytest.mark.parametrize("command", COMMANDS)
async def test_nobody_else_is_told_anything(tmp_path: Path, command: str):
    async with world(tmp_path) as w:
        await with_machine(w)
        w.chain.contracts[5] = USER
        for caller in (OUTSIDER, FARMER, OPERATOR):
            with pytest.raises(NoSuchDeployment):
                await w.ask(f"zos.deployment.{command}", ASKED, caller)
        with pytest.raises(NoSuchContract):
            await w.ask(f"zos.deployment.{command}", {**ASKED, "contract_id": 6})


@pytest.mark.parametrize("command", COMMANDS)
async def test_nothing_is_told_in_clear(tmp_path: Path, command: str):
    async with bus(tmp_path) as b:
        await with_machine(b.world)
        with pytest.raises(Refused, match="twin 28 has no encryption key on the chain"):
            await b.ask(f"zos.deployment.{command}", json.dumps(ASKED).encode(), b.keyless)


async def test_guessing_contracts_costs_the_chain_little(tmp_path: Path):
    async with world(tmp_path) as w:
        w.chain.contracts |= dict.fromkeys(range(100, 200), OUTSIDER)
        for contract in range(100, 200):
            with pytest.raises(NoSuchDeployment):
                await w.ask("zos.deployment.why", {"contract_id": contract})
        assert w.chain.looked_up < 40


async def test_a_contract_that_has_no_document_yet_is_waited_for_by_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tenant, "WAIT", 0.1)
    async with world(tmp_path) as w:
        w.chain.contracts[8] = USER
        assert await w.ask("zos.deployment.watch", {"contract_id": 8}) == {"progress": [], "seen": ""}


@pytest.mark.parametrize("data", ["", "no base64!", base64.b64encode(bytes(tenant.TYPED + 1)).decode()])
async def test_what_cannot_be_typed_is_refused(tmp_path: Path, data: Any):
    async with world(tmp_path) as w:
        await with_machine(w)
        with pytest.raises(BadRequest):
            await w.ask("zos.deployment.type", {**ASKED, "data": data})
