"""Observations by netlink and from /proc; each function reads its thread's namespace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from zos.networkd import layout, lookups, model
from zos.networkd.api.types import NetId
from zos.networkd.firewall import FORMER, WIREGUARD, ObservedFirewall
from zos.networkd.host import dhcp, nsthread, rtnl
from zos.networkd.host.act import SYSCTL
from zos.networkd.host.netlink import Netlink
from zos.networkd.host.nftables import BRIDGE, Reader, Tables
from zos.networkd.host.rtnl import Device
from zos.networkd.model import Address, Link, LinkKind, Space
from zos.networkd.node import LEAST, SYSCTLS, Nic, NicKind, ObservedNode
from zos.networkd.segment import ObservedSegment

_ETHERNET = 1
_KINDS = {"bridge": LinkKind.BRIDGE, "veth": LinkKind.VETH, "wireguard": LinkKind.TUNNEL}


def _kind(device: Device) -> LinkKind:
    if device.kind == "tun":
        # wireguard-go's link is a tun, a tap is one that speaks Ethernet.
        return LinkKind.TAP if device.type == _ETHERNET else LinkKind.TUNNEL
    return _KINDS.get(device.kind, LinkKind.OTHER)


def _link(
    device: Device, names: dict[int, str], addresses: Iterable[Address] = (), silent: bool = False, guard: str = ""
) -> Link:
    return Link(
        kind=_kind(device),
        master=names.get(device.master, f"#{device.master}" if device.master else ""),
        up=device.up,
        mtu=device.mtu,
        addresses=frozenset(addresses),
        silent=silent,
        guard=guard,
        mac=device.mac,
        rx=device.rx,
        tx=device.tx,
    )


def _silent(link: str) -> bool:
    wanted = {key.format(link): value for key, value in model.SILENCE.items()}
    return all(wanted[key] == value for key, value in _sysctls(wanted).items())


def root(id: NetId, taps: Iterable[str], tables: Tables) -> Space:
    """The root namespace's side of a network resource."""
    bridges = (model.bridge(id), model.mycelium_bridge(id))
    wanted = [*bridges, model.port(id), model.mycelium_port(id), model.exit(id), model.tunnel(id), *taps]
    with Netlink() as nl:
        found = {name: device for name in wanted if (device := rtnl.device(nl, name)) is not None}
        for bridge in [found[name] for name in bridges if name in found]:
            # Only taps of ours: what somebody else attached is not ours to remove.
            ports = rtnl.devices(nl, bridge.index)
            found |= {device.name: device for device in ports if model.is_tap(device.name)}
        names = {device.index: name for name, device in found.items()}
        out = found.get(model.exit(id))
        addresses = [item.address for item in rtnl.addresses(nl, out.index)] if out else []
        routes = rtnl.routes(nl, {out.index: out.name}) if out else []
    with tables.reader() as reader:
        guards = reader.guards(filter(model.is_tap, found))
    links = {
        name: _link(device, names, addresses if device is out else (), _silent(name), guards.get(name, ""))
        for name, device in found.items()
    }
    sysctls = _sysctls(model.strict(model.exit(id))) if out else {}
    return Space(links=links, routes=frozenset(routes), sysctls=sysctls)


def inner() -> Space:
    """Everything inside a network resource."""
    with Netlink() as nl:
        devices = rtnl.devices(nl)
        names = {device.index: device.name for device in devices}
        assigned = rtnl.addresses(nl)
        routes = rtnl.routes(nl, names)
    links = {
        device.name: _link(device, names, [item.address for item in assigned if item.index == device.index])
        for device in devices
    }
    veths = [device.name for device in devices if device.kind == "veth"]
    routed = [key for name in veths for key in (*model.strict(name), *model.reticent(name))]
    sysctls = _sysctls((*model.FORWARDING, *model.CONNECTIONS, *routed))
    with Reader() as reader:
        return Space(links, frozenset(routes), sysctls, reader.digest(), reader.known(layout.sets()))


