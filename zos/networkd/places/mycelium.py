"""Taps in the Mycelium overlay: each network has a /64 of it, and a machine's address in it follows from its seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Network

from zos.model import mycelium, names
from zos.networkd import model
from zos.networkd.api.check import MYCELIUM_NET
from zos.networkd.api.errors import BadNetwork, BadTap, NoMyceliumKey
from zos.networkd.api.types import MYCELIUM_DEVICE, NetId, Network, Place, Tap, TapInfo, TapRoute
from zos.networkd.model import MYCELIUM_LAN, MYCELIUM_MTU, Address, Link, LinkKind, Route, Space
from zos.networkd.nft import TCP6_HEADERS
from zos.networkd.place import InNetwork, Part, describe_tap, refuse_taken


class MyceliumOverlay(InNetwork):
    """The bridge `m-`; the network resource routes between it and the TUN `my`, behind which the mycelium daemon is."""

    place = Place.MYCELIUM
    fields = frozenset({"network", "seed"})

    def canonical(self, tap: Tap) -> Tap:
        if len(tap.seed) != 6:
            raise BadTap(tap=tap.id, field="seed", problem=f"must be 6 bytes, not {len(tap.seed)}")
        return tap

    def bridge(self, id: NetId) -> str:
        return model.mycelium_bridge(id)

    def part(self, network: Network) -> Part | None:
        if not network.mycelium:
            return None
        bridge, port = self.bridge(network.id), model.mycelium_port(network.id)
        subnets = (network.mycelium, *network.former)
        addresses = (Address(f"{mycelium.gateway(IPv6Network(subnet))}/64") for subnet in subnets)
        prerouting, forward = _rules(subnets)
        return Part(
            root={bridge: Link(LinkKind.BRIDGE, silent=True), port: Link(LinkKind.VETH, master=bridge, silent=True)},
            inner=Space(
                {
                    MYCELIUM_LAN: Link(LinkKind.VETH, addresses=frozenset(addresses), mac=names.mac(bridge)),
                    MYCELIUM_DEVICE: Link(LinkKind.TUNNEL, mtu=MYCELIUM_MTU),
                },
                frozenset({Route(MYCELIUM_NET, MYCELIUM_DEVICE, ipv6=True)}),
            ),
            pairs={port: MYCELIUM_LAN},
            versions=(6,),
            prerouting=prerouting,
            forward=forward,
        )

    def admit(self, tap: Tap, network: Network, others: Iterable[Tap]) -> Tap:
        """A seed that another machine has is accepted, as on every node of the grid; the address is the first's."""
        if not network.mycelium:
            raise NoMyceliumKey(network=network.name)
        others = tuple(others)
        refuse_taken(tap, others, network.name)
        kept = next((one for one in others if one.id == tap.id and one.seed == tap.seed), None)
        tap = dataclasses.replace(tap, overlay=kept.overlay if kept and kept.overlay else network.mycelium)
        same = [one for one in others if _is_rival(one, tap)]
        before = next((one for one in others if one.id == tap.id and one.seed == tap.seed and not one.waits), None)
        return dataclasses.replace(tap, waits=before is None and any(not one.waits for one in same))

    def holder(self, tap: Tap, taps: Iterable[Tap]) -> Tap | None:
        rivals = [one for one in taps if _is_rival(one, tap)]
        first = min((tap, *rivals), key=lambda one: (one.waits, one.id))
        return None if first.id == tap.id else first

    def admit_change(self, before: Network | None, network: Network, taps: Iterable[Tap]) -> None:
        if before is not None and before.mycelium and not network.mycelium and any(taps):
            problem = "cannot be taken away while machines have addresses by it"
            raise BadNetwork(network=network.name, field="mycelium", problem=problem)

    def info(self, tap: Tap, network: Network, observed: Link | None) -> TapInfo:
        subnet = IPv6Network(tap.overlay or network.mycelium)
        return describe_tap(
            tap,
            self.bridge(network.id),
            observed,
            addresses=(f"{mycelium.machine(subnet, tap.seed)}/{subnet.prefixlen}",),
            routes=(TapRoute(MYCELIUM_NET, str(mycelium.gateway(subnet))),),
        )


def _is_rival(one: Tap, tap: Tap) -> bool:
    same = (one.place, one.network, one.seed, one.overlay) == (tap.place, tap.network, tap.seed, tap.overlay)
    return one.id != tap.id and same


def _rules(subnets: Sequence[str]) -> tuple[str, str]:
    """Lines for prerouting and forward: machines and overlay reach each other, and nothing else by these two links.

    They are judged by link alone, so that nobody in the overlay fills the network's table of connections.
    """
    inside, outside = MYCELIUM_LAN, MYCELIUM_DEVICE
    both = f'"{inside}", "{outside}"'
    all_of_them = ", ".join(subnets)
    own = all_of_them if len(subnets) == 1 else f"{{ {all_of_them} }}"
    # Machines of an earlier key and of a later one are on one link, and in two subnets.
    among = f'    iifname "{inside}" oifname "{inside}" accept\n' if len(subnets) > 1 else ""
    before = f"""\
    iifname {{ {both} }} meta nfproto ipv4 counter drop
    iifname "{inside}" ip6 saddr != {{ {all_of_them}, ::, fe80::/10 }} counter drop
    iifname "{outside}" ip6 saddr != {MYCELIUM_NET} counter drop
    iifname "{outside}" ip6 saddr {own} counter drop
    iifname {{ {both} }} fib daddr type != local notrack
"""
    between = f"""\
    oifname "{outside}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    iifname "{outside}" tcp flags syn / syn,rst tcp option maxseg size set {MYCELIUM_MTU - TCP6_HEADERS}
    iifname "{inside}" oifname "{outside}" accept
    iifname "{outside}" oifname "{inside}" accept
{among}    iifname {{ {both} }} counter drop
    oifname {{ {both} }} counter drop
"""
    return before, between


PLACE = MyceliumOverlay()
