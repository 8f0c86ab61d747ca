"""The firewall's text: one table in the node's own namespace, one in each network resource. Pure.

A ruleset comes into force in one transaction. The table carries a digest of its text as comment, so that seeing
the comment is seeing the rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from zos.networkd.api.types import MYCELIUM_DEVICE, Network
from zos.networkd.model import (
    EXIT6_NET,
    EXIT_NET,
    MYCELIUM_LAN,
    MYCELIUM_MTU,
    OUT,
    PLANETARY_BRIDGE,
    PLANETARY_LINK,
    UPLINK_BRIDGE,
    WG_MTU,
    namespace,
    tunnel,
)

TABLE = "zos"
PLANETARY = "zos-planetary"
"""The table (of the bridge family) that guards the taps in the planetary network."""
_SMTP = 25
_TCP_HEADERS = 40
_TCP6_HEADERS = 60
_LAN4 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")))
_LAN6 = IPv6Network("fc00::/7")


def digest(ruleset: str) -> str:
    """The digest inside a rendered ruleset, as the table's comment carries it."""
    return ruleset.partition('comment "')[2].partition('"')[0]


def _table(chains: str, family: str = "inet", name: str = TABLE) -> str:
    mark = hashlib.sha256(chains.encode()).hexdigest()[:24]
    return f'table {family} {name} {{\n  comment "{mark}"\n{chains}}}\n'


def replacing(ruleset: str, family: str = "inet", name: str = TABLE) -> str:
    """The ruleset as a replacement of the table that is there.

    Only when one is there: the kernel waits a grace period for each table that it removes, some 10 ms.
    """
    # Naming the table before deleting it makes the delete valid should it be gone meanwhile.
    return f"table {family} {name}\ndelete table {family} {name}\n{ruleset}"


def resource(network: Network) -> str:
    """The rules inside a network resource.

    Machines reach each other, their peers, and the world through `public`; nothing new comes in from there.
    """
    lan, wg = namespace(network.id), tunnel(network.id)
    overlay = _overlay(network) if network.mycelium else ("", "")
    return _table(f"""\
  chain prerouting {{
    type filter hook prerouting priority mangle; policy accept;
{overlay[0]}    ip6 saddr {{ ::, fe80::/10 }} accept
    iifname "{lan}" ip saddr != {network.subnet} counter drop
    iifname {{ "{lan}", "{OUT}" }} fib saddr . iif oif missing counter drop
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname {{ "lo", "{lan}", "{wg}" }} accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
{overlay[1]}    oifname "{wg}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    iifname "{wg}" tcp flags syn / syn,rst tcp option maxseg size set {WG_MTU - _TCP_HEADERS}
    ct state established,related accept
    ct state invalid drop
    iifname "{OUT}" counter drop
    oifname {{ "{lan}", "{wg}" }} accept
    oifname "{OUT}" ip daddr 100.64.0.0/10 counter drop
    oifname "{OUT}" tcp dport {_SMTP} counter reject with tcp reset
    oifname "{OUT}" accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{OUT}" masquerade random,fully-random
  }}
""")


def _overlay(network: Network) -> tuple[str, str]:
    """Rules for prerouting and forward: machines and overlay reach each other, and nothing else by these two links."""
    inside, outside = MYCELIUM_LAN, MYCELIUM_DEVICE
    both = f'"{inside}", "{outside}"'
    before = f"""\
    iifname {{ {both} }} meta nfproto ipv4 counter drop
    iifname "{inside}" ip6 saddr != {{ {network.mycelium}, ::, fe80::/10 }} counter drop
    iifname "{outside}" ip6 saddr {network.mycelium} counter drop
"""
    between = f"""\
    oifname "{outside}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    iifname "{outside}" tcp flags syn / syn,rst tcp option maxseg size set {MYCELIUM_MTU - _TCP6_HEADERS}
    iifname "{inside}" oifname "{outside}" accept
    iifname "{outside}" oifname "{inside}" accept
    iifname {{ {both} }} counter drop
    oifname {{ {both} }} counter drop
"""
    return before, between


