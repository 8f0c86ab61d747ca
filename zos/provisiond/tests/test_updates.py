"""Updates of a deployment: what follows, what grows, what is refused and leaves what runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zos.model.evidence import EvidenceKind
from zos.provisiond.api import BadUpdate, DeploymentExists
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, refused, state, update
from zos.provisiond.tests.host import FakeHost
from zos.substrate import ChainUnreachable

pytestmark = pytest.mark.virtual


async def test_an_update_adds_removes_and_grows(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a"), u.zmount("b")) as client:
        grown = {**u.zmount("a", 2 * u.GiB), "version": 1}
        added = {**u.volume("c"), "version": 1}
        new = u.document(5, grown, added, version=1)
        await update(client, host, new)
        await becomes(client, 5, "c", "ok")
        assert await state(client, 5, "b") == "gone"
        log = [(one["name"], one["version"], one["result"]["state"]) for one in await client.changes(5)]
    assert host.storaged.disks["26-5-a"].size == 2 * u.GiB
    assert [evidence.kind for _, evidence in host.storaged.dropped] == [EvidenceKind.SIGNED_UPDATE]
    assert log.count(("a", 1, "ok")) == 1
    assert ("b", 0, "deleted") in log


async def test_a_shrunk_disk_is_unchanged_and_goes_on_as_it_was(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a", 2 * u.GiB)) as client:
        new = u.document(5, {**u.zmount("a", u.GiB), "version": 1}, version=1)
        await update(client, host, new)
        assert await refused(client, 5) == "not safe to shrink a disk"
        (now,) = (await client.get(5))["workloads"]
    assert (now["version"], now["data"]["size"], now["result"]["state"]) == (0, 2 * u.GiB, "ok")
    assert host.storaged.disks["26-5-a"].size == 2 * u.GiB


async def test_an_update_whose_hash_the_contract_does_not_have_leaves_what_runs(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a")) as client:
        await client.update(u.signed(u.document(5, {**u.zmount("a", 9 * u.GiB), "version": 1}, version=1)), u.TWIN)
        await refused(client, 5)
        assert await state(client, 5, "a") == "ok"
    assert host.storaged.disks["26-5-a"].size == u.GiB


async def test_updates_that_do_not_follow_are_refused(tmp_path: Path) -> None:
    async with deployed(tmp_path, FakeHost(), *VM) as client:
        with pytest.raises(DeploymentExists):
            await client.deploy(u.signed(u.document(5, *VM)), u.TWIN)
        with pytest.raises(BadUpdate, match="expecting deployment version 1, got 2"):
            await client.update(u.signed(u.document(5, *VM, version=2)), u.TWIN)
        larger = u.zmachine(mounts=[("disk1", "/data")], entrypoint="/sbin/other")
        changed = u.document(5, VM[0], VM[1], {**larger, "version": 1}, version=1)
        with pytest.raises(BadUpdate, match="does not support upgrade"):
            await client.update(u.signed(changed), u.TWIN)


async def test_a_version_that_was_refused_may_be_sent_again_and_its_old_verdict_is_not_told(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a")) as client:
        new = u.document(5, {**u.zmount("a", 2 * u.GiB), "version": 1}, version=1)
        await client.update(u.signed(new), u.TWIN)
        await refused(client, 5)
        await update(client, host, new)
        assert "unchanged" not in [one["result"]["state"] for one in await client.changes(5)]
        async with asyncio.timeout(5):
            while (await client.changes(5))[-1]["version"] != 1 or await state(client, 5, "a") != "ok":
                await asyncio.sleep(0.01)
        log = [(one["version"], one["result"]["state"]) for one in await client.changes(5)]
    assert log == [(0, "init"), (0, "ok"), (1, "init"), (1, "ok")]


async def test_the_newer_of_two_documents_of_a_version_is_the_one_that_counts(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a")) as client:
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


async def test_a_name_that_is_removed_and_comes_again_is_a_new_disk(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a"), u.zmount("b")) as client:
        host.storaged.trouble = ChainUnreachable(url="storaged", problem="restarting")
        for version, workloads in ((1, [u.zmount("b")]), (2, [u.zmount("b"), {**u.zmount("a"), "version": 2}])):
            new = u.document(5, *workloads, version=version)
            await update(client, host, new)
            async with asyncio.timeout(5):
                while (await client.get(5))["version"] != version:
                    await asyncio.sleep(0.01)
        assert await state(client, 5, "a") == "init"
        host.storaged.trouble = None
        await becomes(client, 5, "a", "ok")
        log = [(one["version"], one["result"]["state"]) for one in await client.changes(5) if one["name"] == "a"]
    assert [id for id, _ in host.storaged.dropped] == ["26-5-a"]
    assert log == [(0, "init"), (0, "ok"), (2, "init"), (0, "deleted"), (2, "ok")]


async def test_an_update_is_waited_for_while_our_endpoint_may_lag_behind_the_clients(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount("a")) as client:
        new = u.document(5, {**u.zmount("a", 2 * u.GiB), "version": 1}, version=1)
        await client.update(u.signed(new), u.TWIN)
        await asyncio.sleep(15)
        assert "the chain does not show a change of contract 5 yet" in (await client.why(5)).sentence
        u.contract(host, 5, new)
        async with asyncio.timeout(60):
            while (await client.get(5))["version"] != 1:
                await asyncio.sleep(0.01)
        assert "unchanged" not in [one["result"]["state"] for one in await client.changes(5)]
