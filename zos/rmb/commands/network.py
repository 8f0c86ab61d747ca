"""`zos.network.*`: the node's addresses and ports, and the addresses that its tenants use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_interface
from typing import Any

from zos.errors import Status, ZosError
from zos.model.decode import Fields
from zos.networkd.api.types import Uplink
from zos.primitives import machine_types
from zos.rmb.router import Access, Call, Command

ZOS = "zos"
PUBLIC = ("ip", "ipv4")
ULA = IPv6Network("fc00::/7")
OVER = ("error", "deleted")
INTERNET = IPv6Network("2000::/3")


class NoPublicConfig(ZosError):
    """The node has no public configuration."""

    reason = "rmb.no_public_config"
    status = Status.NOT_FOUND
    text = "no public configuration"


async def wg_ports(call: Call) -> list[int]:
    """The UDP ports that a network's WireGuard cannot have, ascending."""
    return sorted(await call.node.networkd.wg_ports())


async def public_config(call: Call) -> dict[str, Any]:
    """The public addresses that the node has; refused when it has none."""
    found = await call.node.networkd.public_config()
    if not found.addresses:
        raise NoPublicConfig()
    return {
        "type": "macvlan",
        "ipv4": found.ip4,
        "ipv6": found.ip6,
        "gw4": found.gw4,
        "gw6": found.gw6,
        "domain": found.domain,
    }


async def interfaces(call: Call) -> dict[str, list[str]]:
    """`{"zos": [ip], "ygg": [ip]}`, addresses without prefix; private IPv4 ones are among them."""
    uplinks, planetary = await asyncio.gather(call.node.networkd.uplinks(), call.node.networkd.planetary())
    own = [str(address) for uplink in uplinks if uplink.name == ZOS for address in addresses(uplink)]
    # The gateway of its machines is what the grid's nodes tell; the node has an address of its own beside it.
    mesh = [planetary.gateway, planetary.address] if planetary.offered and planetary.address else []
    return {ZOS: own, "ygg": mesh}


async def has_ipv6(call: Call) -> bool:
    """Whether the node has an IPv6 address of the Internet."""
    uplinks = await call.node.networkd.uplinks()
    return any(address in INTERNET for uplink in uplinks for address in addresses(uplink))


def addresses(uplink: Uplink) -> Iterator[IPv4Address | IPv6Address]:
    """An uplink's global addresses; IPv6 ones of private networks are not."""
    for text in uplink.addresses:
        address = ip_interface(text).ip
        if not (address.is_link_local or address.is_loopback or address.is_multicast or address in ULA):
            yield address


async def public_ips(call: Call) -> list[str]:
    """The public IPv4 addresses (with prefix) that workloads of any twin have."""
    return public(await call.node.provisiond.brief(types=PUBLIC))


def public(deployments: Iterable[dict[str, Any]]) -> list[str]:
    """Those of running workloads; one with only an IPv6 address has none."""
    results = (one["result"] for one in workloads(deployments, PUBLIC))
    found = (result["data"] for result in results if result["state"] == "ok")
    return [data["ip"] for data in found if data and data.get("ip")]


async def private_ips(call: Call) -> list[str]:
    """`{network_name}`: the addresses that the caller's machines have in his network, also while they are made."""
    name = call.fields().text("network_name")
    mine = await call.node.provisiond.brief(call.caller, machine_types(), ("network",))
    return [
        interface.address("ip")
        for one in workloads(mine, machine_types())
        if one["result"]["state"] not in OVER
        for interface in Fields(one["data"]).object("network").objects("interfaces")
        if interface.text("network") == name
    ]


def workloads(deployments: Iterable[dict[str, Any]], types: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The workloads of some types."""
    for deployment in deployments:
        yield from (one for one in deployment["workloads"] if one["type"] in types)


COMMANDS = (
    Command("zos.network.list_wg_ports", wg_ports),
    Command("zos.network.public_config_get", public_config),
    Command("zos.network.interfaces", interfaces),
    Command("zos.network.has_ipv6", has_ipv6),
    Command("zos.network.list_public_ips", public_ips),
    Command("zos.network.list_private_ips", private_ips, Access.OWNER),
)
