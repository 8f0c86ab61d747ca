"""Draws a network record as the links, addresses, routes and rules that it takes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from zos.model import names
from zos.networkd import lookups, model, nft, places
from zos.networkd.api.check import public_key
from zos.networkd.api.types import Network, Place, Tap
from zos.networkd.guard import Guard
from zos.networkd.model import (
    Address,
    Desired,
    DesiredPeer,
    DesiredTunnel,
    Known,
    Link,
    LinkKind,
    NetworkRecord,
    Route,
    Space,
)
from zos.networkd.place import Part, guard, tap_link


def desired(record: NetworkRecord, taps: Collection[Tap]) -> Desired:
    """The network resource of a record, with the taps in it."""
    network = record.network
    parts = _parts(network)
    ruleset = rules(network)
    return Desired(
        id=network.id,
        root=_root(record, parts, taps),
        inner=_inner(record, parts.values(), nft.digest(ruleset), _known(network, parts, taps)),
        ruleset=ruleset,
        tunnel=_tunnel(network),
        guards=_guards(network, parts, taps),
        pairs={model.exit(network.id): model.OUT} | {k: v for part in parts.values() for k, v in part.pairs.items()},
    )


def _parts(network: Network) -> dict[Place, Part]:
    found = ((place.place, place.part(network)) for place in places.in_network())
    return {place: part for place, part in found if part is not None}


def rules(network: Network) -> str:
    """The firewall inside a network resource."""
    parts = _parts(network)
    named = [
        lookups.named(_set(place, version), link, version)
        for place, part in parts.items()
        for link in part.pairs.values()
        for version in part.versions
    ]
    return nft.resource(
        network,
        sets="".join(one for one, _ in named),
        prerouting="".join(part.prerouting for part in parts.values()),
        forward="".join(line for _, line in named) + "".join(part.forward for part in parts.values()),
    )


def _set(place: Place, version: int) -> str:
    """The set of the addresses that there are in a place."""
    return f"{place}{version}"


def sets() -> tuple[str, ...]:
    """The names of the sets of addresses that a network resource may have."""
    return tuple(_set(place.place, version) for place in places.in_network() for version in (4, 6))


def _known(network: Network, parts: Mapping[Place, Part], taps: Collection[Tap]) -> Known:
    """The addresses of the taps in a network resource."""
    found = {place.place: place for place in places.in_network()}
    addresses = {
        place: [text for tap in taps if tap.place is place for text in found[place].info(tap, network, None).addresses]
        for place in parts
    }
    return {
        _set(place, version): lookups.addresses(addresses[place], version)
        for place, part in parts.items()
        for version in part.versions
    }


def _root(record: NetworkRecord, parts: dict[Place, Part], taps: Iterable[Tap]) -> Space:
    id = record.network.id
    out = (
        Address(f"{model.EXIT_GATEWAY}/32", f"{model.exit_address(record.slot)}/32"),
        Address(f"{model.LINK_LOCAL_GATEWAY}/64"),
    )
    links = {name: link for part in parts.values() for name, link in part.root.items()}
    links[model.exit(id)] = Link(LinkKind.VETH, addresses=frozenset(out))
    bridges = {place.place: place.bridge(id) for place in places.in_network()}
    links |= {model.tap(tap.id): tap_link(bridges[tap.place]) for tap in taps if tap.place in parts}
    route = Route(f"{model.exit_address6(record.slot)}/128", model.exit(id), ipv6=True)
    return Space(links=links, routes=frozenset({route}), sysctls=model.strict(model.exit(id)))


def _guards(network: Network, parts: dict[Place, Part], taps: Collection[Tap]) -> tuple[Guard, ...]:
    found = {place.place: place for place in places.in_network()}
    return tuple(
        guard(tap, () if found[tap.place].holder(tap, taps) else found[tap.place].info(tap, network, None).addresses)
        for tap in taps
        if tap.place in parts
    )


def _inner(record: NetworkRecord, parts: Iterable[Part], rules: str, known: Known) -> Space:
    network = record.network
    wg = model.tunnel(network.id)
    outside = (
        Address(f"{model.exit_address(record.slot)}/32", f"{model.EXIT_GATEWAY}/32"),
        Address(f"{model.exit_address6(record.slot)}/64"),
    )
    links = {
        "lo": Link(LinkKind.OTHER),
        model.OUT: Link(LinkKind.VETH, addresses=frozenset(outside)),
        wg: Link(
            LinkKind.TUNNEL,
            mtu=model.WG_MTU,
            addresses=frozenset({Address(f"{names.wg_address(network.subnet)}/{model.WG_NET.prefixlen}")}),
        ),
    }
    routes = {
        Route("default", model.OUT, str(model.EXIT_GATEWAY)),
        Route("default", model.OUT, model.LINK_LOCAL_GATEWAY, ipv6=True),
    }
    if network.ip_range != network.subnet:
        routes.add(Route(network.ip_range, wg))
    for part in parts:
        links |= part.inner.links
        routes |= part.inner.routes
    routed = [name for name, link in links.items() if link.kind is LinkKind.VETH]
    sysctls = model.FORWARDING | model.CONNECTIONS | model.reticent(model.namespace(network.id))
    sysctls |= {key: value for name in routed for key, value in model.strict(name).items()}
    return Space(links=links, routes=frozenset(routes), sysctls=sysctls, rules=rules, known=known)


def _tunnel(network: Network) -> DesiredTunnel:
    peers = {
        peer.public_key: DesiredPeer(peer.public_key, peer.endpoint, frozenset(peer.allowed_ips))
        for peer in network.peers
    }
    return DesiredTunnel(network.private_key, public_key(network.private_key), network.listen_port, peers)
