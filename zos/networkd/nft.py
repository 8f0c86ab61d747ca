"""The text of nft tables, and the firewall of a network resource. Pure.

A ruleset comes into force in one transaction. The table's comment is a digest of its text: nft prints rules in its own
normal form, so the text itself cannot be compared.
"""

from __future__ import annotations

import hashlib

from zos.networkd.api.types import Network
from zos.networkd.model import OUT, WG_MTU, namespace, tunnel

TABLE = "zos"
_SMTP = 25
_TCP_HEADERS = 40
TCP6_HEADERS = 60


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
