"""Links, addresses and routes as rtnetlink messages, and back."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from zos.networkd.host import netlink
from zos.networkd.host.netlink import Message, Netlink, NetlinkError, as_number, as_text, attr, attrs, nest, number
from zos.networkd.model import Address, Route

_LINK = struct.Struct("=BxHiII")
_ADDR = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_STATS64, _IFLA_GROUP, _IFLA_NET_NS_FD, _IFLA_CARRIER = 18, 23, 27, 28, 33
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_UP = 1
_NODAD, _PERMANENT = 0x02, 0x80
_TABLE_MAIN, _UNICAST, _PROTO_KERNEL, _PROTO_RA, _PROTO_STATIC = 254, 1, 2, 9, 4
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_GLOBAL_SCOPE = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A link as the kernel lists it."""

    index: int
    name: str
    kind: str
    """bridge, veth, tun, wireguard, …; empty for a physical one."""
    master: int
    up: bool
    carrier: bool
    mtu: int
    mac: str
    type: int
    """ARPHRD_*: 1 is Ethernet."""
    rx: int
    tx: int


def _family(text: str) -> int:
    return socket.AF_INET6 if ":" in text else socket.AF_INET


def _change(kind: int, flags: int, index: int, *parts: bytes, up: bool = False) -> Message:
    header = _LINK.pack(socket.AF_UNSPEC, 0, index, _UP if up else 0, _UP if up else 0)
    return Message(kind, flags, header + b"".join(parts))


def create_link(name: str, kind: str, *parts: bytes, data: bytes = b"") -> Message:
    """A new link; fails when there is one of this name."""
    info = nest(_IFLA_LINKINFO, netlink.text(_INFO_KIND, kind), *([data] if data else []))
    flags = netlink.CREATE | netlink.EXCL
    return _change(netlink.NEWLINK, flags, 0, netlink.text(_IFLA_IFNAME, name), *parts, info)


def create_bridge(name: str, mac: str = "") -> Message:
    return create_link(name, "bridge", _mac(mac))


def _mac(text: str) -> bytes:
    return attr(_IFLA_ADDRESS, bytes.fromhex(text.replace(":", ""))) if text else b""


def create_veth(name: str, peer: str, namespace: int, mac: str = "") -> Message:
    """A new pair, its other end in the namespace of an open file."""
    far = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + netlink.text(_IFLA_IFNAME, peer) + _mac(mac)
    data = nest(_INFO_DATA, attr(_VETH_PEER, far + number(_IFLA_NET_NS_FD, namespace)))
    return create_link(name, "veth", data=data)


def change_link(
    index: int, *, up: bool = False, master: int = 0, mtu: int = 0, group: int = 0, namespace: int | None = None
) -> Message:
    """Changes what is given and leaves the rest: 0 and None mean no change."""
    parts = [number(kind, v) for kind, v in ((_IFLA_MASTER, master), (_IFLA_MTU, mtu), (_IFLA_GROUP, group)) if v]
    if namespace is not None:
        parts.append(number(_IFLA_NET_NS_FD, namespace))
    return _change(netlink.NEWLINK, 0, index, *parts, up=up)


def delete_link(index: int) -> Message:
    return _change(netlink.DELLINK, 0, index)


def delete_group(group: int) -> Message:
    """Remove all links of a group, waiting for the kernel's grace periods once."""
    return _change(netlink.DELLINK, 0, 0, number(_IFLA_GROUP, group))


def devices(nl: Netlink, master: int = 0) -> list[Device]:
    """All links of the namespace, or all ports of a bridge."""
    return [_device(answer.body) for answer in nl.dump(_change(netlink.GETLINK, 0, 0, *_only(master)))]


def _only(master: int) -> list[bytes]:
    return [number(_IFLA_MASTER, master)] if master else []


def device(nl: Netlink, name: str) -> Device | None:
    """One link by its name."""
    try:
        return _device(nl.get(_change(netlink.GETLINK, 0, 0, netlink.text(_IFLA_IFNAME, name))).body)
    except NetlinkError as err:
        if err.errno == errno.ENODEV:
            return None
        raise


def _device(body: bytes) -> Device:
    _, kind, index, flags, _ = _LINK.unpack_from(body)
    found = attrs(body[_LINK.size :])
    info = attrs(found.get(_IFLA_LINKINFO, b""))
    # rtnl_link_stats64 begins with rx_packets, tx_packets, rx_bytes, tx_bytes.
    stats = struct.unpack_from("=4Q", found[_IFLA_STATS64]) if _IFLA_STATS64 in found else (0, 0, 0, 0)
    return Device(
        index=index,
        name=as_text(found.get(_IFLA_IFNAME)),
        kind=as_text(info.get(_INFO_KIND)),
        master=as_number(found.get(_IFLA_MASTER)),
        up=bool(flags & _UP),
        carrier=found.get(_IFLA_CARRIER, b"\0")[:1] == b"\1",
        mtu=as_number(found.get(_IFLA_MTU)),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        type=kind,
        rx=stats[2],
        tx=stats[3],
    )


