"""Kinds of frames that a guest can send, honest and forged."""

from __future__ import annotations

import struct

import frames as f
from leakworld import Kind, World


def udp(
    world: World, guest: str, *, source: str = "", mac: str = "", to: str = "", tags: tuple[tuple[int, int], ...] = ()
) -> Kind:
    """A datagram from a guest, with whatever it forges; `to` is the hardware address that it is sent to."""

    def made(address: str, token: bytes) -> list[bytes]:
        version = 6 if ":" in address else 4
        sender = source or world.ip(guest, version)
        packet = f.ip(sender, address, f.UDP, f.udp(sender, address, token))
        return [f.ethernet(to or hop(world, guest, address), mac or world.mac(guest), kind_of(address), packet, *tags)]

    return made


def hop(world: World, guest: str, address: str) -> str:
    """The hardware address to which an honest guest would send."""
    for info in world.taps.values():
        if info.bridge == world.taps[guest].bridge and any(one.startswith(f"{address}/") for one in info.addresses):
            return info.mac
    if address.startswith(("224.", "239.", "255.")):
        return f.BROADCAST
    if address.startswith("ff"):
        return "33:33:00:00:00:01"
    return world.macs[guest]


def kind_of(address: str) -> int:
    return f.IP6 if ":" in address else f.IP4


def ipv4_kinds(world: World) -> dict[str, Kind]:
    w, own = world, world.mac("a1")

    def parts(source: str) -> Kind:
        def made(address: str, token: bytes) -> list[bytes]:
            whole = f.udp(source, address, token * 4)
            pieces = [(whole[:24], 0, 1), (whole[24:], 3, 0)]
            packets = [f.ip4(source, address, f.UDP, data, offset=at, more=more) for data, at, more in pieces]
            return [f.ethernet(hop(w, "a1", address), own, f.IP4, packet) for packet in packets]

        return made

    def routed(address: str, token: bytes) -> list[bytes]:
        # Loose source routing: the packet names the node's own gateway first.
        options = bytes((131, 7, 4)) + bytes(map(int, address.split("."))) + b"\0"
        packet = f.ip4(w.ip("a1", 4), w.macs["exit"], f.UDP, f.udp(w.ip("a1", 4), address, token), options=options)
        return [f.ethernet(w.macs["a1"], own, f.IP4, packet)]

    sources = {
        "the neighbour's": w.ip("a2", 4),
        "the gateway's": "10.20.2.1",
        "another of the subnet's": "10.20.2.99",
        "another tenant's": w.ip("b1", 4),
        "its own exit's": "100.127.0.2",
        "another exit's": "100.127.0.3",
        "the LAN's": "192.0.2.3",
        "the node's": "192.0.2.1",
        "loopback's": "127.0.0.1",
        "nobody's": "0.0.0.0",
        "the Internet's": "203.0.113.9",
    }
    return {
        "honest": udp(w, "a1"),
        "fragments": parts(w.ip("a1", 4)),
        "fragments from the neighbour's address": parts(w.ip("a2", 4)),
        "source route": routed,
        **{f"from {name} address": udp(w, "a1", source=source) for name, source in sources.items()},
        "to the bridge": udp(w, "a1", to=w.macs["b-"]),
        "to the bridge's port": udp(w, "a1", to=w.macs["v-"]),
        "to the tap itself": udp(w, "a1", to=w.macs["t-"]),
        "to the uplink's bridge": udp(w, "a1", to=w.macs["zo"]),
        "to everybody": udp(w, "a1", to=f.BROADCAST),
        "to LLDP": udp(w, "a1", to=f.LLDP),
        "to STP": udp(w, "a1", to=f.STP),
        **link_kinds(w, "a1", "a2"),
    }


