"""`zos.deployment.*`: whose deployments, in which words, with which results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.chain.api import ContractState, EventKind, Twin
from zos.errors import ZosError
from zos.model.decode import Malformed
from zos.provisiond import listing
from zos.provisiond.api import BadUpdate, DeploymentExists, NoSuchDeployment, TwinMismatch
from zos.provisiond.api.errors import TooMuchToList
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM
from zos.rmb.commands.deployment import settled
from zos.rmb.tests.deployed import deployed
from zos.rmb.tests.world import FARMER, OPERATOR, OUTSIDER, USER, World, world


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


def told(w: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each list that provisiond sends from now on."""
    sizes: list[int] = []
    real = w.node.provisiond.call

    async def call(method: str, request: Any, **options: Any) -> Any:
        answer = await real(method, request, **options)
        sizes.append(len(answer.json))
        return answer

    monkeypatch.setattr(w.node.provisiond, "call", call)
    return sizes


async def test_what_no_list_has_crosses_no_socket_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    machine = u.zmachine(mounts=[("disk1", "/data")])
    machine["data"]["env"] = {"long": "x" * 100_000}
    async with world(tmp_path) as w:
        await deployed(w, u.network(), u.zmount(), machine)
        failing = u.document(6, {**u.zmount("disk2"), "description": "x" * 500_000})
        failing["workloads"][0]["data"]["size"] = 1 << 60
        u.contract(w.provision, 6, failing)
        await w.ask("zos.deployment.deploy", u.signed(failing))
        await w.becomes(6, "disk2", "error")
        sizes = told(w, monkeypatch)
        assert await w.ask("zos.network.list_private_ips", {"network_name": "net1"}) == ["10.20.2.5"]
        assert await w.ask("zos.network.list_public_ips") == []
        listed = (await w.ask("zos.debug.deployment.list", {}, OPERATOR))["deployments"]
        assert [one["contract_id"] for one in listed] == [5]
        assert len(sizes) == 3
        assert sum(sizes) < 5_000
        assert [one["contract_id"] for one in await w.ask("zos.deployment.list")] == [5]
        assert sizes[-1] < 110_000


async def test_a_list_that_is_too_long_says_what_to_ask_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listing, "MOST_LISTED", 3_000)
    async with world(tmp_path) as w:
        await deployed(w, {**u.zmount(), "description": "x" * 1000})
        await deployed(w, {**u.zmount("disk2"), "description": "x" * 1000}, contract=6)
        with monkeypatch.context() as patch:
            patch.setattr(listing, "encode", None)  # nothing is written for a refusal
            with pytest.raises(TooMuchToList, match=r"more than 3000 bytes: ask zos\.deployment\.get for one"):
                await w.ask("zos.deployment.list")
        assert (await w.states(6)) == {"disk2": "ok"}
        assert await w.ask("zos.deployment.list", caller=OUTSIDER) == []
        assert len((await w.ask("zos.debug.deployment.list", {}, OPERATOR))["deployments"]) == 2


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
        machine = u.zmachine(mounts=[("disk1", "/data")], entrypoint="/sbin/another")
        body["version"], body["workloads"][2] = 1, {**machine, "version": 1}
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
