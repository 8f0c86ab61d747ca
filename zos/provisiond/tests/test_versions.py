"""Versions that a node never saw, or saw too late: the next one that its contract carries still follows."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zos.chain.api import Block, EventKind
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.errors import BadUpdate, NoSuchDeployment
from zos.provisiond.tests import users as u
from zos.provisiond.tests.host import FakeHost, node

pytestmark = pytest.mark.virtual

URL = "http://hub/deployments/x"


def pulled(host: FakeHost, body: Mapping[str, Any]) -> None:
    """The contract names a document, which lies on the hub."""
    document = u.signed(body)
    host.documents[URL] = document
    named = {"url": URL, "sha256": hashlib.sha256(document).hexdigest()}
    changed(host, body, deployment_data=json.dumps({"pull": named}).encode())


def changed(host: FakeHost, body: Mapping[str, Any], **more: Any) -> None:
    """The contract carries another hash, in a final block of its own."""
    host.chain.block = Block(host.chain.block.number + 1, "0x" + "0d" * 32)
    u.contract(host, 5, body, **more)
    u.happened(host, EventKind.UPDATED, 5)


async def runs(client: ProvisiondClient, version: int, *names: str) -> None:
    """Wait until a version is in force and its workloads are ok."""
    async with asyncio.timeout(900):
        while True:
            try:
                found = await client.get(5)
            except NoSuchDeployment:
                found = {"version": -1, "workloads": []}
            states = {one["name"]: one["result"]["state"] for one in found["workloads"]}
            if found["version"] == version and states == dict.fromkeys(names, "ok"):
                return
            await asyncio.sleep(1)


async def test_a_pulled_version_is_taken_although_the_one_before_was_never_seen(tmp_path: Path) -> None:
    host = FakeHost()
    async with node(tmp_path, host, every=20.0) as client:
        pulled(host, u.document(5, u.zmount("a"), u.zmount("b")))
        await runs(client, 0, "a", "b")
        third = [{**u.volume("b"), "version": 2}, {**u.zmount("c"), "version": 3}]
        pulled(host, u.document(5, u.zmount("a"), *third, version=3))
        await runs(client, 3, "a", "b", "c")
    (pool,) = [one.observed for one in host.below.storaged.disks.values() if one.observed.disks]
    assert {id.rpartition("-")[2] for id in pool.disks} == {"a", "c"}
    assert {id.rpartition("-")[2] for id in pool.volumes} == {"b"}


async def test_a_version_whose_contract_had_moved_on_does_not_stop_the_next(tmp_path: Path) -> None:
    host = FakeHost()
    versions = [u.document(5, u.zmount("a"), version=number) for number in range(3)]
    versions[2]["workloads"].append({**u.zmount("b"), "version": 2})
    async with node(tmp_path, host, every=20.0) as client:
        changed(host, versions[2])
        for body in versions[:2]:
            await client.update(u.signed(body), u.TWIN) if body["version"] else await client.deploy(
                u.signed(body), u.TWIN
            )
            async with asyncio.timeout(900):
                while "hash does not match" not in (await client.why(5)).sentence:
                    await asyncio.sleep(1)
        await client.update(u.signed(versions[2]), u.TWIN)
        await runs(client, 2, "a", "b")


async def test_a_version_that_is_pulled_is_not_forgotten_while_another_one_waits(tmp_path: Path) -> None:
    host = FakeHost()
    async with node(tmp_path, host, every=20.0) as client:
        changed(host, u.document(5, u.zmount("a")))
        await client.deploy(u.signed(u.document(5, u.zmount("a"))), u.TWIN)
        await runs(client, 0, "a")
        await client.update(u.signed(u.document(5, u.zmount("a"), version=1)), u.TWIN)
        pulled(host, u.document(5, u.zmount("a"), {**u.zmount("b"), "version": 2}, version=2))
        # The audit would find it, an hour later.
        async with asyncio.timeout(300):
            await runs(client, 2, "a", "b")


async def test_a_document_that_its_contract_never_carried_gives_way_to_the_one_that_it_names(tmp_path: Path) -> None:
    host, wrong = FakeHost(), u.document(5, u.zmount("wrong"))
    async with node(tmp_path, host, every=20.0) as client:
        changed(host, u.document(5, u.zmount("right")))
        await client.deploy(u.signed(wrong), u.TWIN)
        async with asyncio.timeout(300):
            while "hash does not match" not in (await client.why(5)).sentence:
                await asyncio.sleep(1)
        pulled(host, u.document(5, u.zmount("right")))
        async with asyncio.timeout(300):
            await runs(client, 0, "right")


async def test_a_version_waits_while_our_endpoint_shows_one_between(tmp_path: Path) -> None:
    host = FakeHost()
    versions = [u.document(5, u.zmount("a"), version=number) for number in range(3)]
    async with node(tmp_path, host, every=5.0) as client:
        changed(host, versions[0])
        await client.deploy(u.signed(versions[0]), u.TWIN)
        await runs(client, 0, "a")
        for body in versions[1:]:
            await client.update(u.signed(body), u.TWIN)
        changed(host, versions[1])
        await asyncio.sleep(10)
        changed(host, versions[2])
        await runs(client, 2, "a")


async def test_a_version_that_was_sent_must_follow_on_the_newest_that_was_taken_in(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount("a"))
    u.contract(host, 5, body)
    async with node(tmp_path, host, every=20.0) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await runs(client, 0, "a")
        with pytest.raises(BadUpdate, match="expecting deployment version 1, got 2"):
            await client.update(u.signed({**body, "version": 2}), u.TWIN)


async def test_the_signatures_of_an_update_are_checked_once(tmp_path: Path) -> None:
    host = FakeHost()
    first, second = (u.document(5, u.zmount("a"), version=number) for number in range(2))
    async with node(tmp_path, host, every=20.0) as client:
        changed(host, first)
        await client.deploy(u.signed(first), u.TWIN)
        await runs(client, 0, "a")
        asked = host.chain.calls.count("twin")
        changed(host, second)
        await client.update(u.signed(second), u.TWIN)
        await runs(client, 1, "a")
        assert host.chain.calls.count("twin") == asked + 1
