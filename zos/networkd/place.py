"""What each place of taps says of itself: which taps it accepts, what is built for them, what their guests are told.

`places/` has one module per place. A place is of one of two kinds: `InNetwork` places are a part of each network
resource, `OnNode` places are a bridge of the node itself, which tenants share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from zos.networkd import model
from zos.networkd.api.errors import AddressTaken
from zos.networkd.api.types import NetId, Network, Place, Tap, TapInfo, TapRoute
from zos.networkd.guard import Guard
from zos.networkd.model import Known, Link, LinkKind, Space
from zos.networkd.planetary import PlanetaryIdentity

S = TypeVar("S")


class TapPlace(ABC):
    """What is particular to the taps of one place: the fields they carry, their checks, links and rules."""

    place: ClassVar[Place]
    fields: ClassVar[frozenset[str]] = frozenset()
    """What a tap here carries beside `id`, `place` and `mac`; anything else is refused."""

    def canonical(self, tap: Tap) -> Tap:
        """The tap with this place's own fields in canonical form; raises `BadTap`."""
        return tap


@dataclass(frozen=True, slots=True)
class Part:
    """What a place adds to a network resource."""

    root: Mapping[str, Link] = field(default_factory=dict)
    """Links in the root namespace."""
    inner: Space = field(default_factory=Space)
    pairs: Mapping[str, str] = field(default_factory=dict)
    """Pairs of links: the end in the root namespace, and the inner one."""
    versions: tuple[int, ...] = (4, 6)
    """Of IP, that its machines speak."""
    prerouting: str = ""
    """Lines for that chain of the network's firewall, before all others and before connections are tracked."""
    forward: str = ""


class InNetwork(TapPlace):
    """A place in each network resource; its taps are made under the network's lock, in the network's plan."""

    @abstractmethod
    def bridge(self, id: NetId) -> str:
        """The bridge of the taps, in the root namespace."""

    @abstractmethod
    def part(self, network: Network) -> Part | None:
        """What this place needs in the network resource; None when the network has no such place."""

    @abstractmethod
    def admit(self, tap: Tap, network: Network, others: Iterable[Tap]) -> Tap:
        """The tap as it is accepted; raises when the network cannot have it beside the others of this node."""

    def holder(self, tap: Tap, taps: Iterable[Tap]) -> Tap | None:
        """The tap that has this one's address as long as it is there; None when this one has it."""
        return None

    def admit_change(self, before: Network | None, network: Network, taps: Iterable[Tap]) -> None:
        """Raise when the changed network would strand taps that are there."""

    @abstractmethod
    def info(self, tap: Tap, network: Network, observed: Link | None) -> TapInfo:
        """The answer to who asked for the tap."""


class PlanetaryState(Protocol):
    """The node in the planetary network, see `PlanetaryManager`."""

    def problem(self) -> str: ...

    def refuse_before_it_is_up(self) -> None: ...

    async def identity(self) -> PlanetaryIdentity: ...


@dataclass(frozen=True, slots=True)
class Node:
    """What the places of the node depend on."""

    planetary: PlanetaryState


@dataclass(frozen=True, slots=True)
class Segment:
    """A bridge in the root namespace, the taps on it, and their guards."""

    bridge: str
    link: Link | None = None
    """The bridge as desired; None: it goes, unless it is not ours."""
    guards: tuple[Guard, ...] = ()
    """One per tap."""
    rules: str = ""
    """The table `nft.GUESTS`; empty: what is there stays."""
    known: Known = field(default_factory=dict)
    """The sets of that table."""
    owns_bridge: bool = True
    """False for a bridge that is there without taps too (the uplink's); it is neither made nor removed here."""


@dataclass(frozen=True, slots=True)
class RootRules:
    """Lines for chains of the root namespace's table."""

    prerouting: str = ""
    """Before connections are tracked."""
    input: str = ""
    forward: str = ""


class OnNode(TapPlace, Generic[S]):
    """A place on a bridge of the node; S is what must be known before a tap can be made (keys, addresses)."""

    bridge: ClassVar[str]
    owns_bridge: ClassVar[bool] = True
    """See `Segment`."""

    @abstractmethod
    def problem(self, node: Node) -> str:
        """Why the node does not offer this place; empty when it does."""

    @abstractmethod
    def admit(self, tap: Tap, node: Node, others: Iterable[Tap]) -> None:
        """Raise when a tap that is new or changed cannot be accepted beside the others of this node."""

    @abstractmethod
    async def setting(self, node: Node) -> S:
        """Find out what must be known; raises while it cannot be known."""

    @abstractmethod
    def segment(self, setting: S, taps: Iterable[Tap]) -> Segment:
        """What is to be there for these taps."""

    @abstractmethod
    def info(self, tap: Tap, setting: S, observed: Link | None) -> TapInfo:
        """The answer to who asked for the tap."""

    def nothing(self) -> Segment:
        """What is to be there without taps on a node that does not offer this place."""
        return Segment(self.bridge, owns_bridge=self.owns_bridge)

    def root_rules(self) -> RootRules:
        """Lines for the root namespace's table, which drops by default."""
        return RootRules()


def tap_link(bridge: str) -> Link:
    """A tap as it should be; the node itself answers nothing on it."""
    return Link(LinkKind.TAP, master=bridge, silent=True)


def guard(tap: Tap, addresses: Iterable[str], *, node: bool = False) -> Guard:
    """The guard of a tap whose guest has these addresses, with or without prefix."""
    plain = [text.partition("/")[0] for text in addresses]
    four = next((text for text in plain if ":" not in text), "")
    return Guard(model.tap(tap.id), tap.mac, four, tuple(text for text in plain if ":" in text), node)


def describe_tap(
    tap: Tap,
    bridge: str,
    observed: Link | None,
    *,
    addresses: tuple[str, ...],
    gateway: str = "",
    gateway6: str = "",
    routes: tuple[TapRoute, ...] = (),
) -> TapInfo:
    """The answer for a tap, with the counters of its device."""
    return TapInfo(
        id=tap.id,
        place=tap.place,
        network=tap.network,
        device=model.tap(tap.id),
        bridge=bridge,
        mac=tap.mac,
        addresses=addresses,
        gateway=gateway,
        gateway6=gateway6,
        routes=routes,
        # What leaves the device towards the node was sent by the guest: the two ends count crosswise.
        rx=observed.tx if observed else 0,
        tx=observed.rx if observed else 0,
    )


def owner(tap: Tap) -> str:
    """Whose a tap is, for people; taps of earlier releases do not say."""
    return tap.owner or "another machine"


def refuse_taken(tap: Tap, others: Iterable[Tap], where: str, **values: str) -> None:
    """Raise `AddressTaken` when another tap of the same place has the hardware address, or the same field.

    `values` maps further fields of `Tap` to what people call them.
    """
    for other in others:
        if other.id == tap.id or (other.place, other.network) != (tap.place, tap.network):
            continue
        for name, what in {**values, "mac": "hardware address"}.items():
            if (value := getattr(tap, name)) == getattr(other, name):
                shown = value.hex() if isinstance(value, bytes) else value
                raise AddressTaken(what=what, address=shown, owner=owner(other), network=where)
