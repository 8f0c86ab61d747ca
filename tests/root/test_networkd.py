"""networkd on a real kernel: two nodes joined by a cable, machines as namespaces on their bridges."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import Node, join, node, until

from zos.bus import Unreachable
from zos.model import names
from zos.networkd.api import Backend, KernelRefused, NetId, Network, NetworkdClient, Peer, Place, PortTaken, Tap, TapId
from zos.networkd.api.check import public_key

OPEN = """\
open = ["192.0.2.0/24", "2001:db8::/64"]
accept = ["tcp/25", "tcp/587", "tcp/7777"]
every = 1.0
"""
"""The cable between two nodes stands for the Internet, which a tenant reaches although the uplink is in it."""

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@dataclass
class Side:
    """One node with what tests need of it."""

    node: Node
    address: str
    client: NetworkdClient

    async def ready(self) -> None:
        """Wait until networkd answers and the uplink is in place."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Unreachable):
                    uplinks = await self.client.uplinks()
                    if uplinks and uplinks[0].name == "zos" and uplinks[0].addresses:
                        return
                await asyncio.sleep(0.05)

    def machine(self, name: str, network: NetId, ip: str, gateway: str) -> None:
        """A guest: a namespace with an `eth0` that is a port of the network's bridge."""
        self.node.sh(
            f"ip netns add {name} && ip link add name {name} type veth peer name eth0 netns {name} &&"
            f"ip link set dev {name} master b-{network} up && ip -n {name} link set lo up &&"
            f"ip -n {name} addr add {ip}/24 dev eth0 && ip -n {name} link set eth0 up &&"
            f"ip -n {name} route add default via {gateway}"
        )

    def pings(self, target: str, machine: str, *, size: int = 56) -> bool:
        """Whether a machine gets one answer."""
        return self.node.ok(f"busybox ping -c1 -W1 -s {size} {target}", namespace=machine)

    def wireguard_go(self, network: NetId) -> str:
        """The pid (inside) of the tunnel's process."""
        return self.node.sh(f"pgrep -f '[w]ireguard-go -f w-{network}'").strip()

    def world(self) -> set[str]:
        """Everything that a network could leave behind."""
        shown = self.node.sh(
            "ip -o addr; ip -o link; ip route; ip -6 route; ip rule; ip netns; ls /run/netns/* /run/wireguard/*;"
            "nft list ruleset; cat /proc/mounts; pgrep -a wireguard-go || true"
        )
        shown = re.sub(r"(valid_lft|preferred_lft|packets|bytes) \S+| tentative", "", shown)
        # The shared mount of /run/netns is made once and stays, as after `ip netns add`.
        return {line for line in shown.splitlines() if "/run/netns tmpfs" not in line}


def networks(left: Side, right: Side, twin: int = 1, ports: tuple[int, int] = (4001, 4002)) -> tuple[Network, Network]:
    """One user network over two nodes: 10.20.2.0/24 and 10.20.3.0/24."""
    id = NetId(names.net_id(twin, "net"))
    keys = new_key(), new_key()
    base = Network(id, twin, "net", "10.20.0.0/16", "10.20.2.0/24", keys[0], ports[0])
    to_right = Peer(
        "10.20.3.0/24", public_key(keys[1]), f"{right.address}:{ports[1]}", ("10.20.3.0/24", "100.64.20.3/32")
    )
    to_left = Peer(
        "10.20.2.0/24", public_key(keys[0]), f"{left.address}:{ports[0]}", ("10.20.2.0/24", "100.64.20.2/32")
    )
    return (
        dataclasses.replace(base, peers=(to_right,)),
        dataclasses.replace(base, subnet="10.20.3.0/24", private_key=keys[1], listen_port=ports[1], peers=(to_left,)),
    )


def tap(network: NetId, ip: str, name: str = "vm1") -> Tap:
    id = TapId(names.unique(f"1-1-{name}", "net"))
    return Tap(id, Place.NETWORK, names.mac(id), network, ip=ip)


