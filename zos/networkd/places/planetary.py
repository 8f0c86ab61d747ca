"""Taps in the planetary network (Yggdrasil): machines share the node's /64, by their hardware address.

t-<tap> ─┐                        ┌ ygg0   <address>/7     yggdrasil ── peers
t-<tap> ─┴ br-ygg  <subnet>::1/64 ┘ (routed in the root namespace)
"""

from __future__ import annotations

from collections.abc import Iterable

from zos.model import names
from zos.networkd import lookups
from zos.networkd.api.errors import NoPlanetary
from zos.networkd.api.types import SERVICE_PORTS, Place, Tap, TapInfo, TapRoute
from zos.networkd.model import PLANETARY_BRIDGE, PLANETARY_LINK, Address, Link, LinkKind
from zos.networkd.place import Node, OnNode, RootRules, Segment, describe_tap, guard, refuse_taken
from zos.networkd.planetary import RANGE, PlanetaryIdentity

WHERE = "(planetary)"
"""What errors call this network."""


class PlanetaryNetwork(OnNode[PlanetaryIdentity]):
    """The bridge `br-ygg`; the node routes between it and Yggdrasil's link."""

    place = Place.PLANETARY
    bridge = PLANETARY_BRIDGE

    def problem(self, node: Node) -> str:
        return node.planetary.problem()

    def admit(self, tap: Tap, node: Node, others: Iterable[Tap]) -> None:
        if problem := self.problem(node):
            raise NoPlanetary(problem=problem)
        node.planetary.refuse_before_it_is_up()
        refuse_taken(tap, others, WHERE)

    async def setting(self, node: Node) -> PlanetaryIdentity:
        return await node.planetary.identity()

    def segment(self, setting: PlanetaryIdentity, taps: Iterable[Tap]) -> Segment:
        address = Address(f"{setting.gateway}/{setting.subnet.prefixlen}")
        # Always the same, so that machines need not learn their gateway again.
        mac = names.mac(f"{self.bridge}:{setting.subnet}")
        guests = {tap: str(setting.guest(tap.mac)) for tap in taps}
        return Segment(
            bridge=self.bridge,
            link=Link(LinkKind.BRIDGE, addresses=frozenset({address}), mac=mac),
            guards=tuple(guard(tap, (address,), node=True) for tap, address in guests.items()),
            rules=lookups.segment(self.bridge),
            known={lookups.ON_SEGMENT: lookups.addresses(guests.values())},
        )

    def info(self, tap: Tap, setting: PlanetaryIdentity, observed: Link | None) -> TapInfo:
        return describe_tap(
            tap,
            self.bridge,
            observed,
            addresses=(f"{setting.guest(tap.mac)}/{setting.subnet.prefixlen}",),
            routes=(TapRoute(RANGE, str(setting.gateway)),),
        )

    def root_rules(self) -> RootRules:
        both = f'"{PLANETARY_BRIDGE}", "{PLANETARY_LINK}"'
        # What passes is judged by its links alone, so that whoever is in the network fills no table of connections.
        # What the node itself began is tracked, and so are the answers.
        prerouting = f"""\
    iifname {{ {both} }} fib daddr type != local notrack
"""
        forward = f"""\
    iifname "{PLANETARY_BRIDGE}" oifname "{PLANETARY_LINK}" accept
    iifname "{PLANETARY_LINK}" oifname "{PLANETARY_BRIDGE}" accept
"""
        # The gateway's own address, neighbour discovery, and what overlay nodes answer to each other's pings.
        own = f"{{ {RANGE}, fe80::/10, ff02::/16 }}"
        input = f"""\
    iifname {{ {both} }} meta l4proto ipv6-icmp ip6 daddr {own} accept
    iifname {{ {both} }} ip6 daddr {RANGE} tcp dport {SERVICE_PORTS} accept
    iifname {{ {both} }} counter drop
"""
        return RootRules(prerouting, input, forward)


PLACE = PlanetaryNetwork()
