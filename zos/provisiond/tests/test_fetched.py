"""Documents that the node fetches from where their contract says."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from zos.chain.api import Block, ContractState, EventKind
from zos.provisiond.api import NoSuchDeployment
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, removed
from zos.provisiond.tests.host import FakeHost, node

pytestmark = pytest.mark.virtual


async def test_a_contract_that_names_its_document_is_fetched_by_the_node(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, *VM)
    url = "http://hub/deployments/x"
    data = json.dumps({"version": 3, "pull": {"url": url}}).encode()
    u.contract(host, 7, body, deployment_data=data)
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        async with asyncio.timeout(5):
            while host.chain.calls.count("contract") < 2:
                await asyncio.sleep(0.01)
        host.documents[url] = u.signed(body)
        await becomes(client, 7, "vm1", "ok")
        story = (await client.why(7, "vm1")).history
    words = [link.what for link in story]
    assert words.index("chain") < words.index("fetch") < words.index("admission")
    assert words[-1] == "console"


async def test_a_contract_may_name_its_owners_vault(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, *VM)
    u.contract(host, 7, body, deployment_data=b'{"version":3,"pull":{"rmb":"vault"}}')
    host.documents[host.chain.contracts[7].deployment_hash] = u.signed(body)
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        await becomes(client, 7, "vm1", "ok")
        links = (await client.why(7, "vm1")).history
    assert "the deployment was fetched from its owner's vault" in [link.detail for link in links]


async def test_a_pulled_document_that_is_not_the_contracts_is_told_and_makes_nothing(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, u.zmount())
    data = b'{"pull": {"url": "http://hub/x"}}'
    u.contract(host, 7, body, deployment_data=data)
    host.documents["http://hub/x"] = u.signed(u.document(0, u.zmount("other")))
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        async with asyncio.timeout(5):
            while True:
                try:
                    sentence = (await client.why(7)).sentence
                    break
                except NoSuchDeployment:
                    await asyncio.sleep(0.01)
    assert "contract hash does not match deployment hash" in sentence
    assert not host.storaged.calls


async def test_a_document_that_cannot_be_fetched_keeps_nothing_from_its_pause_and_end(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, *VM)
    url = "http://hub/x"
    data = json.dumps({"pull": {"url": url}}).encode()
    host.documents[url] = u.signed(body)
    u.contract(host, 7, body, deployment_data=data)
    async with node(tmp_path, host) as client:
        u.happened(host, EventKind.CREATED, 7)
        await becomes(client, 7, "vm1", "ok")
        del host.documents[url]
        host.chain.block = Block(12, "0x" + "0c" * 32)
        other = u.contract(host, 7, u.document(0, u.network()), deployment_data=data)
        u.happened(host, EventKind.UPDATED, 7)
        host.chain.contracts[7] = dataclasses.replace(other, state=ContractState.GRACE)
        u.happened(host, EventKind.GRACE_STARTED, 7)
        await becomes(client, 7, "vm1", "paused")
        u.cancel(host, 7)
        await removed(client, 7)
    assert not host.vmd.machines
