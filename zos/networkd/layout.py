"""Draws a network record as the links, addresses, routes and rules that it takes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from zos.model import names
from zos.networkd import model, nft, places
from zos.networkd.api.check import public_key
from zos.networkd.api.types import Network, Place, Tap
from zos.networkd.guard import Guard
from zos.networkd.model import (
    Address,
    Desired,
    DesiredPeer,
    DesiredTunnel,
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
    ruleset = rules(network, taps)
    return Desired(
        id=network.id,
        root=_root(record, parts, taps),
        inner=_inner(record, parts.values(), nft.digest(ruleset)),
        ruleset=ruleset,
        tunnel=_tunnel(network),
        guards=_guards(network, parts, taps),
        pairs={model.exit(network.id): model.OUT} | {k: v for part in parts.values() for k, v in part.pairs.items()},
    )


def _parts(network: Network) -> dict[Place, Part]:
    found = ((place.place, place.part(network)) for place in places.in_network())
    return {place: part for place, part in found if part is not None}


def rules(network: Network, taps: Iterable[Tap] = ()) -> str:
    """The firewall inside a network resource with these taps."""
    parts = _parts(network)
    found = {place.place: place for place in places.in_network()}
    addresses: dict[Place, set[str]] = {place: set() for place in parts}
    for tap in taps:
        if tap.place in parts:
            addresses[tap.place].update(found[tap.place].info(tap, network, None).addresses)
    known = [
        nft.known(f"{place}{version}", link, addresses[place], version)
        for place, part in parts.items()
        for link in part.pairs.values()
        for version in part.versions
    ]
    return nft.resource(
        network,
        sets="".join(one for one, _ in known),
        prerouting="".join(part.prerouting for part in parts.values()),
        forward="".join(line for _, line in known) + "".join(part.forward for part in parts.values()),
    )


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


def _inner(record: NetworkRecord, parts: Iterable[Part], rules: str) -> Space:
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
    return Space(links=links, routes=frozenset(routes), sysctls=sysctls, rules=rules)


def _tunnel(network: Network) -> DesiredTunnel:
    peers = {
        peer.public_key: DesiredPeer(peer.public_key, peer.endpoint, frozenset(peer.allowed_ips))
        for peer in network.peers
    }
    return DesiredTunnel(network.private_key, public_key(network.private_key), network.listen_port, peers)
