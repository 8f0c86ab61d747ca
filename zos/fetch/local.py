"""Which addresses are this machine's own, or on its own links. Reads the kernel's routes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

from zos.fetch.addresses import IP

V4, V6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
SHORTEST = 16
"""Bits of an IPv6 prefix below which a link is an overlay (Yggdrasil and Mycelium have 7), no LAN."""


def is_own(ip: IP) -> bool:
    """Whether packets for it stay on this machine."""
    with socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(ip), 9))  # sends nothing
        except OSError:
            return False
        return str(probe.getsockname()[0]) == str(ip)


def is_neighbour(ip: IP, v4: Path = V4, v6: Path = V6) -> bool:
    """Whether it is in a network that one of our interfaces is in."""
    return any(ip in network for network in (_v4(v4) if ip.version == 4 else _v6(v6)))


def _lines(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []  # this kernel does not speak this family


def _v4(path: Path) -> Iterator[ipaddress.IPv4Network]:
    for words in _lines(path)[1:]:
        destination, gateway, mask = (int.from_bytes(bytes.fromhex(words[at]), "little") for at in (1, 2, 7))
        if not gateway and mask:
            yield ipaddress.IPv4Network((destination, mask.bit_count()))


def _v6(path: Path) -> Iterator[ipaddress.IPv6Network]:
    for words in _lines(path):
        length = int(words[1], 16)
        if length >= SHORTEST and not int(words[4], 16):
            yield ipaddress.IPv6Network((int(words[0], 16), length), strict=False)