def link_kinds(w: World, guest: str, neighbour: str) -> dict[str, Kind]:
    """What is forged at the link, whatever it carries."""
    return {
        "from the neighbour's hardware address": udp(w, guest, mac=w.mac(neighbour)),
        "from the gateway's hardware address": udp(w, guest, mac=w.macs[guest]),
        "from any hardware address": udp(w, guest, mac="02:00:00:00:00:77"),
        "tagged 0": udp(w, guest, tags=((f.VLAN, 0),)),
        "tagged 1": udp(w, guest, tags=((f.VLAN, 1),)),
        "tagged 100": udp(w, guest, tags=((f.VLAN, 100),)),
        "tagged twice": udp(w, guest, tags=((f.QINQ, 1), (f.VLAN, 1))),
    }


def ipv6_kinds(w: World, guest: str, neighbour: str) -> dict[str, Kind]:
    own = w.mac(guest)

    def behind(*kinds: int) -> Kind:
        """A datagram behind extension headers."""

        def made(address: str, token: bytes) -> list[bytes]:
            sender, packet, following = w.ip(guest, 6), b"", f.UDP
            packet = f.udp(sender, address, token)
            for kind in reversed(kinds):
                data = b"\0" * 6 if kind == f.ROUTING else b"\x01\x04\0\0\0\0"
                packet, following = f.extension(kind, following, data) + packet, kind
            return [f.ethernet(hop(w, guest, address), own, f.IP6, f.ip6(sender, address, following, packet))]

        return made

    sources = {
        "the neighbour's": w.ip(neighbour, 6),
        "the gateway's": "fe80::1",
        "the node's": "2001:db8:1::1",
        "the LAN's": "2001:db8:1::3",
        "the Internet's": "2600::9",
        "another link-local": "fe80::77",
        "an exit's": "fd00::3",
        "another of the overlay's": "548:c783:d7ce:74a3::77",
        "another of Yggdrasil's": "300::77",
        "loopback's": "::1",
        "nobody's": "::",
        "a mapped": "::ffff:192.0.2.1",
        "a multicast": "ff02::1",
    }
    return {
        "honest": udp(w, guest),
        "a fragment": behind(f.FRAGMENT),
        "behind a hop-by-hop header": behind(f.HOP),
        "behind destination options": behind(f.OPTIONS),
        "behind a routing header": behind(f.ROUTING),
        "behind a fragment's destination options": behind(f.FRAGMENT, f.OPTIONS),
        **{f"from {name} address": udp(w, guest, source=source) for name, source in sources.items()},
        "to everybody": udp(w, guest, to=f.BROADCAST),
        "to LLDP": udp(w, guest, to=f.LLDP),
        "to the uplink's bridge": udp(w, guest, to=w.macs["zo"]),
        **link_kinds(w, guest, neighbour),
    }


def ipv6_destinations(world: World) -> dict[str, str]:
    return {
        "neighbour": world.ip("a2", 6),
        "another tenant": world.ip("b1", 6),
        "a machine in the overlay": world.ip("m1", 6),
        "a planetary machine": world.ip("p1", 6),
        "another planetary machine": world.ip("p2", 6),
        "the node": "2001:db8:1::1",
        "the node's link-local": world.macs["zos link-local"],
        "the node in Yggdrasil": world.macs["planetary"],
        "the planetary gateway": world.macs["planetary gateway"],
        "its own exit": "fd00::2",
        "another's exit": "fd00::3",
        "router": "2001:db8:1::2",
        "LAN": "2001:db8:1::3",
        "ULA": "fd12::9",
        "metadata": "fd00:ec2::254",
        "site-local": "fec0::9",
        "NAT64": "64:ff9b::a00:9",
        "6to4": "2002:a00:9::1",
        "mapped": "::ffff:10.0.0.9",
        "loopback": "::1",
        "all nodes": "ff02::1",
        "all routers": "ff02::2",
        "wide multicast": "ff0e::9",
        "the overlay": "500::9",
        "Yggdrasil": "300::9",
        "what the farmer opened": "fd77::1",
        "Internet": "2600::9",
    }


