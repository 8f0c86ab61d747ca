"""Balances: who has how many units, and the sum of all."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets.system import NEW_LOGIC, NO_ACCOUNT
from zos.scale.metadata import MULTI_ADDRESS
from zos.scale.pallet import Constant, Pallet, call, errors, event, value
from zos.scale.types import ACCOUNT, BOOL, U32, U128, Compact, Enum, Variant

DEPOSIT = 500
STATUS = Enum("frame_support::traits::tokens::misc::BalanceStatus", (Variant("Free", 0), Variant("Reserved", 1)))
MOVED: dict[str, Any] = {"from": ACCOUNT, "to": ACCOUNT, "amount": U128}

PALLET = Pallet(
    name="Balances",
    index=20,
    path="pallet_balances",
    storage=(value("TotalIssuance", U128, 0),),
    calls=(
        call(0, "transfer_allow_death", dest=MULTI_ADDRESS, value=Compact(U128)),
        call(3, "transfer_keep_alive", dest=MULTI_ADDRESS, value=Compact(U128)),
        call(4, "transfer_all", dest=MULTI_ADDRESS, keep_alive=BOOL),
        call(7, "transfer", dest=MULTI_ADDRESS, value=Compact(U128)),
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
    """Transfers."""

    def transfer_allow_death(self, ctx: Context, who: bytes, dest: Any, value: int) -> None:
        move(ctx, who, _account(dest), value, keep_alive=False)

    def transfer(self, ctx: Context, who: bytes, dest: Any, value: int) -> None:
        move(ctx, who, _account(dest), value, keep_alive=False)

    def transfer_keep_alive(self, ctx: Context, who: bytes, dest: Any, value: int) -> None:
        move(ctx, who, _account(dest), value, keep_alive=True)

    def transfer_all(self, ctx: Context, who: bytes, dest: Any, keep_alive: bool) -> None:
        usable = free(ctx, who) - (DEPOSIT if keep_alive else 0)
        if usable > 0:
            move(ctx, who, _account(dest), usable, keep_alive=keep_alive)


def _account(dest: Any) -> bytes:
    if not isinstance(dest, dict) or "Id" not in dest:
        raise Refusal("runtime", "CannotLookup")
    return bytes(dest["Id"])


def free(ctx: Context, who: bytes) -> int:
    """What an account can spend."""
    return int(ctx.get("System.Account", who)["data"]["free"])


def move(ctx: Context, source: bytes, target: bytes, amount: int, *, keep_alive: bool) -> None:
    """From one account to another."""
    left = free(ctx, source) - amount
    if left < 0:
        raise Refusal("Token", "FundsUnavailable")
    if keep_alive and left < DEPOSIT and source != target:
        raise Refusal("Token", "NotExpendable")
    if source == target:
        return
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
            ctx.put("Balances.TotalIssuance", ctx.get("Balances.TotalIssuance") - amount)
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
    if left + info["data"]["reserved"] >= DEPOSIT:
        ctx.put("System.Account", who, {**info, "data": {**info["data"], "free": left}})
        return
    if left:
        ctx.emit("Balances.DustLost", account=who, amount=left)
        ctx.put("Balances.TotalIssuance", ctx.get("Balances.TotalIssuance") - left)
    ctx.emit("System.KilledAccount", account=who)
    # A nonce that began anew would make old signed calls valid again. The real chain has that flaw; labs need not.
    ctx.put("System.Account", who, {**NO_ACCOUNT, "nonce": info["nonce"]})


def mint(ctx: Context, who: bytes, amount: int) -> None:
    """Make new units (genesis, and the activation stand-in)."""
    ctx.put("Balances.TotalIssuance", ctx.get("Balances.TotalIssuance") + amount)
    give(ctx, who, amount)
