"""The lock variant: a bill grows a lock on the account; every 24 bills it is shared out, a part of it burned."""

from __future__ import annotations

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.fixed import percent
from zos.devchain.pallets import balances
from zos.devchain.pallets.contracts import billing
from zos.devchain.pallets.contracts.layout import NAME, NO_LOCK
from zos.devchain.pallets.contracts.lifecycle import Record, grace_start, is_deleted, remove, set_state

FOUNDATION = 10
STAKING = 5
SALES = 50


class Locks:
    """Bills as specs 145 to 149 do."""

    def __init__(self, *, surcharge: bool = False) -> None:
        self._surcharge = surcharge
        """Certified capacity costs a quarter more. The runtimes of this variant have the code and never use it."""

    def open(self, ctx: Context, id: int) -> None:
        ctx.put(f"{NAME}.ContractLock", id, {**NO_LOCK, "lock_updated": ctx.seconds})

    def restart(self, ctx: Context, id: int) -> None:
        ctx.put(f"{NAME}.ContractLock", id, {**ctx.get(f"{NAME}.ContractLock", id), "lock_updated": ctx.seconds})

    def bill(self, ctx: Context, contract: Record) -> None:
        id = contract["contract_id"]
        waived = billing.is_waived(ctx, contract)
        if waived and not is_deleted(contract):
            return
        account = billing.account_of(ctx, contract["twin_id"])
        own, all = billing.usable(ctx, contract["twin_id"], account)
        lock = ctx.get(f"{NAME}.ContractLock", id)
        seconds = 0 if waived else max(0, ctx.seconds - lock["lock_updated"])
        certified = self._surcharge and billing.is_certified(ctx, contract)
        due = billing.due(ctx, contract, seconds, all, certified=certified)
        # The clock is not moved, so that what is too little for a bill now is in the next one.
        if not due.total and not is_deleted(contract):
            return
        lock = {
            "amount_locked": lock["amount_locked"] + due.regular,
            "extra_amount_locked": lock["extra_amount_locked"] + due.extra,
            "lock_updated": ctx.seconds,
            "cycles": min(lock["cycles"] + 1, 2**16 - 1),
        }
        contract = _update_state(ctx, contract, own, lock["amount_locked"] + lock["extra_amount_locked"])
        if grace_start(contract) is not None:
            # In grace the debt grows here only: nothing is locked on the account, no traffic forgotten, no bill told.
            ctx.put(f"{NAME}.ContractLock", id, lock)
            return
        lock = _hold(ctx, contract, account, lock, due.total)
        billing.emit_bill(ctx, contract, due.level, due.total)
        if is_deleted(contract):
            remove(ctx, contract)
            return
        billing.forget_traffic(ctx, contract)
        ctx.put(f"{NAME}.ContractLock", id, lock)


def _update_state(ctx: Context, contract: Record, own: int, owed: int) -> Record:
    """Into grace, out of it, or over: by what the account has and the contract owes in all."""
    # A debt that equals the balance leads into grace; only a balance above the debt leads out of it.
    start = grace_start(contract)
    if start is None:
        return billing.enter_grace(ctx, contract) if contract["state"] == "Created" and owed >= own else contract
    if own > owed:
        return billing.leave_grace(ctx, contract)
    if ctx.block - start >= billing.GRACE:
        return set_state(ctx, contract, {"Deleted": "OutOfFunds"})
    return contract


def _hold(ctx: Context, contract: Record, account: bytes, lock: Record, due: int) -> Record:
    if not is_deleted(contract):
        balances.extend_lock(ctx, account, balances.locked(ctx, account) + due)
    total = lock["amount_locked"] + lock["extra_amount_locked"]
    if not (lock["cycles"] >= billing.DISTRIBUTION or (is_deleted(contract) and total)):
        return lock
    left = max(0, balances.locked(ctx, account) - (total if not is_deleted(contract) else total - due))
    # A lock that is no more than the deposit is dropped, and the deposit kept instead.
    keeps_lock = left > balances.DEPOSIT
    balances.set_lock(ctx, account, left if keeps_lock else 0)
    if lock["extra_amount_locked"]:
        _share_extra(ctx, contract, account, min(_spendable(ctx, account), lock["extra_amount_locked"]))
    _share(ctx, contract, account, min(_spendable(ctx, account), lock["amount_locked"]))
    return {**NO_LOCK, "lock_updated": ctx.seconds}


def _spendable(ctx: Context, account: bytes) -> int:
    return balances.usable(ctx, account, balances.DEPOSIT)


def _share_extra(ctx: Context, contract: Record, account: bytes, amount: int) -> None:
    """The extra fee of a dedicated node is all the farmer's."""
    farmer = billing.farmer_of(ctx, contract)
    assert farmer is not None
    _pay(ctx, account, farmer, amount)


def _share(ctx: Context, contract: Record, account: bytes, amount: int) -> None:
    """A tenth to the foundation, a twentieth to the staking pool, half to sales or solution; the rest is burned."""
    if not amount:
        return
    rates = billing.rates(ctx)
    foundation, staking = percent(FOUNDATION, amount), percent(STAKING, amount)
    _pay(ctx, account, rates.foundation, foundation)
    _pay(ctx, account, billing.STAKING_POOL, staking)
    sales = SALES
    for provider in _providers(ctx, contract):
        sales -= provider["take"]
        try:
            _pay(ctx, account, provider["who"], percent(provider["take"], amount))
        except Refusal:
            raise Refusal(NAME, "InvalidProviderConfiguration") from None
    if sales > 0:
        _pay(ctx, account, rates.sales, percent(sales, amount))
    # Providers' shares that were all rounded up may leave less; the runtime refuses the whole bill then.
    burned = min(percent(50, amount) - foundation - staking, _spendable(ctx, account))
    balances.burn(ctx, account, burned)
    ctx.emit(f"{NAME}.TokensBurned", contract_id=contract["contract_id"], amount=burned)


def _providers(ctx: Context, contract: Record) -> list[Record]:
    id = contract["solution_provider_id"]
    solution = None if id is None else ctx.get(f"{NAME}.SolutionProviders", id)
    return solution["providers"] if solution else []


def _pay(ctx: Context, source: bytes, target: bytes, amount: int) -> None:
    if amount:
        balances.move(ctx, source, target, amount, keep_alive=True)
