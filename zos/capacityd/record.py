"""Decides what is told to the chain and to users about the node's capacity. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from ipaddress import ip_interface

from zos.capacityd.api.errors import InventoryIncomplete
from zos.capacityd.api.types import Counters, Inventory, Location
from zos.chain.api import Interface, NodeRecord
from zos.model.capacity import Capacity, reserved_memory
from zos.model.decode import Fields, parse
from zos.networkd.api.types import Uplink
from zos.provisiond.api import Usage
from zos.storaged.api.types import Pool, PoolKind, PoolState

MOST_INTERFACES = 10
MOST_ADDRESSES = 10
MOST_CITY, LEAST_COUNTRY, MOST_COUNTRY = 58, 2, 56
"""Bytes that the chain takes."""
UPLINK = "zos"


def storage(pools: Iterable[Pool]) -> Capacity:
    """SRU and HRU: raw sizes of the disks that are pools of ours, as the reference counts."""
    pools = tuple(pools)
    making = [pool.device for pool in pools if pool.state is PoolState.MAKING]
    if making:
        raise InventoryIncomplete(what=f"{', '.join(making)} is being looked at")
    # A pool whose disk is out for a while still belongs to the node: registering less would look like a smaller one.
    ours = [pool for pool in pools if pool.name and pool.state is not PoolState.FOREIGN]
    if not any(pool.state is PoolState.READY for pool in ours):
        raise InventoryIncomplete(what="no pool is ready")
    return Capacity(
        sru=sum(pool.size for pool in ours if pool.kind is PoolKind.SSD),
        hru=sum(pool.size for pool in ours if pool.kind is PoolKind.HDD),
    )


def counters(inventory: Inventory, pools: Iterable[Pool], usage: Usage, connections: int) -> Counters:
    """Total, used, system and free."""
    total = inventory.total
    system = Capacity(mru=reserved_memory(total.mru), sru=sum(pool.system for pool in pools))
    used = Capacity(usage.cru, usage.sru, usage.hru, usage.mru, usage.ipv4u) + system
    return Counters(
        total=total,
        used=used,
        system=system,
        # CPUs are shared: more may be used than there are.
        free=total.without(used),
        deployments=usage.deployments,
        workloads=usage.workloads,
        last_deployment=usage.last_deployment,
        open_connections=connections,
    )


def interfaces(uplinks: Iterable[Uplink]) -> tuple[Interface, ...]:
    """The uplink bridge and the cards that have addresses, in the chain's bounds."""
    found = []
    for uplink in uplinks:
        ips = tuple(str(ip_interface(address).ip) for address in uplink.addresses)[:MOST_ADDRESSES]
        name = re.sub(r"[^a-z0-9_-]", "-", uplink.name.lower())[:20]
        if uplink.mac and len(name) >= 3 and (ips or uplink.name == UPLINK):
            found.append(Interface(name, uplink.mac.lower(), ips))
    if not any(one.ips for one in found):
        raise InventoryIncomplete(what="the uplink has no address")
    return tuple(found[:MOST_INTERFACES])


def node_record(
    farm: int, inventory: Inventory, cards: tuple[Interface, ...], where: Location | None = None
) -> NodeRecord:
    """What the chain is to keep; without a location it keeps the one that it has."""
    total = inventory.total
    record = NodeRecord(
        farm=farm,
        cru=total.cru,
        mru=total.mru,
        sru=total.sru,
        hru=total.hru,
        interfaces=cards,
        secure_boot=inventory.secure_boot,
        virtualized=inventory.virtualized,
        serial_number=re.sub(r"[^\x20-\x7e]", "", inventory.serial_number)[:128],
    )
    if where is None:
        return record
    return dataclasses.replace(
        record,
        city=_cut(where.city_name, MOST_CITY),
        country=_cut(where.country_name, MOST_COUNTRY),
        latitude=f"{where.latitude:.6g}",
        longitude=f"{where.longitude:.6g}",
    )


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, in whole characters."""
    return text.encode()[:most].decode(errors="ignore")


def location(answer: bytes) -> Location:
    """What a GeoIP service answered; places outside of the globe are refused."""
    fields = Fields(parse(answer))
    return Location(
        longitude=_degrees(fields, "longitude", 180.0),
        latitude=_degrees(fields, "latitude", 90.0),
        continent=_name(fields, "continent", 1),
        country_name=_name(fields, "country_name", LEAST_COUNTRY),
        country_code=_name(fields, "country_code"),
        city_name=_name(fields, "city_name", 1),
    )


def _degrees(fields: Fields, name: str, most: float) -> float:
    value = fields.raw(name) or 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        fields.refuse(name, f"must be degrees within {most:g}")
    return float(value)


def _name(fields: Fields, name: str, least: int = 0) -> str:
    """A name; what is shorter than a chain takes is none."""
    text = re.sub(r"[\x00-\x1f\ud800-\udfff]", "", fields.text(name))[:100]
    return text if len(text.encode()) >= least else "Unknown"
