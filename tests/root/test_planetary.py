"""The planetary network on a real kernel: two nodes, real yggdrasil, machines behind their taps as QEMU would be."""

from __future__ import annotations

import asyncio
import contextlib
import re
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import Node, join, node, until

from zos.bus import Unreachable
from zos.core0.api import Core0Client
from zos.model import names
from zos.networkd.api import (
    NetworkdClient,
    NoPlanetary,
    Place,
    PlanetaryNotUp,
    Tap,
    TapId,
    TapInfo,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

# Carries frames between a tap of the node (its headers included, as QEMU reads them) and a guest's own interface.
_CABLE = """
import ctypes, fcntl, os, select, struct, sys
def tap(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000 | 0x4000))
    return device
outer = tap(sys.argv[1])
inside = os.open("/run/netns/" + sys.argv[2], os.O_RDONLY)
assert ctypes.CDLL(None).setns(inside, 0x40000000) == 0
inner = tap("eth1")
print("ready", flush=True)
while True:
    for device in select.select([outer, inner], [], [])[0]:
        try:
            os.write(inner if device == outer else outer, os.read(device, 70000))
        except OSError:
            pass
"""


@dataclass
class Side:
    """One node of the planetary network."""

    node: Node
    client: NetworkdClient
    core0: Core0Client
    supervisor: subprocess.Popen[bytes] | None = None
    cables: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def boot(self, config: str = "") -> None:
        """Start core-0, which starts networkd with the powers that it has on a node."""
        self.supervisor = self.node.supervised_networkd(f"every = 1.0\n{config}")

    async def joined(self, peers: int = 1) -> None:
        """Wait until the node is in the planetary network."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unreachable):
                    found = await self.client.planetary()
                    if found.offered and len(found.peers) >= peers:
                        return
                await asyncio.sleep(0.05)

    async def machine(self, name: str) -> TapInfo:
        """A guest: a namespace with what the seed would give it on `eth1`."""
        id = TapId(names.unique(f"1-1-{name}", "ygg"))
        info = await self.client.ensure_tap(Tap(id, Place.PLANETARY, names.mac(f"ygg:{id}")))
        (route,) = info.routes
        self.node.sh(f"ip netns add {name} && ip -n {name} link set lo up")
        cable = self.node.start(sys.executable, "-c", _CABLE, info.device, name, log=f"cable-{name}.log")
        self.cables[name] = cable
        until(lambda: self.node.ok("ip link show eth1", namespace=name))
        self.node.sh(
            f"echo 0 > /proc/sys/net/ipv6/conf/eth1/accept_dad;"
            f"ip link set eth1 address {info.mac} up && ip addr add {info.addresses[0]} dev eth1 &&"
            f"ip route add {route.dest} via {route.via}",
            namespace=name,
        )
        return info

    def end(self, name: str) -> None:
        """The guest ends; its tap stays."""
        self.node.kill(self.cables.pop(name))
        self.node.sh(f"ip netns del {name}")

    def pings(self, target: str, machine: str = "", options: str = "") -> bool:
        """Whether a machine, or the node, gets one answer."""
        return self.node.ok(f"ping -6 -c1 -W1 {options} {target}", namespace=machine)

    def yggdrasil(self) -> str:
        """The process (inside); empty when there is none."""
        return self.node.sh("pgrep -x yggdrasil || true").strip()

    async def unit(self, name: str = "networkd") -> int:
        """A daemon's process (inside)."""
        return next(one.pid for one in await self.core0.units() if one.name == name)

    def world(self) -> set[str]:
        """Everything of the planetary network that could be left behind."""
        return set(
            self.node.sh(
                "ip -o link; ip -o addr; ip -6 route; nft list tables; pgrep -ax yggdrasil || true"
            ).splitlines()
        )


@contextlib.contextmanager
def _logs(*nodes: Node) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for one in nodes:
            sys.stderr.write(one.logs())
            sys.stderr.write("\n".join(path.read_text() for path in one.run_dir.glob("networkd/*.log")))
        raise


@contextlib.asynccontextmanager
async def two_nodes(left: str = "", right: str = "") -> AsyncIterator[tuple[Side, Side]]:
    with node("a") as a, node("b") as b, _logs(a, b):
        join(a, b)
        a.sh("ip addr add 192.0.2.1/24 dev eth0")
        b.sh("ip addr add 192.0.2.2/24 dev eth0")
        async with a.bus() as to_a, b.bus() as to_b:
            sides = (
                Side(a, NetworkdClient(to_a), Core0Client(to_a)),
                Side(b, NetworkdClient(to_b), Core0Client(to_b)),
            )
            for side, config in zip(sides, (left, right), strict=True):
                side.boot(config)
            for side in sides:
                await side.joined()
            yield sides


async def reaches(side: Side, target: str, machine: str = "", deadline: float = 20) -> None:
    await asyncio.to_thread(until, lambda: side.pings(target, machine), deadline)


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
        await asyncio.to_thread(until, lambda: a.node.connects(theirs.ip, 8080, "m", size=300_000))


_SERVE6 = """
import socket, socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
Server((sys.argv[1], int(sys.argv[2])), Echo).serve_forever()
"""


async def test_machines_of_one_node_reach_each_other():
    async with two_nodes() as (a, _):
        first, second = await a.machine("m1"), await a.machine("m2")
        await reaches(a, second.ip, "m1")
        assert a.pings(first.ip, "m2")


async def test_yggdrasil_can_do_nothing_but_network_and_its_key_is_nowhere_to_be_read():
    async with two_nodes() as (a, _):
        pid = a.yggdrasil()
        status = a.node.sh(f"cat /proc/{pid}/status")
        assert "Uid:\t0" not in status
        for kind in ("CapEff", "CapPrm", "CapBnd"):
            assert re.search(rf"{kind}:\s+0+1000\n", status), "CAP_NET_ADMIN alone"
        assert "NoNewPrivs:\t1" in status
        config = a.node.run_dir / "networkd/yggdrasil.json"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert config.stat().st_uid == 0
        key = re.findall(r'"PrivateKey": "(\w{64})', config.read_text())[0]
        words = a.node.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert key not in words
        assert key not in (a.node.run_dir / "networkd/yggdrasil.log").read_text() + a.node.logs()


@pytest.mark.parametrize("how", ["KILL", "STOP"])
async def test_a_yggdrasil_that_ends_or_hangs_is_replaced_and_machines_are_reached_again(how: str):
    async with two_nodes() as (a, b):
        ours = await a.machine("m")
        await reaches(b, ours.ip)
        old = a.yggdrasil()
        a.node.sh(f"kill -{how} {old}")
        await asyncio.to_thread(until, lambda: a.yggdrasil() not in ("", old))
        await reaches(b, ours.ip)


async def test_a_killed_networkd_finds_the_yggdrasil_that_went_on():
    async with two_nodes() as (a, b):
        ours = await a.machine("m")
        await reaches(b, ours.ip)
        before, process = a.world(), a.yggdrasil()
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


async def test_a_machine_cannot_speak_for_another_or_for_the_gateway():
    async with two_nodes() as (a, b):
        victim, thief = await a.machine("v"), await a.machine("t")
        gateway = victim.routes[0].via
        far = await b.machine("m")
        await reaches(a, far.ip, "t")
        await reaches(a, far.ip, "v")
        node_sees = f"ip -6 neigh show {victim.ip} dev br-ygg"
        # It takes both addresses, tells everybody, and sends from them.
        a.node.sh(
            f"ip addr add {victim.ip}/64 dev eth1 nodad; ip addr add {gateway}/64 dev eth1 nodad;"
            "ip addr add 300::dead/64 dev eth1 nodad",
            namespace="t",
        )
        for source in (victim.ip, gateway, "300::dead"):
            assert not a.pings(far.ip, "t", f"-I {source}"), source
        a.node.sh(
            f"ip -6 neigh flush dev br-ygg; ip netns exec v ip -6 neigh flush dev eth1; "
            f"{sys.executable} -c '{_ADVERTISE}' t eth1 {thief.mac} {victim.ip} {gateway}"
        )
        assert a.pings(far.ip, "v"), "the victim is not cut off"
        assert a.pings(victim.ip), "and the node still finds it"
        assert victim.mac in a.node.sh(node_sees)
        seen = a.node.sh(f"ip -6 neigh show {gateway} dev eth1", namespace="v")
        assert thief.mac not in seen
        # Under another hardware address it is mute, and it cannot become a router.
        a.node.sh("ip link set eth1 address 02:00:00:00:00:77", namespace="t")
        assert not a.pings(far.ip, "t", f"-I {thief.ip}")
        guard = a.node.sh(f"nft list chain bridge zos {thief.device}")
        counts = [int(count) for count in re.findall(r"counter packets (\d+) .* drop", guard)]
        assert len(counts) == 3
        assert all(counts), guard
        roles = a.node.sh("nft list chain bridge zos multicast")
        assert re.search(r"counter packets [1-9]", roles), "its question for listeners, too"


# Unasked neighbour advertisements that override what others know, and a multicast router's question, sent raw.
_ADVERTISE = """
import ctypes, ipaddress, os, socket, struct, sys
name, link, mac, *targets = sys.argv[1:]
assert ctypes.CDLL(None).setns(os.open("/run/netns/" + name, os.O_RDONLY), 0x40000000) == 0
raw = bytes.fromhex(mac.replace(":", ""))
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((link, 0x86DD))
everybody = ipaddress.ip_address("ff02::1").packed
def summed(packet, source):
    pseudo = source + everybody + struct.pack("!I3xB", len(packet), 58) + packet
    total = sum(struct.unpack("!%dH" % (len(pseudo) // 2), pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:2] + struct.pack("!H", ~total & 0xFFFF) + packet[4:]
def sent(packet, source, kind, hops):
    head = struct.pack("!IHBB", 0x60000000, len(packet), kind, hops) + source + everybody
    for _ in range(5):
        out.send(bytes.fromhex("333300000001") + raw + struct.pack("!H", 0x86DD) + head + packet)
for target in targets:
    body = ipaddress.ip_address(target).packed
    packet = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + body + bytes((2, 1)) + raw
    sent(summed(packet, body), body, 58, 255)
own = b"\\xfe\\x80" + bytes(6) + bytes((raw[0] ^ 2, *raw[1:3], 255, 254, *raw[3:]))
query = summed(struct.pack("!BBHHH16x", 130, 0, 0, 100, 0), own)
sent(bytes.fromhex("3a00050200000100") + query, own, 0, 1)
"""


async def test_the_planetary_network_leads_to_machines_and_not_into_the_node_or_its_lan():
    async with two_nodes() as (a, b):
        ours, _ = await a.machine("m"), await b.machine("m")
        await reaches(b, ours.ip, "m")
        here = await a.client.planetary()
        a.node.sh(f"{sys.executable} -c '{_SERVE6}' :: 8022 > /dev/null 2>&1 &")
        await asyncio.to_thread(until, lambda: a.node.connects("::1", 8022))
        for target in (here.address, here.gateway):
            assert not b.node.connects(target, 8022, "m"), "from the network"
            assert not a.node.connects(target, 8022, "m"), "from its own machine"
        # A machine that makes the node its way to everywhere gets nowhere else.
        b.node.sh("ip -6 addr add 2001:db8::2/64 dev zos")
        a.node.sh("ip -6 addr add 2001:db8::1/64 dev zos")
        a.node.sh(f"ip -6 route add default via {here.gateway}", namespace="m")
        b.node.sh(f"ip -6 route add {ours.ip}/128 via 2001:db8::1")
        await asyncio.to_thread(until, lambda: a.pings("2001:db8::2"))
        assert not a.pings("2001:db8::2", "m")
        assert not b.pings(ours.ip), "nor does the LAN get to machines around the planetary network"


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
        before = a.world()
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
