"""The node's part in the planetary network (Yggdrasil): a process, a link, a bridge for machines, their rules. Pure.

    t-<tap> ─┐                        ┌ ygg0   <address>/7     yggdrasil ── peers
    t-<tap> ─┴ br-ygg  <subnet>::1/64 ┘ (routed, see nft.host)

Everything follows from one key: address, subnet and, with their hardware addresses, the machines' addresses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from urllib.parse import urlsplit

from nacl.signing import SigningKey

from zos.model import names
from zos.networkd import model, nft
from zos.networkd.api.types import OverlayTapInfo, PlanetaryTap
from zos.networkd.model import PLANETARY_BRIDGE, PLANETARY_LINK, UPLINK_BRIDGE, Address, Link, LinkKind
from zos.networkd.steps import (
    HOST,
    AddAddress,
    Attach,
    CreateBridge,
    CreateTap,
    DialPeer,
    DisableIPv6,
    DropAddress,
    DropLinks,
    DropRules,
    LoadRules,
    SetUp,
    StartYggdrasil,
    Step,
    StopYggdrasil,
)

RANGE = "200::/7"
ADMIN = "admin.sock"
"""The control socket, in the folder that yggdrasil runs in."""
LISTEN = ("tcp://[::]:9943", "tls://[::]:9944")
LOCAL_PORT = 9945
"""Where neighbours that were found by multicast connect to. The three ports are those of the grid's nodes."""
MTU = 65535


@dataclass(frozen=True, slots=True)
class Place:
    """Who the node is in the planetary network."""

    seed: bytes = field(repr=False)
    """Of its ed25519 key."""

    @property
    def public(self) -> bytes:
        """The public key."""
        return SigningKey(self.seed).verify_key.encode()

    @property
    def address(self) -> IPv6Address:
        """The node's own address."""
        return names.planetary_address(self.public)

    @property
    def subnet(self) -> IPv6Network:
        """Where its machines are."""
        return names.planetary_subnet(self.public)

    @property
    def gateway(self) -> IPv6Address:
        """The node, as its machines see it."""
        return self.subnet.network_address + 1

    def guest(self, tap: PlanetaryTap) -> IPv6Address:
        """A machine's address."""
        return names.planetary_guest(self.subnet, tap.mac)


@dataclass(frozen=True, slots=True)
class PlanetaryWish:
    """What is wished for."""

    place: Place
    taps: tuple[PlanetaryTap, ...] = ()
    peers: tuple[str, ...] = ()
    listen: tuple[str, ...] = LISTEN

    def config(self) -> str:
        """What yggdrasil is started with."""
        private = self.place.seed + self.place.public
        return json.dumps(
            {
                # Both: with the private one alone it invents the other.
                "PrivateKey": private.hex(),
                "PublicKey": self.place.public.hex(),
                "Peers": list(self.peers),
                "Listen": list(self.listen),
                "AdminListen": f"unix://{ADMIN}",
                "MulticastInterfaces": [
                    {"Regex": f"^{UPLINK_BRIDGE}$", "Beacon": True, "Listen": True, "Port": LOCAL_PORT}
                ],
                "IfName": PLANETARY_LINK,
                "IfMTU": MTU,
                "NodeInfoPrivacy": True,
            },
            indent=1,
        )


@dataclass(frozen=True, slots=True)
class PlanetarySeen:
    """The machines' side as seen; the default is that nothing is there."""

    links: Mapping[str, Link] = field(default_factory=dict)
    """The bridge, the taps on it and those that were asked about."""
    rules: str = ""
    """The digest of the table that guards the taps; empty when there is none."""


@dataclass(frozen=True, slots=True)
class YggdrasilSeen:
    """The process as seen; the default is that none is there."""

    served: bool = False
    """A process is there, be it well or not."""
    config: str = ""
    """The digest of what it was started with; empty when it does not answer."""
    peers: frozenset[str] = frozenset()
    """Who is connected."""


