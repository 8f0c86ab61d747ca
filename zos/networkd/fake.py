"""FakeHost: the behaviour of the host over dictionaries, for tests and sim/."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface

from zos.networkd import lookups, model, nft, planetary
from zos.networkd.api.check import public_key
from zos.networkd.api.errors import KernelRefused
from zos.networkd.api.types import Backend, NetId
from zos.networkd.firewall import ObservedFirewall
from zos.networkd.model import Address, Link, LinkKind, Observed, ObservedPeer, ObservedTunnel, Route, Space
from zos.networkd.node import SYSCTLS, Nic, NicKind, ObservedNode
from zos.networkd.planetary import ObservedYggdrasil
from zos.networkd.segment import ObservedSegment
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
    DialPeer,
    DropAddress,
    DropLinks,
    DropNamespace,
    DropRoute,
    DropRules,
    DropTun,
    DropTunnel,
    EndTunnel,
    GuardTaps,
    KnowAddresses,
    LoadRules,
    OpenPorts,
    PutRoute,
    SetMtu,
    SetSysctl,
    SetUp,
    Silence,
    StartDhcp,
    StartYggdrasil,
    Step,
    StopYggdrasil,
    UnguardTaps,
)


@dataclass
class _Space:
    """A namespace that can be changed."""

    links: dict[str, Link] = field(default_factory=dict)
    routes: set[Route] = field(default_factory=set)
    sysctls: dict[str, str] = field(default_factory=dict)
    rules: str = ""
    known: dict[str, frozenset[str]] = field(default_factory=dict)

    def change(self, link: str, **changes: object) -> None:
        if link not in self.links:
            raise KernelRefused(action=f"change {link}", problem="there is no such link")
        self.links[link] = dataclasses.replace(self.links[link], **changes)  # type: ignore[arg-type]

    def forget(self, link: str) -> None:
        self.links.pop(link, None)
        self.routes = {route for route in self.routes if route.link != link}
        self.sysctls = {key: value for key, value in self.sysctls.items() if f"/{link}/" not in key}


class FakeHost:
    """A node with one network card, `eth0`."""

    def __init__(self, address: str = "192.0.2.21/24", gateway: str = "192.0.2.1") -> None:
        card = Link(
            LinkKind.VETH, addresses=frozenset({Address(address)} if address else set()), mac="02:00:00:00:00:21"
        )
        self.root = _Space({"lo": Link(LinkKind.OTHER), "eth0": card}, sysctls=dict.fromkeys(SYSCTLS, "unset"))
        if gateway:
            self.root.routes.add(Route("default", "eth0", gateway))
        self.spaces: dict[str, _Space] = {}
        self.tunnels: dict[str, ObservedTunnel] = {}
        self.pairs: dict[str, tuple[str, str]] = {}
        self.busy: set[int] = set()
        self.dhcp = False
        self.lacks = ""
        """What it lacks for the planetary network."""
        self.guarded: dict[str, str] = {}
        """The digests of taps' guards, by device."""
        self.firewall = ObservedFirewall()
        self.segment_rules = ""
        """The digest of the table of a segment's guests."""
        self.segment_known: dict[str, frozenset[str]] = {}
        """Its sets."""
        self.yggdrasil: str | None = None
        """The configuration that it runs with."""
        self.reachable: set[str] = set()
        """Peers that are connected once they are dialled."""
        self.peers: set[str] = set()
        self.callback: Callable[[], None] = lambda: None
        self.steps: list[Step] = []
        self.broken: type[Step] | None = None
        """Steps of this class fail, as if the kernel refused them."""

    @classmethod
    def walled(cls) -> FakeHost:
        """One whose firewall is in force."""
        host = cls()
        host.firewall = ObservedFirewall("in force", "in force")
        return host

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a tunnel or yggdrasil ends by itself."""
        self.callback = callback

    def end_tunnel(self, id: NetId) -> None:
        """As if wireguard-go died."""
        self._take_tunnel(DropTunnel(model.tunnel(id)))
        self.callback()

    async def networks(self) -> frozenset[NetId]:
        """The networks of which anything exists."""
        names = [*self.root.links, *(f"b-{name[2:]}" for name in self.spaces)]
        return frozenset(id for name in names if (id := model.owner(name)) is not None)

    async def taps(self) -> Mapping[str, Link]:
        return {name: link for name, link in self.root.links.items() if model.is_tap(name)}

    async def observe_node(self) -> ObservedNode:
        """The node's own part."""
        nics = {}
        for name, link in self.root.links.items():
            if model.owner(name) is None and not model.is_tap(name):
                kind = {LinkKind.BRIDGE: NicKind.BRIDGE, LinkKind.VETH: NicKind.CARD}.get(link.kind, NicKind.OTHER)
                addresses = frozenset(address.local for address in link.addresses)
                routes = frozenset(route for route in self.root.routes if route.link == name)
                near = frozenset(str(ip_interface(text).network) for text in addresses)
                nics[name] = Nic(
                    kind, link.mac, link.up, True, link.master, addresses, frozenset(), routes, near, link.silent
                )
        return ObservedNode(nics, dict(self.root.sysctls), self.dhcp, frozenset(self.busy))

    async def observe(self, id: NetId, taps: Iterable[str] = (), *, tunnel: bool = True) -> Observed:
        bridges = (model.bridge(id), model.mycelium_bridge(id))
        named = {*bridges, model.port(id), model.mycelium_port(id), model.exit(id), model.tunnel(id), *taps}
        links = {k: v for k, v in self.root.links.items() if k in named or (v.master in bridges and model.is_tap(k))}
        links = {name: self._guarded(name, link) for name, link in links.items()}
        routes = frozenset(route for route in self.root.routes if route.link in links)
        space = self.spaces.get(model.namespace(id))
        inner = None
        if space is not None:
            known = dict(space.known)
            inner = Space(dict(space.links), frozenset(space.routes), dict(space.sysctls), space.rules, known)
        ports = {one.listen_port for one in self.tunnels.values()}
        found = self.tunnels.get(model.tunnel(id))
        asked = tunnel or inner is None or model.tunnel(id) not in inner.links
        return Observed(
            Space(links, routes, dict(self.root.sysctls)),
            inner,
            found if asked else None,
            found is not None,
            frozenset(ports | self.busy),
            asked,
        )

    async def observe_tunnel(self, id: NetId) -> ObservedTunnel | None:
        return self.tunnels.get(model.tunnel(id))

    def planetary_problem(self) -> str:
        """What this machine lacks for the planetary network."""
        return self.lacks

    def end_yggdrasil(self) -> None:
        """As if yggdrasil died."""
        self._take(StopYggdrasil())
        self.callback()

    async def observe_segment(self, bridge: str, taps: Iterable[str] = ()) -> ObservedSegment:
        """A bridge of the node with its taps."""
        named = {bridge, *taps}
        links = {
            name: link
            for name, link in self.root.links.items()
            if name in named or (link.master == bridge and model.is_tap(name))
        }
        guarded = {name: self._guarded(name, link) for name, link in links.items()}
        return ObservedSegment(guarded, self.segment_rules, dict(self.segment_known))

    async def observe_firewall(self) -> ObservedFirewall:
        """The tables of the root namespace."""
        return self.firewall

    async def guards(self) -> frozenset[str]:
        """All taps that have a guard."""
        return frozenset(self.guarded)

    def _guarded(self, name: str, link: Link) -> Link:
        return dataclasses.replace(link, guard=self.guarded.get(name, "")) if model.is_tap(name) else link

    async def observe_yggdrasil(self) -> ObservedYggdrasil:
        if self.yggdrasil is None:
            return ObservedYggdrasil()
        return ObservedYggdrasil(True, planetary.digest(self.yggdrasil), frozenset(self.peers))

    async def apply(self, steps: Sequence[Step]) -> None:
        """Apply the steps, in order."""
        for step in steps:
            if self.broken is not None and isinstance(step, self.broken):
                raise KernelRefused(action=step.describe(), problem="the test asked for it")
            self._take(step)
            self.steps.append(step)

    def _space(self, name: str) -> _Space:
        if name == ROOT:
            return self.root
        if name not in self.spaces:
            raise KernelRefused(action=f"enter {name}", problem="there is no such namespace")
        return self.spaces[name]

    def _new(self, name: str, link: Link) -> None:
        if name in self.root.links:
            raise KernelRefused(action=f"create {name}", problem="File exists")
        self.root.links[name] = link

    def _take(self, step: Step) -> None:
        match step:
            case CreateNamespace(name):
                self.spaces.setdefault(name, _Space({"lo": Link(LinkKind.OTHER, up=False)}))
            case DropNamespace(name):
                self.spaces.pop(name, None)
                self._drop([link for link, (space, _) in self.pairs.items() if space == name])
            case CreateBridge(link, mac):
                self._new(link, Link(LinkKind.BRIDGE, up=False, mac=mac))
            case CreateVeth(link, into, peer):
                self._new(link, Link(LinkKind.VETH, up=False))
                self._space(into).links[peer] = Link(LinkKind.VETH, up=False)
                self.pairs[link] = (into, peer)
            case CreateTap(link):
                self.root.links.setdefault(link, Link(LinkKind.TAP, up=False))
            case CreateTun(where, link):
                self._space(where).links.setdefault(link, Link(LinkKind.TUNNEL, up=False))
            case DropTun(where, link):
                self._space(where).forget(link)
            case DropLinks(links):
                self._drop(links)
            case EndTunnel():
                pass  # it takes its time
            case CreateTunnel() | DropTunnel() | ConfigureTunnel():
                self._take_tunnel(step)
            case StartYggdrasil() | StopYggdrasil() | DialPeer():
                self._take_planetary(step)
            case _:
                self._take_change(step)

    def _drop(self, links: Iterable[str]) -> None:
        for link in links:
            self.root.forget(link)
            for port, seen in self.root.links.items():
                if seen.master == link:
                    self.root.links[port] = dataclasses.replace(seen, master="")
            into, peer = self.pairs.pop(link, ("", ""))
            if into in self.spaces:
                self.spaces[into].forget(peer)

    def _take_change(self, step: Step) -> None:
        match step:
            case Silence(link):
                self.root.change(link, silent=True)
            case Attach(link, bridge):
                self.root.change(link, master=bridge)
            case SetMtu(where, link, mtu):
                self._space(where).change(link, mtu=mtu)
            case SetUp(where, link):
                self._space(where).change(link, up=True)
            case AddAddress(where, link, address):
                space = self._space(where)
                space.change(link, addresses=space.links[link].addresses | {address})
            case DropAddress(where, link, address):
                space = self._space(where)
                space.change(link, addresses=space.links[link].addresses - {address})
                space.routes = {route for route in space.routes if route.link != link}
            case PutRoute(where, route):
                space = self._space(where)
                same = (route.dest, route.ipv6)
                space.routes = {other for other in space.routes if (other.dest, other.ipv6) != same} | {route}
            case DropRoute(where, route):
                self._space(where).routes.discard(route)
            case SetSysctl(where, key, value):
                self._space(where).sysctls[key] = value
            case LoadRules() | KnowAddresses() | DropRules() | GuardTaps() | UnguardTaps() | OpenPorts():
                self._take_rules(step)
            case StartDhcp():
                self.dhcp = True
            case _:
                raise AssertionError(step)

    def _take_rules(self, step: LoadRules | KnowAddresses | DropRules | GuardTaps | UnguardTaps | OpenPorts) -> None:
        was = self.firewall
        match step:
            case LoadRules(where, ruleset) if where != ROOT:
                self._space(where).rules = nft.digest(ruleset)
                self._space(where).known = dict(step.known)
            case KnowAddresses(where, _, new, old):
                sets = self.segment_known if where == ROOT else self._space(where).known
                sets.update({name: sets[name] | more for name, more in new.items()})
                sets.update({name: sets[name] - less for name, less in old.items()})
            case LoadRules(_, ruleset, "bridge"):
                self.guarded.clear()
                self.firewall = dataclasses.replace(was, bridge=nft.digest(ruleset))
            case LoadRules(_, ruleset) if step.table == lookups.GUESTS:
                self.segment_rules = nft.digest(ruleset)
                self.segment_known = dict(step.known)
            case LoadRules(_, ruleset):
                self.firewall = dataclasses.replace(was, inet=nft.digest(ruleset), ports=frozenset())
            case DropRules(_, _, table):
                self.firewall = dataclasses.replace(was, former=was.former - {table})
            case GuardTaps(guards):
                if not was.bridge:
                    raise KernelRefused(action=step.describe(), problem="there is no such table")
                self.guarded.update({guard.device: guard.digest for guard in guards})
            case UnguardTaps(devices):
                for device in devices:
                    self.guarded.pop(device, None)
            case OpenPorts(new, old):
                self.firewall = dataclasses.replace(was, ports=(was.ports - {*old}) | {*new})

    def _take_planetary(self, step: StartYggdrasil | StopYggdrasil | DialPeer) -> None:
        match step:
            case StartYggdrasil(config):
                self.yggdrasil, self.peers = config, set()
            case StopYggdrasil():
                self.yggdrasil, self.peers = None, set()
            case DialPeer(uri) if uri in self.reachable:
                self.peers.add(planetary.stripped(uri))
            case DialPeer():
                pass

    def _take_tunnel(self, step: CreateTunnel | DropTunnel | ConfigureTunnel) -> None:
        match step:
            case CreateTunnel(link, where):
                self._space(where).links[link] = Link(LinkKind.TUNNEL, up=False, mtu=1420)
                self.tunnels[link] = ObservedTunnel(Backend.WIREGUARD_GO, "", 0)
            case DropTunnel(link):
                self.tunnels.pop(link, None)
                for space in self.spaces.values():
                    space.forget(link)
            case ConfigureTunnel(link):
                self.tunnels[link] = _configured(self.tunnels[link], step)


def _configured(tunnel: ObservedTunnel, step: ConfigureTunnel) -> ObservedTunnel:
    peers = {key: peer for key, peer in tunnel.peers.items() if key not in step.remove}
    for put in step.put:
        old = peers.get(put.public_key)
        endpoint = put.endpoint or (old.endpoint if old else "")
        configured = put.endpoint or (old.configured_endpoint if old else None)
        peers[put.public_key] = ObservedPeer(
            put.public_key, endpoint, frozenset(put.allowed_ips), model.KEEPALIVE, configured_endpoint=configured
        )
    key = public_key(step.private_key) if step.private_key else tunnel.public_key
    return ObservedTunnel(tunnel.backend, key, step.listen_port or tunnel.listen_port, peers)