def host(uplink_prefixes: Iterable[str]) -> str:
    """The rules of the node's own namespace: tenants get out through the uplink, and reach nothing else.

    `uplink_prefixes` are the networks that the uplink is in: those of them that are private are the farmer's LAN,
    which tenants do not reach. (A public prefix is the Internet already.) The planetary network and the machines in it
    reach each other, and nothing else through this node.
    """
    planetary = f'"{PLANETARY_BRIDGE}", "{PLANETARY_LINK}"'
    four, six = _lan(uplink_prefixes)
    return _table(f"""\
  set lan4 {{
    type ipv4_addr
    flags interval
    auto-merge
{_elements(four)}  }}
  set lan6 {{
    type ipv6_addr
    flags interval
    auto-merge
{_elements(six)}  }}
  chain prerouting {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "x-*" accept
    ip6 saddr {{ ::, fe80::/10 }} accept
    fib saddr . iif oif missing counter drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname {{ {planetary} }} goto strangers
    iifname "x-*" goto strangers
  }}
  chain strangers {{
    ct state established,related accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
    counter drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{PLANETARY_BRIDGE}" oifname "{PLANETARY_LINK}" accept
    iifname "{PLANETARY_LINK}" oifname "{PLANETARY_BRIDGE}" accept
    iifname {{ {planetary} }} counter drop
    oifname {{ {planetary} }} counter drop
    iifname != "x-*" oifname != "x-*" accept
    ct state established,related accept
    ct state invalid drop
    oifname "x-*" counter drop
    oifname != "{UPLINK_BRIDGE}" counter drop
    ip daddr @lan4 counter drop
    ip6 daddr @lan6 counter drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{UPLINK_BRIDGE}" ip saddr {EXIT_NET} masquerade random,fully-random
    oifname "{UPLINK_BRIDGE}" ip6 saddr {EXIT6_NET} masquerade random,fully-random
  }}
""")


def _lan(prefixes: Iterable[str]) -> tuple[list[str], list[str]]:
    networks = sorted({str(ip_network(prefix, strict=False)) for prefix in prefixes})
    four = [text for text in networks if ":" not in text and any(IPv4Network(text).subnet_of(lan) for lan in _LAN4)]
    six = [text for text in networks if ":" in text and IPv6Network(text).subnet_of(_LAN6)]
    return four, six


def _elements(members: list[str]) -> str:
    return f"    elements = {{ {', '.join(members)} }}\n" if members else ""


def planetary(taps: Iterable[tuple[str, str, IPv6Address]]) -> str:
    """The rules for taps in the planetary network, each with its machine's hardware address and address.

    All share one segment, so a machine must be unable to speak for another or for the gateway: it sends from its own
    addresses only, and answers for no others (neighbour solicitation and advertisement name them in bytes 8 to 24).
    It is no router, and does not ask who listens: a bridge that hears that stops flooding to those who are silent.
    """
    chains, jumps = "", []
    for device, mac, address in sorted(taps):
        own = (address, _link_local(mac))
        named = ", ".join(f"0x{int(one):032x}" for one in own)
        chains += f"""\
  chain {device} {{
    ether saddr != {mac} counter drop
    ether type != ip6 counter drop
    icmpv6 type {{ nd-router-advert, nd-redirect, mld-listener-query }} counter drop
    icmpv6 type nd-neighbor-advert @th,64,128 != {{ {named} }} counter drop
    ip6 saddr {{ {own[0]}, {own[1]} }} accept
    ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 {{ {named} }} accept
    ip6 saddr :: icmpv6 type {{ mld-listener-report, mld2-listener-report }} accept
    counter drop
  }}
"""
        jumps.append(f'"{device}" : goto {device}')
    guard = f"    iifname vmap {{ {', '.join(jumps)} }}\n" if jumps else ""
    chains += f"""\
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
{guard}  }}
"""
    return _table(chains, "bridge", PLANETARY)


def _link_local(mac: str) -> IPv6Address:
    """The address that an interface makes itself of its hardware address (EUI-64)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes((raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:])))
