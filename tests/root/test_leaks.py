"""What a guest can reach when it sends whatever it likes: every kind of frame to every kind of destination.

Each table names what is promised; every other cell must be empty.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import frames as f
from leakkinds import claims, ipv4_kinds, ipv6_destinations, ipv6_kinds, kind_of
from leakworld import ACCEPTED, SERVICE, World, world

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
__all__ = ["world"]


async def test_by_ipv4_a_guest_reaches_its_neighbours_and_the_internet(world: World):
    world.macs["exit"] = "100.127.0.1"
    to = {
        "neighbour": world.ip("a2", 4),
        "gateway": "10.20.2.1",
        "another tenant": world.ip("b1", 4),
        "the node": "192.0.2.1",
        "the node's side of the exit": "100.127.0.1",
        "its own exit": "100.127.0.2",
        "another's exit": "100.127.0.3",
        "router": "192.0.2.2",
        "LAN": "192.0.2.3",
        "LAN's broadcast": "192.0.2.255",
        "10/8": "10.9.9.9",
        "172.16/12": "172.16.9.9",
        "192.168/16": "192.168.9.9",
        "metadata": "169.254.169.254",
        "CGNAT": "100.99.9.9",
        "overlay of WireGuard": "100.64.9.9",
        "loopback": "127.0.0.1",
        "nobody": "0.0.0.0",
        "benchmark": "198.18.0.9",
        "reserved": "240.0.0.9",
        "broadcast": "255.255.255.255",
        "multicast": "224.0.0.251",
        "wide multicast": "239.1.2.3",
        "what the farmer opened": "10.77.0.1",
        "Internet": "203.0.113.9",
    }
    near = {"neighbour": {"a2"}, "broadcast": {"a2"}, "multicast": {"a2"}, "wide multicast": {"a2"}}
    out = {"what the farmer opened": {"wire"}, "Internet": {"wire"}}
    promised: dict[tuple[str, str], set[str]] = {
        (kind, name): places for kind in ("honest", "fragments") for name, places in (near | out).items()
    }
    # A frame that its own segment does not know is flooded there, and goes nowhere else.
    promised |= {(f"to {name}", "*"): {"a2"} for name in ("the uplink's bridge", "everybody", "STP")}
    cells = world.matrix("a1", ipv4_kinds(world), to, promised)
    assert cells > 600


async def test_by_ipv6_a_guest_reaches_its_neighbours_and_the_internet(world: World):
    groups = ("all nodes", "all routers", "wide multicast")
    out = {"what the farmer opened": {"wire"}, "Internet": {"wire"}} | {name: {"a2"} for name in ("neighbour", *groups)}
    promised: dict[tuple[str, str], set[str]] = {
        (kind, name): places for kind in ("honest", "a fragment") for name, places in out.items()
    }
    promised |= {(f"to {name}", "*"): {"a2"} for name in ("the uplink's bridge", "everybody")}
    cells = world.matrix("a1", ipv6_kinds(world, "a1", "a2"), ipv6_destinations(world), promised)
    assert cells > 700


async def test_in_the_planetary_network_a_guest_reaches_machines_and_the_network(world: World):
    groups = ("all nodes", "all routers", "wide multicast")
    out = {"another planetary machine": {"p2"}, "Yggdrasil": {"ygg"}} | {name: {"p2"} for name in groups}
    promised: dict[tuple[str, str], set[str]] = {
        (kind, name): places for kind in ("honest", "a fragment") for name, places in out.items()
    }
    promised |= {("to everybody", "*"): {"p2"}, ("to the uplink's bridge", "*"): {"p2"}}
    cells = world.matrix("p1", ipv6_kinds(world, "p1", "p2"), ipv6_destinations(world), promised)
    assert cells > 700


async def test_in_the_overlay_a_guest_reaches_the_overlay(world: World):
    promised: dict[tuple[str, str], set[str]] = {(kind, "the overlay"): {"my"} for kind in ("honest", "a fragment")}
    cells = world.matrix("m1", ipv6_kinds(world, "m1", "a1"), ipv6_destinations(world), promised)
    assert cells > 700


async def test_the_overlays_router_brings_packets_of_the_overlay_alone(world: World):
    target = world.ip("m1", 6)
    sources = {
        "the overlay": "500::9",
        "the network's own subnet": "548:c783:d7ce:74a3::9",
        "the Internet": "2600::9",
        "the LAN": "2001:db8:1::3",
        "a private network": "fd12::9",
        "a neighbour in the user's network": world.ip("a2", 6),
        "a link": "fe80::9",
        "nobody": "::",
    }
    sent = {}
    for name, source in sources.items():
        token = world.token()
        sent[name] = (token, [f.ip6(source, target, f.UDP, f.udp(source, target, token))])
    reached = world.reached("my", sent)
    assert reached == {name: {"m1"} if name == "the overlay" else set() for name in sources}


async def test_from_the_lan_only_what_is_named_reaches_the_node_and_nothing_its_tenants(world: World):
    to = {
        "the node": "192.0.2.1",
        "the node by IPv6": "2001:db8:1::1",
        "the node's side of the exit": "100.127.0.1",
        "an exit": "100.127.0.2",
        "a machine": world.ip("a1", 4),
        "a machine by IPv6": world.ip("a2", 6),
        "a machine in the overlay": world.ip("m1", 6),
        "a planetary machine": world.ip("p1", 6),
        "the node in Yggdrasil": world.macs["planetary"],
    }
    mac, sent = world.macs["zo"], {}
    for port in (SERVICE, ACCEPTED):
        for name, address in to.items():
            token = world.token()
            source = "2001:db8:1::3" if ":" in address else "192.0.2.3"
            packet = f.ip(source, address, f.UDP, f.udp(source, address, token, (4444, port)))
            sent[f"{name}, {port}"] = (token, [f.ethernet(mac, "02:00:00:00:00:03", kind_of(address), packet)])
    reached = world.reached("wire", sent)
    own = ("the node", "the node by IPv6", "the node's side of the exit", "the node in Yggdrasil")
    promised = {f"{name}, {ACCEPTED}" for name in own}
    assert reached == {name: {"accepted"} if name in promised else set() for name in sent}


async def test_a_guest_claims_nothing_that_is_not_its_own(world: World):
    own, mine = world.mac("a1"), world.ip("a1", 6)
    honest = {
        "ARP: who has the neighbour": f.ethernet(f.BROADCAST, own, f.ARP, f.arp(1, own, "10.20.2.2", "10.20.2.3")),
        "ARP: its own, gratuitous": f.ethernet(f.BROADCAST, own, f.ARP, f.arp(2, own, "10.20.2.2", "10.20.2.2")),
        "ARP: a probe of its own": f.ethernet(f.BROADCAST, own, f.ARP, f.arp(1, own, "0.0.0.0", "10.20.2.2")),
        "ND: its own": f.ethernet("33:33:00:00:00:01", own, f.IP6, f.neighbor(mine, "ff02::1", 136, mine, own)),
        "ND: who has the neighbour": f.ethernet(
            "33:33:00:00:00:01", own, f.IP6, f.neighbor(mine, "ff02::1", 135, world.ip("a2", 6), own)
        ),
    }
    sent = {name: (frame[12:], [frame]) for name, frame in honest.items()}
    sent |= {name: (frames[0][12:], frames) for name, frames in claims(world).items()}
    reached = world.reached("a1", sent)
    assert reached == {name: {"a2"} if name in honest else set() for name in sent}


async def test_nobody_answers_for_an_address_that_is_not_on_the_segment(world: World):
    """Who asks a tenant's bridge for the node, its LAN or another tenant hears nothing."""
    own = world.mac("a1")
    four = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "100.127.0.1", "100.127.0.2", "127.0.0.1", "169.254.169.254")
    six = ("2001:db8:1::1", world.macs["zos link-local"], "2001:db8:1::3", "fd00::2", world.macs["planetary gateway"])
    hardware = (f.BROADCAST, world.macs["b-"], world.macs["v-"], world.macs["t-"], world.macs["zo"], f.LLDP, f.STP)

    def answered(frames: Iterable[bytes]) -> set[bytes]:
        world.wires.send("a1", *frames)
        seen = world.wires.seen(world.fence())
        arps = {data[28:32] for place, data in seen if place == "a1" and data[12:14] == b"\x08\x06" and data[21] == 2}
        neighbors = {data[62:78] for place, data in seen if place == "a1" and data[54:55] == b"\x88"}
        return arps | neighbors

    ask = [f.ethernet(to, own, f.ARP, f.arp(1, own, "10.20.2.2", ip)) for ip in four for to in hardware]
    assert answered(ask) == set()
    assert answered([f.ethernet(f.BROADCAST, own, f.ARP, f.arp(1, own, "10.20.2.2", "10.20.2.1"))]) == {
        bytes((10, 20, 2, 1))
    }, "but for its gateway"
    mine = world.ip("a1", 6)
    ask = [f.ethernet(to, own, f.IP6, f.neighbor(mine, ip, 135, ip, own)) for ip in six for to in hardware]
    assert answered(ask) == set()


async def test_a_tap_without_a_guard_is_mute(world: World):
    """Whatever becomes of guards, a tap is closed until it has its own again."""
    source, to = world.ip("a1", 4), world.ip("a2", 4)
    token = world.token()
    packet = f.ip4(source, to, f.UDP, f.udp(source, to, token))
    frame = f.ethernet(world.mac("a2"), world.mac("a1"), f.IP4, packet)
    device = world.taps["a1"].device
    world.a.sh(f"nft delete element bridge zos taps '{{ \"{device}\" }}'")
    world.wires.send("a1", frame)
    world.a.sh(f"nft add element bridge zos taps '{{ \"{device}\" : goto {device} }}'")
    assert token not in b"".join(data for _, data in world.wires.seen(world.fence()))
    assert world.reached("a1", {"guarded": (token, [frame])}) == {"guarded": {"a2"}}
