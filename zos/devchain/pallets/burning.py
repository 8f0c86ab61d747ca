"""BurningModule: tokens that somebody destroys, with a message for the record."""

from __future__ import annotations

from zos.devchain.context import Context
from zos.devchain.pallets import balances
from zos.scale.pallet import Pallet, call, errors, event, value
from zos.scale.types import ACCOUNT, BYTES, U32, U128, Vec, struct

BURN = struct("pallet_burning::types::Burn", target=ACCOUNT, amount=U128, block=U32, message=BYTES)

PALLET = Pallet(
    name="BurningModule",
    index=29,
    path="pallet_burning",
    storage=(value("Burns", Vec(BURN), optional=True),),
    calls=(call(0, "burn_tft", amount=U128, message=BYTES),),
    events=(event("BurnTransactionCreated", ACCOUNT, U128, U32, BYTES),),
    errors=errors("NotEnoughBalanceToBurn"),
)


class Burning:
    def burn_tft(self, ctx: Context, who: bytes, amount: int, message: bytes) -> None:
        is_there = balances.usable(ctx, who, balances.DEPOSIT) >= amount
        ctx.need(is_there, "BurningModule.NotEnoughBalanceToBurn")
        balances.burn(ctx, who, amount)
        burn = {"target": who, "amount": amount, "block": ctx.block, "message": message}
        ctx.put("BurningModule.Burns", [*(ctx.get("BurningModule.Burns") or ()), burn])
        ctx.emit("BurningModule.BurnTransactionCreated", who, amount, ctx.block, message)