def add_address(index: int, address: Address) -> Message:
    """Give a link an address, without duplicate address detection (NODAD)."""
    # Detection makes an IPv6 address unusable for a second; networkd's addresses are unique by construction.
    body = _address(index, address) + number(_IFA_FLAGS, _NODAD | _PERMANENT)
    return Message(netlink.NEWADDR, netlink.CREATE | netlink.REPLACE, body)


def delete_address(index: int, address: Address) -> Message:
    """Take an address from a link."""
    return Message(netlink.DELADDR, 0, _address(index, address))


def _address(index: int, address: Address) -> bytes:
    local = ip_interface(address.local)
    far = ip_interface(address.peer) if address.peer else local
    scope = _SCOPE_LINK if local.ip.is_link_local else _SCOPE_UNIVERSE
    header = _ADDR.pack(_family(address.local), far.network.prefixlen, 0, scope, index)
    # IFA_ADDRESS is the far end's; without a far end rtnetlink has our own address in both.
    return header + attr(_IFA_LOCAL, local.ip.packed) + attr(_IFA_ADDRESS, far.ip.packed)


@dataclass(frozen=True, slots=True)
class Assigned:
    """An address as the kernel lists it."""

    index: int
    address: Address
    permanent: bool
    is_global: bool


def addresses(nl: Netlink, index: int = 0) -> list[Assigned]:
    """The addresses of a link, or of all."""
    ask = Message(netlink.GETADDR, 0, _ADDR.pack(socket.AF_UNSPEC, 0, 0, 0, index))
    return [_assigned(answer.body) for answer in nl.dump(ask)]


def _assigned(body: bytes) -> Assigned:
    _, prefix, flags, scope, index = _ADDR.unpack_from(body)
    found = attrs(body[_ADDR.size :])
    far = ip_address(found[_IFA_ADDRESS])
    local = ip_address(found.get(_IFA_LOCAL, found[_IFA_ADDRESS]))
    if local == far:
        address = Address(f"{local}/{prefix}")
    else:
        address = Address(f"{local}/{local.max_prefixlen}", f"{far}/{prefix}")
    # The header has room for eight flags only.
    flags = as_number(found.get(_IFA_FLAGS)) or flags
    return Assigned(index, address, bool(flags & _PERMANENT), scope == _GLOBAL_SCOPE)


def put_route(index: int, route: Route) -> Message:
    """Add a route or replace the one to the same destination."""
    return Message(netlink.NEWROUTE, netlink.CREATE | netlink.REPLACE, _route(index, route, _PROTO_STATIC))


def delete_route(index: int, route: Route) -> Message:
    return Message(netlink.DELROUTE, 0, _route(index, route, 0))


def _route(index: int, route: Route, protocol: int) -> bytes:
    family = socket.AF_INET6 if route.ipv6 else socket.AF_INET
    dest = None if route.dest == "default" else ip_network(route.dest)
    # An IPv4 route without a gateway is only valid within the link.
    scope = _SCOPE_LINK if not route.via and not route.ipv6 else _SCOPE_UNIVERSE
    length = dest.prefixlen if dest else 0
    body = _ROUTE.pack(family, length, 0, 0, _TABLE_MAIN, protocol, scope, _UNICAST, 0)
    body += attr(_RTA_DST, dest.network_address.packed) if dest else b""
    body += number(_RTA_OIF, index)
    return body + (attr(_RTA_GATEWAY, ip_address(route.via).packed) if route.via else b"")


def routes(nl: Netlink, names: dict[int, str]) -> list[Route]:
    """The unicast routes of the main table that the kernel did not add itself, for the links in `names`."""
    return [route for protocol, route in _routes(nl, names) if protocol not in (_PROTO_KERNEL, _PROTO_RA)]


def on_link(nl: Netlink, names: dict[int, str]) -> list[Route]:
    """The routes of the main table to prefixes without a router, whoever added them."""
    return [route for _, route in _routes(nl, names) if not route.via and route.dest != "default"]


def _routes(nl: Netlink, names: dict[int, str]) -> list[tuple[int, Route]]:
    """Unicast routes of the main table with who added them."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        ask = Message(netlink.GETROUTE, 0, _ROUTE.pack(family, 0, 0, 0, _TABLE_MAIN, 0, 0, 0, 0))
        try:
            answers = nl.dump(ask)
        except NetlinkError as err:
            if err.errno == errno.ENOENT:
                continue  # no table yet: nothing ever had an address here
            raise
        found += [route for answer in answers if (route := _listed(answer.body, names)) is not None]
    return found


def _listed(body: bytes, names: dict[int, str]) -> tuple[int, Route] | None:
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(body)
    found = attrs(body[_ROUTE.size :])
    name = names.get(as_number(found.get(_RTA_OIF)))
    if table != _TABLE_MAIN or kind != _UNICAST or name is None:
        return None
    dest = f"{ip_address(found[_RTA_DST])}/{length}" if _RTA_DST in found else "default"
    via = str(ip_address(found[_RTA_GATEWAY])) if _RTA_GATEWAY in found else ""
    return protocol, Route(dest, name, via, ipv6=family == socket.AF_INET6)
