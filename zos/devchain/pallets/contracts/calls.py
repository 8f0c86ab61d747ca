"""The calls of SmartContractModule, and what it does when nodes and blocks change."""

from __future__ import annotations

import re
from typing import Any

from zos.devchain import pricing
from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets.contracts import billing
from zos.devchain.pallets.contracts.layout import NAME
from zos.devchain.pallets.contracts.lifecycle import (
    Record,
    begin_traffic,
    content,
    create,
    grace_start,
    load,
    node_of_contract,
    remove,
    requeue,
    reserve_ips,
    set_state,
)
from zos.devchain.pallets.contracts.services import Services
from zos.devchain.pallets.contracts.solutions import Solutions
from zos.devchain.pallets.grid_common import node_of, twin_of
from zos.devchain.pallets.origin import guarded

CANCELED = {"Deleted": "CanceledByUser"}
_NAME = re.compile(rb"[a-z0-9_-]+")


class SmartContracts(Services, Solutions):
    """Contracts; `biller` takes the money for them."""

    def __init__(self, biller: billing.Biller) -> None:
        self._biller = biller

    def create_node_contract(
        self,
        ctx: Context,
        who: bytes,
        node_id: int,
        deployment_hash: bytes,
        deployment_data: bytes,
        public_ips: int,
        solution_provider_id: int | None,
    ) -> None:
        twin = twin_of(ctx, who, NAME)
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, f"{NAME}.NodeNotExists")
        power = ctx.get("TfgridModule.NodePower", node_id)
        ctx.need(power["state"] == "Up" and power["target"] == "Up", f"{NAME}.NodeNotAvailableToDeploy")
        farm = ctx.get("TfgridModule.Farms", node["farm_id"])
        ctx.need(farm, f"{NAME}.FarmNotExists")
        _check_dedicated(ctx, farm, node_id, twin)
        unique = not ctx.get(f"{NAME}.ContractIDByNodeIDAndHash", node_id, deployment_hash)
        ctx.need(unique, f"{NAME}.ContractIsNotUnique")
        id = int(ctx.get(f"{NAME}.ContractID")) + 1
        body = {
            "node_id": node_id,
            "deployment_hash": deployment_hash,
            "deployment_data": deployment_data,
            "public_ips": public_ips,
            "public_ips_list": reserve_ips(ctx, farm, public_ips, id),
        }
        # Nobody asks for money here: an account without any gets its contract, and grace at the first bill.
        contract = self._create(ctx, twin, "NodeContract", body, solution_provider_id)
        begin_traffic(ctx, id)
        ctx.put(f"{NAME}.ContractIDByNodeIDAndHash", node_id, deployment_hash, id)
        ctx.put(f"{NAME}.ActiveNodeContracts", node_id, [*ctx.get(f"{NAME}.ActiveNodeContracts", node_id), id])
        ctx.emit(f"{NAME}.ContractCreated", contract)

    def create_name_contract(self, ctx: Context, who: bytes, name: bytes) -> None:
        twin = twin_of(ctx, who, NAME)
        ctx.need(len(name) >= 3, f"{NAME}.NameContractNameTooShort")
        ctx.need(len(name) <= 64, f"{NAME}.NameContractNameTooLong")
        ctx.need(_NAME.fullmatch(name), f"{NAME}.NameNotValid")
        ctx.need(not ctx.has(f"{NAME}.ContractIDByNameRegistration", name), f"{NAME}.NameExists")
        contract = self._create(ctx, twin, "NameContract", {"name": name}, None)
        ctx.put(f"{NAME}.ContractIDByNameRegistration", name, contract["contract_id"])
        ctx.emit(f"{NAME}.ContractCreated", contract)

    def create_rent_contract(self, ctx: Context, who: bytes, node_id: int, solution_provider_id: int | None) -> None:
        ctx.need(not ctx.has(f"{NAME}.ActiveRentContractForNode", node_id), f"{NAME}.NodeHasRentContract")
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, f"{NAME}.NodeNotExists")
        farm = ctx.get("TfgridModule.Farms", node["farm_id"])
        ctx.need(farm, f"{NAME}.FarmNotExists")
        is_empty = not ctx.get(f"{NAME}.ActiveNodeContracts", node_id)
        ctx.need(farm["dedicated_farm"] or is_empty, f"{NAME}.NodeNotAvailableToDeploy")
        twin = twin_of(ctx, who, NAME)
        contract = self._create(ctx, twin, "RentContract", {"node_id": node_id}, solution_provider_id)
        ctx.put(f"{NAME}.ActiveRentContractForNode", node_id, contract["contract_id"])
        ctx.emit(f"{NAME}.ContractCreated", contract)

    def _create(self, ctx: Context, twin: int, kind: str, body: Record, provider: int | None) -> Record:
        contract = create(ctx, twin, kind, body, provider)
        self._biller.open(ctx, contract["contract_id"])
        return contract

    def update_node_contract(
        self, ctx: Context, who: bytes, contract_id: int, deployment_hash: bytes, deployment_data: bytes
    ) -> None:
        contract = load(ctx, contract_id)
        is_mine = contract["twin_id"] == ctx.get("TfgridModule.TwinIdByAccountID", who)
        ctx.need(is_mine, f"{NAME}.TwinNotAuthorizedToUpdateContract")
        ctx.need(grace_start(contract) is None, f"{NAME}.CannotUpdateContractInGraceState")
        body = contract["contract_type"].get("NodeContract")
        ctx.need(body, f"{NAME}.InvalidContractType")
        # The runtime does not ask whether another contract of this node carries the new hash.
        ctx.drop(f"{NAME}.ContractIDByNodeIDAndHash", body["node_id"], body["deployment_hash"])
        ctx.put(f"{NAME}.ContractIDByNodeIDAndHash", body["node_id"], deployment_hash, contract_id)
        body = {**body, "deployment_hash": deployment_hash, "deployment_data": deployment_data}
        contract = {**contract, "contract_type": {"NodeContract": body}}
        ctx.put(f"{NAME}.Contracts", contract_id, contract)
        ctx.emit(f"{NAME}.ContractUpdated", contract)

    def cancel_contract(self, ctx: Context, who: bytes, contract_id: int) -> None:
        contract = load(ctx, contract_id)
        is_mine = contract["twin_id"] == ctx.get("TfgridModule.TwinIdByAccountID", who)
        ctx.need(is_mine, f"{NAME}.TwinNotAuthorizedToCancelContract")
        kind, body = content(contract)
        if kind == "RentContract":
            is_empty = not ctx.get(f"{NAME}.ActiveNodeContracts", body["node_id"])
            ctx.need(is_empty, f"{NAME}.NodeHasActiveContracts")
        self._biller.bill(ctx, set_state(ctx, contract, CANCELED))

    def bill_contract_for_block(self, ctx: Context, who: bytes, contract_id: int) -> None:
        # Whoever calls: that only the author of the next block bills is a habit of its off-chain worker.
        self._biller.bill(ctx, load(ctx, contract_id))

    @guarded
    def change_billing_frequency(self, ctx: Context, who: bytes, frequency: int) -> None:
        ctx.need(frequency > ctx.get(f"{NAME}.BillingFrequency"), f"{NAME}.CanOnlyIncreaseFrequency")
        requeue(ctx, frequency)
        ctx.emit(f"{NAME}.BillingFrequencyChanged", frequency)

    def set_dedicated_node_extra_fee(self, ctx: Context, who: bytes, node_id: int, extra_fee: int) -> None:
        twin = twin_of(ctx, who, NAME)
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, f"{NAME}.NodeNotExists")
        farm = ctx.get("TfgridModule.Farms", node["farm_id"])
        ctx.need(farm, f"{NAME}.FarmNotExists")
        ctx.need(farm["twin_id"] == twin, f"{NAME}.UnauthorizedToSetExtraFee")
        is_used = ctx.get(f"{NAME}.ActiveNodeContracts", node_id) or ctx.has(
            f"{NAME}.ActiveRentContractForNode", node_id
        )
        ctx.need(not is_used, f"{NAME}.NodeHasActiveContracts")
        ctx.put(f"{NAME}.DedicatedNodesExtraFee", node_id, extra_fee)
        ctx.emit(f"{NAME}.NodeExtraFeeSet", node_id=node_id, extra_fee=extra_fee)

    # Reports of the nodes

    def report_contract_resources(self, ctx: Context, who: bytes, contract_resources: list[Any]) -> None:
        node = node_of(ctx, who, NAME)
        for one in contract_resources:
            contract = ctx.get(f"{NAME}.Contracts", one["contract_id"])
            if contract is None:
                continue
            # A contract that is gone is skipped; one of another node fails the report of all the others.
            _check_reported(ctx, contract, node)
            ctx.put(f"{NAME}.NodeContractResources", one["contract_id"], one)
            ctx.emit(f"{NAME}.UpdatedUsedResources", one)

    def add_nru_reports(self, ctx: Context, who: bytes, reports: list[Any]) -> None:
        node_id = node_of(ctx, who, NAME)
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, f"{NAME}.NodeNotExists")
        farm = ctx.get("TfgridModule.Farms", node["farm_id"])
        ctx.need(farm, f"{NAME}.FarmNotExists")
        # Traffic alone has the price of the farm's policy. Everything else is billed by policy 1.
        rates = billing.rates(ctx, farm["pricing_policy_id"])
        for one in reports:
            contract = ctx.get(f"{NAME}.Contracts", one["contract_id"])
            known = ctx.has(f"{NAME}.ContractBillingInformationByID", one["contract_id"])
            if contract is None or not known:
                continue
            _check_reported(ctx, contract, node_id)
            _add_traffic(ctx, one, rates)
            # The event tells of a report that is too old to count, too.
            ctx.emit(f"{NAME}.NruConsumptionReportReceived", one)

    # What happens without a call

    def on_block(self, ctx: Context) -> None:
        """Bills the contracts whose turn in the billing queue is this block."""
        billing.bill_queue(ctx, self._biller)

    def node_changed(self, ctx: Context, old: Record | None, new: Record) -> None:
        """Nothing follows for contracts."""

    def node_deleted(self, ctx: Context, node: Record) -> None:
        """The contracts on it end with it."""
        ids = list(ctx.get(f"{NAME}.ActiveNodeContracts", node["id"]))
        rent = ctx.get(f"{NAME}.ActiveRentContractForNode", node["id"])
        for id in (*ids, *(() if rent is None else (rent,))):
            contract = set_state(ctx, load(ctx, id), CANCELED)
            try:
                with ctx.isolated():
                    self._biller.bill(ctx, contract)
            except Refusal:
                # Nothing may point to a node that is gone, even when nobody can pay for it any more.
                remove(ctx, contract)

    def power_changed(self, ctx: Context, node_id: int) -> None:
        """A rented node that is awake again is paid for from now on."""
        rent = ctx.get(f"{NAME}.ActiveRentContractForNode", node_id)
        if rent is not None and ctx.get("TfgridModule.NodePower", node_id)["state"] == "Up":
            self._biller.restart(ctx, rent)


