"""Service contracts: two twins agree on words and fees; the one bills the other."""

from __future__ import annotations

from zos.devchain import pricing
from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets import balances
from zos.devchain.pallets.contracts.billing import account_of, tokens
from zos.devchain.pallets.contracts.layout import NAME
from zos.devchain.pallets.contracts.lifecycle import Record
from zos.devchain.pallets.grid_common import twin_of

LONGEST = 64
LONGEST_OF_BILL = 50


class Services:
    """Calls about service contracts between two twins."""

    def service_contract_create(
        self, ctx: Context, who: bytes, service_account: bytes, consumer_account: bytes
    ) -> None:
        caller, service, consumer = (twin_of(ctx, one, NAME) for one in (who, service_account, consumer_account))
        ctx.need(caller in (service, consumer), f"{NAME}.TwinNotAuthorized")
        ctx.need(service != consumer, f"{NAME}.ServiceContractCreationNotAllowed")
        contract = {
            "service_contract_id": ctx.count(f"{NAME}.ServiceContractID"),
            "service_twin_id": service,
            "consumer_twin_id": consumer,
            "base_fee": 0,
            "variable_fee": 0,
            "metadata": b"",
            "accepted_by_service": False,
            "accepted_by_consumer": False,
            "last_bill": 0,
            "state": "Created",
        }
        _store(ctx, contract, "Created")

    def service_contract_set_metadata(
        self, ctx: Context, who: bytes, service_contract_id: int, metadata: bytes
    ) -> None:
        contract = _mine(ctx, who, service_contract_id)
        _check_open(ctx, contract)
        ctx.need(len(metadata) <= LONGEST, f"{NAME}.ServiceContractMetadataTooLong")
        contract["metadata"] = metadata
        if contract["base_fee"]:
            contract["state"] = "AgreementReady"
        _store(ctx, contract, "MetadataSet")

    def service_contract_set_fees(
        self, ctx: Context, who: bytes, service_contract_id: int, base_fee: int, variable_fee: int
    ) -> None:
        contract = _mine(ctx, who, service_contract_id, service_only=True)
        _check_open(ctx, contract)
        contract |= {"base_fee": base_fee, "variable_fee": variable_fee}
        if contract["metadata"]:
            contract["state"] = "AgreementReady"
        _store(ctx, contract, "FeesSet")

    def service_contract_approve(self, ctx: Context, who: bytes, service_contract_id: int) -> None:
        twin = twin_of(ctx, who, NAME)
        contract = _load(ctx, service_contract_id)
        ctx.need(contract["state"] == "AgreementReady", f"{NAME}.ServiceContractApprovalNotAllowed")
        _check_party(ctx, contract, twin)
        side = "service" if twin == contract["service_twin_id"] else "consumer"
        contract[f"accepted_by_{side}"] = True
        if contract["accepted_by_service"] and contract["accepted_by_consumer"]:
            contract |= {"state": "ApprovedByBoth", "last_bill": ctx.seconds}
        _store(ctx, contract, "Approved")

    def service_contract_reject(self, ctx: Context, who: bytes, service_contract_id: int) -> None:
        contract = _load(ctx, service_contract_id)
        ctx.need(contract["state"] == "AgreementReady", f"{NAME}.ServiceContractRejectionNotAllowed")
        self.service_contract_cancel(ctx, who, service_contract_id)

    def service_contract_cancel(self, ctx: Context, who: bytes, service_contract_id: int) -> None:
        _mine(ctx, who, service_contract_id)
        ctx.drop(f"{NAME}.ServiceContracts", service_contract_id)
        ctx.emit(f"{NAME}.ServiceContractCanceled", service_contract_id=service_contract_id, cause="CanceledByUser")

    def service_contract_bill(
        self, ctx: Context, who: bytes, service_contract_id: int, variable_amount: int, metadata: bytes
    ) -> None:
        contract = _mine(ctx, who, service_contract_id, service_only=True)
        is_agreed = contract["state"] == "ApprovedByBoth"
        ctx.need(is_agreed, f"{NAME}.ServiceContractBillingNotApprovedByBoth")
        window = min(ctx.seconds - contract["last_bill"], pricing.HOUR)
        is_fair = variable_amount <= pricing.variable_limit(contract["variable_fee"], window)
        ctx.need(is_fair, f"{NAME}.ServiceContractBillingVariableAmountTooHigh")
        ctx.need(len(metadata) <= LONGEST_OF_BILL, f"{NAME}.ServiceContractBillMetadataTooLong")
        amount = _charge(ctx, contract, pricing.service_cost(contract["base_fee"], variable_amount, window))
        contract["last_bill"] = ctx.seconds
        ctx.put(f"{NAME}.ServiceContracts", service_contract_id, contract)
        bill = {"variable_amount": variable_amount, "window": window, "metadata": metadata}
        ctx.emit(f"{NAME}.ServiceContractBilled", service_contract=contract, bill=bill, amount=amount)


def _charge(ctx: Context, contract: Record, units: int) -> int:
    amount = tokens(ctx, units) if units else 0
    consumer = account_of(ctx, contract["consumer_twin_id"])
    # The runtime also cancels the contract here; its own refusal then takes that back.
    if balances.usable(ctx, consumer) < amount:
        raise Refusal(NAME, "ServiceContractNotEnoughFundsToPayBill")
    if amount:
        balances.move(ctx, consumer, account_of(ctx, contract["service_twin_id"]), amount, keep_alive=True)
    return amount


def _load(ctx: Context, id: int) -> Record:
    contract: Record | None = ctx.get(f"{NAME}.ServiceContracts", id)
    ctx.need(contract, f"{NAME}.ServiceContractNotExists")
    assert contract is not None
    return contract


def _mine(ctx: Context, who: bytes, id: int, *, service_only: bool = False) -> Record:
    twin = twin_of(ctx, who, NAME)
    contract = _load(ctx, id)
    if service_only:
        ctx.need(twin == contract["service_twin_id"], f"{NAME}.TwinNotAuthorized")
    else:
        _check_party(ctx, contract, twin)
    return contract


def _check_party(ctx: Context, contract: Record, twin: int) -> None:
    parties = (contract["service_twin_id"], contract["consumer_twin_id"])
    ctx.need(twin in parties, f"{NAME}.TwinNotAuthorized")


def _check_open(ctx: Context, contract: Record) -> None:
    ctx.need(contract["state"] != "ApprovedByBoth", f"{NAME}.ServiceContractModificationNotAllowed")


def _store(ctx: Context, contract: Record, event: str) -> None:
    ctx.put(f"{NAME}.ServiceContracts", contract["service_contract_id"], contract)
    ctx.emit(f"{NAME}.ServiceContract{event}", contract)
