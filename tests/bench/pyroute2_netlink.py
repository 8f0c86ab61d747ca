"""networkd with pyroute2 in the place of its own netlink messages, for `bench_network.py` to compare.

It replaces what `host/rtnl.py` packs and reads, call for call; the list of nft tables stays with `host/netlink.py`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError as Refused

from zos.networkd.daemon import Networkd
from zos.networkd.host import act, nsthread, observe, rtnl, wireguard, yggdrasil
from zos.networkd.host.netlink import NetlinkError
from zos.networkd.host.rtnl import Assigned, Device
from zos.networkd.model import Address, Route
from zos.runtime import daemon

Change = Callable[[IPRoute], object]
NODAD_PERMANENT = 0x82


ROOT = ThreadPoolExecutor(1)
"""Its thread does all work in the root namespace, with one socket that stays open: opening one is not cheap."""
KEPT = threading.local()
RUN, CREATE = nsthread.run, nsthread.create


class Connection:
    """As `Netlink`: in the network namespace of the thread that made it."""

    def __init__(self) -> None:
        self.ip = getattr(KEPT, "ip", None) or IPRoute(ext_ack=True, strict_check=True)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        if not hasattr(KEPT, "ip"):
            self.ip.close()

    def do(self, change: Change) -> None:
        try:
            change(self.ip)
        except Refused as err:
            raise NetlinkError(err.code, os.strerror(err.code)) from err


def create_link(name: str, kind: str, **more: Any) -> Change:
    return lambda ip: ip.link("add", ifname=name, kind=kind, **more)


def create_bridge(name: str, mac: str = "") -> Change:
    return create_link(name, "bridge", **({"address": mac} if mac else {}))


def create_veth(name: str, peer: str, namespace: int, mac: str = "") -> Change:
    far = {"ifname": peer, "net_ns_fd": namespace} | ({"address": mac} if mac else {})
    return create_link(name, "veth", peer=far)


def change_link(
    index: int, *, up: bool = False, master: int = 0, mtu: int = 0, group: int = 0, namespace: int | None = None
) -> Change:
    wanted = {"master": master, "mtu": mtu, "group": group, "state": "up" if up else ""}
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value}
    if namespace is not None:
        changes["net_ns_fd"] = namespace
    return lambda ip: ip.link("set", index=index, **changes)


def delete_link(index: int) -> Change:
    return lambda ip: ip.link("del", index=index)


def delete_group(group: int) -> Change:
    return lambda ip: ip.link("del", group=group)


def devices(nl: Connection, master: int = 0) -> list[Device]:
    # Without a filter of its own, pyroute2 has the kernel filter; else it would parse every link of the namespace.
    asked = {"dump_filter": None, "master": master} if master else {}
    return [_device(one) for one in nl.ip.link("dump", **asked)]


def device(nl: Connection, name: str) -> Device | None:
    try:
        return next((_device(one) for one in nl.ip.link("get", ifname=name)), None)
    except Refused as err:
        if err.code == errno.ENODEV:
            return None
        raise NetlinkError(err.code, os.strerror(err.code)) from err


def _device(link: Any) -> Device:
    stats, info = link.get_attr("IFLA_STATS64") or {}, link.get_attr("IFLA_LINKINFO")
    return Device(
        index=link["index"],
        name=link.get_attr("IFLA_IFNAME"),
        kind=(info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        master=link.get_attr("IFLA_MASTER") or 0,
        up=bool(link["flags"] & 1),
        carrier=bool(link.get_attr("IFLA_CARRIER")),
        mtu=link.get_attr("IFLA_MTU"),
        mac=link.get_attr("IFLA_ADDRESS") or "",
        type=link["ifi_type"],
        rx=stats.get("rx_bytes", 0),
        tx=stats.get("tx_bytes", 0),
    )


def _address(index: int, address: Address) -> dict[str, Any]:
    local = ip_interface(address.local)
    far = ip_interface(address.peer) if address.peer else local
    return {
        "index": index,
        "family": socket.AF_INET6 if local.version == 6 else socket.AF_INET,
        "local": str(local.ip),
        "address": str(far.ip),
        "prefixlen": far.network.prefixlen,
        "scope": 253 if local.ip.is_link_local else 0,
    }


def add_address(index: int, address: Address) -> Change:
    return lambda ip: ip.addr("replace", flags=NODAD_PERMANENT, **_address(index, address))


def delete_address(index: int, address: Address) -> Change:
    return lambda ip: ip.addr("del", **_address(index, address))


def addresses(nl: Connection, index: int = 0) -> list[Assigned]:
    asked = {"dump_filter": None, "index": index} if index else {}
    return [_assigned(one) for one in nl.ip.addr("dump", **asked)]


def _assigned(one: Any) -> Assigned:
    far = ip_address(one.get_attr("IFA_ADDRESS"))
    local = ip_address(one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS"))
    prefix, flags = one["prefixlen"], one.get_attr("IFA_FLAGS") or one["flags"]
    pair = Address(f"{local}/{local.max_prefixlen}", f"{far}/{prefix}")
    return Assigned(
        one["index"], Address(f"{local}/{prefix}") if local == far else pair, bool(flags & 0x80), one["scope"] == 0
    )


def _route(index: int, route: Route, **more: Any) -> dict[str, Any]:
    default = "::/0" if route.ipv6 else "0.0.0.0/0"
    return {
        "family": socket.AF_INET6 if route.ipv6 else socket.AF_INET,
        "table": 254,
        "oif": index,
        "dst": default if route.dest == "default" else route.dest,
        "scope": 253 if not route.via and not route.ipv6 else 0,
        "type": 1,
        **({"gateway": route.via} if route.via else {}),
        **more,
    }


def put_route(index: int, route: Route) -> Change:
    return lambda ip: ip.route("replace", **_route(index, route, proto=4))


def delete_route(index: int, route: Route) -> Change:
    return lambda ip: ip.route("del", **_route(index, route))


def routes(nl: Connection, names: dict[int, str]) -> list[Route]:
    return [route for protocol, route in _routes(nl, names) if protocol not in (2, 9)]


def on_link(nl: Connection, names: dict[int, str]) -> list[Route]:
    return [route for _, route in _routes(nl, names) if not route.via and route.dest != "default"]


def _routes(nl: Connection, names: dict[int, str]) -> list[tuple[int, Route]]:
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            listed = list(nl.ip.get_routes(family=family, table=254))
        except Refused as err:
            if err.code == errno.ENOENT:
                continue
            raise NetlinkError(err.code, os.strerror(err.code)) from err
        for one in listed:
            name, dest, via = names.get(one.get_attr("RTA_OIF")), one.get_attr("RTA_DST"), one.get_attr("RTA_GATEWAY")
            if one["type"] == 1 and name is not None:
                prefix = f"{ip_address(dest)}/{one['dst_len']}" if dest else "default"
                route = Route(prefix, name, str(ip_address(via)) if via else "", ipv6=family == socket.AF_INET6)
                found.append((one["proto"], route))
    return found


async def run(
    work: Callable[[], Any],
    namespace: str = "",
    deadline: float = nsthread.DEADLINE,
    after: Callable[[], object] | None = None,
) -> Any:
    """As `nsthread.run`, with the one thread of the root namespace."""
    if namespace:
        return await RUN(work, namespace, deadline, after)
    return await asyncio.get_running_loop().run_in_executor(ROOT, work)


def create(namespace: str) -> None:
    """As `nsthread.create`, which must not move the thread of the root namespace away."""
    thread = threading.Thread(target=CREATE, args=(namespace,))
    thread.start()
    thread.join()


def _keep() -> None:
    KEPT.ip = IPRoute(ext_ack=True, strict_check=True)


def install() -> None:
    """Have networkd's host use the functions of this module."""
    ROOT.submit(_keep).result()
    nsthread.run, nsthread.create = run, create
    for module in (act, observe, wireguard, yggdrasil):
        module.Netlink = Connection  # type: ignore[attr-defined]
    for function in (
        *(create_link, create_bridge, create_veth, change_link, delete_link, delete_group, devices, device),
        *(add_address, delete_address, addresses, put_route, delete_route, routes, on_link),
    ):
        setattr(rtnl, function.__name__, function)


if __name__ == "__main__":
    install()
    daemon.run(Networkd)
