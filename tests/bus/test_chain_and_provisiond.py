"""A contract on a real devchain becomes workloads by the real daemons, and its end removes them."""

from __future__ import annotations

import json

import pytest

from zos.chain.api import ChainClient
from zos.provisiond.daemon import Config
from zos.sim import workloads as w
from zos.sim.node import SimNode
from zos.storaged.api import StoragedClient

pytestmark = pytest.mark.virtual

URL = "http://hub/deployments/1"
PULL = json.dumps({"pull": {"url": URL}})


async def pulled(node: SimNode, *workloads: dict[str, object]) -> int:
    """A contract that names where its document lies."""
    body = w.document(node.user.twin, 0, workloads)
    node.hosts.documents[URL] = w.signed(body, node.user.key, node.user.twin)
    return await node.contract(body, data=PULL)


async def test_a_contract_on_the_chain_becomes_workloads_and_its_end_removes_them():
    async with SimNode() as node:
        contract = await pulled(node, w.network(), w.zmount(), w.zmachine(mounts=[("disk1", "/data")]))
        await node.becomes(contract, "vm1", "ok")
        await node.until(
            lambda: node.chain.get("SmartContractModule.NodeContractResources", contract)["used"]["cru"] == 1
        )
        await node.cancel(contract)
        await node.becomes(contract, "vm1", "gone")
        tombstones = await node.client(StoragedClient).list_tombstones()
        assert {one.evidence.contract for one in tombstones} == {contract}
        assert min(one.evidence.block for one in tombstones) > 0


async def test_a_chain_that_lies_ends_nothing():
    async with SimNode(provisiond=Config(every=0.2, audit=0.5)) as node:
        contract = await pulled(node, w.zmount())
        await node.becomes(contract, "disk1", "ok")
        faults, before = node.chain.node.faults, node.chain.node.head.number
        faults.empty = True
        await node.until(lambda: node.chain.node.head.number >= before + 60, within=3600)
        assert await node.state(contract, "disk1") == "ok"
        faults.empty = False
        faults.stalled = True
        assert await node.state(contract, "disk1") == "ok"
        assert await node.client(StoragedClient).list_tombstones() == ()
        assert (await node.client(ChainClient).status()).node == 1
