"""What the chain is told of the use of contracts: each change once, and nothing that it knows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import VM, becomes, deployed, update
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import ChainUnreachable

pytestmark = pytest.mark.virtual


async def test_a_report_is_of_a_change_and_the_first_is_not_of_nothing(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM) as client:
        await asyncio.sleep(5)
        await becomes(client, 5, "vm1", "ok")
        await asyncio.sleep(5)
        told = [(one.cru, one.mru, one.sru) for one in host.chain.reported]
        assert len(told) == len(set(told))
        assert (0, 0, 0) not in told
        assert told[-1][0] == 1
        less = u.document(5, VM[0], VM[1], version=1)
        await update(client, host, less)
        async with asyncio.timeout(60):
            while host.chain.reported[-1].cru:
                await asyncio.sleep(0.1)
    calls = len(host.chain.reported)
    async with node(tmp_path, host):
        # Nobody remembers what was told before: it is told once more.
        async with asyncio.timeout(60):
            while len(host.chain.reported) == calls:
                await asyncio.sleep(0.1)


async def test_what_a_contract_uses_is_reported(tmp_path: Path) -> None:
    host = FakeHost()
    async with deployed(tmp_path, host, *VM) as client:
        async with asyncio.timeout(5):
            while not host.chain.reported or host.chain.reported[-1].cru != 1:
                await asyncio.sleep(0.01)
        usage = await client.usage()
    last = host.chain.reported[-1]
    assert (last.contract, last.mru, last.sru) == (5, 512 * u.MiB, u.GiB + 500 * u.MiB)
    assert (usage.deployments, usage.workloads, usage.cru) == (1, 3, 1)


async def test_what_becomes_ok_while_a_report_is_under_way_is_reported_after_it(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), u.zmount(), u.zmachine())
    u.contract(host, 5, body)
    host.chain.report_gate = asyncio.Event()
    host.vmd.trouble = ChainUnreachable(url="vmd", problem="restarting")
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        async with asyncio.timeout(5):
            while "report_resources" not in host.chain.calls:
                await asyncio.sleep(0.01)
        host.vmd.trouble = None
        await becomes(client, 5, "vm1", "ok")
        host.chain.report_gate.set()
        async with asyncio.timeout(5):
            while not host.chain.reported or host.chain.reported[-1].cru != 1:
                await asyncio.sleep(0.01)


async def test_a_report_that_nobody_answered_may_have_arrived_and_is_followed_by_what_is_true(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.zmount())
    u.contract(host, 5, body)
    host.chain.report_unanswered = ChainUnreachable(url="chain", problem="gone")
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "disk1", "ok")
        async with asyncio.timeout(60):
            while not host.chain.reported:
                await asyncio.sleep(0.1)
        # As much as the chain was told at first: nothing.
        empty = u.document(5, {**u.network(), "version": 1}, version=1)
        u.contract(host, 5, empty)
        await client.update(u.signed(empty), u.TWIN)
        await becomes(client, 5, "net1", "ok")
        host.chain.report_unanswered = None
        async with asyncio.timeout(600):
            while host.chain.reported[-1].sru:
                await asyncio.sleep(0.1)
