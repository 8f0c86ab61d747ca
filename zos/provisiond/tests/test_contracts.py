"""What the chain says of a contract, or fails to say, and what becomes of its workloads then."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from zos.chain.api import ContractState, EventKind
from zos.chain.api.types import ContractEvent
from zos.model.evidence import EvidenceKind
from zos.provisiond.api import DeploymentExists, NoSuchDeployment
from zos.provisiond.api.errors import TooManyWaiting
from zos.provisiond.room import MOST_WAITING
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, removed, squat, state
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import ChainUnreachable

pytestmark = pytest.mark.virtual


async def error_of(tmp_path: Path, **changes: Any) -> str:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body, **changes)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "disk1", "error")
        sentence = (await client.why(5)).sentence
    assert not host.storaged.calls
    assert result["message"] in sentence
    return str(result["message"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"deployment_hash": "0" * 32}, "contract hash does not match deployment hash"),
        ({"node": 2}, "invalid node address in contract"),
        ({"twin": 27}, "contract 5 belongs to twin 27"),
        ({"state": ContractState.DELETED_CANCELED}, "contract 5 is deleted canceled"),
    ],
)
async def test_a_contract_that_does_not_carry_the_deployment_is_an_error_on_each_workload(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    assert text in await error_of(tmp_path, **changes)


async def test_a_contract_that_is_over_already_is_an_error(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 9, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        result = await becomes(client, 5, "disk1", "error")
    assert "contract 5 is not on the chain" in result["message"]
    assert not host.storaged.calls


async def test_a_contract_that_is_not_finalized_yet_is_waited_for(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 4, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        assert await state(client, 5, "disk1") == "init"
        u.contract(host, 5, body)
        await becomes(client, 5, "disk1", "ok")


async def test_an_unreachable_chain_is_waited_for_and_makes_no_error(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount()) as client:
        host.chain.trouble = ChainUnreachable(url="ws://x", problem="nobody there")
        host.chain.emit(ContractEvent(EventKind.CANCELED, 5, host.chain.block))
        second = u.document(6, u.zmount("disk2"))
        with pytest.raises(ChainUnreachable):
            await client.deploy(u.signed(second), u.TWIN)
        assert await state(client, 5, "disk1") == "ok"
        assert "26-5-disk1" in host.storaged.disks
        host.chain.contracts.pop(5)
        host.chain.trouble = None
        await removed(client, 5)


async def test_a_restart_without_chain_and_hub_keeps_everything(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM):
        pass
    host.chain.trouble = ChainUnreachable(url="ws://x", problem="nobody there")
    host.vmd.machines.clear()
    async with node(tmp_path, host) as client:
        async with asyncio.timeout(5):
            while not host.vmd.machines:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "vm1") == "ok"
    assert not host.storaged.dropped


async def test_an_empty_list_of_contracts_ends_nothing(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, u.zmount(), audit=0.05) as client:
        host.chain.silent = True
        rounds = host.chain.calls.count("node_contracts")
        async with asyncio.timeout(5):
            while host.chain.calls.count("node_contracts") < rounds + 3:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "disk1") == "ok"
    assert not host.storaged.dropped


async def test_a_cancelled_contract_is_taken_away_with_evidence(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM) as client:
        u.cancel(host, 5)
        await removed(client, 5)
        with pytest.raises(NoSuchDeployment):
            await client.get(5)
    left = [host.vmd.machines, host.networkd.taps, host.networkd.networks, host.flistd.mounts]
    assert not any(left)
    assert {id for id, _ in host.storaged.dropped} == {"26-5-disk1", "rootfs-26-5-vm1"}
    evidence = host.storaged.dropped[0][1]
    assert (evidence.kind, evidence.contract, evidence.block) == (EvidenceKind.CONTRACT_CANCELLED, 5, 11)


async def test_grace_pauses_and_payment_resumes(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    made = u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
        host.chain.contracts[5] = dataclasses.replace(made, state=ContractState.GRACE, grace_block=9)
        u.happened(host, EventKind.GRACE_STARTED, 5)
        result = await becomes(client, 5, "vm1", "paused")
        assert result["message"] == "paused"
        assert host.vmd.machines["26-5-vm1"].paused
        host.chain.contracts[5] = made
        u.happened(host, EventKind.GRACE_ENDED, 5)
        await becomes(client, 5, "vm1", "ok")
    assert not host.vmd.machines["26-5-vm1"].paused


async def test_nobody_keeps_a_contract_from_its_owner_by_being_first(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    async with node(tmp_path, host) as client:
        await client.deploy(squat(host, 5), 27)
        u.contract(host, 5, body)
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        with pytest.raises(NoSuchDeployment):
            await client.get(5, 27)
        with pytest.raises(DeploymentExists):
            await client.deploy(squat(host, 5), 27)
        assert await state(client, 5, "disk1") == "ok"


async def test_nobody_keeps_a_contract_from_the_document_that_it_names(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(0, u.zmount())
    host.documents["http://hub/x"] = u.signed(body)
    async with node(tmp_path, host) as client:
        await client.deploy(squat(host, 7), 27)
        u.contract(host, 7, body, deployment_data=b'{"pull": {"url": "http://hub/x"}}')
        u.happened(host, EventKind.CREATED, 7)
        await becomes(client, 7, "disk1", "ok")
        assert [one["twin_id"] for one in await client.list()] == [u.TWIN]


async def test_documents_that_no_contract_carries_are_bounded(tmp_path: Path) -> None:
    host = FakeHost()
    async with node(tmp_path, host, every=60.0) as client:
        for contract in range(1, MOST_WAITING + 1):
            await client.deploy(squat(host, contract), 27)
        with pytest.raises(TooManyWaiting, match="twin 27 has 100 deployments here that no contract carries"):
            await client.deploy(squat(host, 1000), 27)
        body = u.document(2000, u.zmount())
        u.contract(host, 2000, body)
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 2000, "disk1", "ok")


async def test_nothing_is_removed_from_under_a_machine_that_cannot_be_removed_yet(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM, every=20.0) as client:
        host.vmd.trouble = ChainUnreachable(url="vmd", problem="restarting")
        u.cancel(host, 5)
        async with asyncio.timeout(300):
            while "restarting" not in (await client.why(5)).sentence:
                await asyncio.sleep(1)
        await asyncio.sleep(120)
        assert {one["name"] for one in (await client.get(5))["workloads"]} >= {"net1", "vm1"}
        assert host.below.networkd.spaces, "the machine's network is there as long as the machine is"
        host.vmd.trouble = None
        await asyncio.sleep(60)
        await removed(client, 5)
    assert not host.below.networkd.spaces
