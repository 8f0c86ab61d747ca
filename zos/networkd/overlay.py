"""The node itself in the Mycelium overlay: a TUN of the root namespace that has the address of the node's own key.

The mycelium daemon knows the key: it says the address, and attaches to the device. What listens there is reached by the
firewall's rules only. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zos.networkd.api.check import MYCELIUM_NET
from zos.networkd.api.types import MYCELIUM_NODE_DEVICE, SERVICE_PORTS
from zos.networkd.model import MYCELIUM_MTU, Address, Route
from zos.networkd.node import Nic
from zos.networkd.steps import ROOT, AddAddress, CreateTun, DropAddress, PutRoute, SetMtu, SetUp, Step


def plan(address: str, nics: Mapping[str, Nic]) -> tuple[Step, ...]:
    """The steps to a device with this address; what is there stays while the address is not known."""
    return tuple(_plan(address, nics)) if address else ()


def _plan(address: str, nics: Mapping[str, Nic]) -> Iterator[Step]:
    link, wanted = MYCELIUM_NODE_DEVICE, f"{address}/128"
    seen = nics.get(link)
    if seen is None:
        yield CreateTun(ROOT, link)
        yield SetMtu(ROOT, link, MYCELIUM_MTU)
    addresses = seen.addresses if seen else frozenset()
    for other in sorted(addresses - {wanted}):
        yield DropAddress(ROOT, link, Address(other))
    if wanted not in addresses:
        yield AddAddress(ROOT, link, Address(wanted))
    if seen is None or not seen.up:
        yield SetUp(ROOT, link)
    route = Route(MYCELIUM_NET, link, ipv6=True)
    if seen is None or route not in seen.routes or addresses != {wanted}:
        yield PutRoute(ROOT, route)


def input_rules() -> str:
    """Lines for the chain `input`, which drops by default: from the overlay, echo and the node's services."""
    link = f'iifname "{MYCELIUM_NODE_DEVICE}"'
    return f"""\
    {link} ip6 saddr != {MYCELIUM_NET} counter drop
    {link} meta l4proto ipv6-icmp accept
    {link} tcp dport {SERVICE_PORTS} accept
    {link} counter drop
"""
