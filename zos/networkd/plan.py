"""The steps that make a network resource as desired: the difference of two descriptions, in a safe order. Pure.

Nothing that already matches is touched; a tunnel is never taken down for an update; rules are in force before a
link that they guard comes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from zos.networkd import firewall, lookups, model
from zos.networkd.api.errors import PortTaken
from zos.networkd.api.types import MYCELIUM_DEVICE, NetId
from zos.networkd.model import (
    KEEPALIVE,
    Desired,
    DesiredPeer,
    DesiredTunnel,
    Link,
    LinkKind,
    Observed,
    ObservedPeer,
    ObservedTunnel,
    Space,
)
from zos.networkd.steps import (
    ROOT,
    AddAddress,
    Attach,
    ConfigureTunnel,
    CreateBridge,
    CreateNamespace,
    CreateTap,
    CreateTun,
    CreateTunnel,
    CreateVeth,
    DropAddress,
    DropNamespace,
    DropRoute,
    DropTun,
    DropTunnel,
    EndTunnel,
    PutPeer,
    PutRoute,
    SetMtu,
    SetSysctl,
    SetUp,
    Silence,
    Step,
)


def plan(desired: Desired | None, observed: Observed, id: NetId) -> tuple[Step, ...]:
    """The steps from what is observed to what is desired; None removes the network."""
    if desired is None:
        return tuple(_drop(observed, id))
    if observed.asked:
        _refuse_taken_port(desired, observed)
    return tuple(_ensure(desired, observed))


def _refuse_taken_port(desired: Desired, observed: Observed) -> None:
    # wireguard-go closes the old socket before it finds that the new port is taken, and is left without any.
    port = desired.tunnel.listen_port
    ending = observed.served and observed.tunnel is None  # its own wireguard-go, which goes before a new one comes
    if port in observed.busy and not ending and (observed.tunnel is None or observed.tunnel.listen_port != port):
        raise PortTaken(port=port, user="a program of this node")


def _drop(observed: Observed, id: NetId) -> Iterator[Step]:
    wg = model.tunnel(id)
    # It ends while the rest is removed: each waits for the kernel's grace periods.
    if observed.served:
        yield EndTunnel(wg)
    # The namespace first: it takes one end of each pair along, which makes the rest cheaper.
    if observed.inner is not None:
        yield DropNamespace(model.namespace(id))
    yield from firewall.drop_links((link for link in observed.root.links if link != wg), observed.root.links)
    inside = observed.inner is not None and wg in observed.inner.links
    if observed.served or inside or wg in observed.root.links:
        yield DropTunnel(wg)


def _ensure(desired: Desired, observed: Observed) -> Iterator[Step]:
    name = model.namespace(desired.id)
    inner = observed.inner if observed.inner is not None else Space()
    pairs = desired.pairs
    gone = _surplus(desired, observed, inner, pairs)
    root = _without(observed.root, gone)
    yield from firewall.drop_links(gone, observed.root.links)
    yield from firewall.guard_taps(desired.guards, root.links)
    if observed.inner is None:
        yield CreateNamespace(name)
    for link, wanted in desired.root.links.items():
        if link not in root.links:
            yield _create(link, wanted, name, pairs, desired.inner)
    fresh = {link for link in pairs if link not in root.links}
    yield from _sysctls(ROOT, desired.root, root, fresh)
    yield from _sysctls(name, desired.inner, inner, {pairs[link] for link in fresh})
    yield from lookups.load(
        name, desired.ruleset, desired.inner.known, inner.rules, inner.known, spares=observed.spares
    )
    inside = _without(inner, {pairs[link] for link in fresh})
    wg, my = model.tunnel(desired.id), MYCELIUM_DEVICE
    if my in desired.inner.links and my not in inside.links:
        yield CreateTun(name, my)
    elif my in inside.links and my not in desired.inner.links:
        yield DropTun(name, my)
        inside = _without(inside, {my})
    yield from _links(ROOT, desired.root.links.items(), root)
    yield from _routes(ROOT, desired.root, root)
    yield from _links(name, ((k, v) for k, v in desired.inner.links.items() if k != wg), inside)
    if observed.asked:
        yield from _tunnel(desired, observed, wg, name, inside)
    yield from _routes(name, desired.inner, inside)


def _without(space: Space, links: set[str]) -> Space:
    """What remains when these links are gone; the kernel removes their routes with them."""
    return Space(
        {link: seen for link, seen in space.links.items() if link not in links},
        frozenset(route for route in space.routes if route.link not in links),
        space.sysctls,
    )


def _surplus(desired: Desired, observed: Observed, inner: Space, pairs: Mapping[str, str]) -> set[str]:
    """Links to remove first: not desired, of another kind, or half of a pair."""
    gone = set()
    for link, seen in observed.root.links.items():
        wanted = desired.root.links.get(link)
        if link == model.tunnel(desired.id):
            continue  # a crash left it before it moved inside; CreateTunnel goes on with it
        # The kernel removes a pair with the namespace of its other end, but later: the name is still taken.
        broken = link in pairs and pairs[link] not in inner.links
        if wanted is None or wanted.kind is not seen.kind or broken:
            gone.add(link)
    return gone


def _create(link: str, desired: Link, name: str, pairs: Mapping[str, str], inner: Space) -> Step:
    if desired.kind is LinkKind.BRIDGE:
        return CreateBridge(link)
    if desired.kind is LinkKind.TAP:
        return CreateTap(link)
    return CreateVeth(link, name, pairs[link], inner.links[pairs[link]].mac)


def _links(where: str, desired: Iterable[tuple[str, Link]], observed: Space) -> Iterator[Step]:
    for name, link in desired:
        yield from _link(where, name, link, observed.links.get(name, Link(link.kind, up=False)))


def _link(where: str, link: str, desired: Link, observed: Link) -> Iterator[Step]:
    if desired.silent and not observed.silent:
        yield Silence(link)
    if desired.master and desired.master != observed.master:
        yield Attach(link, desired.master)
    if desired.mtu and desired.mtu != observed.mtu:
        yield SetMtu(where, link, desired.mtu)
    for address in sorted(observed.addresses - desired.addresses):
        if link != "lo" and not address.local.lower().startswith("fe80:"):
            yield DropAddress(where, link, address)
    for address in sorted(desired.addresses - observed.addresses):
        yield AddAddress(where, link, address)
    if desired.up and not observed.up:
        yield SetUp(where, link)


def _sysctls(where: str, desired: Space, observed: Space, fresh: set[str]) -> Iterator[Step]:
    """Parameters that differ; those of links that are new are not yet as observed."""
    for key, value in desired.sysctls.items():
        if observed.sysctls.get(key) != value or any(f"/{link}/" in key for link in fresh):
            yield SetSysctl(where, key, value)


def _routes(where: str, desired: Space, observed: Space) -> Iterator[Step]:
    wanted = {(route.dest, route.ipv6) for route in desired.routes}
    for route in sorted(observed.routes - desired.routes):
        if (route.dest, route.ipv6) not in wanted:
            yield DropRoute(where, route)
    for route in sorted(desired.routes - observed.routes):
        yield PutRoute(where, route)


def _tunnel(desired: Desired, observed: Observed, wg: str, name: str, inside: Space) -> Iterator[Step]:
    present = wg in inside.links and observed.tunnel is not None
    if not present:
        if wg in inside.links or (observed.served and wg not in observed.root.links):
            yield DropTunnel(wg)  # a link that nothing serves, or a process whose link went with its namespace
        yield CreateTunnel(wg, name)
    step = configuration(wg, name, desired.tunnel, observed.tunnel if present else None)
    if step is not None:
        yield step
    link = desired.inner.links[wg]
    yield from _link(name, wg, link, inside.links[wg] if present else Link(LinkKind.TUNNEL, up=False))


def configuration(
    link: str, name: str, desired: DesiredTunnel, observed: ObservedTunnel | None
) -> ConfigureTunnel | None:
    """What to change in a tunnel; None when nothing."""
    peers = observed.peers if observed else {}
    pairs = [(peer, peers.get(key)) for key, peer in sorted(desired.peers.items())]
    put = tuple(_peer(peer, known) for peer, known in pairs if _differs(peer, known))
    step = ConfigureTunnel(
        link=link,
        namespace=name,
        private_key="" if observed and observed.public_key == desired.public_key else desired.private_key,
        listen_port=0 if observed and observed.listen_port == desired.listen_port else desired.listen_port,
        former_port=observed.listen_port if observed else 0,
        put=put,
        remove=tuple(sorted(set(peers) - set(desired.peers))),
    )
    return step if step.private_key or step.listen_port or step.put or step.remove else None


def _differs(desired: DesiredPeer, observed: ObservedPeer | None) -> bool:
    if observed is None:
        return True
    same = observed.allowed_ips == desired.allowed_ips and observed.keepalive == KEEPALIVE
    return not same or bool(_endpoint(desired, observed))


def _peer(desired: DesiredPeer, observed: ObservedPeer | None) -> PutPeer:
    return PutPeer(desired.public_key, tuple(sorted(desired.allowed_ips)), _endpoint(desired, observed))


def _endpoint(desired: DesiredPeer, observed: ObservedPeer | None) -> str:
    """The endpoint to configure; empty to leave it as it is."""
    if observed is None:
        return desired.endpoint
    if not desired.endpoint or observed.endpoint == desired.endpoint:
        return ""
    # WireGuard follows a peer that moved (its NAT changed the port). Such a peer must not be sent back to the old
    # place, unless the desired endpoint changed since, or nothing comes from the new place any more.
    changed = observed.configured_endpoint not in (None, desired.endpoint)
    return desired.endpoint if not observed.endpoint or not observed.alive or changed else ""
