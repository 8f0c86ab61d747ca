"""Taps in the user's own network: an IPv4 address that the user chose, an IPv6 one that follows, a way out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, ip_address

from zos.model import names
from zos.networkd import model
from zos.networkd.api.check import check_address
from zos.networkd.api.errors import BadTap
from zos.networkd.api.types import NetId, Network, Place, Tap, TapInfo, TapRoute
from zos.networkd.model import LINK_LOCAL_GATEWAY, WG_NET, Address, Link, LinkKind, Space
from zos.networkd.place import InNetwork, Part, describe_tap, refuse_taken


class UserNetwork(InNetwork):
    """The bridge `b-`, whose gateway is the network resource."""

    place = Place.NETWORK
    fields = frozenset({"network", "ip"})

    def canonical(self, tap: Tap) -> Tap:
        try:
            address = ip_address(tap.ip)
        except ValueError:
            raise BadTap(tap=tap.id, field="ip", problem=f"{tap.ip!r} is not an address") from None
        if not isinstance(address, IPv4Address):
            raise BadTap(tap=tap.id, field="ip", problem=f"{tap.ip} is not IPv4")
        return dataclasses.replace(tap, ip=str(address))

    def bridge(self, id: NetId) -> str:
        return model.bridge(id)

    def part(self, network: Network) -> Part:
        id, subnet, gateway = network.id, IPv4Network(network.subnet), model.gateway(network)
        lan, bridge, port = model.namespace(id), model.bridge(id), model.port(id)
        inside = (
            Address(f"{gateway}/{subnet.prefixlen}"),
            Address(f"{names.ula(id, str(gateway))}/64"),
            Address(f"{LINK_LOCAL_GATEWAY}/64"),
        )
        return Part(
            root={bridge: Link(LinkKind.BRIDGE, silent=True), port: Link(LinkKind.VETH, master=bridge, silent=True)},
            # Always the same address, so that machines need not learn their gateway again when it is built anew.
            inner=Space({lan: Link(LinkKind.VETH, addresses=frozenset(inside), mac=names.mac(lan))}),
            pairs={port: lan},
        )

    def admit(self, tap: Tap, network: Network, others: Iterable[Tap]) -> Tap:
        _inside(tap, network)
        refuse_taken(tap, others, network.name, ip="address")
        return tap

    def admit_change(self, before: Network | None, network: Network, taps: Iterable[Tap]) -> None:
        for tap in taps:
            _inside(tap, network)

    def info(self, tap: Tap, network: Network, observed: Link | None) -> TapInfo:
        subnet, gateway = IPv4Network(network.subnet), str(model.gateway(network))
        return describe_tap(
            tap,
            self.bridge(network.id),
            observed,
            addresses=(f"{tap.ip}/{subnet.prefixlen}", f"{names.ula(network.id, tap.ip)}/64"),
            gateway=gateway,
            gateway6=str(names.ula(network.id, gateway)),
            routes=(TapRoute(network.ip_range, gateway), TapRoute(str(WG_NET), gateway)),
        )


def _inside(tap: Tap, network: Network) -> None:
    check_address(IPv4Address(tap.ip), IPv4Network(network.subnet))


PLACE = UserNetwork()
