"""Two real daemons and a real devchain: a contract on the chain becomes workloads, and its end takes them away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from zos.chain.api import ChainClient, Interface, NodeRecord
from zos.chain.daemon import ChainDaemon, Config
from zos.devchain.testing import Devchain, devchain
from zos.model.decode import parse
from zos.model.deployment import decode
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.daemon import Config as ProvisiondConfig
from zos.provisiond.daemon import Provisiond
from zos.provisiond.fake import FakeHost
from zos.provisiond.tests import users as u
from zos.runtime.config import NodeConfig
from zos.runtime.testing import running
from zos.substrate import Chain, Key, KeyKind, LocalKey, websocket

GiB = 1024**3
TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
URL = "http://hub/deployments/1"


class Keys:
    """A node's key without core-0."""

    connect = staticmethod(websocket)

    async def key(self) -> Key:
        return LocalKey.of_seed(bytes(range(32)), KeyKind.ED25519)


@dataclass
class World:
    """A node whose daemons are fakes but for chain and provisiond."""

    dev: Devchain
    user: Chain
    host: FakeHost
    door: ProvisiondClient

    async def contract(self, hash: str) -> int:
        data = json.dumps({"pull": {"url": URL}})
        wanted = {
            "node_id": 1,
            "deployment_hash": hash,
            "deployment_data": data,
            "public_ips": 0,
            "solution_provider_id": None,
        }
        done = await self.user.submit("SmartContractModule", "create_node_contract", wanted, u.KEY)
        event = done.event("SmartContractModule", "ContractCreated")
        assert event is not None
        return int(event.fields["contract_id"])

    async def state(self, contract: int, name: str) -> str:
        for one in await self.door.list():
            if one["contract_id"] == contract:
                found = next((w for w in one["workloads"] if w["name"] == name), None)
                return str(found["result"]["state"]) if found else "gone"
        return "gone"

    async def becomes(self, contract: int, name: str, wanted: str) -> None:
        async with asyncio.timeout(20):
            while await self.state(contract, name) != wanted:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with devchain(0.03) as dev, Chain([dev.url]) as user:
        await user.submit("TfgridModule", "user_accept_tc", TERMS, u.KEY)
        await user.submit("TfgridModule", "create_twin", {"relay": None, "pk": None}, u.KEY)
        await user.submit("TfgridModule", "create_farm", {"name": "farm", "public_ips": []}, u.KEY)
        config = Config(activation=f"{dev.http}/activation/activate")
        node = NodeConfig(farm_id=1, chain=(dev.url,))
        async with running(ChainDaemon, tmp_path, host=Keys(), config=config, node=node) as rt:
            chain = ChainClient(rt.bus)
            cards = (Interface("zos", "54:b2:03:12:34:56", ("10.0.0.5",)),)
            status = await chain.register(NodeRecord(1, 8, 32 * GiB, 512 * GiB, 0, cards))
            assert (status.twin, status.node) == (2, 1)
            host = FakeHost()
            host.chain = chain  # type: ignore[assignment]
            settings = ProvisiondConfig(every=0.2, audit=0.5)
            async with running(Provisiond, tmp_path, host=host, config=settings) as other:
                yield World(dev, user, host, ProvisiondClient(other.bus))


def mine(body: dict[str, object]) -> dict[str, object]:
    """The document of the chain's twin 1."""
    requirement = {
        "requests": [{"twin_id": 1, "required": True, "weight": 1}],
        "weight_required": 1,
        "signatures": [],
        "signature_style": "",
    }
    return {**body, "twin_id": 1, "signature_requirement": requirement}


async def test_a_contract_on_the_chain_becomes_workloads_and_its_end_takes_them(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        body = mine(u.document(0, u.network(), u.zmount(), u.zmachine(mounts=[("disk1", "/data")])))
        w.host.documents[URL] = u.signed(body, twin=1)
        contract = await w.contract(u.hash_of(body))
        await w.becomes(contract, "vm1", "ok")
        async with asyncio.timeout(20):
            while (await w.user.query("SmartContractModule", "NodeContractResources", contract))["used"]["cru"] != 1:
                await asyncio.sleep(0.02)
        await w.user.submit("SmartContractModule", "cancel_contract", {"contract_id": contract}, u.KEY)
        await w.becomes(contract, "vm1", "gone")
    assert {evidence.contract for _, evidence in w.host.storaged.dropped} == {contract}
    assert min(evidence.block for _, evidence in w.host.storaged.dropped) > 0


async def test_a_chain_that_lies_ends_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        body = mine(u.document(0, u.zmount()))
        w.host.documents[URL] = u.signed(body, twin=1)
        contract = await w.contract(u.hash_of(body))
        await w.becomes(contract, "disk1", "ok")
        w.dev.node.mischief.empty = True
        before = w.dev.node.head.number
        async with asyncio.timeout(20):
            while w.dev.node.head.number < before + 60:
                await asyncio.sleep(0.02)
        assert await w.state(contract, "disk1") == "ok"
        w.dev.node.mischief.empty = False
        w.dev.node.mischief.stalled = True
        assert await w.state(contract, "disk1") == "ok"
    assert not w.host.storaged.dropped


def test_the_documents_of_these_tests_are_what_clients_send() -> None:
    assert decode(parse(u.signed(mine(u.document(0, u.zmount())), twin=1))).twin_id == 1
