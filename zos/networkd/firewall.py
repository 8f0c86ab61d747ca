"""The walls around the node and its tenants: two tables in the root namespace. Pure.

`inet zos` drops what it does not name, towards the node and through it. `bridge zos` keeps the node and the bridges of
tenants apart, and has the guards of taps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from zos.model import ports
from zos.networkd import nft, overlay, places
from zos.networkd.api.types import SERVICE_PORTS
from zos.networkd.guard import Guard
from zos.networkd.model import EXIT6_NET, EXIT_GATEWAY, EXIT_NET, SHARDS, UPLINK_BRIDGE, Link
from zos.networkd.node import DesiredNode, ObservedNode, choose_or_none
from zos.networkd.planetary import LOCAL_PORT
from zos.networkd.steps import (
    ROOT,
    DropLinks,
    DropRules,
    GuardTaps,
    LoadRules,
    OpenPorts,
    Step,
    UnguardTaps,
)

WIREGUARD = "wireguard"
"""The set of tenants' WireGuard ports."""
FORMER = frozenset({"zos-planetary"})
"""Tables of the bridge family that earlier releases had; guards are in `zos` now."""
PORTS = (
    *(f"tcp/{ports.MYCELIUM}", f"udp/{ports.MYCELIUM_BEACON}"),
    *(f"tcp/{LOCAL_PORT}", f"udp/{ports.YGGDRASIL_BEACON}"),
    f"tcp/{SERVICE_PORTS}",
)
"""Where the node's own daemons are reached from outside: Mycelium (peers, beacons), Yggdrasil (neighbours, beacons),
0-dbs."""

LENT = ":1024-32767"
"""The node's ports that connections of tenants leave by; its own begin at 32768 (`ip_local_port_range`)."""

_CLOSED4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
)
_CLOSED6 = ("::/3", "4000::/2", "8000::/1", "2002::/16")
"""All but the global unicast range; 6to4 addresses name IPv4 destinations."""


@dataclass(frozen=True, slots=True)
class Openings:
    """What the farmer opens."""

    accept: tuple[str, ...] = ()
    """Ports of the node itself, `tcp/22` or `udp/6000-6010`."""
    open: tuple[str, ...] = ()
    """Prefixes that tenants reach although they are private or the uplink's own."""


@dataclass(frozen=True, slots=True)
class ObservedFirewall:
    """What is in force; the default is that nothing is."""

    inet: str = ""
    """The table's digest, as `bridge`."""
    bridge: str = ""
    ports: frozenset[int] = frozenset()
    """The elements of the set `WIREGUARD`."""
    former: frozenset[str] = frozenset()
    """Those of `FORMER` that are there."""


def plan(inet: str, bridge: str, ports: frozenset[int], observed: ObservedFirewall) -> tuple[Step, ...]:
    """The steps to these two tables with these WireGuard ports."""
    return tuple(_plan(inet, bridge, ports, observed))


def _plan(inet: str, bridge: str, ports: frozenset[int], observed: ObservedFirewall) -> Iterator[Step]:
    if nft.digest(bridge) != observed.bridge:
        yield LoadRules(ROOT, nft.replacing(bridge, "bridge") if observed.bridge else bridge, family="bridge")
    for table in sorted(observed.former):
        yield DropRules(ROOT, "bridge", table)
    now = observed.ports
    if nft.digest(inet) != observed.inet:
        yield LoadRules(ROOT, nft.replacing(inet) if observed.inet else inet)
        now = frozenset()
    if step := change_ports(ports, now):
        yield step


def change_ports(desired: frozenset[int], observed: frozenset[int]) -> OpenPorts | None:
    """The step to these WireGuard ports; None when they are open and no others."""
    if desired == observed:
        return None
    return OpenPorts(tuple(sorted(desired - observed)), tuple(sorted(observed - desired)))


