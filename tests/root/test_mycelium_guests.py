"""Machines in the overlay: real networkd and mycelium on two nodes, guests behind their taps as QEMU would be."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import Node, join, node, until
from test_mycelium import eventually, key
from ygnode import plug

from zos.bus import Unreachable
from zos.core0.api import Core0Client
from zos.model import mycelium, names
from zos.mycelium.api import Identity, IdentityId, MyceliumClient
from zos.networkd.api import NetId, Network, NetworkdClient, Place, Tap, TapId, TapInfo

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

WG = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="


@dataclass
class Side:
    """A node that runs networkd and mycelium, with clients for both."""

    node: Node
    networkd: NetworkdClient
    mycelium: MyceliumClient
    core0: Core0Client

    async def network(self, name: str, port: int, turn: str = "") -> Network:
        """A user's network with a mycelium key; another one with each turn."""
        id = NetId(names.net_id(26, name))
        secret = key(f"{self.node.name}-{name}{turn}")
        subnet = mycelium.subnet(mycelium.public_key(secret))
        network = Network(id, 26, name, "10.20.0.0/16", "10.20.2.0/24", WG, port, mycelium=str(subnet))
        info = await self.networkd.ensure_network(network)
        identity = Identity(IdentityId(id), secret, info.namespace, "my", info.former)
        await self.mycelium.ensure_identity(identity)
        await eventually(lambda: self.attached(id))
        return network

    async def attached(self, id: str) -> bool:
        return any(one.attached for one in await self.mycelium.identities() if one.id == id)

    async def machine(self, name: str, network: Network) -> TapInfo:
        """A guest: a namespace with what the seed would give it on `eth1`."""
        id = TapId(names.unique(f"1-1-{name}", "mycelium"))
        seed = name.encode().rjust(6, b"-")
        tap = Tap(id, Place.MYCELIUM, names.mac(f"mycelium:{id}"), network.id, seed=seed)
        info = await self.networkd.ensure_tap(tap)
        plug(self.node, name, info)
        return info

    def pings(self, name: str, target: str, options: str = "") -> bool:
        return self.node.ok(f"ping -6 -c1 -W1 {options} {target}", namespace=name)


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    with node("one") as one, node("two") as two:
        join(one, two)
        async with one.bus() as first, two.bus() as second:
            made = []
            for number, (where, bus) in enumerate(((one, first), (two, second)), 1):
                where.sh(f"ip addr add 192.0.2.{number}/24 dev eth0; ip route add default via 192.0.2.254")
                # Found by the beacon on the uplink's bridge, as on a farm's wire.
                where.supervised_mycelium("every = 0.5", also="networkd")
                made.append(Side(where, NetworkdClient(bus), MyceliumClient(bus), Core0Client(bus)))
            for side in made:
                await eventually(partial(_is_up, side))
            yield made[0], made[1]


async def _is_up(side: Side) -> bool:
    with contextlib.suppress(Unreachable):
        overlay, uplinks = await side.mycelium.overlay(), await side.networkd.uplinks()
        return bool(overlay.offered and overlay.peers and uplinks and uplinks[0].addresses)
    return False


async def test_machines_of_two_nodes_meet_and_heal(sides: tuple[Side, Side]):
    one, two = sides
    left, right = await one.network("net", 4000), await two.network("net", 4000)
    a, b = await one.machine("a", left), await two.machine("b", right)
    until(lambda: one.pings("a", b.ip))
    assert two.pings("b", a.ip)
    # The nodes themselves answer as well, each at its own address.
    for side in sides:
        node_address = (await side.mycelium.overlay()).address
        until(lambda to=node_address: one.pings("a", to))
    # Whole frames of a machine that knows only Ethernet's size get through by what the router tells.
    until(lambda: one.pings("a", b.ip, "-s 1452"))
    for unit in ("mycelium", "networkd"):
        old = next(unit_.pid for unit_ in await one.core0.units() if unit_.name == unit)
        one.node.sh(f"kill -9 {old}")
        await asyncio.to_thread(until, lambda: one.pings("a", b.ip), 20)
    # What networkd lost is made again, and mycelium finds it.
    one.node.sh(f"ip netns del n-{left.id}")
    await asyncio.to_thread(until, lambda: one.pings("a", b.ip), 30)


