"""What to do so that a bridge of the node, its taps and their guards become as desired. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from zos.networkd import firewall, lookups
from zos.networkd.model import Known, Link, LinkKind
from zos.networkd.place import Segment, tap_link
from zos.networkd.steps import (
    ROOT,
    AddAddress,
    Attach,
    CreateBridge,
    CreateTap,
    DropAddress,
    SetUp,
    Silence,
    Step,
)


@dataclass(frozen=True, slots=True)
class ObservedSegment:
    """What is there; the default is that nothing is."""

    links: Mapping[str, Link] = field(default_factory=dict)
    """The bridge, the taps on it and those that were asked about."""
    rules: str = ""
    """The digest of the table `lookups.GUESTS`; empty when there is none."""
    known: Known = field(default_factory=dict)
    """The sets of that table."""
    spares: bool = False
    """Taps without a record are on it and stay for now, and so do the rules that know their addresses."""


def plan(desired: Segment, observed: ObservedSegment) -> tuple[Step, ...]:
    """The steps from what is observed to what is desired."""
    return tuple(_plan(desired, observed))


def _plan(desired: Segment, observed: ObservedSegment) -> Iterator[Step]:
    wanted = {desired.bridge: desired.link} if desired.link is not None else {}
    wanted |= {guard.device: tap_link(desired.bridge) for guard in sorted(desired.guards, key=lambda one: one.device)}
    gone = {name for name, seen in observed.links.items() if name not in wanted or wanted[name].kind is not seen.kind}
    if not desired.owns_bridge:
        gone.discard(desired.bridge)
    yield from firewall.drop_links(gone, observed.links)
    links = {name: seen for name, seen in observed.links.items() if name not in gone}
    yield from firewall.guard_taps(desired.guards, observed.links)
    if desired.rules:
        seen, known = observed.rules, observed.known
        yield from lookups.load(
            ROOT, desired.rules, desired.known, seen, known, spares=observed.spares, table=lookups.GUESTS
        )
    for name, link in wanted.items():
        if name not in links:
            yield CreateBridge(name, link.mac) if link.kind is LinkKind.BRIDGE else CreateTap(name)
        yield from _link(name, link, links.get(name, Link(link.kind, up=False)))


def _link(name: str, desired: Link, observed: Link) -> Iterator[Step]:
    if desired.silent and not observed.silent:
        yield Silence(name)
    if desired.master and desired.master != observed.master:
        yield Attach(name, desired.master)
    for address in sorted(observed.addresses - desired.addresses):
        if desired.addresses and not IPv6Address(address.local.partition("/")[0]).is_link_local:
            yield DropAddress(ROOT, name, address)
    for address in sorted(desired.addresses - observed.addresses):
        yield AddAddress(ROOT, name, address)
    if not observed.up:
        yield SetUp(ROOT, name)
