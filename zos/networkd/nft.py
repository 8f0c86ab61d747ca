"""The text of nft tables, and the firewall of a network resource. Pure.

A ruleset comes into force in one transaction. The table's comment is a digest of its text: nft prints rules in its own
normal form, so the text itself cannot be compared.
"""

from __future__ import annotations

import hashlib

from zos.networkd.api.types import Network
from zos.networkd.model import BURST, EXIT6_NET, OUT, PACE, SHARD, SHARDS, WG_MTU, namespace, tunnel

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
    return dropping(family, name) + ruleset


def dropping(family: str, name: str) -> str:
    """The transaction that removes a table, should it be there."""
    return f"table {family} {name}\ndelete table {family} {name}\n"


def paced(name: str, key: str) -> str:
    """A set of who is paced (see `over_pace`), by a key of this type."""
    return f"  set {name} {{\n    type {key}\n    size 65535\n    flags dynamic,timeout\n    timeout 1m\n  }}\n"


def over_pace(name: str, key: str, pace: int = PACE, burst: int = BURST) -> str:
    """Matches packets of a key beyond so many a second, once `burst` of them came at once."""
    return f"update @{name} {{ {key} limit rate over {pace}/second burst {burst} packets }}"


def counted(name: str, key: str) -> str:
    """A set of whose connections are counted (see `over_count`), by a key of this type."""
    return f"  set {name} {{\n    type {key}\n    size 65535\n    flags dynamic\n  }}\n"


def over_count(name: str, key: str, most: int = SHARD) -> str:
    """Matches a connection that would be one more than a key may have.

    Only behind `over_pace`: the kernel adds what it refuses too, and forgets it a few at a time.
    """
    return f"add @{name} {{ {key} ct count over {most} }}"


def resource(network: Network, sets: str = "", prerouting: str = "", forward: str = "") -> str:
    """The rules inside a network resource, with its sets and the lines that its places add at the head of two chains.

    Machines reach each other, their peers, and the world through `public`; nothing new comes in from there. Only what
    goes there needs to be tracked, so only that is paced and counted.
    """
    lan, wg = namespace(network.id), tunnel(network.id)
    return table(f"""\
{sets}{counted("held", "inet_service")}\
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
{prerouting}    iifname "{wg}" fib saddr oifname "{lan}" counter drop
    ip6 saddr {{ ::, fe80::/10 }} accept
    iifname "{lan}" ip saddr != {network.subnet} counter drop
    iifname {{ "{lan}", "{OUT}" }} fib saddr . iif oif missing counter drop
    iifname {{ "{lan}", "{wg}" }} fib daddr oifname {{ "{lan}", "{wg}" }} notrack
  }}
  chain fresh {{
    ct status confirmed return
    limit rate over {PACE}/second burst {BURST} packets counter drop
    {over_count("held", f"th sport & {SHARDS - 1}", 2 * SHARD)} counter drop
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    ct state new jump fresh
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
    oifname "{OUT}" ip6 daddr {EXIT6_NET} counter drop
    ct state new jump fresh
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