@contextlib.asynccontextmanager
async def two_nodes(prefix: str = "192.0.2", config: str = OPEN) -> AsyncIterator[tuple[Side, Side]]:
    with node("a") as a, node("b") as b:
        join(a, b)
        a.sh(f"ip addr add {prefix}.1/24 dev eth0; ip route add default via {prefix}.2")
        b.sh(f"ip addr add {prefix}.2/24 dev eth0")
        try:
            async with a.bus() as to_a, b.bus() as to_b:
                sides = Side(a, f"{prefix}.1", NetworkdClient(to_a)), Side(b, f"{prefix}.2", NetworkdClient(to_b))
                for side in sides:
                    side.node.networkd(config)
                for side in sides:
                    await side.ready()
                yield sides
        except BaseException:
            sys.stderr.write(a.logs() + b.logs())
            raise


@contextlib.asynccontextmanager
async def one_network() -> AsyncIterator[tuple[Side, Side, Network, Network]]:
    """Two nodes, a network over both, a machine `m` on each, overlay up."""
    async with two_nodes() as (a, b):
        left, right = networks(a, b)
        await asyncio.gather(a.client.ensure_network(left), b.client.ensure_network(right))
        a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        b.machine("m", right.id, "10.20.3.2", "10.20.3.1")
        await reaches(a, "10.20.3.2")
        yield a, b, left, right


async def settles(side: Side, before: set[str]) -> None:
    """Wait until the node is as it was."""
    with contextlib.suppress(AssertionError):
        await asyncio.to_thread(until, lambda: side.world() == before, 10)
    assert side.world() ^ before == set()


async def reaches(side: Side, target: str, machine: str = "m", deadline: float = 15) -> None:
    await asyncio.to_thread(until, lambda: side.pings(target, machine), deadline)


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
        await asyncio.to_thread(until, lambda: a.node.ok("ss -uln | grep -q :5353"), 10)
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
            a.machine(f"m{twin}", left.id, "10.20.2.2", "10.20.2.1")
            a.machine(f"n{twin}", left.id, f"10.20.2.{10 + twin}", "10.20.2.1")
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
        a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        await reaches(a, "192.0.2.2")
        a.node.sh("ip -n m addr add 10.99.0.1/32 dev eth0")
        assert not a.node.ok("busybox ping -c1 -W1 -I 10.99.0.1 192.0.2.2", namespace="m")
        dropped = a.node.sh("nft list chain inet zos prerouting", namespace=f"n-{left.id}")
        assert re.search(r"saddr != 10\.20\.2\.0/24 counter packets [1-9]", dropped)


async def test_machines_do_not_reach_the_farmers_lan():
    async with two_nodes("192.168.77", "") as (a, b):
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
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
        a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
        info = await a.client.ensure_tap(tap(left.id, "10.20.2.2"))
        a.node.sh(f"ip -n m addr add {info.addresses[1]} dev eth0 nodad")
        a.node.sh(f"ip -n m route add default via {info.gateway6}")
        await asyncio.to_thread(until, lambda: a.node.ok("busybox ping6 -c1 -W1 2001:db8::2", namespace="m"))


async def test_killing_networkd_leaves_the_tunnel_and_the_next_one_touches_nothing():
    async with one_network() as (a, _b, left, _):
        await a.client.ensure_tap(tap(left.id, "10.20.2.9"))
        before, process = a.world(), a.wireguard_go(left.id)
        (daemon,) = a.node.daemons
        a.node.kill(daemon)
        assert a.pings("10.20.3.2", "m")
        (a.node.folder / "networkd.log").write_text("")
        a.node.networkd(OPEN)
        await a.ready()
        info = await a.client.ensure_network(left)
        assert (info.listen_port, info.detail) == (left.listen_port, "")
        assert a.pings("10.20.3.2", "m")
        assert a.wireguard_go(left.id) == process
        await settles(a, before)
        assert "steps" not in (a.node.folder / "networkd.log").read_text()