def tables(desired: DesiredNode, observed: ObservedNode, openings: Openings) -> tuple[str, str]:
    """The texts of both tables for the node as it is."""
    card = choose_or_none(desired, observed.nics)
    prefixes = {prefix for nic in observed.nics.values() for prefix in (*nic.on_link, *nic.addresses, *nic.leased)}
    prefixes |= {*desired.addresses, *desired.public.config.addresses}
    return inet_table(prefixes, card, openings), bridge_table(card)


def bridge_table(card: str = "") -> str:
    """The table of the bridge family.

    Only ports of the node's own bridges exchange frames with the node: the uplink's card, and taps that are on a bridge
    of the node (the set `near`).
    """
    # `taps` leads from a tap to the chain that is its guard; a tap that is not in it sends nothing. Every guard jumps
    # to `sound` first: what no guest may send from whatever address. That is other protocols and tags, the queries and
    # advertisements of a router or querier, the answers of a DHCP server, and IPv6 extension headers that hide what
    # follows (routing 43, options 60, 135 and above). Reports of multicast listeners must have one (hop-by-hop, 0), so
    # it goes to `multicast`, which lets them alone pass.
    own = f'    {{0}}ifname "{card}" accept\n' if card else ""
    return nft.table(
        f"""\
  map taps {{
    type ifname : verdict
  }}
  set near {{
    type ifname
  }}
  chain sound {{
    ether type != {{ ip, ip6, arp }} counter drop
    ip protocol igmp igmp type membership-query counter drop
    icmp type {{ redirect, router-advertisement }} counter drop
    udp sport {{ 67, 547 }} counter drop
    ip6 nexthdr {{ 43, 60, 135, 139, 140 }} counter drop
    ip6 nexthdr 0 goto multicast
    frag nexthdr != {{ tcp, udp, icmpv6 }} counter drop
    icmpv6 type {{ nd-router-advert, nd-redirect, mld-listener-query, router-renumbering }} counter drop
  }}
  chain multicast {{
    icmpv6 type {{ mld-listener-report, mld-listener-done, mld2-listener-report }} return
    counter drop
  }}
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
    iifname vmap @taps
    iifname "t-*" counter drop
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
{own.format("i")}    iifname @near accept
  }}
  chain output {{
    type filter hook output priority filter; policy drop;
{own.format("o")}    oifname @near accept
  }}
""",
        "bridge",
    )


def inet_table(prefixes: Iterable[str], card: str = "", openings: Openings = Openings()) -> str:
    """The table of IPv4 and IPv6.

    `prefixes` are the networks that the node is in. Tenants reach none of them, and no private one. While the node has
    no address of a family, tenants reach nothing by it: what is near is not known yet.
    """
    rules = [place.root_rules() for place in places.on_node()]
    inputs = overlay.input_rules() + "".join(one.input for one in rules)
    forwards = "".join(one.forward for one in rules)
    outside = ", ".join(f'"{name}"' for name in (UPLINK_BRIDGE, card) if name)
    return nft.table(
        _destinations(prefixes, openings.open)
        + _sources("".join(one.prerouting for one in rules))
        + _FRESH
        + _to_the_node(inputs, "".join(map(_accept, openings.accept)), outside)
        + _through_the_node(forwards)
        + _KNOCKS
    )


def _destinations(prefixes: Iterable[str], openings: Iterable[str]) -> str:
    """Sets: tenants' WireGuard ports, and what tenants reach (open) and do not reach (closed) through the node."""
    near = {ip_network(prefix, strict=False) for prefix in prefixes}
    four = {*_CLOSED4, *(str(net) for net in near if isinstance(net, IPv4Network))}
    six = {*_CLOSED6, *(str(net) for net in near if isinstance(net, IPv6Network))}
    if not any(isinstance(net, IPv4Network) and not net.is_loopback for net in near):
        four = {"0.0.0.0/0"}
    if not any(isinstance(net, IPv6Network) and net.subnet_of(IPv6Network("2000::/3")) for net in near):
        six = {"::/0"}
    opened = [ip_network(text, strict=False) for text in openings]
    return f"""\
  set {WIREGUARD} {{
    type inet_service
  }}
{_set("open4", "ipv4_addr", (str(net) for net in opened if net.version == 4))}\
{_set("open6", "ipv6_addr", (str(net) for net in opened if net.version == 6))}\
{_set("closed4", "ipv4_addr", four)}\
{_set("closed6", "ipv6_addr", six)}"""


