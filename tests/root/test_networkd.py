"""networkd on a real kernel: two nodes joined by a cable, machines as namespaces on their bridges."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import Node, at_rest, eventually, join, node
from sides import Side, networks, one_network, reaches, settles, tap, two_nodes

from zos.networkd.api import Backend, KernelRefused, NetworkdClient, PortTaken

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


async def test_the_uplink_becomes_a_port_of_zos_and_the_node_keeps_its_address():
    async with two_nodes() as (a, b):
        shown = a.node.sh("ip -o -4 addr; ip route; ip -o link show eth0; ip -o link show zos")
        assert re.search(r"zos +inet 192\.0\.2\.1/24", shown)
        assert "eth0    inet" not in shown
        assert "default via 192.0.2.2 dev zos" in shown
        assert "master zos" in shown
        macs = re.findall(r"link/ether (\S+)", shown)
        assert len(set(macs)) == 1
        assert b.node.ok("busybox ping -c1 -W1 192.0.2.1")
        (bridge, card) = await a.client.uplinks()
        assert (bridge.addresses, card.name, card.addresses) == (("192.0.2.1/24",), "eth0", ())


async def test_machines_of_two_nodes_reach_each_other_through_the_overlay():
    async with one_network() as (a, b, left, _):
        await reaches(b, "10.20.2.2")
        assert a.pings("10.20.3.2", "m", size=3000), "fragments pass too"
        assert a.pings("100.64.20.3", "m"), "and the other node's own overlay address"
        (info,) = await a.client.list_networks()
        assert info.backend in (Backend.KERNEL, Backend.WIREGUARD_GO)
        (peer,) = info.peers
        assert peer.last_handshake > 0
        assert peer.rx > 3000
        assert (info.listen_port, info.detail) == (left.listen_port, "")


async def test_a_tcp_connection_through_the_overlay_fits_the_tunnel():
    async with one_network() as (a, b, _, _right):
        b.node.serve(80, "m")
        assert a.node.connects("10.20.3.2", 80, "m", size=300_000)


async def test_a_port_change_costs_no_more_than_a_few_packets():
    async with one_network() as (a, b, left, right):
        pinging = asyncio.create_task(
            asyncio.to_thread(a.node.sh, "busybox ping -c 60 -i 0.1 -W 1 10.20.3.2 || true", namespace="m", deadline=60)
        )
        await asyncio.sleep(1)
        moved = dataclasses.replace(right, listen_port=4322)
        process, began = b.wireguard_go(right.id), time.monotonic()
        assert (await b.client.ensure_network(moved)).listen_port == 4322
        await asyncio.sleep(0.5)
        followed = dataclasses.replace(left.peers[0], endpoint="192.0.2.2:4322")
        await a.client.ensure_network(dataclasses.replace(left, peers=(followed,)))
        apart = time.monotonic() - began
        shown = await pinging
        lost = 60 - int(re.findall(r"(\d+) packets received", shown)[0])
        # Ten packets a second, for no longer than the two ends disagree about the port.
        assert lost <= 10 * apart + 1, shown
        assert b.wireguard_go(right.id) == process
        (info,) = (await a.client.list_networks())[0].peers
        assert info.endpoint == "192.0.2.2:4322"


async def test_a_busy_port_is_refused_and_the_tunnel_stays_on_its_old_one():
    async with one_network() as (a, _b, left, _right):
        program = "import socket,time; s=socket.socket(2,2); s.bind(('',5353)); time.sleep(80)"
        a.node.start(sys.executable, "-c", program)
        await eventually(lambda: a.node.ok("ss -uln | grep -q :5353"), 10)
        with pytest.raises(PortTaken, match="5353 is taken by a program of this node"):
            await a.client.ensure_network(dataclasses.replace(left, listen_port=5353))
        assert 5353 in await a.client.wg_ports()
        assert a.pings("10.20.3.2", "m")
        (info,) = await a.client.list_networks()
        assert info.listen_port == left.listen_port


async def test_tenants_with_the_same_private_range_do_not_meet():
    async with two_nodes() as (a, b):
        for twin in (1, 2):
            left, _ = networks(a, b, twin, (4000 + twin, 4010 + twin))
            await a.client.ensure_network(left)
            # The same range and gateway; each has a neighbour that the other one lacks.
            await a.machine(f"m{twin}", left.id, "10.20.2.2", "10.20.2.1")
            await a.machine(f"n{twin}", left.id, f"10.20.2.{10 + twin}", "10.20.2.1")
        await reaches(a, "10.20.2.11", "m1")
        await reaches(a, "10.20.2.12", "m2")
        assert not a.pings("10.20.2.12", "m1")
        assert not a.pings("10.20.2.11", "m2")
        # Both get out, and neither reaches the other's way out or anything that the node itself serves.
        a.node.serve(7777)
        b.node.serve(7777)
        for machine in ("m1", "m2"):
            await reaches(a, "192.0.2.2", machine)
            assert a.node.connects("192.0.2.2", 7777, machine), "the Internet"
            assert not a.node.connects("192.0.2.1", 7777, machine), "the node's address"
            assert not a.node.connects("100.127.0.1", 7777, machine), "the node's tenant side"
        assert not a.pings("100.127.0.3", "m1")
        assert not a.pings("100.127.0.2", "m2")


async def test_a_machine_cannot_pretend_to_be_another_address():
    async with two_nodes() as (a, b):
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        await reaches(a, "192.0.2.2")
        a.node.sh("ip -n m addr add 10.99.0.1/32 dev eth0")
        assert not a.node.ok("busybox ping -c1 -W1 -I 10.99.0.1 192.0.2.2", namespace="m")
        dropped = a.node.sh("nft list chain inet zos prerouting", namespace=f"n-{left.id}")
        assert re.search(r"saddr != 10\.20\.2\.0/24 counter packets [1-9]", dropped)


async def test_machines_do_not_reach_the_farmers_lan():
    async with two_nodes("192.168.77", "") as (a, b):
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        b.node.sh("ip addr add 203.0.113.9/32 dev lo")
        a.node.sh("ip route add 203.0.113.9 via 192.168.77.2")
        await reaches(a, "203.0.113.9")
        assert a.node.ok("busybox ping -c1 -W1 192.168.77.2")
        assert not a.pings("192.168.77.2", "m")


async def test_machines_get_out_by_ipv6_where_the_node_has_it():
    async with two_nodes() as (a, b):
        a.node.sh("ip addr add 2001:db8::1/64 dev zos nodad")
        b.node.sh("ip addr add 2001:db8::2/64 dev zos nodad")
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        info = await a.client.ensure_tap(tap(left.id, "10.20.2.2", "m"))
        a.node.sh(f"ip -n m addr add {info.addresses[1]} dev eth0 nodad")
        a.node.sh(f"ip -n m route add default via {info.gateway6}")
        await eventually(lambda: a.node.ok("busybox ping6 -c1 -W1 2001:db8::2", namespace="m"))


async def test_mail_ports_are_closed_outwards():
    async with two_nodes() as (a, b):
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        for port in (25, 587):
            b.node.serve(port)
        await reaches(a, "192.0.2.2")
        assert a.node.connects("192.0.2.2", 25)
        assert a.node.connects("192.0.2.2", 587, "m")
        assert not a.node.connects("192.0.2.2", 25, "m")


async def test_no_key_shows_in_a_log_or_among_the_processes():
    async with one_network() as (a, _b, left, _):
        assert left.private_key not in a.node.logs()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    assert left.private_key.encode() not in (folder / "cmdline").read_bytes()


async def test_the_powers_that_its_unit_keeps_are_enough(plain_pair: tuple[Node, Node]):
    a, b = plain_pair
    a.sh("ip addr add 192.0.2.1/24 dev eth0")
    unit = Path(__file__).with_name("unit.py")
    a.networkd(program=(str(unit), "networkd", str(a.run_dir), f"{a.folder}/state"))
    async with a.bus() as bus:
        side = Side(a, "192.0.2.1", NetworkdClient(bus))
        await side.ready()
        before = await at_rest(side.world)
        left, _ = networks(side, Side(b, "192.0.2.2", side.client))
        assert (await side.client.ensure_network(left)).detail == ""
        await side.client.ensure_tap(tap(left.id, "10.20.2.9"))
        await side.client.drop_tap(tap(left.id, "10.20.2.9").id)
        await side.client.drop_network(left.id)
        await settles(side, before)


@pytest.fixture
def plain_pair() -> Iterator[tuple[Node, Node]]:
    with node("a") as a, node("b") as b:
        join(a, b)
        yield a, b


async def test_an_uplink_without_an_address_asks_dhcp(plain_pair: tuple[Node, Node]):
    a, b = plain_pair
    (b.folder / "udhcpd.conf").write_text(
        f"start 192.0.2.50\nend 192.0.2.60\ninterface eth0\nlease_file {b.folder}/leases\n"
        f"pidfile {b.folder}/udhcpd.pid\noption subnet 255.255.255.0\noption router 192.0.2.2\noption lease 600\n"
    )
    (b.folder / "leases").touch()
    b.sh("ip addr add 192.0.2.2/24 dev eth0")
    b.start("busybox", "udhcpd", "-f", str(b.folder / "udhcpd.conf"))
    # The client writes the name servers it learns, so this node has a file of its own.
    daemon = a.networkd()
    async with a.bus() as bus:
        side = Side(a, "", NetworkdClient(bus))
        await side.ready()
        assert a.ok("busybox ping -c1 -W1 192.0.2.2")
        # The client adds the route after the address.
        await eventually(lambda: "default via 192.0.2.2 dev zos" in a.sh("ip route"))
        client = a.sh("pgrep -f '[u]dhcpc'").split()
        a.kill(daemon)
        a.networkd()
        await side.ready()
        await side.client.wg_ports()
        assert a.sh("pgrep -f '[u]dhcpc'").split() == client, "one client, and it outlives networkd"


async def test_a_node_without_tunnels_says_what_is_missing(plain_pair: tuple[Node, Node]):
    a, _b = plain_pair
    a.sh("ip addr add 192.0.2.1/24 dev eth0")
    a.networkd('backend = "kernel"')
    async with a.bus() as bus:
        side = Side(a, "192.0.2.1", NetworkdClient(bus))
        await side.ready()
        if a.ok("ip link add wgtry type wireguard"):
            pytest.skip("this kernel has WireGuard; the forced backend works")
        left, _ = networks(side, side)
        with pytest.raises(KernelRefused, match="create tunnel"):
            await side.client.ensure_network(left)
