"""The part of TfgridModule that the council decides: certification, policies, prices, versions."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.grid_common import farm_of, store_farm
from zos.devchain.pallets.origin import ROOT, guarded, passed_on
from zos.devchain.pallets.policies import best_policy, first_policy


class GridAdmin:
    """Calls of the council, and of the certifiers it names."""

    @guarded
    def set_farm_certification(self, ctx: Context, who: bytes, farm_id: int, certification: str) -> None:
        ctx.put("TfgridModule.Farms", farm_id, {**farm_of(ctx, farm_id), "certification": certification})
        ctx.emit("TfgridModule.FarmCertificationSet", farm_id, certification)

    @passed_on
    def set_node_certification(self, ctx: Context, who: bytes, node_id: int, node_certification: str) -> None:
        certifiers = [*ctx.get("Council.Members"), *(ctx.get("TfgridModule.AllowedNodeCertifiers") or ()), ROOT]
        ctx.need(who in certifiers, "TfgridModule.NotAllowedToCertifyNode")
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, "TfgridModule.NodeNotExists")
        node = {**node, "certification": node_certification}
        if ctx.get("TfgridModule.FarmingPoliciesMap", node["farming_policy_id"])["default"]:
            farm = farm_of(ctx, node["farm_id"])
            node["farming_policy_id"] = best_policy(ctx, node_certification, farm["certification"])
        ctx.put("TfgridModule.Nodes", node_id, node)
        ctx.emit("TfgridModule.NodeUpdated", node)
        ctx.emit("TfgridModule.NodeCertificationSet", node_id, node_certification)

    @guarded
    def add_node_certifier(self, ctx: Context, who: bytes, certifier: bytes) -> None:
        known = ctx.get("TfgridModule.AllowedNodeCertifiers") or []
        ctx.need(certifier not in known, "TfgridModule.AlreadyCertifier")
        ctx.put("TfgridModule.AllowedNodeCertifiers", sorted([*known, certifier]))
        ctx.emit("TfgridModule.NodeCertifierAdded", certifier)

    @guarded
    def remove_node_certifier(self, ctx: Context, who: bytes, certifier: bytes) -> None:
        known = ctx.get("TfgridModule.AllowedNodeCertifiers") or []
        ctx.need(certifier in known, "TfgridModule.NotCertifier")
        ctx.put("TfgridModule.AllowedNodeCertifiers", [one for one in known if one != certifier])
        ctx.emit("TfgridModule.NodeCertifierRemoved", certifier)

    @guarded
    def set_farm_dedicated(self, ctx: Context, who: bytes, farm_id: int, dedicated: bool) -> None:
        store_farm(ctx, {**farm_of(ctx, farm_id), "dedicated_farm": dedicated})

    @guarded
    def force_reset_farm_ip(self, ctx: Context, who: bytes, farm_id: int, ip: bytes) -> None:
        farm = farm_of(ctx, farm_id)
        ctx.need(any(one["ip"] == ip for one in farm["public_ips"]), "TfgridModule.IpNotExists")
        ips = [{**one, "contract_id": 0} if one["ip"] == ip else one for one in farm["public_ips"]]
        store_farm(ctx, {**farm, "public_ips": ips})

    @guarded
    def set_connection_price(self, ctx: Context, who: bytes, price: int) -> None:
        ctx.put("TfgridModule.ConnectionPrice", price)
        ctx.emit("TfgridModule.ConnectionPriceSet", price)

    @guarded
    def set_zos_version(self, ctx: Context, who: bytes, zos_version: bytes) -> None:
        is_new = ctx.get("TfgridModule.ZosVersion") != zos_version
        ctx.need(is_new, "TfgridModule.InvalidZosVersion")
        ctx.put("TfgridModule.ZosVersion", zos_version)
        ctx.emit("TfgridModule.ZosVersionUpdated", zos_version)

    # Pricing

    @guarded
    def create_pricing_policy(self, ctx: Context, who: bytes, **wanted: Any) -> None:
        is_known = ctx.has("TfgridModule.PricingPolicyIdByName", wanted["name"])
        ctx.need(not is_known, "TfgridModule.PricingPolicyExists")
        self._store_pricing(ctx, {"version": 1, "id": ctx.count("TfgridModule.PricingPolicyID"), **wanted})

    @guarded
    def update_pricing_policy(self, ctx: Context, who: bytes, pricing_policy_id: int, **wanted: Any) -> None:
        # The runtime also sets the counter back to this id, so that the next policy would overwrite another.
        old = ctx.get("TfgridModule.PricingPolicies", pricing_policy_id)
        ctx.need(old, "TfgridModule.PricingPolicyNotExists")
        named = ctx.get("TfgridModule.PricingPolicyIdByName", wanted["name"])
        ctx.need(named in (0, pricing_policy_id), "TfgridModule.PricingPolicyWithDifferentIdExists")
        ctx.drop("TfgridModule.PricingPolicyIdByName", old["name"])
        self._store_pricing(ctx, {**old, **wanted})

    @staticmethod
    def _store_pricing(ctx: Context, policy: dict[str, Any]) -> None:
        ctx.put("TfgridModule.PricingPolicies", policy["id"], policy)
        ctx.put("TfgridModule.PricingPolicyIdByName", policy["name"], policy["id"])
        ctx.emit("TfgridModule.PricingPolicyStored", policy)

    # Farming

    @guarded
    def create_farming_policy(self, ctx: Context, who: bytes, **wanted: Any) -> None:
        id = ctx.count("TfgridModule.FarmingPolicyID")
        policy = {"version": 1, "id": id, "policy_created": ctx.block, **wanted}
        ctx.put("TfgridModule.FarmingPoliciesMap", id, policy)
        ctx.emit("TfgridModule.FarmingPolicyStored", policy)

    @guarded
    def update_farming_policy(self, ctx: Context, who: bytes, farming_policy_id: int, **wanted: Any) -> None:
        is_known = ctx.has("TfgridModule.FarmingPoliciesMap", farming_policy_id)
        ctx.need(is_known, "TfgridModule.FarmingPolicyNotExists")
        policy = {**ctx.get("TfgridModule.FarmingPoliciesMap", farming_policy_id), **wanted}
        ctx.put("TfgridModule.FarmingPoliciesMap", farming_policy_id, policy)
        ctx.emit("TfgridModule.FarmingPolicyUpdated", policy)

    @guarded
    def attach_policy_to_farm(self, ctx: Context, who: bytes, farm_id: int, limits: Any) -> None:
        if limits is None:
            return
        farm = farm_of(ctx, farm_id)
        is_known = ctx.has("TfgridModule.FarmingPoliciesMap", limits["farming_policy_id"])
        ctx.need(is_known, "TfgridModule.FarmingPolicyNotExists")
        policy = ctx.get("TfgridModule.FarmingPoliciesMap", limits["farming_policy_id"])
        end = policy["policy_created"] + policy["policy_end"]
        ctx.need(not policy["policy_end"] or ctx.block < end, "TfgridModule.FarmingPolicyExpired")
        store_farm(ctx, {**farm, "farming_policy_limits": limits})
        for id in ctx.get("TfgridModule.NodesByFarmID", farm_id):
            node = ctx.get("TfgridModule.Nodes", id)
            if ctx.get("TfgridModule.FarmingPoliciesMap", node["farming_policy_id"])["default"]:
                node = {**node, "farming_policy_id": first_policy(ctx, node)}
                ctx.put("TfgridModule.Nodes", id, node)
                ctx.emit("TfgridModule.NodeUpdated", node)
        ctx.emit("TfgridModule.FarmingPolicySet", farm_id, limits)
