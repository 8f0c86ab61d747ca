"""The firewall's text: one table in the root namespace, one in each network resource. Pure.

A ruleset comes into force in one transaction. The table's comment is a digest of its text: nft prints rules in its own
normal form, so the text itself cannot be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from zos.networkd.api.types import Network
from zos.networkd.model import (
    EXIT6_NET,
    EXIT_NET,
    OUT,
    UPLINK_BRIDGE,
    WG_MTU,
    namespace,
    tunnel,
)

TABLE = "zos"
_SMTP = 25
_TCP_HEADERS = 40
TCP6_HEADERS = 60
_LAN4 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")))
_LAN6 = IPv6Network("fc00::/7")


def digest(ruleset: str) -> str:
    """The digest inside a rendered ruleset, as the table's comment carries it."""
    return ruleset.partition('comment "')[2].partition('"')[0]


def table(chains: str, family: str = "inet", name: str = TABLE) -> str:
    """A table of these chains."""
    mark = hashlib.sha256(chains.encode()).hexdigest()[:24]
    return f'table {family} {name} {{\n  comment "{mark}"\n{chains}}}\n'


def replacing(ruleset: str, family: str = "inet", name: str = TABLE) -> str:
    """The ruleset as a replacement of the table that is there.

    Only when one is there: the kernel waits a grace period for each table that it removes, some 10 ms.
    """
    # Naming the table before deleting it makes the delete valid should it be gone meanwhile.
    return f"table {family} {name}\ndelete table {family} {name}\n{ruleset}"


def resource(network: Network, prerouting: str = "", forward: str = "") -> str:
    """The rules inside a network resource, with the lines that its places add at the head of two chains.

    Machines reach each other, their peers, and the world through `public`; nothing new comes in from there.
    """
    lan, wg = namespace(network.id), tunnel(network.id)
    return table(f"""\
  chain prerouting {{
    type filter hook prerouting priority mangle; policy accept;
{prerouting}    ip6 saddr {{ ::, fe80::/10 }} accept
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
{forward}    oifname "{wg}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
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


def root(uplink_prefixes: Iterable[str], input: str = "", forward: str = "") -> str:
    """The rules of the root namespace, with the lines that places of the node add at the head of two chains.

    Tenants get out through the uplink, and reach nothing else. `uplink_prefixes` are the networks that the uplink is
    in: those of them that are private are the farmer's LAN, which tenants do not reach. (A public prefix is the
    Internet already.)
    """
    four, six = _lan(uplink_prefixes)
    return table(f"""\
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
{input}    iifname "x-*" goto untrusted
  }}
  chain untrusted {{
    ct state established,related accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
    counter drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
{forward}    iifname != "x-*" oifname != "x-*" accept
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
