"""The runtime: what a call does, and what a block does by itself."""

from __future__ import annotations

import logging
from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.extrinsic import Extrinsic, parse
from zos.devchain.layout import BY_NAME, FREE, METADATA, METADATA_OF, MODERN, PALLETS
from zos.devchain.pallets import (
    balances,
    burning,
    contracts,
    council,
    dao,
    kvstore,
    origin,
    price,
    system,
    tfgrid,
    utility,
    validator,
)
from zos.devchain.pallets.contracts import Variant
from zos.devchain.pallets.contracts.lock import Locks
from zos.devchain.pallets.contracts.reserve import Reserves
from zos.devchain.pallets.system import dispatch_info
from zos.scale.reader import Undecodable

log = logging.getLogger("zos.devchain")


class Runtime:
    """Executes calls and the duties of each block; `variant` says how contracts hold their owners' money."""

    def __init__(self, variant: Variant = Variant.LOCK, *, surcharge: bool = False) -> None:
        biller = Locks(surcharge=surcharge) if variant is Variant.LOCK else Reserves()
        self._contracts = contracts.SmartContracts(biller)
        farmers = dao.Dao(self._answered)
        self._pallets = {
            "System": system.System(),
            "Timestamp": system.Timestamp(),
            "Utility": utility.Utility(self.dispatch, dispatch_error),
            "ValidatorSet": council.Validators(),
            "Balances": balances.Balances(),
            "TfgridModule": tfgrid.Tfgrid((self._contracts, farmers)),
            "SmartContractModule": self._contracts,
            "TFTPriceModule": price.Prices(),
            "BurningModule": burning.Burning(),
            "TFKVStore": kvstore.KVStore(),
            "Council": council.Council(self._answered),
            "CouncilMembership": council.Membership(),
            "Dao": farmers,
            "Validator": validator.Validator(),
        }

    def on_block(self, ctx: Context) -> None:
        """What a block does before its extrinsics."""
        self._contracts.on_block(ctx)

    def dispatch(self, ctx: Context, who: bytes, call: Any) -> None:
        """One call in its own storage layer: a refusal leaves nothing behind, but is raised on."""
        pallet, name, arguments = split(call)
        handler = getattr(self._pallets[pallet], name)
        try:
            with ctx.isolated():
                origin.check(ctx, who, handler)
                handler(ctx, who, **arguments)
        except Refusal:
            raise
        except Undecodable as err:
            # A sum that its type cannot hold.
            log.info("%s.%s overflows: %s", pallet, name, err)
            raise Refusal("Arithmetic", "Overflow") from err
        except Exception as err:
            # A bug of ours is this call's failure, not the chain's end.
            log.exception("%s.%s broke", pallet, name)
            raise Refusal("runtime", "Other") from err

    def _answered(self, ctx: Context, who: bytes, call: Any) -> Any:
        """A call that another call decided on: its outcome is returned, not raised."""
        try:
            self.dispatch(ctx, who, call)
        except Refusal as err:
            return {"Err": dispatch_error(err)}
        return {"Ok": ()}

    def execute(self, ctx: Context, extrinsic: Extrinsic) -> bool:
        """A signed extrinsic, whose validity was checked: fee, nonce, call, outcome.

        False when what came before it in the block has left nothing for its fee; it is then not part of the block.
        """
        if balances.usable(ctx, extrinsic.account) < extrinsic.fee:
            return False
        info = ctx.get("System.Account", extrinsic.account)
        ctx.put("System.Account", extrinsic.account, {**info, "nonce": info["nonce"] + 1})
        balances.take(ctx, extrinsic.account, extrinsic.fee)
        ctx.emit("Balances.Withdraw", who=extrinsic.account, amount=extrinsic.fee)
        pallet, name, _ = split(extrinsic.call)
        is_free = (pallet, name) in FREE
        ctx.pays = False
        refusal: Refusal | None = None
        try:
            self.dispatch(ctx, extrinsic.account, extrinsic.call)
        except Refusal as err:
            refusal, is_free = err, False
        is_free = is_free and not ctx.pays
        paid = extrinsic.tip if is_free else extrinsic.fee
        if is_free:
            balances.give(ctx, extrinsic.account, extrinsic.fee - paid)
            ctx.emit("Balances.Deposit", who=extrinsic.account, amount=extrinsic.fee - paid)
        if paid:
            balances.give(ctx, ctx.author, paid)
        ctx.emit("TransactionPayment.TransactionFeePaid", who=extrinsic.account, actual_fee=paid, tip=extrinsic.tip)
        if refusal is None:
            ctx.emit("System.ExtrinsicSuccess", dispatch_info=dispatch_info(is_free))
        else:
            error = dispatch_error(refusal)
            ctx.emit("System.ExtrinsicFailed", dispatch_error=error, dispatch_info=dispatch_info(False))
        return True


def split(call: Any) -> tuple[str, str, dict[str, Any]]:
    """Pallet, name and arguments of a decoded call."""
    ((pallet, inner),) = call.items()
    if isinstance(inner, str):
        return pallet, inner, {}
    ((name, arguments),) = inner.items()
    return pallet, name, arguments


def dispatch_error(refusal: Refusal) -> Any:
    """A refusal as the runtime's type."""
    if refusal.pallet == "runtime":
        return refusal.error
    if refusal.pallet in ("Token", "Arithmetic", "Transactional"):
        return {refusal.pallet: refusal.error}
    pallet = BY_NAME[refusal.pallet]
    number = pallet.errors.index(refusal.error)
    return {"Module": {"index": pallet.index, "error": bytes([number, 0, 0, 0])}}


__all__ = ["BY_NAME", "METADATA", "METADATA_OF", "MODERN", "PALLETS", "Extrinsic", "Runtime", "Variant", "parse"]