def _check_dedicated(ctx: Context, farm: dict[str, Any], node_id: int, twin: int) -> None:
    rent = ctx.get(f"{NAME}.ActiveRentContractForNode", node_id)
    if rent is not None:
        # What is not paid holds what is there and takes nothing new.
        found = load(ctx, rent)
        is_mine = found["twin_id"] == twin and "GracePeriod" not in found["state"]
    else:
        is_mine = not farm["dedicated_farm"] and not ctx.get(f"{NAME}.DedicatedNodesExtraFee", node_id)
    ctx.need(is_mine, f"{NAME}.NodeNotAvailableToDeploy")


def _check_reported(ctx: Context, contract: dict[str, Any], node: int) -> None:
    ctx.need("NodeContract" in contract["contract_type"], f"{NAME}.InvalidContractType")
    ctx.need(node_of_contract(contract) == node, f"{NAME}.NodeNotAuthorizedToComputeReport")


def _add_traffic(ctx: Context, report: dict[str, int], rates: pricing.Rates) -> None:
    id = report["contract_id"]
    known = ctx.get(f"{NAME}.ContractBillingInformationByID", id)
    if report["timestamp"] < known["last_updated"]:
        return
    units = pricing.traffic_cost(rates, report["nru"], report["window"])
    total = min(known["amount_unbilled"] + units, 2**64 - 1)
    known = {**known, "amount_unbilled": total, "last_updated": report["timestamp"]}
    ctx.put(f"{NAME}.ContractBillingInformationByID", id, known)