def claims(world: World) -> dict[str, list[bytes]]:
    """What a guest says of others, or as somebody that it is not."""
    own, everybody, gateway = world.mac("a1"), f.BROADCAST, "10.20.2.1"
    victim, all6, mine = world.ip("a2", 4), "33:33:00:00:00:01", world.ip("a1", 6)

    def say(kind: int, payload: bytes, to: str = everybody, source: str = own) -> list[bytes]:
        return [f.ethernet(to, source, kind, payload)]

    def router(kind: int, body: bytes, *headers: int) -> list[bytes]:
        packet, following = f.icmp6(mine, "ff02::1", kind, body), f.ICMP6
        for header in reversed(headers):
            packet, following = f.extension(header, following) + packet, header
        return say(f.IP6, f.ip6(mine, "ff02::1", following, packet, hops=255), all6)

    advert = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    query = struct.pack("!HH16x", 100, 0)
    igmp = struct.pack("!BBH4x", 0x11, 100, 0)
    offer = bytes((2, 1, 6, 0)) + bytes(232) + b"\x63\x82\x53\x63\x35\x01\x02\xff"
    dhcp = f.udp(world.ip("a1", 4), "255.255.255.255", offer, (67, 68))
    dhcp6 = f.udp(mine, "ff02::1", b"\x02\0\0\x01", (547, 546))
    redirect = struct.pack("!BBH4s", 5, 1, 0, bytes((10, 20, 2, 2)))
    return {
        "ARP: it is the gateway": say(f.ARP, f.arp(2, own, gateway, gateway)),
        "ARP: it is the neighbour": say(f.ARP, f.arp(2, own, victim, victim)),
        "ARP: it is the neighbour, told by a question": say(f.ARP, f.arp(1, own, victim, gateway)),
        "ARP: the neighbour is at another address": say(f.ARP, f.arp(2, world.mac("a2"), world.ip("a1", 4), gateway)),
        "ARP: a probe for the neighbour's address": say(f.ARP, f.arp(1, own, "0.0.0.0", victim)),
        "ARP: tagged": [f.ethernet(everybody, own, f.ARP, f.arp(1, own, world.ip("a1", 4), victim), (f.VLAN, 0))],
        "ND: it is the neighbour": say(f.IP6, f.neighbor(mine, "ff02::1", 136, world.ip("a2", 6), own), all6),
        "ND: it is the gateway": say(f.IP6, f.neighbor(mine, "ff02::1", 136, "fe80::1", own), all6),
        "ND: from the neighbour": say(f.IP6, f.neighbor(world.ip("a2", 6), "ff02::1", 135, mine, own), all6),
        "ND: the neighbour's address is doubled": say(
            f.IP6, f.neighbor("::", "ff02::1", 135, world.ip("a2", 6), own), all6
        ),
        "it is a router": router(134, advert),
        "it is a router, behind a hop-by-hop header": router(134, advert, f.HOP),
        "it is a router, behind destination options": router(134, advert, f.OPTIONS),
        "it is a router, as a fragment": router(134, advert, f.FRAGMENT),
        "it is a router, in a fragment behind options": router(134, advert, f.FRAGMENT, f.OPTIONS),
        "another router is better": router(137, bytes(36)),
        "it asks for listeners": router(130, query, f.HOP),
        "it asks for listeners, by IGMP": say(f.IP4, f.ip4(world.ip("a1", 4), "224.0.0.1", f.IGMP, igmp)),
        "it is a DHCP server": say(f.IP4, f.ip4(world.ip("a1", 4), "255.255.255.255", f.UDP, dhcp)),
        "it is a DHCPv6 server": say(f.IP6, f.ip6(mine, "ff02::1", f.UDP, dhcp6), all6),
        "another way is better": say(f.IP4, f.ip4(world.ip("a1", 4), victim, f.ICMP, redirect), world.mac("a2")),
        "STP": say(38, bytes((0x42, 0x42, 3)) + bytes(35), f.STP),
        "LLDP": say(0x88CC, b"\x02\x07\x04" + bytes(40), f.LLDP),
        "MACsec": say(0x88E5, bytes(46)),
        "PPPoE": say(0x8863, bytes(46)),
        "EAPOL": say(0x888E, bytes(46), "01:80:c2:00:00:03"),
    }
