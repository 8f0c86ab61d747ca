"""The planetary network on a real kernel: two nodes, real yggdrasil, machines behind their taps as QEMU would be."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import at_rest, eventually, join, node
from ygnode import _SERVE6, Side, _logs, reaches, two_nodes

from zos.bus import Unreachable
from zos.core0.api import Core0Client
from zos.networkd.api import NetworkdClient, NoPlanetary, PlanetaryNotUp

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


async def test_machines_of_two_nodes_and_the_nodes_reach_each_other():
    async with two_nodes() as (a, b):
        ours, theirs = await a.machine("m"), await b.machine("m")
        await reaches(a, theirs.ip, "m")
        await reaches(b, ours.ip, "m")
        there = await b.client.planetary()
        assert IPv6Address(theirs.ip) in IPv6Network(there.subnet)
        assert a.pings(ours.ip), "the node reaches its own machine"
        assert a.pings(theirs.ip), "and the other node's"
        assert a.pings(there.address, "m"), "machines reach nodes"
        assert a.pings(there.gateway, "m")
        b.node.serve(80, "m")
        assert a.node.connects(ours.ip, 80, "m") is False
        b.node.sh(f"{sys.executable} -c '{_SERVE6}' {theirs.ip} 8080 > /dev/null 2>&1 &", namespace="m")
        await eventually(lambda: a.node.connects(theirs.ip, 8080, "m", size=300_000))


async def test_machines_of_one_node_reach_each_other():
    async with two_nodes() as (a, _):
        first, second = await a.machine("m1"), await a.machine("m2")
        await reaches(a, second.ip, "m1")
        assert a.pings(first.ip, "m2")


@pytest.mark.parametrize("how", ["KILL", "STOP"])
async def test_a_yggdrasil_that_ends_or_hangs_is_replaced_and_machines_are_reached_again(how: str):
    async with two_nodes() as (a, b):
        ours = await a.machine("m")
        await reaches(b, ours.ip)
        old = a.yggdrasil()
        a.node.sh(f"kill -{how} {old}")
        await eventually(lambda: a.yggdrasil() not in ("", old))
        await reaches(b, ours.ip)


async def test_a_killed_networkd_finds_the_yggdrasil_that_went_on():
    async with two_nodes() as (a, b):
        ours = await a.machine("m")
        await reaches(b, ours.ip)
        before, process = await at_rest(a.world), a.yggdrasil()
        old = await a.unit()
        a.node.sh(f"kill -KILL {old}")
        async with asyncio.timeout(20):
            while await a.unit() in (0, old):
                await asyncio.sleep(0.05)
        await a.joined()
        assert b.pings(ours.ip)
        assert a.yggdrasil() == process
        assert a.world() == before


async def test_after_a_boot_all_is_made_again_from_the_ledger():
    async with two_nodes() as (a, b):
        ours = await a.machine("m")
        await reaches(b, ours.ip)
        assert a.supervisor is not None
        a.node.kill(a.supervisor)
        a.end("m")
        a.node.sh(
            f"kill -KILL {a.yggdrasil()}; ip link del br-ygg; ip link del {ours.device};"
            f"nft flush ruleset; rm -rf {a.node.run_dir}/networkd"
        )
        a.boot()
        await a.joined()
        assert (await a.machine("m")) == ours
        await reaches(b, ours.ip)


async def test_a_peer_of_the_configuration_is_found_soon_after_it_comes_up():
    async with two_nodes(right='planetary_peers = ["tcp://192.0.2.1:9943", "tls://192.0.2.77:9944"]') as (a, b):
        wanted = "tcp://192.0.2.1:9943"
        async with asyncio.timeout(20):
            while wanted not in (await b.client.planetary()).peers:
                await asyncio.sleep(0.05)
        assert a.supervisor is not None
        a.node.kill(a.supervisor)
        a.node.sh(f"kill -KILL {a.yggdrasil()}")
        async with asyncio.timeout(20):
            while wanted in (await b.client.planetary()).peers:
                await asyncio.sleep(0.05)
        a.boot()
        await a.joined()
        async with asyncio.timeout(20):  # yggdrasil by itself would try once a minute
            while wanted not in (await b.client.planetary()).peers:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("harm", "cure", "words"),
    [
        ("chmod 600 /dev/net/tun", "chmod 666 /dev/net/tun", "/dev/net/tun is root's alone"),
        ("rm /dev/net/tun", "mknod -m 666 /dev/net/tun c 10 200", "/dev/net/tun is missing"),
        (
            "mount --bind /dev/null /usr/sbin/yggdrasil",
            "umount /usr/sbin/yggdrasil",
            "the program yggdrasil is not installed",
        ),
        ("ip link add ygg0 type bridge", "ip link del ygg0", "the kernel refused to start yggdrasil"),
    ],
)
async def test_a_node_that_cannot_says_why_until_it_can(harm: str, cure: str, words: str):
    with node("a") as a, node("b") as b, _logs(a):
        join(a, b)
        a.sh(f"ip addr add 192.0.2.1/24 dev eth0; {harm}")
        async with a.bus() as bus:
            side = Side(a, NetworkdClient(bus), Core0Client(bus))
            side.boot()
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(Unreachable):
                        found = await side.client.planetary()
                        if not found.offered:
                            break
                    await asyncio.sleep(0.05)
            assert found.detail.startswith(words), found.detail
            with pytest.raises((NoPlanetary, PlanetaryNotUp), match=re.escape(words)):
                await side.machine("m")
            a.sh(cure)
            await side.joined(peers=0)
            assert (await side.machine("m")).ip


async def test_machines_that_go_leave_nothing_and_a_farmer_can_turn_it_off():
    async with two_nodes() as (a, b):
        before = await at_rest(a.world)
        ours = await a.machine("m")
        await reaches(b, ours.ip)
        a.end("m")
        await a.client.drop_tap(ours.id)
        assert _shape(a.world()) == _shape(before)
        assert a.supervisor is not None
        a.node.kill(a.supervisor)
        a.boot("planetary = false")
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Unreachable):
                    if not (await a.client.planetary()).offered and "ygg" not in "".join(a.world()):
                        break
                await asyncio.sleep(0.05)
        assert (await a.client.planetary()).detail == "the farmer turned it off"


def _shape(world: set[str]) -> set[str]:
    """Without what a bridge shows of having had a port once."""
    shown = {" ".join(re.sub(r"<.*?>|state \S+|linkdown", "", line).split()) for line in world}
    return {line for line in shown if not ("br-ygg" in line and "fe80:" in line)}
