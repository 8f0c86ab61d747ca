"""SmartContractModule: node contracts, what they use, and their end. The economy comes in beside this."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.tfgrid import node_of, twin_of
from zos.devchain.types import PUBLIC_IP, RESOURCES, words
from zos.scale.pallet import Constant, Pallet, call, errors, event, mapping, value
from zos.scale.types import (
    ACCOUNT,
    BOOL,
    BYTES,
    U8,
    U16,
    U32,
    U64,
    U128,
    Array,
    Bytes,
    Enum,
    Option,
    Struct,
    Variant,
    Vec,
    struct,
)

NAME = "SmartContractModule"
PATH = "pallet_smart_contract::types"
NOTHING = {"hru": 0, "sru": 0, "cru": 0, "mru": 0}

CAUSE = words(f"{PATH}::Cause", "CanceledByUser", "OutOfFunds")
STATE = Enum(
    f"{PATH}::ContractState",
    (Variant("Created", 0), Variant("Deleted", 1, ((None, CAUSE),)), Variant("GracePeriod", 2, ((None, U64),))),
)
NODE_CONTRACT = Struct(
    f"{PATH}::NodeContract",
    (
        ("node_id", U32),
        ("deployment_hash", Array(32)),
        ("deployment_data", Bytes(512)),
        ("public_ips", U32),
        ("public_ips_list", Vec(PUBLIC_IP)),
    ),
)
NAME_CONTRACT = struct(f"{PATH}::NameContract", name=BYTES)
RENT_CONTRACT = struct(f"{PATH}::RentContract", node_id=U32)
DATA = Enum(
    f"{PATH}::ContractData",
    (
        Variant("NodeContract", 0, ((None, NODE_CONTRACT),)),
        Variant("NameContract", 1, ((None, NAME_CONTRACT),)),
        Variant("RentContract", 2, ((None, RENT_CONTRACT),)),
    ),
)
CONTRACT = struct(
    f"{PATH}::Contract",
    version=U32,
    state=STATE,
    contract_id=U64,
    twin_id=U32,
    contract_type=DATA,
    solution_provider_id=Option(U64),
)
USED = struct(f"{PATH}::ContractResources", contract_id=U64, used=RESOURCES)
NRU = struct(f"{PATH}::NruConsumption", contract_id=U64, timestamp=U64, window=U64, nru=U64)
BILLING = struct(f"{PATH}::ContractBillingInformation", previous_nu_reported=U64, last_updated=U64, amount_unbilled=U64)
LOCK = struct(f"{PATH}::ContractLock", amount_locked=U128, extra_amount_locked=U128, lock_updated=U64, cycles=U16)
DISCOUNT = words(f"{PATH}::DiscountLevel", "None", "Default", "Bronze", "Silver", "Gold")
BILL = struct(f"{PATH}::ContractBill", contract_id=U64, timestamp=U64, discount_level=DISCOUNT, amount_billed=U128)
CONSUMPTION = struct(
    f"{PATH}::Consumption", contract_id=U64, timestamp=U64, cru=U64, sru=U64, hru=U64, mru=U64, nru=U64
)
PROVIDER = struct(f"{PATH}::Provider", who=ACCOUNT, take=U8)
SOLUTION_PROVIDER = struct(
    f"{PATH}::SolutionProvider",
    solution_provider_id=U64,
    providers=Vec(PROVIDER),
    description=BYTES,
    link=BYTES,
    approved=BOOL,
)
SERVICE_STATE = words(f"{PATH}::ServiceContractState", "Created", "AgreementReady", "ApprovedByBoth")
SERVICE = struct(
    f"{PATH}::ServiceContract",
    service_contract_id=U64,
    service_twin_id=U32,
    consumer_twin_id=U32,
    base_fee=U64,
    variable_fee=U64,
    metadata=BYTES,
    accepted_by_service=BOOL,
    accepted_by_consumer=BOOL,
    last_bill=U64,
    state=SERVICE_STATE,
)
SERVICE_BILL = struct(f"{PATH}::ServiceContractBill", variable_amount=U64, window=U64, metadata=BYTES)
NO_BILLING = {"previous_nu_reported": 0, "last_updated": 0, "amount_unbilled": 0}
NO_LOCK = {"amount_locked": 0, "extra_amount_locked": 0, "lock_updated": 0, "cycles": 0}

PALLET = Pallet(
    name=NAME,
    index=26,
    path="pallet_smart_contract",
    storage=(
        mapping("Contracts", U64, CONTRACT, optional=True),
        mapping("ContractBillingInformationByID", U64, BILLING, NO_BILLING),
        mapping("NodeContractResources", U64, USED, {"contract_id": 0, "used": NOTHING}),
        mapping("ContractIDByNodeIDAndHash", (U32, Array(32)), U64, 0),
        mapping("ActiveNodeContracts", U32, Vec(U64), ()),
        mapping("ContractsToBillAt", U64, Vec(U64), ()),
        mapping("ContractLock", U64, LOCK, NO_LOCK),
        mapping("ContractIDByNameRegistration", BYTES, U64, 0),
        mapping("ActiveRentContractForNode", U32, U64, optional=True),
        value("ContractID", U64, 0),
        mapping("SolutionProviders", U64, SOLUTION_PROVIDER, optional=True),
        value("SolutionProviderID", U64, 0),
        value("BillingFrequency", U64, 10),
        mapping("ServiceContracts", U64, SERVICE, optional=True),
        value("ServiceContractID", U64, 0),
        value("CurrentMigrationStage", U8, optional=True),
        mapping("DedicatedNodesExtraFee", U32, U64, 0),
    ),
    calls=(
        call(
            0,
            "create_node_contract",
            node_id=U32,
            deployment_hash=Array(32),
            deployment_data=Bytes(512),
            public_ips=U32,
            solution_provider_id=Option(U64),
        ),
        call(1, "update_node_contract", contract_id=U64, deployment_hash=Array(32), deployment_data=Bytes(512)),
        call(2, "cancel_contract", contract_id=U64),
        call(5, "add_nru_reports", is_free=True, reports=Vec(NRU)),
        call(6, "report_contract_resources", is_free=True, contract_resources=Vec(USED)),
    ),
    events=(
        event("ContractCreated", CONTRACT),
        event("ContractUpdated", CONTRACT),
        event("NodeContractCanceled", contract_id=U64, node_id=U32, twin_id=U32),
        event("NameContractCanceled", contract_id=U64),
        event("IPsReserved", contract_id=U64, public_ips=Vec(PUBLIC_IP)),
        event("IPsFreed", contract_id=U64, public_ips=Vec(PUBLIC_IP)),
        event("ContractDeployed", U64, ACCOUNT),
        event("ConsumptionReportReceived", CONSUMPTION),
        event("ContractBilled", BILL),
        event("TokensBurned", contract_id=U64, amount=U128),
        event("UpdatedUsedResources", USED),
        event("NruConsumptionReportReceived", NRU),
        event("RentContractCanceled", contract_id=U64),
        event("ContractGracePeriodStarted", contract_id=U64, node_id=U32, twin_id=U32, block_number=U64),
        event("ContractGracePeriodEnded", contract_id=U64, node_id=U32, twin_id=U32),
        event("SolutionProviderCreated", SOLUTION_PROVIDER),
        event("SolutionProviderApproved", U64, BOOL),
        *(event(f"ServiceContract{what}", SERVICE) for what in ("Created", "MetadataSet", "FeesSet", "Approved")),
        event("ServiceContractCanceled", service_contract_id=U64, cause=CAUSE),
        event("ServiceContractBilled", service_contract=SERVICE, bill=SERVICE_BILL, amount=U128),
        event("BillingFrequencyChanged", U64),
        event("NodeExtraFeeSet", node_id=U32, extra_fee=U64),
    ),
    errors=errors(
        """TwinNotExists NodeNotExists FarmNotExists FarmHasNotEnoughPublicIPs FarmHasNotEnoughPublicIPsFree
        FailedToReserveIP FailedToFreeIPs ContractNotExists TwinNotAuthorizedToUpdateContract
        TwinNotAuthorizedToCancelContract NodeNotAuthorizedToDeployContract NodeNotAuthorizedToComputeReport
        PricingPolicyNotExists ContractIsNotUnique ContractWrongBillingLoopIndex NameExists NameNotValid
        InvalidContractType TFTPriceValueError NotEnoughResourcesOnNode NodeNotAuthorizedToReportResources
        MethodIsDeprecated NodeHasActiveContracts NodeHasRentContract FarmIsNotDedicated NodeNotAvailableToDeploy
        CannotUpdateContractInGraceState NumOverflow OffchainSignedTxCannotSign OffchainSignedTxAlreadySent
        OffchainSignedTxNoLocalAccountAvailable NameContractNameTooShort NameContractNameTooLong
        InvalidProviderConfiguration NoSuchSolutionProvider SolutionProviderNotApproved TwinNotAuthorized
        ServiceContractNotExists ServiceContractCreationNotAllowed ServiceContractModificationNotAllowed
        ServiceContractApprovalNotAllowed ServiceContractRejectionNotAllowed ServiceContractBillingNotApprovedByBoth
        ServiceContractBillingVariableAmountTooHigh ServiceContractBillMetadataTooLong ServiceContractMetadataTooLong
        ServiceContractNotEnoughFundsToPayBill CanOnlyIncreaseFrequency IsNotAnAuthority WrongAuthority
        UnauthorizedToChangeSolutionProviderId UnauthorizedToSetExtraFee"""
    ),
    constants=(
        Constant("MaxNameContractNameLength", U32, 64),
        Constant("MaxDeploymentDataLength", U32, 512),
        Constant("MaxNodeContractPublicIps", U32, 512),
    ),
)


class SmartContracts:
    """Its calls."""

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
        reserved = _reserve_ips(ctx, farm, public_ips, id)
        ctx.need(solution_provider_id is None, f"{NAME}.NoSuchSolutionProvider")
        ctx.count(f"{NAME}.ContractID")
        contract = {
            "version": 4,
            "state": "Created",
            "contract_id": id,
            "twin_id": twin,
            "contract_type": {
                "NodeContract": {
                    "node_id": node_id,
                    "deployment_hash": deployment_hash,
                    "deployment_data": deployment_data,
                    "public_ips": public_ips,
                    "public_ips_list": reserved,
                }
            },
            "solution_provider_id": None,
        }
        ctx.put(f"{NAME}.Contracts", id, contract)
        ctx.put(f"{NAME}.ContractIDByNodeIDAndHash", node_id, deployment_hash, id)
        ctx.put(f"{NAME}.ActiveNodeContracts", node_id, [*ctx.get(f"{NAME}.ActiveNodeContracts", node_id), id])
        ctx.put(f"{NAME}.ContractBillingInformationByID", id, {**NO_BILLING, "last_updated": ctx.seconds})
        ctx.put(f"{NAME}.ContractLock", id, {**NO_LOCK, "lock_updated": ctx.seconds})
        ctx.emit(f"{NAME}.ContractCreated", contract)

    def update_node_contract(
        self, ctx: Context, who: bytes, contract_id: int, deployment_hash: bytes, deployment_data: bytes
    ) -> None:
        twin = twin_of(ctx, who, NAME)
        contract = _contract(ctx, contract_id)
        ctx.need(contract["twin_id"] == twin, f"{NAME}.TwinNotAuthorizedToUpdateContract")
        ctx.need(contract["state"] == "Created", f"{NAME}.CannotUpdateContractInGraceState")
        body = contract["contract_type"].get("NodeContract")
        ctx.need(body, f"{NAME}.InvalidContractType")
        ctx.drop(f"{NAME}.ContractIDByNodeIDAndHash", body["node_id"], body["deployment_hash"])
        ctx.put(f"{NAME}.ContractIDByNodeIDAndHash", body["node_id"], deployment_hash, contract_id)
        body = {**body, "deployment_hash": deployment_hash, "deployment_data": deployment_data}
        contract = {**contract, "contract_type": {"NodeContract": body}}
        ctx.put(f"{NAME}.Contracts", contract_id, contract)
        ctx.emit(f"{NAME}.ContractUpdated", contract)

    def cancel_contract(self, ctx: Context, who: bytes, contract_id: int) -> None:
        twin = twin_of(ctx, who, NAME)
        contract = _contract(ctx, contract_id)
        ctx.need(contract["twin_id"] == twin, f"{NAME}.TwinNotAuthorizedToCancelContract")
        remove(ctx, contract)

    def report_contract_resources(self, ctx: Context, who: bytes, contract_resources: list[Any]) -> None:
        node = node_of(ctx, who, NAME)
        for one in contract_resources:
            contract = ctx.get(f"{NAME}.Contracts", one["contract_id"])
            if contract is None:
                continue
            _check_reported(ctx, contract, node)
            ctx.put(f"{NAME}.NodeContractResources", one["contract_id"], one)
            ctx.emit(f"{NAME}.UpdatedUsedResources", one)

    def add_nru_reports(self, ctx: Context, who: bytes, reports: list[Any]) -> None:
        node = node_of(ctx, who, NAME)
        for one in reports:
            contract = ctx.get(f"{NAME}.Contracts", one["contract_id"])
            if contract is None:
                continue
            _check_reported(ctx, contract, node)
            billing = ctx.get(f"{NAME}.ContractBillingInformationByID", one["contract_id"])
            if one["timestamp"] >= billing["last_updated"]:
                billing = {**billing, "last_updated": one["timestamp"]}
                ctx.put(f"{NAME}.ContractBillingInformationByID", one["contract_id"], billing)
            ctx.emit(f"{NAME}.NruConsumptionReportReceived", one)


def remove(ctx: Context, contract: dict[str, Any]) -> None:
    """The end of a node contract: everything it held is freed, the record goes."""
    id, twin = contract["contract_id"], contract["twin_id"]
    body = contract["contract_type"]["NodeContract"]
    node_id = body["node_id"]
    if body["public_ips_list"]:
        _free_ips(ctx, node_id, id)
        ctx.emit(f"{NAME}.IPsFreed", contract_id=id, public_ips=body["public_ips_list"])
    left = [other for other in ctx.get(f"{NAME}.ActiveNodeContracts", node_id) if other != id]
    ctx.put(f"{NAME}.ActiveNodeContracts", node_id, left)
    ctx.drop(f"{NAME}.ContractIDByNodeIDAndHash", node_id, body["deployment_hash"])
    for item in ("Contracts", "NodeContractResources", "ContractBillingInformationByID", "ContractLock"):
        ctx.drop(f"{NAME}.{item}", id)
    ctx.emit(f"{NAME}.NodeContractCanceled", contract_id=id, node_id=node_id, twin_id=twin)


def _contract(ctx: Context, id: int) -> dict[str, Any]:
    contract: dict[str, Any] | None = ctx.get(f"{NAME}.Contracts", id)
    ctx.need(contract, f"{NAME}.ContractNotExists")
    assert contract is not None
    return contract


def _check_dedicated(ctx: Context, farm: dict[str, Any], node_id: int, twin: int) -> None:
    rent = ctx.get(f"{NAME}.ActiveRentContractForNode", node_id)
    if rent is not None:
        is_mine = _contract(ctx, rent)["twin_id"] == twin
    else:
        is_mine = not farm["dedicated_farm"] and not ctx.get(f"{NAME}.DedicatedNodesExtraFee", node_id)
    ctx.need(is_mine, f"{NAME}.NodeNotAvailableToDeploy")


def _reserve_ips(ctx: Context, farm: dict[str, Any], count: int, contract: int) -> list[Any]:
    if not count:
        return []
    ips = farm["public_ips"]
    ctx.need(len(ips) >= count, f"{NAME}.FarmHasNotEnoughPublicIPs")
    free = [index for index, one in enumerate(ips) if not one["contract_id"]][:count]
    ctx.need(len(free) == count, f"{NAME}.FarmHasNotEnoughPublicIPsFree")
    taken = [{**one, "contract_id": contract} if index in free else one for index, one in enumerate(ips)]
    ctx.put("TfgridModule.Farms", farm["id"], {**farm, "public_ips": taken})
    return [taken[index] for index in free]


def _free_ips(ctx: Context, node_id: int, contract: int) -> None:
    farm = ctx.get("TfgridModule.Farms", ctx.get("TfgridModule.Nodes", node_id)["farm_id"])
    ips = [{**one, "contract_id": 0} if one["contract_id"] == contract else one for one in farm["public_ips"]]
    ctx.put("TfgridModule.Farms", farm["id"], {**farm, "public_ips": ips})


def _check_reported(ctx: Context, contract: dict[str, Any], node: int) -> None:
    body = contract["contract_type"].get("NodeContract")
    ctx.need(body, f"{NAME}.InvalidContractType")
    ctx.need(body["node_id"] == node, f"{NAME}.NodeNotAuthorizedToComputeReport")
