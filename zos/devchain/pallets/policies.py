"""Which farming policy a node is paid by."""

from __future__ import annotations

from typing import Any

from zos.devchain import weight
from zos.devchain.context import Context
from zos.devchain.pallets.grid_common import store_farm

FARM_RANKS = ("NotCertified", "Gold")
NODE_RANKS = ("Diy", "Certified")
Policy = dict[str, Any]


def first_policy(ctx: Context, node: dict[str, Any]) -> int:
    """The policy for a node of a farm: the one attached to the farm while it has room, else the best that fits."""
    farm = ctx.get("TfgridModule.Farms", node["farm_id"])
    limits = farm["farming_policy_limits"]
    if limits is None:
        return best_policy(ctx, node["certification"], farm["certification"])
    wanted = limits["farming_policy_id"]
    ctx.need(ctx.has("TfgridModule.FarmingPoliciesMap", wanted), "TfgridModule.FarmingPolicyNotExists")
    left = _take(limits, node["resources"], ctx.seconds)
    if left is None:
        return default_policy(ctx)
    store_farm(ctx, {**farm, "farming_policy_limits": left})
    return int(wanted)


def _take(limits: dict[str, Any], resources: dict[str, int], now: int) -> dict[str, Any] | None:
    """The limits that are left when a node takes its part; None when it does not fit."""
    if limits["end"] is not None and now > limits["end"]:
        return None
    # The runtime does not look at the limits' `node_certification`.
    parts = (("cu", weight.compute_units(resources)), ("su", weight.storage_units(resources)), ("node_count", 1))
    left = dict(limits)
    for name, part in parts:
        if limits[name] is not None:
            if part > limits[name]:
                return None
            left[name] = limits[name] - part
    return left


def _sorted(ctx: Context) -> list[Policy]:
    last = int(ctx.get("TfgridModule.FarmingPolicyID"))
    known = (ctx.get("TfgridModule.FarmingPoliciesMap", id) for id in range(1, last + 1))
    return sorted((policy for policy in known if policy["id"]), key=_rank, reverse=True)


def _rank(policy: Policy) -> tuple[bool, int, int, int]:
    farm, node = FARM_RANKS.index(policy["farm_certification"]), NODE_RANKS.index(policy["node_certification"])
    return bool(policy["default"]), farm, node, int(policy["id"])


def best_policy(ctx: Context, node: str, farm: str) -> int:
    """Among those that ask for no more than these certifications."""
    for policy in _sorted(ctx):
        _, wanted_farm, wanted_node, id = _rank(policy)
        if wanted_farm <= FARM_RANKS.index(farm) and wanted_node <= NODE_RANKS.index(node):
            return id
    return default_policy(ctx)


def default_policy(ctx: Context) -> int:
    """The first that is a default, whatever it asks for."""
    found = next((int(policy["id"]) for policy in _sorted(ctx) if policy["default"]), 0)
    ctx.need(found, "TfgridModule.FarmingPolicyNotExists")
    return found
