"""What all namespaces have in common, and no guest or stranger uses up: connections, ports, neighbours, the LAN."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import frames as f
from leakworld import CONFIG, OVERLAY, World, world
from netns import Node, node, until
from sides import new_key
from wires import Wires
from ygnode import two_nodes

from zos.model import names, ports
from zos.networkd.api import NetId, Network, NetworkdClient
from zos.networkd.api.check import public_key
from zos.networkd.api.types import Peer
from zos.networkd.firewall import inet_table

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
__all__ = ["world"]

FAR = "198.51.100.9"


def read(where: Node, path: str, namespace: str = "") -> int:
    return int(where.sh(f"cat /proc/sys/net/netfilter/{path}", namespace=namespace))


def neighbours(where: Node, link: str, namespace: str = "") -> int:
    """How many places of the tables of neighbours a link takes, but for those that a test filled for good."""
    shown = where.sh(f"ip -4 neigh show dev {link} nud all; ip -6 neigh show dev {link} nud all", namespace=namespace)
    return sum("NOARP" not in line and "PERMANENT" not in line for line in shown.splitlines())


@contextlib.contextmanager
def router() -> Iterator[tuple[Node, Wires]]:
    """The node's own table between two tenants' exits and the uplink, all TUNs. Nobody is paced: counts tell."""
    with node("a") as a:
        wires = Wires(a.folder)
        try:
            for name, link in (("guest", "x-1"), ("other", "x-2"), ("wire", "zos")):
                wires.tun(name, a.pid, "", link)
                a.sh(f"ip link set {link} up txqueuelen 20000")
            a.sh(
                "echo 1 > /proc/sys/net/ipv4/ip_forward; ip addr add 192.0.2.10/24 dev zos;ip route add default dev zos"
            )
            a.sh("ip route add 100.127.0.2/32 dev x-1; ip route add 100.127.0.3/32 dev x-2")
            table = re.sub(
                r"limit rate over \d+/second burst \d+ ",
                "limit rate over 999999/second burst 999999 ",
                inet_table(["192.0.2.10/24"]),
            )
            (a.folder / "table").write_text(table)
            a.sh(f"nft -f {a.folder}/table")
            yield a, wires
        finally:
            wires.close()


def sent(wires: Wires, end: str, source: str, count: int, to: str = "") -> list[bytes]:
    """What comes out of the cable for packets of so many new connections."""
    drawn, out = random.Random(end), []
    for number in range(count):
        far = to or f"198.51.{number >> 8}.{number & 255}"
        wires.send(end, f.ip4(source, far, f.UDP, f.udp(source, far, b"", (drawn.randrange(1024, 65536), 9))))
        with contextlib.suppress(BlockingIOError):
            while data := os.read(wires.ends["wire"], 2000):
                out.append(data)
    return [one for one in out if one[0] >> 4 == 4 and one[9] == f.UDP]


def test_a_tenant_fills_his_own_share_of_connections_and_no_more():
    with router() as (a, wires):
        assert len(sent(wires, "guest", "100.127.0.2", 9000)) <= 4096
        assert 3500 < read(a, "nf_conntrack_count") <= 4096
        assert len(sent(wires, "other", "100.127.0.3", 500)) == 500


def test_connections_of_tenants_leave_the_node_ports_of_its_own():
    with router() as (a, wires):
        packets = sent(wires, "guest", "100.127.0.2", 3000, to=FAR)
        taken = {int.from_bytes(packet[20:22], "big") for packet in packets}
        assert len(taken) > 2500
        assert min(taken) >= 1024
        assert max(taken) < int(a.sh("cat /proc/sys/net/ipv4/ip_local_port_range").split()[0])


async def test_a_flood_of_new_connections_is_paced_before_it_is_tracked(world: World):
    first = f"n-{names.net_id(1, 'a')}"
    source, began = world.ip("a1", 4), time.monotonic()
    for number in range(6000):
        far = f"203.0.{113 + (number >> 8)}.{number & 255}"
        packet = f.ip4(source, far, f.UDP, f.udp(source, far, b"", (1024 + number, 9)))
        world.wires.send("a1", f.ethernet(world.macs["a1"], world.mac("a1"), f.IP4, packet))
    most = 1000 + 200 * (time.monotonic() - began) + 100
    assert read(world.a, "nf_conntrack_count", first) <= most
    assert read(world.a, "nf_conntrack_count") <= most
    for namespace in ("", first):
        assert read(world.a, "nf_conntrack_tcp_timeout_established", namespace) == 7440


async def test_a_stream_that_nobody_answers_is_one_connection(world: World):
    source, to = world.ip("a1", 4), FAR
    packet = f.ip4(source, to, f.UDP, f.udp(source, to, b"stream", (5000, 5004)))
    frame = f.ethernet(world.macs["a1"], world.mac("a1"), f.IP4, packet)
    arrived = 0
    for _ in range(30):
        world.wires.send("a1", *[frame] * 100)
        arrived += sum(b"stream" in data for place, data in world.wires.seen(world.fence()) if place == "wire")
    assert arrived == 3000


async def test_a_guest_makes_the_node_look_for_no_address_that_is_not_there(world: World):
    first = f"n-{names.net_id(1, 'a')}"
    before = neighbours(world.a, f"n-{names.net_id(1, 'a')}", first) + neighbours(world.a, "public", first)
    ula = world.ip("a1", 6).rpartition("::")[0]
    for number in range(2, 202):
        for to in (f"10.20.2.{number + 40}", f"fd00::1:{number:x}", f"{ula}::1:{number:x}"):
            source = world.ip("a1", 6 if ":" in to else 4)
            kind, packet = (f.IP6, f.ip6) if ":" in to else (f.IP4, f.ip4)
            token = packet(source, to, f.UDP, f.udp(source, to, b"?"))
            world.wires.send("a1", f.ethernet(world.macs["a1"], world.mac("a1"), kind, token))
    world.wires.seen(world.fence())
    after = neighbours(world.a, f"n-{names.net_id(1, 'a')}", first) + neighbours(world.a, "public", first)
    assert after - before <= 10, "of 600, gateways among them"


async def test_strangers_in_the_overlay_fill_neither_neighbours_nor_connections(world: World):
    first = f"n-{names.net_id(1, 'a')}"
    before = read(world.a, "nf_conntrack_count", first)
    net = OVERLAY.removesuffix("::/64")
    for number in range(2, 302):
        source = f"500::{number:x}"
        for to in (f"{net}::1:{number:x}", world.ip("m1", 6)):
            world.wires.send("my", f.ip6(source, to, f.UDP, f.udp(source, to, b"?")))
    world.wires.seen(world.fence())
    assert neighbours(world.a, "br-my", first) <= 2
    assert read(world.a, "nf_conntrack_count", first) - before <= 2


async def test_strangers_in_the_planetary_network_fill_neither_neighbours_nor_connections():
    async with two_nodes(right='planetary_peers = ["tcp://192.0.2.1:9943"]') as (a, b):
        guest = await a.machine("m")
        (address,) = (one.partition("/")[0] for one in guest.addresses)
        until(lambda: b.pings(address))
        before = read(a.node, "nf_conntrack_count")
        net = ":".join(address.split(":")[:4])
        shots = "".join(
            f"s.sendto(b'?',('{net}::1:{n:x}',9));s.sendto(b'?',('{address}',1000+{n}));" for n in range(200)
        )
        b.node.sh(f'{sys.executable} -c "import socket;s=socket.socket(10,2);{shots}"')
        until(lambda: b.pings(address))
        assert neighbours(a.node, "br-ygg") <= 4
        assert read(a.node, "nf_conntrack_count") - before <= 20


async def test_endpoints_that_tenants_name_are_no_way_to_flood_the_lan(world: World):
    """WireGuard sends a handshake where it is told, and again every five seconds."""
    keys = (new_key() for _ in range(150))
    hosts = ["192.0.2.255", *(f"192.0.2.{number}" for number in range(50, 199))]
    peers = tuple(
        Peer("10.40.3.0/24", public_key(key), f"{host}:4000", (f"10.40.3.{number}/32",))
        for number, (key, host) in enumerate(zip(keys, hosts, strict=True))
    )
    id = NetId(names.net_id(3, "c"))
    async with world.a.bus() as bus:
        await NetworkdClient(bus).ensure_network(
            Network(id, 3, "c", "10.40.0.0/16", "10.40.2.0/24", new_key(), 4003, peers=peers)
        )
    # The claim is how few are asked within a span, so the span has to pass: there is no level to wait for.
    await asyncio.sleep(2)
    seen = world.wires.seen(world.fence())
    asked = {data[38:42] for place, data in seen if place == "wire" and data[12:14] == b"\x08\x06"}
    assert 10 < len(asked) < 100
    assert not [1 for place, data in seen if place == "wire" and data[:6] == b"\xff" * 6 and data[12:14] == b"\x08\x00"]


def test_what_the_nodes_daemons_listen_on_is_not_for_tenants():
    with node("a") as a:
        a.sh("ip link add eth0 type veth peer name far; ip link set eth0 up; ip link set far up")
        program = ("-m", "zos.core0")
        a._daemon(
            f'[core0]\nunits = ["networkd", "mycelium"]\n[networkd]\n{CONFIG}\n[mycelium]\n', program, "core0.log"
        )

        def bound() -> set[int]:
            return {int(line.split()[3].rpartition(":")[2]) for line in a.sh("ss -Hlnu").splitlines()}

        until(lambda: {9650, 9001} <= bound(), 30)
        listening = {int(line.split()[3].rpartition(":")[2]) for line in a.sh("ss -Hlnt").splitlines()}
        assert bound() | listening <= {*ports.RESERVED, *ports.PRIVILEGED} | set(range(32768, 61000))
