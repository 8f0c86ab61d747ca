"""What the answers about a `World` should be, worked out as people would. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zos.explorer.tests.world import REGIONS, UNITS, Contract, Farm, Gpu, Node, Twin, World


def folded(a: str, b: str) -> bool:
    return a.casefold() == b.casefold()


def within(part: str, whole: str) -> bool:
    return part.casefold() in whole.casefold()


def said(node: Node, what: str, otherwise: Any = None) -> Any:
    return otherwise if node.said is None else node.said.get(what, otherwise)


NodeTest = Callable[[World, Node, Any], bool]
NODES: dict[str, NodeTest] = {
    "status": lambda w, n, v: w.status(n) in v,
    **{f"free_{u}": lambda w, n, v, u=u: w.free(n, u) >= v for u in ("mru", "sru", "hru")},  # type: ignore[misc]
    **{f"total_{u}": lambda w, n, v, u=u: n.total[u] >= v for u in UNITS},  # type: ignore[misc]
    "country": lambda w, n, v: folded(v, n.country),
    "country_contains": lambda w, n, v: within(v, n.country),
    "city": lambda w, n, v: folded(v, n.city),
    "city_contains": lambda w, n, v: within(v, n.city),
    "region": lambda w, n, v: folded(v, REGIONS[n.country]),
    "farm_name": lambda w, n, v: n.farm in w.farms and folded(v, w.farm(n).name),
    "farm_name_contains": lambda w, n, v: n.farm in w.farms and within(v, w.farm(n).name),
    "farm_ids": lambda w, n, v: n.farm in v,
    "farm_id": lambda w, n, v: n.farm == v,
    "free_ips": lambda w, n, v: n.farm in w.farms and w.free_ips(w.farm(n)) >= v,
    "ipv4": lambda w, n, v: bool(n.config.get("ipv4")) == v,
    "ipv6": lambda w, n, v: bool(n.config.get("ipv6")) == v,
    "domain": lambda w, n, v: bool(n.config.get("domain")) == v,
    "dedicated": lambda w, n, v: w.is_dedicated(n) == v,
    "in_dedicated_farm": lambda w, n, v: w.farm(n).is_dedicated == v,
    "rentable": lambda w, n, v: w.is_rentable(n) == v,
    "rented": lambda w, n, v: bool(w.renter(n)) == v,
    "owned_by": lambda w, n, v: n.farm in w.farms and w.farm(n).twin == v,
    "rented_by": lambda w, n, v: w.renter(n) == v,
    "rentable_or_rented_by": lambda w, n, v: w.is_rentable(n) or w.renter(n) == v,
    "available_for": lambda w, n, v: w.is_available(n, v),
    "node_id": lambda w, n, v: n.id == v,
    "node_ids": lambda w, n, v: n.id in v,
    "excluded": lambda w, n, v: n.id not in v,
    "twin_id": lambda w, n, v: n.twin == v,
    "certification_type": lambda w, n, v: folded(v, "Certified" if n.is_certified else "Diy"),
    "has_gpu": lambda w, n, v: bool(n.gpus) == v,
    "num_gpu": lambda w, n, v: len(n.gpus) >= v,
    "total_gpu": lambda w, n, v: len(n.gpus) >= v,
    "free_gpu": lambda w, n, v: sum(not one.contract for one in n.gpus) >= v,
    "healthy": lambda w, n, v: said(n, "healthy") is v,
    "has_ipv6": lambda w, n, v: said(n, "has_ipv6", False) == v,
    "features": lambda w, n, v: set(v) <= set(said(n, "features", ())),
}
GPUS: dict[str, Callable[[Gpu, Any], bool]] = {
    "gpu_device_id": lambda g, v: within(v, g.id),
    "gpu_vendor_id": lambda g, v: within(v, g.id),
    "gpu_device_name": lambda g, v: within(v, g.device),
    "gpu_vendor_name": lambda g, v: within(v, g.vendor),
    "gpu_available": lambda g, v: (g.contract == 0) == v,
}
FARM_NODES: dict[str, str] = {
    **{f"node_free_{unit}": f"free_{unit}" for unit in ("mru", "sru", "hru")},
    "node_total_cru": "total_cru",
    "node_status": "status",
    "node_rented_by": "rented_by",
    "node_available_for": "available_for",
    "node_has_gpu": "has_gpu",
    "node_has_ipv6": "has_ipv6",
    "node_features": "features",
    "country": "country",
    "region": "region",
}
FARMS: dict[str, Callable[[World, Farm, Any], bool]] = {
    "free_ips": lambda w, f, v: w.free_ips(f) >= v,
    "total_ips": lambda w, f, v: len(f.ips) >= v,
    "stellar_address": lambda w, f, v: f.stellar == v,
    "pricing_policy_id": lambda w, f, v: f.policy == v,
    "farm_id": lambda w, f, v: f.id == v,
    "twin_id": lambda w, f, v: f.twin == v,
    "name": lambda w, f, v: folded(v, f.name),
    "farm_name": lambda w, f, v: folded(v, f.name),
    "name_contains": lambda w, f, v: within(v, f.name),
    "certification_type": lambda w, f, v: folded(v, f.certification),
    "dedicated": lambda w, f, v: f.is_dedicated == v,
}


def _farm_of(world: World, one: Contract) -> Farm | None:
    return world.farms.get(world.nodes[one.node].farm) if one.node in world.nodes else None


CONTRACTS: dict[str, Callable[[World, Contract, Any], bool]] = {
    "contract_id": lambda w, c, v: c.id == v,
    "twin_id": lambda w, c, v: c.twin == v,
    "node_id": lambda w, c, v: c.node == v,
    "type": lambda w, c, v: c.kind == v,
    "state": lambda w, c, v: c.state in v,
    "name": lambda w, c, v: c.name == v,
    "number_of_public_ips": lambda w, c, v: c.ips >= v,
    "deployment_data": lambda w, c, v: c.data == v,
    "deployment_hash": lambda w, c, v: c.hash == v,
    "farm_name": lambda w, c, v: (farm := _farm_of(w, c)) is not None and folded(v, farm.name),
    "farm_id": lambda w, c, v: (farm := _farm_of(w, c)) is not None and farm.id == v,
}
TWINS: dict[str, Callable[[Twin, Any], bool]] = {
    "twin_id": lambda t, v: t.id == v,
    "account_id": lambda t, v: t.account == v,
    "relay": lambda t, v: t.relay == v,
    "public_key": lambda t, v: t.key == v,
}


def nodes(world: World, asked: Mapping[str, Any]) -> list[Node]:
    """The nodes that are meant, in the order in which they are listed."""
    found = [one for one in world.nodes.values() if _is_meant(world, one, asked)]
    found.sort(key=lambda one: one.id)
    word, is_down = asked.get("sort_by"), asked.get("sort_order") == "desc"
    if word:
        found.sort(key=lambda one: (node_order(world, one, word, asked), one.id), reverse=is_down)
    if "available_for" in asked or "rentable_or_rented_by" in asked:
        found.sort(key=lambda one: not world.renter(one))
    return found


def _is_meant(world: World, node: Node, asked: Mapping[str, Any]) -> bool:
    price = world.price(node, asked.get("balance", 0.0))
    if not asked.get("price_min", 0.0) <= price <= asked.get("price_max", 1e18):
        return False
    cards = {name: value for name, value in asked.items() if name in GPUS}
    if cards and not any(all(GPUS[name](card, value) for name, value in cards.items()) for card in node.gpus):
        return False
    return all(NODES[name](world, node, value) for name, value in asked.items() if name in NODES)


def node_order(world: World, node: Node, word: str, asked: Mapping[str, Any]) -> Any:
    """What a word of `sort_by` compares."""
    what, _, unit = word.rpartition("_")
    if unit in UNITS:
        return {"total": node.total[unit], "used": world.used(node, unit)}.get(
            what, node.total[unit] - world.used(node, unit)
        )
    rent = world.on(node, "rent")
    return {
        "node_id": node.id,
        "farm_id": node.farm,
        "twin_id": node.twin,
        "country": (not node.country, node.country.encode()),
        "city": (not node.city, node.city.encode()),
        "uptime": (not node.uptime, node.uptime),
        "created": 5,
        "updated_at": node.reported,
        "status": ("up", "standby", "down").index(world.status(node)),
        "dedicated_farm": world.farm(node).is_dedicated,
        "rent_contract_id": (not rent, rent[0].id if rent else 0),
        "rented": bool(rent),
        "rentable": world.is_rentable(node),
        "num_gpu": len(node.gpus),
        "extra_fee": node.fee,
        "price_usd": round(world.price(node, asked.get("balance", 0.0)), 9),
    }[word]


def farms(world: World, asked: Mapping[str, Any]) -> list[Farm]:
    """The farms that are meant."""
    about_nodes = {FARM_NODES[name]: value for name, value in asked.items() if name in FARM_NODES}
    certified = asked.get("node_certified")
    found = []
    for farm in sorted(world.farms.values(), key=lambda one: one.id):
        mine = [one for one in world.nodes.values() if one.farm == farm.id]
        if certified is not None:
            mine = [one for one in mine if one.is_certified == certified]
        has_one = any(all(NODES[name](world, one, value) for name, value in about_nodes.items()) for one in mine)
        if (about_nodes or certified is not None) and not has_one:
            continue
        if all(FARMS[name](world, farm, value) for name, value in asked.items() if name in FARMS):
            found.append(farm)
    if twin := asked.get("node_available_for"):
        rented = {one.farm for one in world.nodes.values() if world.renter(one) == twin}
        found.sort(key=lambda one: one.id not in rented)
    return found


def contracts(world: World, asked: Mapping[str, Any]) -> list[Contract]:
    """The contracts that are meant."""
    found = sorted(world.contracts.values(), key=lambda one: one.id)
    return [one for one in found if all(CONTRACTS[n](world, one, v) for n, v in asked.items() if n in CONTRACTS)]


def twins(world: World, asked: Mapping[str, Any]) -> list[Twin]:
    """The twins that are meant."""
    found = sorted(world.twins.values(), key=lambda one: one.id)
    return [one for one in found if all(TWINS[name](one, value) for name, value in asked.items() if name in TWINS)]


def shown(world: World, node: Node, balance: float) -> dict[str, Any]:
    """What is answered of a node, as far as it follows from something."""
    farm, rent = world.farm(node), world.on(node, "rent")
    return {
        "nodeId": node.id,
        "farmId": node.farm,
        "farmName": farm.name if node.farm in world.farms else "",
        "farm_free_ips": world.free_ips(farm),
        "region": REGIONS[node.country],
        "status": world.status(node),
        "uptime": node.uptime,
        "updatedAt": node.reported,
        "certificationType": "Certified" if node.is_certified else "Diy",
        "dedicated": world.is_dedicated(node),
        "inDedicatedFarm": farm.is_dedicated,
        "rented": bool(rent),
        "rentable": world.is_rentable(node),
        "rentContractId": rent[0].id if rent else 0,
        "rentedByTwinId": world.renter(node),
        "power": dict(zip(("state", "target"), node.power or ("", ""), strict=True)),
        "num_gpu": len(node.gpus),
        "gpus": sorted(one.id for one in node.gpus),
        "extraFee": node.fee,
        "healthy": said(node, "healthy", False),
        "features": said(node, "features", []),
        "total_resources": node.total,
        "used_resources": {unit: world.used(node, unit) for unit in UNITS},
        "price_usd": round(world.price(node, balance), 2),
    }


def stats(world: World, statuses: Sequence[str] | None) -> dict[str, Any]:
    """Sums over the nodes of these statuses, and of everything else."""
    counted = [one for one in world.nodes.values() if statuses is None or world.status(one) in statuses]
    distribution: dict[str, int] = {}
    for one in counted:
        distribution[one.country] = distribution.get(one.country, 0) + 1
    is_public = [one for one in counted if one.config.get("ipv4") or one.config.get("ipv6")]
    return {
        "nodes": len(counted),
        "farms": len(world.farms),
        "countries": len(distribution),
        "nodesDistribution": distribution,
        **{f"total{unit.capitalize()}": sum(one.total[unit] for one in counted) for unit in UNITS},
        "publicIps": sum(len(one.ips) for one in world.farms.values()),
        "accessNodes": len(is_public),
        "gateways": len([one for one in is_public if one.config.get("domain")]),
        "twins": len(world.twins),
        "contracts": len(world.contracts),
        "gpus": len([one for one in counted if one.gpus]),
        "dedicatedNodes": len(
            [one for one in counted if world.farm(one).is_dedicated or not world.on(one, "node") or world.renter(one)]
        ),
        "workloads_number": sum(said(one, "workloads", 0) for one in counted),
    }
