"""What could not be made holds nothing of the node: nobody is billed for it."""

from __future__ import annotations

import asyncio

import pytest

from zos.flistd.api.errors import NoSuchFlist
from zos.model.units import GiB, MiB
from zos.sim import workloads as w
from zos.sim.node import SimNode
from zos.storaged.api import StoragedClient

FLIST = "http://evil/vm.fl"


def machine(size: int) -> list[dict[str, object]]:
    return [w.network(), w.zmachine("vm1", flist=FLIST, size=size, memory=int(GiB(8)))]


async def promised(node: SimNode) -> int:
    return sum(pool.promised for pool in await node.client(StoragedClient).list_pools())


@pytest.mark.virtual
@pytest.mark.parametrize("killed_after", [0, 20, 50, 100, 200, 400])
async def test_a_machine_that_fails_for_good_gives_its_root_back(killed_after: int) -> None:
    async with SimNode() as node:
        before = await promised(node)
        node.hosts.flistd.web[FLIST] = NoSuchFlist(url=FLIST, status=404)
        contract = await node.deploy(*machine(int(GiB(40))))
        if killed_after:
            node.kill_after(killed_after, "provisiond")
        await node.becomes(contract, "vm1", "error")
        await asyncio.sleep(120)
        assert await promised(node) - before < MiB(1), "but for an empty tombstone"
        del node.hosts.flistd.web[FLIST]
        await node.update(contract, w.network(), {**machine(int(GiB(2)))[1], "version": 1}, version=1)
        await node.becomes(contract, "vm1", "ok")
