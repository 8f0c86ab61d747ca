"""What the runtimes of specs 49 and 61 declare, of what the devchain can do. Pure data.

One line an item: `Name: key, key => value`, `call(argument: type, …)`, `Event(type, …)`; `@N` at the end means from
spec N on. Types are written as those runtimes' metadata writes them.
"""

from __future__ import annotations

from dataclasses import dataclass

EXTENSIONS = (
    "CheckSpecVersion",
    "CheckTxVersion",
    "CheckGenesis",
    "CheckMortality",
    "CheckNonce",
    "CheckWeight",
    "ChargeTransactionPayment",
)
TRANSACTION = 1


@dataclass(frozen=True, slots=True)
class Declared:
    """What a pallet of the old metadata declares, one line of text for each item, call, event and error."""

    name: str
    index: int
    storage: str = ""
    calls: str = ""
    events: str = ""
    constants: str = ""
    errors: str = ""
    tells_errors: bool = True
    """The contract pallet has errors and does not list them."""


SYSTEM = Declared(
    "System",
    0,
    storage="""
        Account: T::AccountId => AccountInfo<T::Index, T::AccountData>
        BlockHash: T::BlockNumber => T::Hash
        Number: T::BlockNumber
        ParentHash: T::Hash
        Events: Vec<EventRecord<T::Event, T::Hash>>
        EventCount: EventIndex
    """,
    calls="remark(_remark: Vec<u8>)",
    events="""
        ExtrinsicSuccess(DispatchInfo)
        ExtrinsicFailed(DispatchError, DispatchInfo)
        CodeUpdated()
        NewAccount(AccountId)
        KilledAccount(AccountId)
    """,
    constants="""
        BlockHashCount: T::BlockNumber
        SS58Prefix: u8
    """,
    errors="""InvalidSpecName SpecVersionNeedsToIncrease FailedToExtractRuntimeVersion NonDefaultComposite
        NonZeroRefCount""",
)
TIMESTAMP = Declared(
    "Timestamp",
    2,
    storage="Now: T::Moment",
    calls="set(now: Compact<T::Moment>)",
    constants="MinimumPeriod: T::Moment",
)
BALANCES = Declared(
    "Balances",
    3,
    storage="TotalIssuance: T::Balance",
    calls="""
        transfer(dest: <T::Lookup as StaticLookup>::Source, value: Compact<T::Balance>)
        transfer_keep_alive(dest: <T::Lookup as StaticLookup>::Source, value: Compact<T::Balance>)
    """,
    events="""
        Endowed(AccountId, Balance)
        DustLost(AccountId, Balance)
        Transfer(AccountId, AccountId, Balance)
        BalanceSet(AccountId, Balance, Balance)
        Deposit(AccountId, Balance)
        Reserved(AccountId, Balance)
        Unreserved(AccountId, Balance)
        ReserveRepatriated(AccountId, AccountId, Balance, Status)
    """,
    constants="ExistentialDeposit: T::Balance",
    errors="""VestingBalance LiquidityRestrictions Overflow InsufficientBalance ExistentialDeposit KeepAlive
        ExistingVestingSchedule DeadAccount""",
)
PAYMENT = Declared("TransactionPayment", 8, storage="NextFeeMultiplier: Multiplier")
GRID = Declared(
    "TfgridModule",
    11,
    storage="""
        Farms: u32 => types::Farm
        FarmIdByName: Vec<u8> => u32
        FarmPayoutV2AddressByFarmID: u32 => Vec<u8>
        Nodes: u32 => types::Node
        NodeIdByTwinID: u32 => u32
        Entities: u32 => types::Entity<T::AccountId>
        EntityIdByAccountID: T::AccountId => u32
        EntityIdByName: Vec<u8> => u32
        Twins: u32 => types::Twin<T::AccountId>
        TwinIdByAccountID: T::AccountId => u32
        PricingPolicies: u32 => types::PricingPolicy<T::AccountId>
        PricingPolicyIdByName: Vec<u8> => u32
        UsersTermsAndConditions: T::AccountId => Vec<types::TermsAndConditions<T::AccountId>>
        FarmID: u32
        NodeID: u32
        EntityID: u32
        TwinID: u32
        PricingPolicyID: u32
        FarmingPolicyID: u32
    """,
    calls="""
        create_farm(name: Vec<u8>, public_ips: Vec<PublicIP>)
        update_farm(id: u32, name: Vec<u8>, pricing_policy_id: u32)
        add_stellar_payout_v2address(farm_id: u32, stellar_address: Vec<u8>)
        add_farm_ip(id: u32, ip: Vec<u8>, gateway: Vec<u8>)
        remove_farm_ip(id: u32, ip: Vec<u8>)
        create_node(farm_id: u32, resources: Resources, location: Location, country: Vec<u8>, city: Vec<u8>, \
interfaces: Vec<Interface>, secure_boot: bool, virtualized: bool, serial_number: Vec<u8>)
        update_node(node_id: u32, farm_id: u32, resources: Resources, location: Location, country: Vec<u8>, \
city: Vec<u8>, interfaces: Vec<Interface>, secure_boot: bool, virtualized: bool, serial_number: Vec<u8>)
        report_uptime(uptime: u64)
        add_node_public_config(farm_id: u32, node_id: u32, public_config: PublicConfig)
        delete_node(id: u32)
        create_twin(ip: Vec<u8>)
        update_twin(ip: Vec<u8>)
        user_accept_tc(document_link: Vec<u8>, document_hash: Vec<u8>)
        delete_node_farm(node_id: u32)
        set_farm_dedicated(farm_id: u32, dedicated: bool) @50
        force_reset_farm_ip(farm_id: u32, ip: Vec<u8>) @59
    """,
    events="""
        FarmStored(types::Farm)
        FarmUpdated(types::Farm)
        FarmDeleted(u32)
        NodeStored(types::Node)
        NodeUpdated(types::Node)
        NodeDeleted(u32)
        NodeUptimeReported(u32, u64, u64)
        NodePublicConfigStored(u32, types::PublicConfig)
        EntityStored(types::Entity<AccountId>)
        EntityUpdated(types::Entity<AccountId>)
        EntityDeleted(u32)
        TwinStored(types::Twin<AccountId>)
        TwinUpdated(types::Twin<AccountId>)
        TwinEntityStored(u32, u32, Vec<u8>)
        TwinEntityRemoved(u32, u32)
        TwinDeleted(u32)
        PricingPolicyStored(types::PricingPolicy<AccountId>)
        FarmPayoutV2AddressRegistered(u32, Vec<u8>)
    """,
    errors="""NoneValue StorageOverflow CannotCreateNode NodeNotExists NodeWithTwinIdExists CannotDeleteNode
        NodeDeleteNotAuthorized NodeUpdateNotAuthorized FarmExists FarmNotExists CannotCreateFarmWrongTwin
        CannotUpdateFarmWrongTwin CannotDeleteFarm CannotDeleteFarmWithPublicIPs CannotDeleteFarmWithNodesAssigned
        CannotDeleteFarmWrongTwin IpExists IpNotExists EntityWithNameExists EntityWithPubkeyExists EntityNotExists
        EntitySignatureDoesNotMatch EntityWithSignatureAlreadyExists CannotUpdateEntity CannotDeleteEntity
        SignatureLenghtIsIncorrect TwinExists TwinNotExists TwinWithPubkeyExists CannotCreateTwin
        UnauthorizedToUpdateTwin PricingPolicyExists PricingPolicyNotExists PricingPolicyWithDifferentIdExists
        CertificationCodeExists FarmingPolicyAlreadyExists FarmPayoutAdressAlreadyRegistered
        FarmerDoesNotHaveEnoughFunds UserDidNotSignTermsAndConditions FarmerDidNotSignTermsAndConditions
        FarmerNotAuthorized InvalidFarmName""",
)
CONTRACTS = Declared(
    "SmartContractModule",
    12,
    storage="""
        Contracts: u64 => types::Contract
        ContractBillingInformationByID: u64 => types::ContractBillingInformation
        NodeContractResources: u64 => types::ContractResources
        ContractIDByNodeIDAndHash: u32, Vec<u8> => u64
        ActiveNodeContracts: u32 => Vec<u64>
        ContractsToBillAt: u64 => Vec<u64>
        ContractLock: u64 => types::ContractLock<BalanceOf<T>> @59
        ContractIDByNameRegistration: Vec<u8> => u64
        ContractID: u64
    """,
    calls="""
        create_node_contract(node_id: u32, data: Vec<u8>, deployment_hash: Vec<u8>, public_ips: u32)
        update_node_contract(contract_id: u64, data: Vec<u8>, deployment_hash: Vec<u8>)
        cancel_contract(contract_id: u64)
        create_name_contract(name: Vec<u8>)
        add_nru_reports(reports: Vec<types::NruConsumption>)
        report_contract_resources(contract_resources: Vec<types::ContractResources>)
        create_rent_contract(node_id: u32) @59
    """,
    events="""
        ContractCreated(types::Contract)
        ContractUpdated(types::Contract)
        NodeContractCanceled(u64, u32, u32)
        NameContractCanceled(u64)
        IPsReserved(u64, Vec<PublicIP>)
        IPsFreed(u64, Vec<Vec<u8>>)
        ContractDeployed(u64, AccountId)
        ConsumptionReportReceived(types::Consumption)
        ContractBilled(types::ContractBill)
        TokensBurned(u64, BalanceOf)
        UpdatedUsedResources(types::ContractResources)
        NruConsumptionReportReceived(types::NruConsumption)
        RentContractCanceled(u64) @59
        ContractGracePeriodStarted(u64, u32, u32, u64) @59
        ContractGracePeriodEnded(u64, u32, u32) @59
    """,
    tells_errors=False,
)
MODULES = (SYSTEM, TIMESTAMP, BALANCES, PAYMENT, GRID, CONTRACTS)
