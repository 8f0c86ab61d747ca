"""What the chain is told of the use of contracts: each change once, and nothing that it knows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes
from zos.provisiond.tests.host import FakeHost, node

pytestmark = pytest.mark.virtual


async def test_a_report_is_of_a_change_and_the_first_is_not_of_nothing(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, *VM)
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        await asyncio.sleep(5)
        await becomes(client, 5, "vm1", "ok")
        await asyncio.sleep(5)
        told = [(one.cru, one.mru, one.sru) for one in host.chain.reported]
        assert len(told) == len(set(told))
        assert (0, 0, 0) not in told
        assert told[-1][0] == 1
        less = u.document(5, VM[0], VM[1], version=1)
        u.contract(host, 5, less)
        await client.update(u.signed(less), u.TWIN)
        async with asyncio.timeout(60):
            while host.chain.reported[-1].cru:
                await asyncio.sleep(0.1)
    calls = len(host.chain.reported)
    async with node(tmp_path, host):
        # Nobody remembers what was told before: it is told once more.
        async with asyncio.timeout(60):
            while len(host.chain.reported) == calls:
                await asyncio.sleep(0.1)
