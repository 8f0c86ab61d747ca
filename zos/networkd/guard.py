"""What a guest may send through its tap: nothing but what its guard accepts. Pure.

Each tap has a chain in the node's table of the bridge family (see `firewall.py`). A tap without one sends nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address


@dataclass(frozen=True, slots=True)
class Guard:
    """What a guest may send at its tap: its own MAC and addresses."""

    device: str
    mac: str
    ip4: str = ""
    """Empty: the guest speaks no IPv4 and no ARP."""
    ip6: tuple[str, ...] = ()
    """Beside the link-local address that follows from the hardware address."""
    node: bool = False
    """The bridge is the node's own, so the guest exchanges frames with the node itself."""

    def chain(self) -> str:
        """The rules of the chain."""
        # A machine speaks from its own addresses only and claims no others, neither by ARP nor in neighbour
        # discovery, where the target is in bytes 8 to 24.
        own = sorted({IPv6Address(text) for text in (*self.ip6, link_local(self.mac))})
        named = ", ".join(f"0x{int(one):032x}" for one in own)
        rules = f"ether saddr != {self.mac} counter drop\n    jump sound\n"
        if self.ip4:
            arp = f"arp htype 1 arp ptype ip arp operation {{ request, reply }} arp saddr ether {self.mac}"
            rules += f"    {arp} arp saddr ip {self.ip4} accept\n"
            rules += f"    {arp} arp saddr ip 0.0.0.0 arp daddr ip {self.ip4} accept\n"
            rules += f"    ip saddr {self.ip4} accept\n"
        return f"""\
    {rules}\
    icmpv6 type nd-neighbor-advert @th,64,128 != {{ {named} }} counter drop
    ip6 saddr {{ {", ".join(map(str, own))} }} accept
    ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 {{ {named} }} accept
    ip6 saddr :: icmpv6 type {{ mld-listener-report, mld2-listener-report }} accept
    counter drop
"""

    @property
    def digest(self) -> str:
        """As the chain's comment carries it."""
        return hashlib.sha256(f"{self.node}{self.chain()}".encode()).hexdigest()[:24]


def link_local(mac: str) -> IPv6Address:
    """The address that an interface makes itself of its hardware address (EUI-64)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes((raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:])))
