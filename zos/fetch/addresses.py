"""Which addresses are public. Pure.

Stricter than `is_global` where an address carries another one, which is then the one that is reached.
"""

from __future__ import annotations

import ipaddress

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
_OVERLAYS = (ipaddress.IPv6Network("200::/7"), ipaddress.IPv6Network("400::/7"))
"""Yggdrasil and Mycelium: whoever is there may be reached by everybody there."""
_CLOSED = (
    ipaddress.IPv4Network("192.88.99.0/24"),  # routers of 6to4
    ipaddress.IPv4Network("198.18.0.0/15"),  # benchmarks; `is_global` depends on the Python release
    ipaddress.IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise
    ipaddress.IPv6Network("2001::/23"),  # Teredo and others
    ipaddress.IPv6Network("3fff::/20"),  # documentation, newer than this Python
)


def parse(text: str) -> IP:
    """The address that is reached: IPv4 inside of IPv6 (mapped, NAT64) is that IPv4 address. ValueError if none."""
    ip = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def is_public(ip: IP) -> bool:
    """Whether it is an address that anybody on the Internet, or in an overlay, may use."""
    if ip.is_multicast or any(ip in network for network in _CLOSED if network.version == ip.version):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        return (ip in _UNICAST and ip.is_global) or any(ip in network for network in _OVERLAYS)
    return ip.is_global
