"""Taps in the planetary network (Yggdrasil): machines share the node's /64, by their hardware address.

t-<tap> ─┐                        ┌ ygg0   <address>/7     yggdrasil ── peers
t-<tap> ─┴ br-ygg  <subnet>::1/64 ┘ (routed in the root namespace)
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from zos.model import names
from zos.networkd import model, nft
from zos.networkd.api.errors import NoPlanetary
from zos.networkd.api.types import Place, Tap, TapInfo, TapRoute
from zos.networkd.model import PLANETARY_BRIDGE, PLANETARY_LINK, Address, Link, LinkKind
from zos.networkd.place import Node, OnNode, Segment, describe_tap, refuse_taken
from zos.networkd.planetary import RANGE, PlanetaryIdentity

WHERE = "(planetary)"
"""What errors call this network."""


class PlanetaryNetwork(OnNode[PlanetaryIdentity]):
    """The bridge `br-ygg`; the node routes between it and Yggdrasil's link."""

    place = Place.PLANETARY
    bridge = PLANETARY_BRIDGE
    table = "zos-planetary"

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
        guarded = [(model.tap(tap.id), tap.mac, setting.guest(tap.mac)) for tap in taps]
        address = Address(f"{setting.gateway}/{setting.subnet.prefixlen}")
        # Always the same, so that machines need not learn their gateway again.
        mac = names.mac(f"{self.bridge}:{setting.subnet}")
        return Segment(
            bridge=self.bridge,
            table=self.table,
            link=Link(LinkKind.BRIDGE, addresses=frozenset({address}), mac=mac),
            taps=frozenset(device for device, _, _ in guarded),
            ruleset=rules(guarded, self.table),
        )

    def info(self, tap: Tap, setting: PlanetaryIdentity, observed: Link | None) -> TapInfo:
        return describe_tap(
            tap,
            self.bridge,
            observed,
            addresses=(f"{setting.guest(tap.mac)}/{setting.subnet.prefixlen}",),
            routes=(TapRoute(RANGE, str(setting.gateway)),),
        )

    def root_rules(self) -> tuple[str, str]:
        both = f'"{PLANETARY_BRIDGE}", "{PLANETARY_LINK}"'
        forward = f"""\
    iifname "{PLANETARY_BRIDGE}" oifname "{PLANETARY_LINK}" accept
    iifname "{PLANETARY_LINK}" oifname "{PLANETARY_BRIDGE}" accept
    iifname {{ {both} }} counter drop
    oifname {{ {both} }} counter drop
"""
        return f"    iifname {{ {both} }} goto untrusted\n", forward


def rules(taps: Iterable[tuple[str, str, IPv6Address]], table: str) -> str:
    """The rules for taps (device, hardware address, address of the machine)."""
    # All machines share one segment, so none may speak for another or for the gateway: a machine sends from its own
    # addresses only, and claims no others in neighbour discovery (solicitation and advertisement name the target
    # in bytes 8 to 24). It must not act as a router. Nor may it query multicast listeners: a bridge that sees a query
    # believes that there is a querier, and stops flooding multicast to ports that sent no report.
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
    return nft.table(chains, "bridge", table)


def _link_local(mac: str) -> IPv6Address:
    """The address that an interface makes itself of its hardware address (EUI-64)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes((raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:])))


PLACE = PlanetaryNetwork()