async def test_a_killed_wireguard_go_is_back_and_the_overlay_with_it():
    async with one_network() as (a, _b, left, _):
        process = a.wireguard_go(left.id)
        if not process:
            pytest.skip("this kernel has WireGuard itself; there is no wireguard-go to kill")
        a.node.sh(f"kill -9 {process}")
        await reaches(a, "10.20.3.2")
        assert a.wireguard_go(left.id) not in ("", process)


async def test_after_a_drop_everything_is_as_before():
    async with two_nodes() as (a, b):
        before = a.world()
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.client.ensure_tap(tap(left.id, "10.20.2.9"))
        assert a.world() != before
        await a.client.drop_network(left.id)
        assert f"n-{left.id}" in a.node.sh("ip netns"), "a machine is on it"
        await a.client.drop_tap(tap(left.id, "10.20.2.9").id)
        await settles(a, before)
        await a.client.drop_network(left.id)
        again, _ = networks(a, b)
        assert (await a.client.ensure_network(again)).detail == ""


async def test_what_a_lost_ledger_left_is_found_and_removed():
    async with two_nodes() as (a, b):
        before = a.world()
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        await a.client.ensure_tap(tap(left.id, "10.20.2.9"))
        (daemon,) = a.node.daemons
        a.node.kill(daemon)
        a.node.sh(f"kill -9 $(pgrep wireguard-go); ip link del b-{left.id}", check=False)
        shutil.rmtree(a.node.folder / "state")
        a.node.networkd(f"{OPEN}spare = 0.0")
        await a.ready()
        await settles(a, before)


async def test_a_broken_piece_is_mended_whatever_it_is():
    async with one_network() as (a, _b, left, _):
        namespace = f"n-{left.id}"
        for harm in (
            f"ip -n {namespace} link set w-{left.id} down",
            f"ip -n {namespace} addr del 10.20.2.1/24 dev {namespace}",
            f"ip -n {namespace} route del default",
            f"ip -n {namespace} route del 10.20.0.0/16",
            f"ip link del x-{left.id}",
            f"ip link set v-{left.id} nomaster",
            f"nsenter --net=/run/netns/{namespace} nft flush ruleset",
            f"nsenter --net=/run/netns/{namespace} sysctl -q net.ipv4.ip_forward=0",
            f"nsenter --net=/run/netns/{namespace} wg set w-{left.id} peer {left.peers[0].public_key} remove",
        ):
            a.node.sh(harm)
            info = await a.client.ensure_network(left)
            assert info.detail == ""
            await reaches(a, "10.20.3.2")
            await reaches(a, "192.0.2.2")
            rules = a.node.sh("nft list ruleset", namespace=namespace)
            assert "chain forward" in rules, harm


async def test_a_lost_namespace_is_built_again_under_living_machines():
    async with one_network() as (a, _b, left, _):
        a.node.sh(f"ip netns del n-{left.id}")
        await a.client.ensure_network(left)
        await reaches(a, "10.20.3.2")


async def test_mail_ports_are_closed_outwards():
    async with two_nodes() as (a, b):
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        a.machine("m", left.id, "10.20.2.2", "10.20.2.1")
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


async def test_a_tunnel_that_hangs_is_ended_all_the_same():
    async with two_nodes() as (a, b):
        before = a.world()
        left, _ = networks(a, b)
        await a.client.ensure_network(left)
        process = a.wireguard_go(left.id)
        if process:
            a.node.sh(f"kill -STOP {process}")
        await a.client.drop_network(left.id)
        await settles(a, before)


async def test_the_powers_that_its_unit_keeps_are_enough(plain_pair: tuple[Node, Node]):
    a, b = plain_pair
    a.sh("ip addr add 192.0.2.1/24 dev eth0")
    unit = Path(__file__).with_name("unit.py")
    a.networkd(program=(str(unit), "networkd", str(a.run_dir), f"{a.folder}/state"))
    async with a.bus() as bus:
        side = Side(a, "192.0.2.1", NetworkdClient(bus))
        await side.ready()
        before = side.world()
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
        assert "default via 192.0.2.2 dev zos" in a.sh("ip route")
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
