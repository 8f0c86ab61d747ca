"""A node that is asked by RMB answers its tenant as one whose sockets are here."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

import zos.bus.client
from zos.cli.client.nodes import FarNode, NearNode, NodeSays
from zos.provisiond.tests import users as u
from zos.rmb.tests.deployed import with_machine
from zos.rmb.tests.overrelay import NODE, Bus, bus
from zos.rmb.tests.world import USER
from zos.vmd.api.types import MachineId

VM = (USER, 5, "vm1")


def far(b: Bus) -> FarNode:
    return FarNode(1, NODE.id, b.client)


async def test_both_ways_tell_the_same(tmp_path: Path) -> None:
    async with bus(tmp_path) as b:
        await with_machine(b.world)
        near, there = NearNode(1, "", zos.bus.client.Bus(tmp_path / "run")), far(b)
        assert await there.get(5) == await near.get(5)
        assert (await there.why(5, "vm1")).sentence == (await near.why(5, "vm1")).sentence == "vm1 is ok"
        assert await there.deployments(USER) == await near.deployments(USER)
        assert list(await there.wg_ports()) == sorted(await near.wg_ports())
        assert await there.logs(*VM, 7) == await near.logs(*VM, 7) == b"login: "


async def test_a_console_is_followed_from_afar_and_typed_on(tmp_path: Path) -> None:
    async with bus(tmp_path) as b:
        await with_machine(b.world)
        there = far(b)
        async with asyncio.timeout(20), aclosing(there.console(*VM, 7)) as pieces:
            assert await anext(pieces) == b"login: "
            b.world.vm.say(MachineId("26-5-vm1"), "Password: ")
            assert await anext(pieces) == b"Password: "
        await there.type(*VM, b"x" * 5000)
        assert b.world.vm.typed == {MachineId("26-5-vm1"): b"x" * 5000}


async def test_who_waits_sees_each_state_once_and_refusals_in_words(tmp_path: Path) -> None:
    async with bus(tmp_path) as b:
        there = far(b)
        async with asyncio.timeout(20), aclosing(there.watch(5)) as progress:
            first = await anext(progress)
            assert (first.workload, first.state) == ("", "init")
            assert "node 1: " in first.message
            body = u.document(5, u.zmount())
            u.contract(b.world.provision, 5, body)
            await b.world.ask("zos.deployment.deploy", u.signed(body))
            async for one in progress:
                if (one.workload, one.state) == ("disk1", "ok"):
                    break


async def test_a_refusal_names_the_node(tmp_path: Path) -> None:
    async with bus(tmp_path) as b:
        with pytest.raises(NodeSays, match=r"node 1: .*deployment not found"):
            await far(b).get(5)
