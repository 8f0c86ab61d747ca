"""A node with tenants whose taps a test holds, as QEMU does, and a cable to what stands for LAN and Internet."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import frames as f
import pytest
from netns import Node, join, node, until
from sides import Side, new_key
from wires import Wires

from zos.model import names
from zos.networkd.api import NetId, Network, NetworkdClient, Place, Tap, TapId, TapInfo

SERVICE, ACCEPTED = 7, 6007
CONFIG = f"""\
every = 1.0
accept = ["udp/{ACCEPTED}"]
open = ["10.77.0.0/16", "fd77::/64"]
address = ["192.0.2.1/24", "2001:db8:1::1/64"]
gateway = ["192.0.2.2", "2001:db8:1::2"]
"""
OVERLAY = "548:c783:d7ce:74a3::/64"
Cells = Mapping[tuple[str, str], set[str]]
Kind = Callable[[str, bytes], list[bytes]]


@dataclass
class World:
    """A node with tenants, and a cable to what stands for LAN and Internet."""

    wires: Wires
    a: Node
    taps: dict[str, TapInfo] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    """Of what is not a guest: links of the node, and gateways by the guest that uses them."""
    number: int = 0

    def mac(self, guest: str) -> str:
        return self.taps[guest].mac

    def ip(self, guest: str, version: int) -> str:
        found = (one.partition("/")[0] for one in self.taps[guest].addresses)
        return next(one for one in found if (":" in one) == (version == 6))

    def token(self) -> bytes:
        self.number += 1
        return b"<%08d>" % self.number

    def fence(self) -> bytes:
        """Sent from a guest to the Internet, which is promised, so that all before it has arrived."""
        fence = self.token()
        source, to = self.ip("a1", 4), "203.0.113.9"
        datagram = f.udp(source, to, fence, (4445, 9))
        frame = f.ethernet(self.macs["a1"], self.mac("a1"), f.IP4, f.ip(source, to, f.UDP, datagram))
        self.wires.send("a1", frame)
        return fence

    def reached(self, sender: str, sent: Mapping[str, tuple[bytes, list[bytes]]]) -> dict[str, set[str]]:
        """For each name: where a needle was seen (but at its sender) after frames were sent."""
        for _, batch in sent.values():
            self.wires.send(sender, *batch)
        seen = self.wires.seen(self.fence())
        return {
            name: {place for place, data in seen if needle in data and place != sender}
            for name, (needle, _) in sent.items()
        }

    def matrix(self, sender: str, kinds: Mapping[str, Kind], to: Mapping[str, str], promised: Cells) -> int:
        """Send every kind to every destination; asserts each cell, and returns how many there are."""
        wrong = {}
        for kind, made in kinds.items():
            tokens = {name: self.token() for name in to}
            sent = {name: (tokens[name], made(address, tokens[name])) for name, address in to.items()}
            for name, places in self.reached(sender, sent).items():
                expected = promised.get((kind, name), promised.get((kind, "*"), set()))
                if places != expected:
                    wrong[kind, name] = (places, "and not", expected)
        assert not wrong, wrong
        assert {kind for kind, _ in promised} <= kinds.keys()
        assert {name for _, name in promised} <= {*to, "*"}
        return len(kinds) * len(to)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    before = os.sched_getaffinity(0)
    # All on one processor, so that the fence overtakes nothing.
    os.sched_setaffinity(0, {min(before)})
    try:
        with node("a") as a, node("b") as b:
            join(a, b)
            b.sh("ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8:1::2/64 dev eth0 nodad")
            a.supervised_networkd(CONFIG)
            wires = Wires(a.folder)
            try:
                async with a.bus() as bus:
                    yield await built(World(wires, a), Side(a, "192.0.2.1", NetworkdClient(bus)), b)
            except BaseException:
                sys.stderr.write(a.logs())
                raise
            finally:
                wires.close()
    finally:
        os.sched_setaffinity(0, before)


async def built(world: World, a: Side, far: Node) -> World:
    await a.ready()
    networks = {}
    for name, twin, subnet in (("a", 1, "10.20.2.0/24"), ("b", 2, "10.30.2.0/24")):
        id = NetId(names.net_id(twin, name))
        range_ = subnet.replace("2.0/24", "0.0/16")
        network = Network(id, twin, name, range_, subnet, new_key(), 4000 + twin, mycelium=OVERLAY if twin == 1 else "")
        await a.client.ensure_network(network)
        networks[name] = network

    async def tap(name: str, place: Place, network: str = "", ip: str = "", seed: bytes = b"") -> None:
        id = TapId(names.unique(f"1-1-{name}", "leak"))
        net = networks[network].id if network else NetId("")
        info = await a.client.ensure_tap(Tap(id, place, names.mac(id), net, ip=ip, seed=seed))
        world.taps[name] = info
        world.wires.tap(name, a.node.pid, info.device)

    await tap("a1", Place.NETWORK, "a", "10.20.2.2")
    await tap("a2", Place.NETWORK, "a", "10.20.2.3")
    await tap("b1", Place.NETWORK, "b", "10.30.2.2")
    await tap("m1", Place.MYCELIUM, "a", seed=b"seed-1")
    await tap("p1", Place.PLANETARY)
    await tap("p2", Place.PLANETARY)
    first = networks["a"].id
    world.wires.tun("my", a.node.pid, f"n-{first}", "my")
    world.wires.cable("wire", far.pid, "eth0")
    world.wires.cable("ygg", a.node.pid, "ygg0")
    for name, port in (("node", SERVICE), ("accepted", ACCEPTED)):
        world.wires.listen(name, a.node.pid, port)

    def mac(link: str, where: Node = a.node, namespace: str = "") -> str:
        shown = where.sh(f"ip -o link show dev {link}", namespace=namespace)
        return shown.partition("link/ether ")[2].split()[0]

    for link in ("zos", f"b-{first}", f"v-{first}", f"m-{first}", world.taps["a1"].device):
        world.macs[link[:2]] = mac(link)
    world.macs["a1"] = mac(f"n-{first}", namespace=f"n-{first}")
    world.macs["m1"] = mac("br-my", namespace=f"n-{first}")
    world.macs["p1"] = mac("br-ygg")
    # Whoever is asked for on the cable is there at once, whatever address it is.
    there = mac("eth0", far)
    a.node.sh(
        "".join(f"ip neigh replace 192.0.2.{n} lladdr {there} dev zos;" for n in (2, 3))
        + "".join(f"ip neigh replace 2001:db8:1::{n} lladdr {there} dev zos;" for n in (2, 3))
    )
    # The guests are known, so that nothing waits for an answer that no guest gives.
    for guest, where in (("a1", f"n-{first}"), ("a2", f"n-{first}")):
        for version in (4, 6):
            entry = f"{world.ip(guest, version)} lladdr {world.mac(guest)} dev n-{first}"
            a.node.sh(f"ip neigh replace {entry}", namespace=where)
    a.node.sh(f"ip neigh replace {world.ip('m1', 6)} lladdr {world.mac('m1')} dev br-my", namespace=f"n-{first}")
    for guest in ("p1", "p2"):
        a.node.sh(f"ip neigh replace {world.ip(guest, 6)} lladdr {world.mac(guest)} dev br-ygg")
    found = await a.client.planetary()
    world.macs["planetary"], world.macs["planetary gateway"] = found.address, found.gateway
    local = a.node.sh("ip -6 -o addr show dev zos scope link").split()[3].partition("/")[0]
    world.macs["zos link-local"] = local
    until(lambda: _open(world), every=0.1)
    return world


def _open(world: World) -> bool:
    """Whether the way to the Internet is open, which begins with the first reconciliation that saw the addresses."""
    with contextlib.suppress(AssertionError):
        return bool(world.wires.seen(world.fence(), 0.2))
    return False
