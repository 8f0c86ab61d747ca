"""What to do so that a bridge of the node, its taps and the rules that guard them become as desired. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from zos.networkd import nft
from zos.networkd.model import Link, LinkKind
from zos.networkd.place import Segment, tap_link
from zos.networkd.steps import (
    ROOT,
    AddAddress,
    Attach,
    CreateBridge,
    CreateTap,
    DisableIPv6,
    DropAddress,
    DropLinks,
    DropRules,
    LoadRules,
    SetUp,
    Step,
)


@dataclass(frozen=True, slots=True)
class ObservedSegment:
    """What is there; the default is that nothing is."""

    links: Mapping[str, Link] = field(default_factory=dict)
    """The bridge, the taps on it and those that were asked about."""
    rules: str = ""
    """The digest of the table; empty when there is none."""


def plan(desired: Segment, observed: ObservedSegment) -> tuple[Step, ...]:
    """The steps from what is observed to what is desired."""
    return tuple(_plan(desired, observed))


def _plan(desired: Segment, observed: ObservedSegment) -> Iterator[Step]:
    wanted = {desired.bridge: desired.link} if desired.link is not None else {}
    wanted |= {device: tap_link(desired.bridge) for device in sorted(desired.taps)}
    gone = {name for name, seen in observed.links.items() if name not in wanted or wanted[name].kind is not seen.kind}
    if not desired.owns_bridge:
        gone.discard(desired.bridge)
    if gone:
        yield DropLinks(tuple(sorted(gone)))
    links = {name: seen for name, seen in observed.links.items() if name not in gone}
    # A tap never stands there unguarded.
    yield from _rules(desired, observed)
    for name, link in wanted.items():
        if name not in links:
            yield CreateBridge(name, link.mac) if link.kind is LinkKind.BRIDGE else CreateTap(name)
        yield from _link(name, link, links.get(name, Link(link.kind, up=False)))


def _rules(desired: Segment, observed: ObservedSegment) -> Iterator[Step]:
    if not desired.ruleset:
        if observed.rules:
            yield DropRules(ROOT, "bridge", desired.table)
    elif nft.digest(desired.ruleset) != observed.rules:
        replacing = nft.replacing(desired.ruleset, "bridge", desired.table)
        yield LoadRules(ROOT, replacing if observed.rules else desired.ruleset, desired.table)


def _link(name: str, desired: Link, observed: Link) -> Iterator[Step]:
    if not desired.ipv6 and observed.ipv6:
        yield DisableIPv6(name)
    if desired.master and desired.master != observed.master:
        yield Attach(name, desired.master)
    for address in sorted(observed.addresses - desired.addresses):
        if desired.addresses and not IPv6Address(address.local.partition("/")[0]).is_link_local:
            yield DropAddress(ROOT, name, address)
    for address in sorted(desired.addresses - observed.addresses):
        yield AddAddress(ROOT, name, address)
    if not observed.up:
        yield SetUp(ROOT, name)
