"""TfgridModule as clients see it: storage, calls, events, errors, constants. Its calls are made in `tfgrid.py`."""

from __future__ import annotations

from typing import Any

from zos.devchain.types import (
    BOUNDED,
    FARM,
    FARM_CERTIFICATION,
    FARM_LIMITS,
    FARMING_POLICY,
    INTERFACE_INPUT,
    IP4,
    LOCATION_INPUT,
    NODE,
    NODE_CERTIFICATION,
    NODE_POWER,
    POLICY,
    POWER,
    POWER_STATE,
    PRICING_POLICY,
    PUBLIC_CONFIG,
    RESOURCES,
    TERMS,
    TWIN,
)
from zos.scale.pallet import Constant, Pallet, call, errors, event, mapping, value
from zos.scale.types import ACCOUNT, BOOL, BYTES, U8, U16, U32, U64, Bytes, Option, Vec, Wrapped, struct

NO_POLICY = {
    **dict.fromkeys(("version", "id", "cu", "su", "nu", "ipv4", "minimal_uptime", "policy_created", "policy_end"), 0),
    **dict.fromkeys(("immutable", "default"), False),
    "name": b"",
    "node_certification": "Diy",
    "farm_certification": "NotCertified",
}
DRIFT = 60
UP = {"state": "Up", "target": "Up"}
ENTITY = struct(
    "pallet_tfgrid::types::Entity",
    version=U32,
    id=U32,
    name=BYTES,
    account_id=ACCOUNT,
    country=Wrapped("pallet_tfgrid::node::CountryName", BOUNDED),
    city=Wrapped("pallet_tfgrid::node::CityName", BOUNDED),
)
NODE_ARGUMENTS: dict[str, Any] = {
    "farm_id": U32,
    "resources": RESOURCES,
    "location": LOCATION_INPUT,
    "interfaces": Vec(INTERFACE_INPUT, 10),
    "secure_boot": BOOL,
    "virtualized": BOOL,
    "serial_number": Option(Bytes(128)),
}
PRICING_ARGUMENTS: dict[str, Any] = {
    "name": BYTES,
    **dict.fromkeys(("su", "cu", "nu", "ipu", "unique_name", "domain_name"), POLICY),
    **dict.fromkeys(("foundation_account", "certified_sales_account"), ACCOUNT),
    "discount_for_dedication_nodes": U8,
}


def farming_arguments(*, is_new: bool) -> dict[str, Any]:
    """The arguments about a farming policy; that it can never change is said once."""
    return {
        "name": BYTES,
        **dict.fromkeys(("su", "cu", "nu", "ipv4"), U32),
        "minimal_uptime": U16,
        "policy_end": U32,
        **({"immutable": BOOL} if is_new else {}),
        "default": BOOL,
        "node_certification": NODE_CERTIFICATION,
        "farm_certification": FARM_CERTIFICATION,
    }


