"""The reserve variant: a bill is reserved on the account, what is missing is an overdraft; the farmer gets half."""

from __future__ import annotations

from zos.devchain.context import Context
from zos.devchain.fixed import percent
from zos.devchain.pallets import balances
from zos.devchain.pallets.contracts import billing
from zos.devchain.pallets.contracts.layout import NAME
from zos.devchain.pallets.contracts.lifecycle import (
    Record,
    content,
    grace_start,
    is_deleted,
    load,
    node_of_contract,
    remove,
    set_state,
)

STAKING = 10
FOUNDATION = 40
EMPTY = {
    "standard_reserve": 0,
    "additional_reserve": 0,
    "standard_overdraft": 0,
    "additional_overdraft": 0,
    "cycles": 0,
}


class Reserves:
    """Bills as specs 152 and later do."""

    def open(self, ctx: Context, id: int) -> None:
        ctx.put(f"{NAME}.ContractPaymentState", id, {**EMPTY, "last_updated_seconds": ctx.seconds})

    def restart(self, ctx: Context, id: int) -> None:
        state = ctx.get(f"{NAME}.ContractPaymentState", id)
        ctx.put(f"{NAME}.ContractPaymentState", id, {**state, "last_updated_seconds": ctx.seconds})

    def bill(self, ctx: Context, contract: Record) -> None:
        id = contract["contract_id"]
        account = billing.account_of(ctx, contract["twin_id"])
        farmer = billing.farmer_of(ctx, contract)
        state = ctx.get(f"{NAME}.ContractPaymentState", id)
        ctx.need(state, f"{NAME}.ContractPaymentStateNotExists")
        due = billing.Due()
        if billing.is_waived(ctx, contract):
            # The rent of a node that is asleep is waived; `restart` sets the clock when it wakes up.
            ctx.emit(f"{NAME}.RentWaived", contract_id=id)
            if contract["state"] == "Created":
                return
        else:
            _, all = billing.usable(ctx, contract["twin_id"], account, balances.DEPOSIT)
            seconds = max(0, ctx.seconds - state["last_updated_seconds"])
            certified = billing.is_certified(ctx, contract)
            due = billing.due(ctx, contract, seconds, all, certified=certified)
        owed = due.total + _overdraft(state)
        if not owed and not is_deleted(contract):
            return
        has_funds = balances.can_reserve(ctx, account, owed)
        contract = _update_state(ctx, contract, has_funds)
        state = {
            **state,
            "standard_overdraft": state["standard_overdraft"] + due.regular,
            "additional_overdraft": state["additional_overdraft"] + due.extra,
        }
        state = _collect(ctx, contract, account, state, due, has_funds)
        state = _remit(ctx, contract, account, farmer, state)
        if is_deleted(contract):
            remove(ctx, contract)
            return
        billing.forget_traffic(ctx, contract)
        ctx.put(f"{NAME}.ContractPaymentState", id, {**state, "last_updated_seconds": ctx.seconds})


def _overdraft(state: Record) -> int:
    return int(state["standard_overdraft"] + state["additional_overdraft"])


def _reserve(state: Record) -> int:
    return int(state["standard_reserve"] + state["additional_reserve"])


def _update_state(ctx: Context, contract: Record, has_funds: bool) -> Record:
    start = grace_start(contract)
    if start is None:
        return billing.enter_grace(ctx, contract) if contract["state"] == "Created" and not has_funds else contract
    if has_funds and not _rent_is_suspended(ctx, contract):
        return billing.leave_grace(ctx, contract)
    if ctx.block - start < billing.GRACE or _waits_for_reserves(ctx, contract):
        return contract
    id = contract["contract_id"]
    ctx.emit(f"{NAME}.ContractGracePeriodElapsed", contract_id=id, grace_period=ctx.block - start)
    return set_state(ctx, contract, {"Deleted": "OutOfFunds"})


def _rent_is_suspended(ctx: Context, contract: Record) -> bool:
    """A contract on a rented node follows the rent, not its own debts."""
    if content(contract)[0] != "NodeContract":
        return False
    rent = ctx.get(f"{NAME}.ActiveRentContractForNode", node_of_contract(contract))
    return rent is not None and grace_start(load(ctx, rent)) is not None


def _waits_for_reserves(ctx: Context, contract: Record) -> bool:
    """A rent contract ends only when its node's contracts hold no money any more."""
    kind, body = content(contract)
    if kind != "RentContract":
        return False
    states = (
        ctx.get(f"{NAME}.ContractPaymentState", id) for id in ctx.get(f"{NAME}.ActiveNodeContracts", body["node_id"])
    )
    return any(state and _reserve(state) for state in states)


def _collect(
    ctx: Context, contract: Record, account: bytes, state: Record, due: billing.Due, has_funds: bool
) -> Record:
    """Reserve all that is owed, or what there is: the farmer's extra fee first."""
    there = _overdraft(state) if has_funds else balances.usable(ctx, account, balances.DEPOSIT)
    there = min(there, _overdraft(state))
    additional = min(there, state["additional_overdraft"])
    standard = there - additional
    balances.reserve(ctx, account, there)
    # One bill has all that is owed, with what earlier ones could not get; those were no bills but overdrafts.
    if has_funds:
        billing.emit_bill(ctx, contract, due.level, there)
    else:
        ctx.emit(
            f"{NAME}.ContractPaymentOverdrawn",
            contract_id=contract["contract_id"],
            timestamp=ctx.seconds,
            partially_billed_amount=there,
            overdraft=max(0, due.total - there),
        )
    return {
        **state,
        "standard_overdraft": state["standard_overdraft"] - standard,
        "additional_overdraft": state["additional_overdraft"] - additional,
        "standard_reserve": state["standard_reserve"] + standard,
        "additional_reserve": state["additional_reserve"] + additional,
    }


def _remit(ctx: Context, contract: Record, account: bytes, farmer: bytes | None, state: Record) -> Record:
    """Share out every 24 bills, and at the end."""
    state = {**state, "cycles": min(state["cycles"] + 1, 2**16 - 1)}
    if not (state["cycles"] >= billing.DISTRIBUTION or is_deleted(contract)) or not _reserve(state):
        return state
    standard, additional = state["standard_reserve"], state["additional_reserve"]
    if additional and farmer is not None:
        balances.pay_reserved(ctx, account, farmer, additional)
    staking = percent(STAKING, standard)
    balances.pay_reserved(ctx, account, billing.STAKING_POOL, staking)
    foundation = standard - staking
    if farmer is not None:
        foundation = percent(FOUNDATION, standard)
        balances.pay_reserved(ctx, account, farmer, standard - staking - foundation)
    balances.pay_reserved(ctx, account, billing.rates(ctx).foundation, foundation)
    ctx.emit(
        f"{NAME}.RewardDistributed",
        contract_id=contract["contract_id"],
        standard_rewards=standard,
        additional_rewards=additional,
    )
    return {**state, "standard_reserve": 0, "additional_reserve": 0, "cycles": 0}