def digest(config: str) -> str:
    """Tells one configuration from another without showing it."""
    return hashlib.sha256(config.encode()).hexdigest()


def tap_info(place: Place, tap: PlanetaryTap) -> OverlayTapInfo:
    """What the guest behind a tap must be told."""
    return OverlayTapInfo(
        id=tap.id,
        device=model.tap(tap.id),
        bridge=PLANETARY_BRIDGE,
        mac=tap.mac,
        ip=str(place.guest(tap)),
        prefix=place.subnet.prefixlen,
        gateway=str(place.gateway),
        range=RANGE,
    )


def plan(want: PlanetaryWish | None, have: PlanetarySeen) -> tuple[Step, ...]:
    """The steps to the machines' side as wished; None wishes it gone."""
    return tuple(_gone(have) if want is None else _ensure(want, have))


def process(want: PlanetaryWish | None, have: YggdrasilSeen) -> tuple[Step, ...]:
    """The steps to the process as wished; None wishes it gone."""
    if want is None:
        return (StopYggdrasil(),) if have.served else ()
    config = want.config()
    if have.config != digest(config):
        return (StartYggdrasil(config),)
    return tuple(DialPeer(peer) for peer in want.peers if stripped(peer) not in have.peers)


def _gone(have: PlanetarySeen) -> Iterator[Step]:
    if have.links:
        yield DropLinks(tuple(sorted(have.links)))
    if have.rules:
        yield DropRules(HOST, "bridge", nft.PLANETARY)


def _ensure(want: PlanetaryWish, have: PlanetarySeen) -> Iterator[Step]:
    wished = {PLANETARY_BRIDGE: _bridge(want)} | {model.tap(tap.id): _TAP for tap in want.taps}
    gone = {name for name, seen in have.links.items() if name not in wished or wished[name].kind is not seen.kind}
    if gone:
        yield DropLinks(tuple(sorted(gone)))
    links = {name: seen for name, seen in have.links.items() if name not in gone}
    yield from _rules(want, have)
    for name, wish in wished.items():
        if name not in links:
            yield CreateBridge(name, wish.mac) if wish.kind is LinkKind.BRIDGE else CreateTap(name)
        yield from _link(name, wish, links.get(name, Link(wish.kind, up=False)))


_TAP = Link(LinkKind.TAP, master=PLANETARY_BRIDGE, ipv6=False)


def _bridge(want: PlanetaryWish) -> Link:
    place = want.place
    address = Address(f"{place.gateway}/{place.subnet.prefixlen}")
    # Always the same, so that machines need not learn their gateway again.
    return Link(LinkKind.BRIDGE, addresses=frozenset({address}), mac=names.mac(f"{PLANETARY_BRIDGE}:{place.subnet}"))


def _rules(want: PlanetaryWish, have: PlanetarySeen) -> Iterator[Step]:
    ruleset = nft.planetary((model.tap(tap.id), tap.mac, want.place.guest(tap)) for tap in want.taps)
    if nft.digest(ruleset) != have.rules:
        text = nft.replacing(ruleset, "bridge", nft.PLANETARY) if have.rules else ruleset
        yield LoadRules(HOST, text, nft.PLANETARY)


def _link(name: str, wish: Link, seen: Link) -> Iterator[Step]:
    if not wish.ipv6 and seen.ipv6:
        yield DisableIPv6(name)
    if wish.master and wish.master != seen.master:
        yield Attach(name, wish.master)
    for address in sorted(seen.addresses - wish.addresses):
        if wish.addresses and not IPv6Address(address.local.partition("/")[0]).is_link_local:
            yield DropAddress(HOST, name, address)
    for address in sorted(wish.addresses - seen.addresses):
        yield AddAddress(HOST, name, address)
    if not seen.up:
        yield SetUp(HOST, name)


def stripped(uri: str) -> str:
    """A peer's URI as yggdrasil lists it: without options."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
