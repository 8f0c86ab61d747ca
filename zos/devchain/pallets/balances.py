"""Balances: who has how many units, what of them is locked or reserved, and the sum of all."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets.origin import guarded
from zos.devchain.pallets.system import NEW_LOGIC, NO_ACCOUNT
from zos.scale.metadata import MULTI_ADDRESS
from zos.scale.pallet import Constant, Pallet, call, errors, event, mapping, value
from zos.scale.types import ACCOUNT, BOOL, U32, U128, Array, Compact, Enum, Variant, Vec, struct, words

DEPOSIT = 500
GRID_LOCK = b"gridlock"
STATUS = Enum("frame_support::traits::tokens::misc::BalanceStatus", (Variant("Free", 0), Variant("Reserved", 1)))
REASONS = words("pallet_balances::types::Reasons", "Fee", "Misc", "All")
LOCK = struct("pallet_balances::types::BalanceLock", id=Array(8), amount=U128, reasons=REASONS)
MOVED: dict[str, Any] = {"from": ACCOUNT, "to": ACCOUNT, "amount": U128}

PALLET = Pallet(
    name="Balances",
    index=20,
    path="pallet_balances",
    storage=(
        value("TotalIssuance", U128, 0),
        value("InactiveIssuance", U128, 0),
        mapping("Locks", ACCOUNT, Vec(LOCK, 1 << 16, weakly=True), ()),
    ),
    calls=(
        call(0, "transfer_allow_death", dest=MULTI_ADDRESS, value=Compact(U128)),
        call(2, "force_transfer", source=MULTI_ADDRESS, dest=MULTI_ADDRESS, value=Compact(U128)),
        call(3, "transfer_keep_alive", dest=MULTI_ADDRESS, value=Compact(U128)),
        call(4, "transfer_all", dest=MULTI_ADDRESS, keep_alive=BOOL),
        call(7, "transfer", dest=MULTI_ADDRESS, value=Compact(U128)),
        call(8, "force_set_balance", who=MULTI_ADDRESS, new_free=Compact(U128)),
    ),
    events=(
        event("Endowed", account=ACCOUNT, free_balance=U128),
        event("DustLost", account=ACCOUNT, amount=U128),
        event("Transfer", **MOVED),
        event("BalanceSet", who=ACCOUNT, free=U128),
        event("Reserved", who=ACCOUNT, amount=U128),
        event("Unreserved", who=ACCOUNT, amount=U128),
        event("ReserveRepatriated", **MOVED, destination_status=STATUS),
        *(
            event(name, who=ACCOUNT, amount=U128)
            for name in ("Deposit", "Withdraw", "Slashed", "Minted", "Burned", "Suspended", "Restored")
        ),
        event("Upgraded", who=ACCOUNT),
        event("Issued", amount=U128),
        event("Rescinded", amount=U128),
        *(event(name, who=ACCOUNT, amount=U128) for name in ("Locked", "Unlocked", "Frozen", "Thawed")),
    ),
    errors=errors(
        """VestingBalance LiquidityRestrictions InsufficientBalance ExistentialDeposit Expendability
        ExistingVestingSchedule DeadAccount TooManyReserves TooManyHolds TooManyFreezes"""
    ),
    constants=(
        Constant("ExistentialDeposit", U128, DEPOSIT),
        Constant("MaxLocks", U32, 50),
        Constant("MaxReserves", U32, 50),
    ),
)


class Balances:
    """Calls that move money from account to account."""

    def transfer_allow_death(self, ctx: Context, who: bytes, dest: Any, value: int) -> None:
        move(ctx, who, account(dest), value, keep_alive=False)

    def transfer(self, ctx: Context, who: bytes, dest: Any, value: int) -> None:
        move(ctx, who, account(dest), value, keep_alive=False)

    def transfer_keep_alive(self, ctx: Context, who: bytes, dest: Any, value: int) -> None:
        move(ctx, who, account(dest), value, keep_alive=True)

    def transfer_all(self, ctx: Context, who: bytes, dest: Any, keep_alive: bool) -> None:
        amount = usable(ctx, who, DEPOSIT if keep_alive else 0)
        if amount > 0:
            move(ctx, who, account(dest), amount, keep_alive=keep_alive)

    @guarded
    def force_transfer(self, ctx: Context, who: bytes, source: Any, dest: Any, value: int) -> None:
        move(ctx, account(source), account(dest), value, keep_alive=False)

    # `call` passes the argument `who` by its name, so the caller's account has another name here.
    @guarded
    def force_set_balance(self, ctx: Context, caller: bytes, /, who: Any, new_free: int) -> None:
        target = account(who)
        difference = new_free - free(ctx, target)
        if difference > 0:
            mint(ctx, target, difference)
        else:
            take(ctx, target, -difference)
            ctx.put("Balances.TotalIssuance", ctx.get("Balances.TotalIssuance") + difference)
        ctx.emit("Balances.BalanceSet", who=target, free=new_free)


def account(dest: Any) -> bytes:
    """The account behind a MultiAddress; only plain ids are known."""
    if not isinstance(dest, dict) or "Id" not in dest:
        raise Refusal("runtime", "CannotLookup")
    return bytes(dest["Id"])


def free(ctx: Context, who: bytes) -> int:
    """What an account has and has not reserved."""
    return int(ctx.get("System.Account", who)["data"]["free"])


def usable(ctx: Context, who: bytes, keep: int = 0) -> int:
    """What an account can spend when it keeps so much: free, but for the larger of that and its locks."""
    data = ctx.get("System.Account", who)["data"]
    return max(0, int(data["free"]) - max(int(data["frozen"]), keep))


def move(ctx: Context, source: bytes, target: bytes, amount: int, *, keep_alive: bool) -> None:
    """From one account to another."""
    info = ctx.get("System.Account", source)
    data = info["data"]
    left = data["free"] - amount
    if left < 0:
        raise Refusal("Token", "FundsUnavailable")
    if amount and left < data["frozen"]:
        raise Refusal("Token", "Frozen")
    if source == target:
        return
    if (keep_alive or info["consumers"]) and left + data["reserved"] < DEPOSIT:
        raise Refusal("Token", "NotExpendable")
    if free(ctx, target) + amount < DEPOSIT:
        raise Refusal("Token", "BelowMinimum")
    take(ctx, source, amount)
    give(ctx, target, amount)
    ctx.emit("Balances.Transfer", **{"from": source, "to": target, "amount": amount})


def give(ctx: Context, who: bytes, amount: int) -> None:
    """Add to an account, which begins to exist with it; less than the deposit for nobody is lost."""
    info = ctx.get("System.Account", who)
    if info["providers"] == 0:
        if amount < DEPOSIT:
            _shrink(ctx, amount)
            return
        info = {**info, "providers": 1}
        ctx.emit("System.NewAccount", account=who)
        ctx.emit("Balances.Endowed", account=who, free_balance=amount)
    data = {**info["data"], "free": info["data"]["free"] + amount, "flags": NEW_LOGIC}
    ctx.put("System.Account", who, {**info, "data": data})


def take(ctx: Context, who: bytes, amount: int) -> None:
    """Take from an account; one that falls below the deposit ends, its dust with it."""
    info = ctx.get("System.Account", who)
    left = info["data"]["free"] - amount
    if left < 0:
        raise Refusal("Token", "FundsUnavailable")
    if left + info["data"]["reserved"] >= DEPOSIT or info["consumers"]:
        ctx.put("System.Account", who, {**info, "data": {**info["data"], "free": left}})
        return
    if left:
        ctx.emit("Balances.DustLost", account=who, amount=left)
        _shrink(ctx, left)
    ctx.emit("System.KilledAccount", account=who)
    # A nonce that began anew would make old signed calls valid again. The real chain has that flaw; labs need not.
    ctx.put("System.Account", who, {**NO_ACCOUNT, "nonce": info["nonce"]})


def mint(ctx: Context, who: bytes, amount: int) -> None:
    """Make new units (genesis, and the activation stand-in)."""
    ctx.put("Balances.TotalIssuance", ctx.get("Balances.TotalIssuance") + amount)
    give(ctx, who, amount)


def burn(ctx: Context, who: bytes, amount: int) -> None:
    """Units that nobody has any more."""
    if not amount:
        return
    info = ctx.get("System.Account", who)
    if info["data"]["free"] - amount < max(info["data"]["frozen"], 0 if info["data"]["reserved"] else DEPOSIT):
        raise Refusal("Token", "NotExpendable")
    take(ctx, who, amount)
    _shrink(ctx, amount)
    ctx.emit("Balances.Withdraw", who=who, amount=amount)
    ctx.emit("Balances.Rescinded", amount=amount)


def _shrink(ctx: Context, amount: int) -> None:
    ctx.put("Balances.TotalIssuance", ctx.get("Balances.TotalIssuance") - amount)


# Locks: what an account has and must not spend


def locked(ctx: Context, who: bytes) -> int:
    """What of the free units must stay."""
    data = ctx.get("System.Account", who)["data"]
    return min(int(data["free"]), int(data["frozen"]))


def extend_lock(ctx: Context, who: bytes, amount: int) -> None:
    """Lock at least so much."""
    present = ctx.get("Balances.Locks", who)
    if amount:
        set_lock(ctx, who, max([amount, *(one["amount"] for one in present)]))


def set_lock(ctx: Context, who: bytes, amount: int) -> None:
    """Lock exactly so much; 0 takes the lock away. The grid's is the only one there is."""
    info = ctx.get("System.Account", who)
    before = info["data"]["frozen"]
    if amount:
        ctx.put("Balances.Locks", who, [{"id": GRID_LOCK, "amount": amount, "reasons": "All"}])
    else:
        ctx.drop("Balances.Locks", who)
    _store(ctx, who, info, {**info["data"], "frozen": amount})
    if amount > before:
        ctx.emit("Balances.Locked", who=who, amount=amount - before)
    elif amount < before:
        ctx.emit("Balances.Unlocked", who=who, amount=before - amount)