# Packets of tenants enter by `x-*`, the pair of each network resource, and by no other link of theirs. `fib` drops a
# source to which no route leads back; neighbour discovery speaks from the unspecified and link-local addresses.
def _sources(rules: str) -> str:
    return f"""\
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname {{ "b-*", "m-*", "t-*", "v-*", "w-*", "y-*" }} counter drop
{rules}    iifname != "x-*" accept
    ip6 saddr {{ ::, fe80::/10 }} accept
    fib saddr . iif oif missing counter drop
  }}
"""


# The table of connections is one for the node and all its tenants. A new one of a tenant is paced, and counted by his
# exit address, which he cannot choose. To count, the kernel looks each up, so the count is divided by the lowest bits
# of the port, which his namespace drew at random. One that is in the table is `confirmed`, though nobody answered yet.
_FRESH = nft.paced("pace4", "ipv4_addr") + nft.counted("held4", "ipv4_addr . inet_service")
_FRESH += nft.paced("pace6", "ipv6_addr") + nft.counted("held6", "ipv6_addr . inet_service")
_FRESH += f"""\
  chain fresh {{
    ct status confirmed accept
    ip saddr {EXIT_NET} {nft.over_pace("pace4", "ip saddr")} counter drop
    ip6 saddr {EXIT6_NET} {nft.over_pace("pace6", "ip6 saddr")} counter drop
    ip saddr {EXIT_NET} {nft.over_count("held4", f"ip saddr . th sport & {SHARDS - 1}")} counter drop
    ip6 saddr {EXIT6_NET} {nft.over_count("held6", f"ip6 saddr . th sport & {SHARDS - 1}")} counter drop
    accept
  }}
"""
# WireGuard sends where tenants say. At hosts of the farmer's that do not answer each network knocks now and then only.
_KNOCKS = nft.paced("knocks", "inet_service")
_KNOCKS += f"""\
  chain output {{
    type filter hook output priority filter; policy accept;
    udp sport @{WIREGUARD} goto knocking
  }}
  chain knocking {{
    fib daddr type {{ broadcast, multicast }} counter drop
    ct state != new accept
    ip daddr @closed4 {nft.over_pace("knocks", "udp sport", 2, 64)} counter drop
    ip6 daddr @closed6 {nft.over_pace("knocks", "udp sport", 2, 64)} counter drop
  }}
"""


def _to_the_node(inputs: str, accepts: str, outside: str) -> str:
    """What the node itself takes: by rules of places, of tenants, of the farmer (`accepts`), and from everybody."""
    # Tenants' rules come first and end in a drop, so that what the farmer opens is not open to tenants.
    return f"""\
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "lo" accept
{inputs}    iifname "x-*" goto tenants
{accepts}    iifname {{ {outside} }} goto outside
  }}
  chain tenants {{
    icmp type echo-request ip daddr {EXIT_GATEWAY} goto fresh
    icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} ip6 daddr {{ fe80::/10, ff02::/16 }} accept
    counter drop
  }}
  chain outside {{
    meta l4proto {{ icmp, ipv6-icmp }} accept
    udp sport 67 udp dport 68 accept
    udp dport @{WIREGUARD} accept
{"".join(map(_accept, PORTS))}\
    counter drop
  }}
"""


