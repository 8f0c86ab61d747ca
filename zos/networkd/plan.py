"""What to do so that a network resource becomes as wished: the difference of two descriptions, in a safe order. Pure.

Nothing that already matches is touched; a tunnel is never taken down for an update; rules are in force before a
link that they guard comes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from zos.networkd import model, nft
from zos.networkd.api.errors import PortTaken
from zos.networkd.api.types import MYCELIUM_DEVICE, NetId
from zos.networkd.model import (
    KEEPALIVE,
    Have,
    Link,
    LinkKind,
    PeerSeen,
    PeerWish,
    Space,
    TunnelSeen,
    TunnelWish,
    Want,
)
from zos.networkd.steps import (
    HOST,
    AddAddress,
    Attach,
    ConfigureTunnel,
    CreateBridge,
    CreateNamespace,
    CreateTap,
    CreateTun,
    CreateTunnel,
    CreateVeth,
    DisableIPv6,
    DropAddress,
    DropLinks,
    DropNamespace,
    DropRoute,
    DropTun,
    DropTunnel,
    LoadRules,
    PutPeer,
    PutRoute,
    SetMtu,
    SetSysctl,
    SetUp,
    Step,
)


def plan(want: Want | None, have: Have, id: NetId) -> tuple[Step, ...]:
    """The steps from what is seen to what is wished; None wishes it gone."""
    if want is None:
        return tuple(_drop(have, id))
    _refuse_taken_port(want, have)
    return tuple(_ensure(want, have))


def _refuse_taken_port(want: Want, have: Have) -> None:
    # wireguard-go closes the old socket before it finds that the new port is taken, and is left without any.
    port = want.tunnel.listen_port
    ending = have.served and have.tunnel is None  # its own wireguard-go, which goes before a new one comes
    if port in have.busy and not ending and (have.tunnel is None or have.tunnel.listen_port != port):
        raise PortTaken(port=port, user="a program of this node")


def _drop(have: Have, id: NetId) -> Iterator[Step]:
    wg = model.tunnel(id)
    if have.served or have.tunnel is not None or wg in have.host.links:
        yield DropTunnel(wg)
    # The namespace first: it takes one end of each pair along, which makes the rest cheaper.
    if have.inner is not None:
        yield DropNamespace(model.namespace(id))
    left = tuple(sorted(link for link in have.host.links if link != wg))
    if left:
        yield DropLinks(left)


def _ensure(want: Want, have: Have) -> Iterator[Step]:
    name = model.namespace(want.id)
    inner = have.inner if have.inner is not None else Space()
    pairs = want.pairs
    gone = _surplus(want, have, inner, pairs)
    host = _without(have.host, gone)
    if gone:
        yield DropLinks(tuple(sorted(gone)))
    if have.inner is None:
        yield CreateNamespace(name)
    for link, wish in want.host.links.items():
        if link not in host.links:
            yield _create(link, wish, name, pairs, want.inner)
    yield from _sysctls(name, want.inner, inner)
    if want.inner.rules != inner.rules:
        yield LoadRules(name, nft.replacing(want.ruleset) if inner.rules else want.ruleset)
    fresh = {pairs[link] for link in pairs if link not in host.links}
    inside = _without(inner, fresh)
    wg, my = model.tunnel(want.id), MYCELIUM_DEVICE
    if my in want.inner.links and my not in inside.links:
        yield CreateTun(name, my)
    elif my in inside.links and my not in want.inner.links:
        yield DropTun(name, my)
        inside = _without(inside, {my})
    yield from _links(HOST, want.host.links.items(), host)
    yield from _links(name, ((k, v) for k, v in want.inner.links.items() if k != wg), inside)
    yield from _tunnel(want, have, wg, name, inside)
    yield from _routes(HOST, want.host, host)
    yield from _routes(name, want.inner, inside)


def _without(space: Space, links: set[str]) -> Space:
    """What is left when these links are gone; the kernel takes their routes along."""
    return Space(
        {link: seen for link, seen in space.links.items() if link not in links},
        frozenset(route for route in space.routes if route.link not in links),
    )


def _surplus(want: Want, have: Have, inner: Space, pairs: Mapping[str, str]) -> set[str]:
    """Links that must go first: not wished, of another kind, or half of a pair."""
    gone = set()
    for link, seen in have.host.links.items():
        wish = want.host.links.get(link)
        if link == model.tunnel(want.id):
            continue  # on its way inside; creating it again takes it up
        # A pair whose namespace is gone is about to vanish by itself.
        broken = link in pairs and pairs[link] not in inner.links
        if wish is None or wish.kind is not seen.kind or broken:
            gone.add(link)
    return gone


def _create(link: str, wish: Link, name: str, pairs: Mapping[str, str], inner: Space) -> Step:
    if wish.kind is LinkKind.BRIDGE:
        return CreateBridge(link)
    if wish.kind is LinkKind.TAP:
        return CreateTap(link)
    return CreateVeth(link, name, pairs[link], inner.links[pairs[link]].mac)


def _links(where: str, wishes: Iterable[tuple[str, Link]], have: Space) -> Iterator[Step]:
    for link, wish in wishes:
        yield from _link(where, link, wish, have.links.get(link, Link(wish.kind, up=False)))


def _link(where: str, link: str, wish: Link, seen: Link) -> Iterator[Step]:
    if not wish.ipv6 and seen.ipv6:
        yield DisableIPv6(link)
    if wish.master and wish.master != seen.master:
        yield Attach(link, wish.master)
    if wish.mtu and wish.mtu != seen.mtu:
        yield SetMtu(where, link, wish.mtu)
    for address in sorted(seen.addresses - wish.addresses):
        if link != "lo" and not address.local.lower().startswith("fe80:"):
            yield DropAddress(where, link, address)
    for address in sorted(wish.addresses - seen.addresses):
        yield AddAddress(where, link, address)
    if wish.up and not seen.up:
        yield SetUp(where, link)


def _sysctls(where: str, want: Space, have: Space) -> Iterator[Step]:
    for key, value in want.sysctls.items():
        if have.sysctls.get(key) != value:
            yield SetSysctl(where, key, value)


def _routes(where: str, want: Space, have: Space) -> Iterator[Step]:
    wished = {(route.dest, route.ipv6) for route in want.routes}
    for route in sorted(have.routes - want.routes):
        if (route.dest, route.ipv6) not in wished:
            yield DropRoute(where, route)
    for route in sorted(want.routes - have.routes):
        yield PutRoute(where, route)


def _tunnel(want: Want, have: Have, wg: str, name: str, inside: Space) -> Iterator[Step]:
    present = wg in inside.links and have.tunnel is not None
    if not present:
        if wg in inside.links or (have.served and wg not in have.host.links):
            yield DropTunnel(wg)  # a link that nothing serves, or a process whose link went with its namespace
        yield CreateTunnel(wg, name)
    seen = have.tunnel if present else None
    step = configuration(wg, name, want.tunnel, seen)
    if step is not None:
        yield step
    link = want.inner.links[wg]
    yield from _link(name, wg, link, inside.links[wg] if present else Link(LinkKind.TUNNEL, up=False))


def configuration(link: str, name: str, want: TunnelWish, have: TunnelSeen | None) -> ConfigureTunnel | None:
    """What a tunnel must be told; None when it knows everything."""
    peers = have.peers if have else {}
    put = tuple(_peer(wish, peers.get(key)) for key, wish in sorted(want.peers.items()) if _news(wish, peers.get(key)))
    step = ConfigureTunnel(
        link=link,
        namespace=name,
        private_key="" if have and have.public_key == want.public_key else want.private_key,
        listen_port=0 if have and have.listen_port == want.listen_port else want.listen_port,
        former_port=have.listen_port if have else 0,
        put=put,
        remove=tuple(sorted(set(peers) - set(want.peers))),
    )
    return step if step.private_key or step.listen_port or step.put or step.remove else None


def _news(wish: PeerWish, seen: PeerSeen | None) -> bool:
    if seen is None:
        return True
    same = seen.allowed_ips == wish.allowed_ips and seen.keepalive == KEEPALIVE
    return not same or bool(_endpoint(wish, seen))


def _peer(wish: PeerWish, seen: PeerSeen | None) -> PutPeer:
    return PutPeer(wish.public_key, tuple(sorted(wish.allowed_ips)), _endpoint(wish, seen))


def _endpoint(wish: PeerWish, seen: PeerSeen | None) -> str:
    """The endpoint to tell, or nothing.

    A peer that moved (its own port was changed) is followed by WireGuard and must not be sent back to the old place,
    unless the wish changed since, or the place it moved to has fallen silent.
    """
    if seen is None or not wish.endpoint or seen.endpoint == wish.endpoint:
        return wish.endpoint if seen is None else ""
    if not seen.endpoint or not seen.alive or (seen.told is not None and seen.told != wish.endpoint):
        return wish.endpoint
    return ""