async def test_machines_of_an_earlier_key_and_of_a_later_one_are_reached_until_the_earlier_ones_are_gone(
    sides: tuple[Side, Side],
):
    one, two = sides
    left, right = await one.network("net", 4000), await two.network("net", 4000)
    a, b = await one.machine("a", left), await two.machine("b", right)
    until(lambda: one.pings("a", b.ip))
    later = await one.network("net", 4000, "later")
    c = await one.machine("c", later)
    assert IPv6Address(a.ip) in IPv6Network(left.mycelium)
    assert IPv6Address(c.ip) in IPv6Network(later.mycelium)
    for target in (a.ip, c.ip):
        until(lambda to=target: two.pings("b", to))
    until(lambda: one.pings("c", b.ip))
    assert one.pings("a", b.ip), "and the old one goes on"
    until(lambda: one.pings("a", c.ip))
    for unit in ("mycelium", "networkd"):
        old = next(unit_.pid for unit_ in await one.core0.units() if unit_.name == unit)
        one.node.sh(f"kill -9 {old}")
        for target in (a.ip, c.ip):
            await asyncio.to_thread(until, lambda to=target: two.pings("b", to), 20)
    await eventually(partial(_is_up, one))
    await one.networkd.drop_tap(a.id)
    (info,) = await one.networkd.list_networks()
    assert (info.mycelium, info.former) == (later.mycelium, ())
    await one.mycelium.keep_former(IdentityId(later.id), info.former)
    assert [found.subnet for found in await one.mycelium.identities()] == [later.mycelium]
    assert two.pings("b", c.ip)


async def test_a_machine_speaks_for_nobody_else_and_reaches_nothing_but_the_overlay(sides: tuple[Side, Side]):
    one, two = sides
    left, other, right = (
        await one.network("net", 4000),
        await one.network("other", 4001),
        await two.network("net", 4000),
    )
    a, b, c = await one.machine("a", left), await two.machine("b", right), await one.machine("c", other)
    until(lambda: one.pings("a", b.ip))
    # Two tenants of one node reach each other as any two in the overlay do.
    until(lambda: one.pings("a", c.ip))
    # Not with another's address, neither a neighbour's nor an unknown one.
    for stolen in (c.ip.rpartition(":")[0] + ":1", "2001:db8::1"):
        one.node.sh(f"ip addr add {stolen}/128 dev eth1", namespace="a")
        assert not one.pings("a", b.ip, f"-I {stolen}")
    # Neither the node, nor the network's other side, nor the world.
    one.node.serve(9000)
    gateway = a.routes[0].via
    one.node.sh(f"ip route add default via {gateway}", namespace="a")
    assert not one.node.connects(gateway, 9000, namespace="a")
    assert not one.pings("a", "fd00::1", f"-I {a.ip}")
    assert not one.pings("a", "2001:db8::99", f"-I {a.ip}")
    world = one.node.sh("nft list chain inet zos forward | grep 'iifname.*br-my.*counter'", namespace=f"n-{left.id}")
    assert "packets 0 " not in world


async def test_nothing_is_left_behind(sides: tuple[Side, Side]):
    one, _ = sides
    before = _world(one)
    network = await one.network("net", 4000)
    info = await one.machine("a", network)
    assert _world(one) != before
    one.node.sh("ip netns del a")
    await one.networkd.drop_tap(info.id)
    await one.mycelium.drop_identity(IdentityId(network.id))
    await one.networkd.drop_network(network.id)
    await asyncio.to_thread(until, lambda: _world(one) == before)


def _world(side: Side) -> set[str]:
    shown = side.node.sh("ip -o link | cut -d: -f2 | cut -d@ -f1; ls /run/netns; ip -6 route")
    return {line.strip() for line in shown.splitlines() if "fe80" not in line and "ff00" not in line}
