"""Checks of taps, of conflicts with what is there, and of the configuration. Pure. For networks see `api/check.py`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_interface, ip_network

from zos.networkd import model, places
from zos.networkd.api.check import is_id
from zos.networkd.api.errors import BadPublicConfig, BadTap, NoRoomForNetworks, PortTaken, TooManyNetworks
from zos.networkd.api.types import Network, PublicConfig, Tap
from zos.runtime.config import BadConfig

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PORTS = re.compile(r"(tcp|udp)/([0-9]{1,5})(?:-([0-9]{1,5}))?")


def canonical_tap(tap: Tap) -> Tap:
    """The tap in canonical form; raises what is wrong with it by itself."""
    if not is_id(tap.id):
        raise BadTap(tap=tap.id, field="id", problem="is not 13 characters of base58")
    place = places.found()[tap.place]
    for name, unset in (("network", ""), ("ip", ""), ("seed", b"")):
        if name not in place.fields and getattr(tap, name) != unset:
            raise BadTap(tap=tap.id, field=name, problem=f"has no meaning for a tap in place {tap.place}")
    mac = tap.mac.lower()
    if not _MAC.fullmatch(mac) or int(mac[1], 16) & 1:
        raise BadTap(tap=tap.id, field="mac", problem=f"{tap.mac!r} is not a station's hardware address")
    return dataclasses.replace(place.canonical(tap), mac=mac)


def admit(network: Network, records: Collection[model.NetworkRecord], taps: Iterable[Tap]) -> None:
    """Raise when a canonical network conflicts with others, or with the taps that it has."""
    for record in records:
        if record.network.id != network.id and record.network.listen_port == network.listen_port:
            user = f"your network `{record.network.name}`" if record.network.twin == network.twin else "another network"
            raise PortTaken(port=network.listen_port, user=user)
    _admit_one_more(network, records)
    before = next((record.network for record in records if record.network.id == network.id), None)
    inside = [tap for tap in taps if tap.network == network.id]
    for place in places.in_network():
        place.admit_change(before, network, [tap for tap in inside if tap.place is place.place])


def _admit_one_more(network: Network, records: Collection[model.NetworkRecord]) -> None:
    """Networks cost their user nothing, and the node something with every round; see `crowd.py` for those of all."""
    others = [record.network.twin for record in records if record.network.id != network.id]
    count = others.count(network.twin)
    if len(others) == len(records) and count >= model.MOST_OF_TWIN:
        raise TooManyNetworks(network=network.name, count=count, whose=f"twin {network.twin}")


def free_slot(records: Iterable[model.NetworkRecord]) -> int:
    """The lowest exit address that is free."""
    used = {record.slot for record in records}
    for slot in range(model.EXIT_SLOTS):
        if slot not in used:
            return slot
    raise NoRoomForNetworks(used=len(used))


def ports(key: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Ports as `[networkd] accept` names them; raises BadConfig."""
    found = []
    for text in texts:
        match = _PORTS.fullmatch(text)
        numbers = [int(number) for number in match.groups()[1:] if number] if match else []
        if not numbers or not 0 < numbers[0] <= numbers[-1] < 65536:
            raise BadConfig(where=f"[networkd] {key}", problem=f"`{text}` is no tcp/PORT, udp/PORT or tcp/FIRST-LAST")
        found.append(text)
    return tuple(found)


def prefixes(key: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Prefixes of a configuration key; raises BadConfig."""
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError as err:
        raise BadConfig(where=f"[networkd] {key}", problem=err) from None


def canonical_public(config: PublicConfig) -> PublicConfig:
    """The configuration with its addresses as the kernel shows them; refuses what cannot be one."""
    return PublicConfig(
        ip4=_public_address("ip4", config.ip4, 4),
        gw4=_public_gateway("gw4", config.gw4, 4),
        ip6=_public_address("ip6", config.ip6, 6),
        gw6=_public_gateway("gw6", config.gw6, 6),
        domain=config.domain,
    )


def _public_address(field: str, value: str, version: int) -> str:
    if not value:
        return ""
    try:
        address = ip_interface(value)
    except ValueError:
        raise BadPublicConfig(field=field, value=value, problem="is no address") from None
    local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if address.version != version or "/" not in value or local:
        raise BadPublicConfig(field=field, value=value, problem=f"must be an IPv{version} address with its prefix")
    return str(address)


def _public_gateway(field: str, value: str, version: int) -> str:
    if not value:
        return ""
    try:
        gateway = ip_address(value)
    except ValueError:
        raise BadPublicConfig(field=field, value=value, problem="is no address") from None
    if gateway.version != version:
        raise BadPublicConfig(field=field, value=value, problem=f"must be an IPv{version} address")
    return str(gateway)