PALLET = Pallet(
    name="TfgridModule",
    index=25,
    path="pallet_tfgrid",
    storage=(
        mapping("Farms", U32, FARM, optional=True),
        mapping("NodesByFarmID", U32, Vec(U32), ()),
        mapping("FarmIdByName", BYTES, U32, 0),
        mapping("FarmPayoutV2AddressByFarmID", U32, BYTES, b""),
        mapping("Nodes", U32, NODE, optional=True),
        mapping("NodeIdByTwinID", U32, U32, 0),
        mapping("Entities", U32, ENTITY, optional=True),
        mapping("EntityIdByAccountID", ACCOUNT, U32, optional=True),
        mapping("EntityIdByName", BYTES, U32, 0),
        mapping("Twins", U32, TWIN, optional=True),
        mapping("TwinIdByAccountID", ACCOUNT, U32, optional=True),
        mapping("TwinBoundedAccountID", U32, ACCOUNT, optional=True),
        mapping("PricingPolicies", U32, PRICING_POLICY, optional=True),
        mapping("PricingPolicyIdByName", BYTES, U32, 0),
        mapping("FarmingPoliciesMap", U32, FARMING_POLICY, NO_POLICY),
        mapping("UsersTermsAndConditions", ACCOUNT, Vec(TERMS), optional=True),
        value("AllowedNodeCertifiers", Vec(ACCOUNT), optional=True),
        value("ConnectionPrice", U32, 0),
        value("FarmID", U32, 0),
        value("NodeID", U32, 0),
        value("EntityID", U32, 0),
        value("TwinID", U32, 0),
        value("PricingPolicyID", U32, 0),
        value("FarmingPolicyID", U32, 0),
        value("ZosVersion", BYTES, b""),
        mapping("NodePower", U32, NODE_POWER, UP),
    ),
    calls=(
        call(1, "create_farm", name=Bytes(40), public_ips=Vec(IP4, 512)),
        call(2, "update_farm", farm_id=U32, name=Bytes(40)),
        call(3, "add_stellar_payout_v2address", farm_id=U32, stellar_address=BYTES),
        call(4, "set_farm_certification", farm_id=U32, certification=FARM_CERTIFICATION),
        call(5, "add_farm_ip", farm_id=U32, ip=Bytes(18), gw=Bytes(15)),
        call(6, "remove_farm_ip", farm_id=U32, ip=Bytes(18)),
        call(8, "create_node", **NODE_ARGUMENTS),
        call(9, "update_node", is_free=True, node_id=U32, **NODE_ARGUMENTS),
        call(10, "set_node_certification", node_id=U32, node_certification=NODE_CERTIFICATION),
        call(11, "report_uptime", is_free=True, uptime=U64),
        call(12, "add_node_public_config", farm_id=U32, node_id=U32, public_config=Option(PUBLIC_CONFIG)),
        call(13, "delete_node", node_id=U32),
        call(14, "create_entity", target=ACCOUNT, name=BYTES, country=Bytes(56), city=Bytes(58), signature=BYTES),
        call(15, "update_entity", name=BYTES, country=Bytes(56), city=Bytes(58)),
        call(16, "delete_entity"),
        call(17, "create_twin", relay=Option(Bytes(1024)), pk=Option(Bytes(128))),
        call(18, "update_twin", relay=Option(Bytes(1024)), pk=Option(Bytes(128))),
        call(19, "add_twin_entity", twin_id=U32, entity_id=U32, signature=BYTES),
        call(20, "delete_twin_entity", twin_id=U32, entity_id=U32),
        call(22, "create_pricing_policy", **PRICING_ARGUMENTS),
        call(23, "update_pricing_policy", pricing_policy_id=U32, **PRICING_ARGUMENTS),
        call(24, "create_farming_policy", **farming_arguments(is_new=True)),
        call(25, "user_accept_tc", document_link=Bytes(2048), document_hash=Bytes(50)),
        call(26, "delete_node_farm", node_id=U32),
        call(27, "set_farm_dedicated", farm_id=U32, dedicated=BOOL),
        call(28, "force_reset_farm_ip", farm_id=U32, ip=Bytes(18)),
        call(29, "set_connection_price", price=U32),
        call(30, "add_node_certifier", certifier=ACCOUNT),
        call(31, "remove_node_certifier", certifier=ACCOUNT),
        call(32, "update_farming_policy", farming_policy_id=U32, **farming_arguments(is_new=False)),
        call(33, "attach_policy_to_farm", farm_id=U32, limits=Option(FARM_LIMITS)),
        call(34, "set_zos_version", zos_version=BYTES),
        call(35, "change_power_state", is_free=True, power_state=POWER),
        call(36, "change_power_target", node_id=U32, power_target=POWER),
        call(37, "bond_twin_account", twin_id=U32),
        call(38, "report_uptime_v2", is_free=True, uptime=U64, timestamp_hint=U64),
    ),
    events=(
        event("FarmStored", FARM),
        event("FarmUpdated", FARM),
        event("FarmDeleted", U32),
        event("NodeStored", NODE),
        event("NodeUpdated", NODE),
        event("NodeDeleted", U32),
        event("NodeUptimeReported", U32, U64, U64),
        event("NodePublicConfigStored", U32, Option(PUBLIC_CONFIG)),
        event("EntityStored", ENTITY),
        event("EntityUpdated", ENTITY),
        event("EntityDeleted", U32),
        event("TwinStored", TWIN),
        event("TwinUpdated", TWIN),
        event("TwinEntityStored", U32, U32, BYTES),
        event("TwinEntityRemoved", U32, U32),
        event("TwinDeleted", U32),
        event("TwinAccountBounded", U32, ACCOUNT),
        event("PricingPolicyStored", PRICING_POLICY),
        event("FarmingPolicyStored", FARMING_POLICY),
        event("FarmPayoutV2AddressRegistered", U32, BYTES),
        event("FarmMarkedAsDedicated", U32),
        event("ConnectionPriceSet", U32),
        event("NodeCertificationSet", U32, NODE_CERTIFICATION),
        event("NodeCertifierAdded", ACCOUNT),
        event("NodeCertifierRemoved", ACCOUNT),
        event("FarmingPolicyUpdated", FARMING_POLICY),
        event("FarmingPolicySet", U32, Option(FARM_LIMITS)),
        event("FarmCertificationSet", U32, FARM_CERTIFICATION),
        event("ZosVersionUpdated", BYTES),
        event("PowerTargetChanged", farm_id=U32, node_id=U32, power_target=POWER),
        event("PowerStateChanged", farm_id=U32, node_id=U32, power_state=POWER_STATE),
    ),
    errors=errors(
        """NoneValue StorageOverflow CannotCreateNode NodeNotExists NodeWithTwinIdExists CannotDeleteNode
        NodeDeleteNotAuthorized NodeUpdateNotAuthorized FarmExists FarmNotExists CannotCreateFarmWrongTwin
        CannotUpdateFarmWrongTwin CannotDeleteFarm CannotDeleteFarmWithPublicIPs CannotDeleteFarmWithNodesAssigned
        CannotDeleteFarmWrongTwin IpExists IpNotExists EntityWithNameExists EntityWithPubkeyExists EntityNotExists
        EntitySignatureDoesNotMatch EntityWithSignatureAlreadyExists CannotUpdateEntity CannotDeleteEntity
        SignatureLengthIsIncorrect TwinExists TwinNotExists TwinWithPubkeyExists CannotCreateTwin
        UnauthorizedToUpdateTwin TwinCannotBoundToItself PricingPolicyExists PricingPolicyNotExists
        PricingPolicyWithDifferentIdExists CertificationCodeExists FarmingPolicyAlreadyExists
        FarmPayoutAdressAlreadyRegistered FarmerDoesNotHaveEnoughFunds UserDidNotSignTermsAndConditions
        FarmerDidNotSignTermsAndConditions FarmerNotAuthorized InvalidFarmName AlreadyCertifier NotCertifier
        NotAllowedToCertifyNode FarmingPolicyNotExists RelayTooShort RelayTooLong InvalidRelay FarmNameTooShort
        FarmNameTooLong InvalidPublicIP PublicIPTooShort PublicIPTooLong GatewayIPTooShort GatewayIPTooLong IP4TooShort
        IP4TooLong InvalidIP4 GW4TooShort GW4TooLong InvalidGW4 IP6TooShort IP6TooLong InvalidIP6 GW6TooShort
        GW6TooLong InvalidGW6 DomainTooShort DomainTooLong InvalidDomain MethodIsDeprecated InterfaceNameTooShort
        InterfaceNameTooLong InvalidInterfaceName InterfaceMacTooShort InterfaceMacTooLong InvalidMacAddress
        InterfaceIpTooShort InterfaceIpTooLong InvalidInterfaceIP InvalidZosVersion FarmingPolicyExpired InvalidHRUInput
        InvalidSRUInput InvalidCRUInput InvalidMRUInput LatitudeInputTooShort LatitudeInputTooLong InvalidLatitudeInput
        LongitudeInputTooShort LongitudeInputTooLong InvalidLongitudeInput CountryNameTooShort CountryNameTooLong
        InvalidCountryName CityNameTooShort CityNameTooLong InvalidCityName InvalidCountryCityPair SerialNumberTooShort
        SerialNumberTooLong InvalidSerialNumber DocumentLinkInputTooShort DocumentLinkInputTooLong
        InvalidDocumentLinkInput DocumentHashInputTooShort DocumentHashInputTooLong InvalidDocumentHashInput
        InvalidPublicConfig UnauthorizedToChangePowerTarget InvalidRelayAddress InvalidTimestampHint"""
    ),
    constants=(
        Constant("MaxFarmNameLength", U32, 40),
        Constant("MaxFarmPublicIps", U32, 512),
        Constant("MaxInterfacesLength", U32, 10),
        Constant("MaxInterfaceIpsLength", U32, 10),
        Constant("TimestampHintDrift", U64, DRIFT),
    ),
)
