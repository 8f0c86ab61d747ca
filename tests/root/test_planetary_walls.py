"""What yggdrasil and a machine in the planetary network cannot do."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from netns import eventually
from ygnode import _SERVE6, reaches, two_nodes

from zos.runtime import users

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


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
        assert config.stat().st_uid == users.NETWORKD
        key = re.findall(r'"PrivateKey": "(\w{64})', config.read_text())[0]
        words = a.node.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert key not in words
        assert key not in (a.node.run_dir / "networkd/yggdrasil.log").read_text() + a.node.logs()


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
        await eventually(lambda: a.node.connects("::1", 8022))
        for target in (here.address, here.gateway):
            assert not b.node.connects(target, 8022, "m"), "from the network"
            assert not a.node.connects(target, 8022, "m"), "from its own machine"
        # A machine that makes the node its way to everywhere gets nowhere else.
        b.node.sh("ip -6 addr add 2001:db8::2/64 dev zos")
        a.node.sh("ip -6 addr add 2001:db8::1/64 dev zos")
        a.node.sh(f"ip -6 route add default via {here.gateway}", namespace="m")
        b.node.sh(f"ip -6 route add {ours.ip}/128 via 2001:db8::1")
        await eventually(lambda: a.pings("2001:db8::2"))
        assert not a.pings("2001:db8::2", "m")
        assert not b.pings(ours.ip), "nor does the LAN get to machines around the planetary network"