def segment(bridge_name: str, taps: Iterable[str], tables: Tables) -> ObservedSegment:
    """A bridge with the taps on it and those named."""
    with Netlink() as nl:
        found = {name: device for name in (bridge_name, *taps) if (device := rtnl.device(nl, name)) is not None}
        bridge = found.get(bridge_name)
        assigned = []
        if bridge is not None:
            ports = rtnl.devices(nl, bridge.index)
            found |= {device.name: device for device in ports if model.is_tap(device.name)}
            assigned = [item.address for item in rtnl.addresses(nl, bridge.index)]
    names = {device.index: name for name, device in found.items()}
    with tables.reader() as reader:
        guards = reader.guards(filter(model.is_tap, found))
        rules, known = reader.digest(lookups.GUESTS), reader.known((lookups.ON_SEGMENT,), lookups.GUESTS)
    links = {
        name: _link(device, names, assigned if device is bridge else (), _silent(name), guards.get(name, ""))
        for name, device in found.items()
    }
    return ObservedSegment(links, rules, known)


def firewall(tables: Tables) -> ObservedFirewall:
    """The tables of the root namespace."""
    with tables.reader() as reader:
        return ObservedFirewall(
            inet=reader.digest(),
            bridge=reader.digest(family=BRIDGE),
            ports=reader.ports(WIREGUARD),
            former=frozenset(name for name in FORMER if reader.digest(name, BRIDGE)),
        )


def guarded(tables: Tables) -> frozenset[str]:
    """The taps that have a guard."""
    with tables.reader() as reader:
        return frozenset(filter(model.is_tap, reader.chains()))


def _sysctls(keys: Iterable[str]) -> dict[str, str]:
    return {key: (SYSCTL / key).read_text().strip() for key in keys if (SYSCTL / key).exists()}


def _is_writable(key: str) -> bool:
    """Whether it is this namespace's to write; access(2) would ask for the real user."""
    try:
        os.close(os.open(SYSCTL / key, os.O_WRONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def networks() -> frozenset[NetId]:
    """Every network of which a namespace or a link exists."""
    with Netlink() as nl:
        links = [device.name for device in rtnl.devices(nl)]
    named = [f"b-{name.removeprefix('n-')}" for name in nsthread.names() if name.startswith("n-")]
    return frozenset(id for name in (*links, *named) if (id := model.owner(name)) is not None)


def taps() -> dict[str, Link]:
    """The node's taps in its root namespace, by name."""
    with Netlink() as nl:
        devices = rtnl.devices(nl)
    names = {device.index: device.name for device in devices}
    return {device.name: _link(device, names) for device in devices if model.is_tap(device.name)}


def node(folder: Path) -> ObservedNode:
    """The links of the root namespace that are no tenant's, with addresses and routes, and the node's own settings."""
    with Netlink() as nl:
        devices = [device for device in rtnl.devices(nl) if not _is_tenants(device.name)]
        names = {device.index: device.name for device in devices}
        assigned = rtnl.addresses(nl)
        routes = rtnl.routes(nl, names)
        near = rtnl.on_link(nl, names)
    nics = {}
    for device in devices:
        own = [item for item in assigned if item.index == device.index and item.is_global]
        nics[device.name] = Nic(
            kind=_nic_kind(device),
            mac=device.mac,
            up=device.up,
            carrier=device.carrier,
            master=names.get(device.master, ""),
            addresses=frozenset(item.address.local for item in own if item.permanent),
            leased=frozenset(item.address.local for item in own if not item.permanent),
            routes=frozenset(route for route in routes if route.link == device.name),
            on_link=frozenset(route.dest for route in near if route.link == device.name),
            silent=_silent(device.name),
        )
    client = dhcp.runs(folder, model.UPLINK_BRIDGE)
    sysctls = _sysctls((*SYSCTLS, *filter(_is_writable, LEAST)))
    return ObservedNode(nics, sysctls, client, udp_ports())


def _is_tenants(name: str) -> bool:
    return model.owner(name) is not None or model.is_tap(name)


def _nic_kind(device: Device) -> NicKind:
    if device.kind == "bridge":
        return NicKind.BRIDGE
    if device.type == _ETHERNET and device.kind in ("", "veth"):
        return NicKind.CARD
    return NicKind.OTHER


def udp_ports() -> frozenset[int]:
    """Every UDP port that is bound in the root namespace, WireGuard's sockets included."""
    ports = set()
    for table in ("udp", "udp6"):
        path = Path("/proc/net") / table
        if path.exists():
            ports |= {int(line.split()[1].rpartition(":")[2], 16) for line in path.read_text().splitlines()[1:]}
    return frozenset(ports)