def _store(ctx: Context, who: bytes, info: dict[str, Any], data: dict[str, int]) -> None:
    consumers = bool(data["frozen"]) + bool(data["reserved"])
    ctx.put("System.Account", who, {**info, "consumers": consumers, "data": data})


# Reserves: what an account has put aside


def can_reserve(ctx: Context, who: bytes, amount: int) -> bool:
    """Whether so much can be put aside and the account still lives."""
    return not amount or usable(ctx, who, DEPOSIT) >= amount


def reserve(ctx: Context, who: bytes, amount: int) -> None:
    """Moves money from free to reserved. Raises Refusal when the account has too little."""
    if not amount:
        return
    if not can_reserve(ctx, who, amount):
        raise Refusal("Balances", "InsufficientBalance")
    info = ctx.get("System.Account", who)
    data = info["data"]
    _store(ctx, who, info, {**data, "free": data["free"] - amount, "reserved": data["reserved"] + amount})
    ctx.emit("Balances.Reserved", who=who, amount=amount)


def pay_reserved(ctx: Context, source: bytes, target: bytes, amount: int) -> None:
    """From what one account has put aside to another's free units."""
    if not amount:
        return
    info = ctx.get("System.Account", source)
    data = info["data"]
    if data["reserved"] < amount:
        raise Refusal("SmartContractModule", "RewardDistributionError")
    _store(ctx, source, info, {**data, "reserved": data["reserved"] - amount})
    is_known = bool(ctx.get("System.Account", target)["providers"])
    give(ctx, target, amount)
    if is_known:
        names = {"from": source, "to": target, "amount": amount}
        ctx.emit("Balances.ReserveRepatriated", **names, destination_status="Free")
    else:
        ctx.emit("Balances.Slashed", who=source, amount=amount)
        ctx.emit("Balances.Deposit", who=target, amount=amount)
