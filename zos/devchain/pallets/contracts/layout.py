"""What SmartContractModule stores, calls, emits and refuses: spec 145, and what the reserve variant adds to it."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from zos.devchain.types import BOUNDED, PUBLIC_IPS, RESOURCES, words
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
    Vec,
    Wrapped,
    struct,
)
from zos.scale.types import Variant as Case


class Variant(StrEnum):
    """How a bill is taken."""

    LOCK = "lock"
    """Locked on the account, distributed with a burn: the published model, spec 145 to 149."""
    RESERVE = "reserve"
    """Reserved, distributed with the farmer's share: spec 152 and later."""


NAME = "SmartContractModule"
PATH = "pallet_smart_contract::types"
NOTHING = {"hru": 0, "sru": 0, "cru": 0, "mru": 0}

CAUSE = words(f"{PATH}::Cause", "CanceledByUser", "OutOfFunds")
STATE = Enum(
    f"{PATH}::ContractState",
    (Case("Created", 0), Case("Deleted", 1, ((None, CAUSE),)), Case("GracePeriod", 2, ((None, U64),))),
)
NODE_CONTRACT = Struct(
    f"{PATH}::NodeContract",
    (
        ("node_id", U32),
        ("deployment_hash", Array(32)),
        ("deployment_data", Bytes(512)),
        ("public_ips", U32),
        ("public_ips_list", PUBLIC_IPS),
    ),
)
CONTRACT_NAME = Wrapped("pallet_smart_contract::grid_contract::NameContractName", BOUNDED)
NAME_CONTRACT = struct(f"{PATH}::NameContract", name=CONTRACT_NAME)
RENT_CONTRACT = struct(f"{PATH}::RentContract", node_id=U32)
DATA = Enum(
    f"{PATH}::ContractData",
    (
        Case("NodeContract", 0, ((None, NODE_CONTRACT),)),
        Case("NameContract", 1, ((None, NAME_CONTRACT),)),
        Case("RentContract", 2, ((None, RENT_CONTRACT),)),
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
    metadata=BOUNDED,
    accepted_by_service=BOOL,
    accepted_by_consumer=BOOL,
    last_bill=U64,
    state=SERVICE_STATE,
)
SERVICE_BILL = struct(f"{PATH}::ServiceContractBill", variable_amount=U64, window=U64, metadata=BOUNDED)
STORAGE_VERSION = words(f"{PATH}::StorageVersion", *(f"V{number}" for number in range(1, 12)))
PAYMENT_STATE = struct(
    f"{PATH}::ContractPaymentState",
    standard_reserve=U128,
    additional_reserve=U128,
    standard_overdraft=U128,
    additional_overdraft=U128,
    last_updated_seconds=U64,
    cycles=U16,
)
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
        mapping("ContractIDByNameRegistration", CONTRACT_NAME, U64, 0),
        mapping("ActiveRentContractForNode", U32, U64, optional=True),
        value("ContractID", U64, 0),
        mapping("SolutionProviders", U64, SOLUTION_PROVIDER, optional=True),
        value("SolutionProviderID", U64, 0),
        value("PalletVersion", STORAGE_VERSION, "V10"),
        value("BillingFrequency", U64, 600),
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
        call(4, "create_name_contract", name=BYTES),
        call(5, "add_nru_reports", is_free=True, reports=Vec(NRU)),
        call(6, "report_contract_resources", is_free=True, contract_resources=Vec(USED)),
        call(7, "create_rent_contract", node_id=U32, solution_provider_id=Option(U64)),
        call(8, "create_solution_provider", description=BYTES, link=BYTES, providers=Vec(PROVIDER)),
        call(9, "approve_solution_provider", solution_provider_id=U64, approve=BOOL),
        call(10, "bill_contract_for_block", contract_id=U64),
        call(11, "service_contract_create", service_account=ACCOUNT, consumer_account=ACCOUNT),
        call(12, "service_contract_set_metadata", service_contract_id=U64, metadata=BYTES),
        call(13, "service_contract_set_fees", service_contract_id=U64, base_fee=U64, variable_fee=U64),
        call(14, "service_contract_approve", service_contract_id=U64),
        call(15, "service_contract_reject", service_contract_id=U64),
        call(16, "service_contract_cancel", service_contract_id=U64),
        call(17, "service_contract_bill", service_contract_id=U64, variable_amount=U64, metadata=BYTES),
        call(18, "change_billing_frequency", frequency=U64),
        call(19, "attach_solution_provider_id", contract_id=U64, solution_provider_id=U64),
        call(20, "set_dedicated_node_extra_fee", node_id=U32, extra_fee=U64),
    ),
    events=(
        event("ContractCreated", CONTRACT),
        event("ContractUpdated", CONTRACT),
        event("NodeContractCanceled", contract_id=U64, node_id=U32, twin_id=U32),
        event("NameContractCanceled", contract_id=U64),
        event("IPsReserved", contract_id=U64, public_ips=PUBLIC_IPS),
        event("IPsFreed", contract_id=U64, public_ips=PUBLIC_IPS),
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

RESERVE_PALLET = dataclasses.replace(
    PALLET,
    storage=(*PALLET.storage, mapping("ContractPaymentState", U64, PAYMENT_STATE, optional=True)),
    events=(
        *PALLET.events,
        event("RentWaived", contract_id=U64),
        event("ContractGracePeriodElapsed", contract_id=U64, grace_period=U64),
        event("ContractPaymentOverdrawn", contract_id=U64, timestamp=U64, partially_billed_amount=U128, overdraft=U128),
        event("RewardDistributed", contract_id=U64, standard_rewards=U128, additional_rewards=U128),
    ),
    errors=(*PALLET.errors, "RewardDistributionError", "ContractPaymentStateNotExists"),
)
"""What the reserve variant's metadata says beyond spec 145."""