def _through_the_node(forwards: str) -> str:
    """What the node forwards: rules of places, tenants' packets to the uplink (`out`), and the answers to those."""
    # The root namespace translates a second time, so that these rules are the same whoever comes and goes (0001).
    return f"""\
  chain forward {{
    type filter hook forward priority filter; policy drop;
{forwards}    iifname "x-*" oifname "{UPLINK_BRIDGE}" goto out
    iifname "{UPLINK_BRIDGE}" oifname "x-*" ct state established,related accept
    counter drop
  }}
  chain out {{
    ct state invalid drop
    ip daddr @open4 goto fresh
    ip6 daddr @open6 goto fresh
    ip daddr @closed4 counter drop
    ip6 daddr @closed6 counter drop
    goto fresh
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{UPLINK_BRIDGE}" ip saddr {EXIT_NET} meta l4proto {{ tcp, udp }} masquerade to {LENT} random,fully-random
    oifname "{UPLINK_BRIDGE}" ip6 saddr {EXIT6_NET} meta l4proto {{ tcp, udp }} masquerade to {LENT} random,fully-random
    oifname "{UPLINK_BRIDGE}" ip saddr {EXIT_NET} masquerade random,fully-random
    oifname "{UPLINK_BRIDGE}" ip6 saddr {EXIT6_NET} masquerade random,fully-random
  }}
"""


def _accept(port: str) -> str:
    protocol, _, number = port.partition("/")
    return f"    {protocol} dport {number} accept\n"


def _set(name: str, kind: str, members: Iterable[str]) -> str:
    listed = ", ".join(sorted(members))
    elements = f"    elements = {{ {listed} }}\n" if listed else ""
    return f"  set {name} {{\n    type {kind}\n    flags interval\n    auto-merge\n{elements}  }}\n"


def guard_taps(guards: Iterable[Guard], taps: Mapping[str, Link]) -> Iterator[Step]:
    """The step to these guards where taps have others, or none."""
    stale = [guard for guard in guards if guard.device not in taps or taps[guard.device].guard != guard.digest]
    if stale:
        yield GuardTaps(tuple(sorted(stale, key=lambda guard: guard.device)))


def drop_links(gone: Iterable[str], links: Mapping[str, Link]) -> Iterator[Step]:
    """The steps that remove links, and with taps their guards."""
    names = tuple(sorted(gone))
    if names:
        yield DropLinks(names)
    if guarded := tuple(name for name in names if links[name].guard):
        yield UnguardTaps(guarded)


def guarding(guards: Iterable[Guard]) -> str:
    """The transaction that puts guards in force, or puts others in the place of those that are."""
    # A chain's comment cannot be changed, so the chain is made anew; what is not there must be made to be deleted.
    text = ""
    for guard in guards:
        text += unguarding((guard.device,))
        text += f"""\
table bridge {nft.TABLE} {{
  chain {guard.device} {{
    comment "{guard.digest}"
{guard.chain()}  }}
}}
add element bridge {nft.TABLE} taps {{ "{guard.device}" : goto {guard.device} }}
"""
        if guard.node:
            text += f'add element bridge {nft.TABLE} near {{ "{guard.device}" }}\n'
    return text


def unguarding(devices: Iterable[str]) -> str:
    """The transaction that removes the guards of taps, should they be there."""
    text = ""
    for device in devices:
        text += f"""\
add chain bridge {nft.TABLE} {device}
add element bridge {nft.TABLE} taps {{ "{device}" : goto {device} }}
add element bridge {nft.TABLE} near {{ "{device}" }}
delete element bridge {nft.TABLE} taps {{ "{device}" }}
delete element bridge {nft.TABLE} near {{ "{device}" }}
delete chain bridge {nft.TABLE} {device}
"""
    return text


def opening(step: OpenPorts) -> str:
    """The transaction that changes the set of WireGuard ports."""
    text = ""
    for verb, numbers in (("add", step.open), ("delete", step.close)):
        if numbers:
            text += f"{verb} element inet {nft.TABLE} {WIREGUARD} {{ {', '.join(map(str, numbers))} }}\n"
    return text
