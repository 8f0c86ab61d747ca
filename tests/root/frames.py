"""Frames, byte by byte, as a guest that owns its network interface can send them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

ARP, IP4, IP6, VLAN, QINQ = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
ICMP, IGMP, UDP, ICMP6 = 1, 2, 17, 58
HOP, ROUTING, FRAGMENT, OPTIONS = 0, 43, 44, 60
BROADCAST = "ff:ff:ff:ff:ff:ff"
LLDP = "01:80:c2:00:00:0e"
"""A bridge hands frames to this address to the port itself, past its own rules."""
STP = "01:80:c2:00:00:00"


def ethernet(to: str, source: str, kind: int, payload: bytes, *tags: tuple[int, int]) -> bytes:
    """A frame; tags are (protocol, VLAN)."""
    head = bytes.fromhex((to + source).replace(":", ""))
    return head + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", kind) + payload


def ip(source: str, to: str, protocol: int, payload: bytes, **more: Any) -> bytes:
    """A packet of the family of `to`."""
    return (ip4 if ip_address(to).version == 4 else ip6)(source, to, protocol, payload, **more)


def ip4(
    source: str, to: str, protocol: int, payload: bytes, *, offset: int = 0, more: int = 0, options: bytes = b""
) -> bytes:
    """An IPv4 packet; `offset` in units of eight bytes, `more` fragments follow."""
    length = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x40 | length // 4, 0, length + len(payload), 7, more << 13 | offset, 64, protocol, 0),
        *(IPv4Address(source).packed, IPv4Address(to).packed),
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(source: str, to: str, protocol: int, payload: bytes, *, hops: int = 64) -> bytes:
    head = struct.pack("!IHBB", 0x60000000, len(payload), protocol, hops)
    return head + IPv6Address(source).packed + IPv6Address(to).packed + payload


def udp(source: str, to: str, data: bytes, ports: tuple[int, int] = (4444, 7)) -> bytes:
    """A UDP datagram, summed for these addresses."""
    return summed(source, to, UDP, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data, 6)


def icmp6(source: str, to: str, kind: int, body: bytes) -> bytes:
    """An ICMPv6 message without its checksum field in `body`."""
    return summed(source, to, ICMP6, struct.pack("!BBH", kind, 0, 0) + body, 2)


def arp(operation: int, mac: str, ip: str, target: str, target_mac: str = "00:00:00:00:00:00") -> bytes:
    """An ARP message: 1 asks who has `target`, 2 says that `ip` is at `mac`."""
    head = struct.pack("!HHBBH", 1, IP4, 6, 4, operation)
    raw = [bytes.fromhex(one.replace(":", "")) for one in (mac, target_mac)]
    return head + raw[0] + IPv4Address(ip).packed + raw[1] + IPv4Address(target).packed


def neighbor(source: str, to: str, kind: int, target: str, mac: str) -> bytes:
    """A neighbour solicitation (135) or advertisement (136) for a target, as an IPv6 packet."""
    option = bytes((1 if kind == 135 else 2, 1)) + bytes.fromhex(mac.replace(":", ""))
    flags = 0 if kind == 135 else 0x20000000
    body = struct.pack("!I", flags) + IPv6Address(target).packed + (b"" if source == "::" else option)
    return ip6(source, to, ICMP6, icmp6(source, to, kind, body), hops=255)


def extension(kind: int, following: int, data: bytes = b"\x01\x04\0\0\0\0") -> bytes:
    """An IPv6 extension header of eight bytes; `kind` says how to read it, `following` what is next."""
    if kind == FRAGMENT:
        return struct.pack("!BBHI", following, 0, 0, 7)
    return struct.pack("!BB", following, 0) + data


def summed(source: str, to: str, protocol: int, packet: bytes, at: int) -> bytes:
    """The packet with the checksum over it and its pseudo-header put in at an offset."""
    pair = ip_address(source).packed + ip_address(to).packed
    total = checksum(pair + struct.pack("!II", len(packet), protocol) + packet) or 0xFFFF
    return packet[:at] + struct.pack("!H", total) + packet[at + 2 :]


def checksum(data: bytes) -> int:
    """Ones' complement sum of RFC 1071, as ICMPv6, UDP and TCP carry it."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
