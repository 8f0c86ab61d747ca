"""A wish drawn as the links, addresses, routes and rules that it takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from zos.model import mycelium, names
from zos.networkd import check, model, nft
from zos.networkd.api.types import MYCELIUM_DEVICE, MyceliumTap, Network, OverlayTapInfo, Tap, TapInfo
from zos.networkd.model import Address, Link, LinkKind, PeerWish, Route, Space, TunnelWish, Want, Wish


def want(wish: Wish, taps: Iterable[Tap], overlay: Iterable[MyceliumTap] = ()) -> Want:
    """The network resource of a wish, with the taps on it and on its part of the Mycelium overlay."""
    ruleset = nft.resource(wish.network)
    return Want(
        id=wish.network.id,
        host=_host(wish, taps, overlay),
        inner=_inner(wish, nft.digest(ruleset)),
        ruleset=ruleset,
        tunnel=_tunnel(wish.network),
        pairs=_pairs(wish.network),
    )


def _pairs(network: Network) -> dict[str, str]:
    pairs = {model.port(network.id): model.namespace(network.id), model.exit(network.id): model.OUT}
    return pairs | ({model.mycelium_port(network.id): model.MYCELIUM_LAN} if network.mycelium else {})


def gateway(network: Network) -> IPv4Address:
    """`.1`: the network resource's own address."""
    return IPv4Network(network.subnet).network_address + 1


def _host(wish: Wish, taps: Iterable[Tap], overlay: Iterable[MyceliumTap]) -> Space:
    id = wish.network.id
    bridge = model.bridge(id)
    out = (
        Address(f"{model.EXIT_GATEWAY}/32", f"{model.exit_address(wish.slot)}/32"),
        Address(f"{model.LINK_LOCAL_GATEWAY}/64"),
    )
    links = {
        bridge: Link(LinkKind.BRIDGE, ipv6=False),
        model.port(id): Link(LinkKind.VETH, master=bridge, ipv6=False),
        model.exit(id): Link(LinkKind.VETH, addresses=frozenset(out)),
    }
    for tap in taps:
        links[model.tap(tap.id)] = Link(LinkKind.TAP, master=bridge, ipv6=False)
    if wish.network.mycelium:
        bridge = model.mycelium_bridge(id)
        links[bridge] = Link(LinkKind.BRIDGE, ipv6=False)
        links[model.mycelium_port(id)] = Link(LinkKind.VETH, master=bridge, ipv6=False)
        links |= {model.tap(tap.id): Link(LinkKind.TAP, master=bridge, ipv6=False) for tap in overlay}
    route = Route(f"{model.exit_address6(wish.slot)}/128", model.exit(id), ipv6=True)
    return Space(links=links, routes=frozenset({route}))


def _inner(wish: Wish, rules: str) -> Space:
    network = wish.network
    subnet, ip = IPv4Network(network.subnet), gateway(network)
    lan, wg = model.namespace(network.id), model.tunnel(network.id)
    inside = (
        Address(f"{ip}/{subnet.prefixlen}"),
        Address(f"{names.ula(network.id, str(ip))}/64"),
        Address(f"{model.LINK_LOCAL_GATEWAY}/64"),
    )
    outside = (
        Address(f"{model.exit_address(wish.slot)}/32", f"{model.EXIT_GATEWAY}/32"),
        Address(f"{model.exit_address6(wish.slot)}/64"),
    )
    links = {
        "lo": Link(LinkKind.OTHER),
        # Always the same, so that machines need not learn their gateway again when it is built anew.
        lan: Link(LinkKind.VETH, addresses=frozenset(inside), mac=names.mac(lan)),
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
    if network.mycelium:
        address = Address(f"{mycelium.gateway(IPv6Network(network.mycelium))}/64")
        station = names.mac(model.mycelium_bridge(network.id))
        links[model.MYCELIUM_LAN] = Link(LinkKind.VETH, addresses=frozenset({address}), mac=station)
        links[MYCELIUM_DEVICE] = Link(LinkKind.TUNNEL, mtu=model.MYCELIUM_MTU)
        routes.add(Route(model.MYCELIUM_NET, MYCELIUM_DEVICE, ipv6=True))
    return Space(links=links, routes=frozenset(routes), sysctls=model.FORWARDING, rules=rules)


def _tunnel(network: Network) -> TunnelWish:
    peers = {
        peer.public_key: PeerWish(peer.public_key, peer.endpoint, frozenset(peer.allowed_ips)) for peer in network.peers
    }
    return TunnelWish(network.private_key, check.public_key(network.private_key), network.listen_port, peers)


def tap_info(tap: Tap, network: Network, seen: Link | None) -> TapInfo:
    """What the guest behind a tap must be told, with the counters of the device."""
    subnet, ip = IPv4Network(network.subnet), gateway(network)
    return TapInfo(
        id=tap.id,
        network=tap.network,
        device=model.tap(tap.id),
        bridge=model.bridge(network.id),
        mac=tap.mac,
        ip=tap.ip,
        prefix=subnet.prefixlen,
        gateway=str(ip),
        ip_range=network.ip_range,
        ipv6=str(names.ula(network.id, tap.ip)),
        gateway6=str(names.ula(network.id, str(ip))),
        # What leaves the device towards the node was sent by the guest: the two ends count crosswise.
        rx=seen.tx if seen else 0,
        tx=seen.rx if seen else 0,
    )


def mycelium_tap_info(tap: MyceliumTap, network: Network) -> OverlayTapInfo:
    """What the guest behind a tap in the Mycelium overlay must be told."""
    subnet = IPv6Network(network.mycelium)
    return OverlayTapInfo(
        id=tap.id,
        device=model.tap(tap.id),
        bridge=model.mycelium_bridge(network.id),
        mac=tap.mac,
        ip=str(mycelium.machine(subnet, tap.seed)),
        prefix=subnet.prefixlen,
        gateway=str(mycelium.gateway(subnet)),
        range=model.MYCELIUM_NET,
    )
