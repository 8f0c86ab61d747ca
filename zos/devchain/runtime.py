"""The runtime: which pallets there are, what an extrinsic says, and what a call does."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal, malformed
from zos.devchain.generation import Generation
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
from zos.devchain.pallets.system import DISPATCH_ERROR, SPEC, TRANSACTION, dispatch_info
from zos.devchain.signing import is_signed
from zos.scale.metadata import MULTI_ADDRESS, SIGNATURE, render, runtime_call, runtime_event
from zos.scale.pallet import by_name
from zos.scale.types import U32, U128, Compact, Reader, Undecodable, read_compact

log = logging.getLogger("zos.devchain")

PALLETS = (
    system.SYSTEM,
    system.TIMESTAMP,
    utility.PALLET,
    council.VALIDATORS,
    balances.PALLET,
    system.PAYMENT,
    tfgrid.PALLET,
    contracts.PALLET,
    price.PALLET,
    burning.PALLET,
    kvstore.PALLET,
    council.COUNCIL,
    council.MEMBERSHIP,
    dao.PALLET,
    validator.PALLET,
)
"""Spec 145."""
RESERVE_PALLETS = tuple(contracts.RESERVE_PALLET if one is contracts.PALLET else one for one in PALLETS)
"""With what the reserve variant adds; it holds everything that the other has, at the same places."""
BY_NAME = by_name(RESERVE_PALLETS)
CALL = runtime_call(PALLETS)
EVENT = runtime_event(RESERVE_PALLETS)
utility.RUNTIME_CALL.target = CALL


def _metadata() -> dict[Variant, bytes]:
    rendered = {}
    for variant, pallets in ((Variant.LOCK, PALLETS), (Variant.RESERVE, RESERVE_PALLETS)):
        system.RUNTIME_EVENT.target = runtime_event(pallets)
        rendered[variant] = render(pallets, CALL)
    system.RUNTIME_EVENT.target = EVENT
    return rendered


METADATA_OF = _metadata()
METADATA = METADATA_OF[Variant.LOCK]
LARGEST = 1024 * 1024
HASH_ABOVE = 256
BASE_FEE = 10_000
MODERN = Generation(
    name="spec145",
    spec=SPEC,
    transaction=TRANSACTION,
    stored=BY_NAME,
    call=CALL,
    metadata=METADATA,
    timestamp=BY_NAME["Timestamp"].index,
)


@dataclass(frozen=True, slots=True)
class Extrinsic:
    """A signed extrinsic, decoded."""

    raw: bytes
    """As it came, with its length in front."""
    hash: bytes
    account: bytes
    scheme: str
    signature: bytes
    period: int
    phase: int
    nonce: int
    tip: int
    call: Any
    extra: bytes
    call_bytes: bytes

    @property
    def fee(self) -> int:
        """What is withheld before the call."""
        return BASE_FEE + len(self.raw) + self.tip

    def birth(self, head: int) -> int | None:
        """The block at which its validity began, as seen from a head; None is for ever."""
        if not self.period:
            return None
        return max(head, self.phase) - (max(head, self.phase) - self.phase) % self.period

    def verify(self, versions: bytes, genesis: bytes, birth: bytes) -> bool:
        """Whether the signature is the account's, over this call on this chain."""
        payload = self.call_bytes + self.extra + versions + genesis + birth
        if len(payload) > HASH_ABOVE:
            payload = hashlib.blake2b(payload, digest_size=32).digest()
        return is_signed(self.scheme, self.account, self.signature, payload)


def parse(raw: bytes, generation: Generation = MODERN) -> Extrinsic:
    """Bytes from outside as an extrinsic; raises Invalid for everything else."""
    if len(raw) > LARGEST:
        raise malformed(f"it is larger than {LARGEST} bytes")
    reader = Reader(raw)
    try:
        length = read_compact(reader)
        if length != reader.left:
            raise malformed(f"its length says {length}, {reader.left} bytes follow")
        if reader.take(1) != b"\x84":
            raise malformed("only signed extrinsics of version 4 are taken")
        address = MULTI_ADDRESS.read(reader)
        ((scheme, signature),) = SIGNATURE.read(reader).items()
        extra_at = reader.position
        period, phase = _era(reader)
        nonce, tip = Compact(U32).read(reader), Compact(U128).read(reader)
        call_at = reader.position
        call = generation.modern(generation.call.read(reader))
    except (Undecodable, RecursionError) as err:
        raise malformed(err) from None
    if reader.left:
        raise malformed(f"{reader.left} bytes follow the call")
    if "Id" not in address:
        raise malformed("the sender must be an account id")
    return Extrinsic(
        raw=raw,
        hash=hashlib.blake2b(raw, digest_size=32).digest(),
        account=address["Id"],
        scheme=scheme,
        signature=signature,
        period=period,
        phase=phase,
        nonce=nonce,
        tip=tip,
        call=call,
        extra=raw[extra_at:call_at],
        call_bytes=raw[call_at:],
    )


def _era(reader: Reader) -> tuple[int, int]:
    first = reader.take(1)[0]
    if first == 0:
        return 0, 0
    encoded = first | reader.take(1)[0] << 8
    period = 2 << (encoded % 16)
    phase = (encoded >> 4) * max(period >> 12, 1)
    if period < 4 or phase >= period:
        raise Undecodable("no such era")
    return period, phase


class Runtime:
    """Executes calls."""

    def __init__(self, variant: Variant = Variant.LOCK, *, surcharge: bool = False) -> None:
        purse = Locks(surcharge=surcharge) if variant is Variant.LOCK else Reserves()
        self._contracts = contracts.SmartContracts(purse)
        farmers = dao.Dao(self._answered)
        self._houses = {
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
        handler = getattr(self._houses[pallet], name)
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
        """A call that something decided on: its outcome is told, not raised."""
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


FREE = {(pallet.name, one.name) for pallet in PALLETS for one in pallet.calls if one.free}


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


__all__ = [
    "BY_NAME",
    "CALL",
    "DISPATCH_ERROR",
    "EVENT",
    "METADATA",
    "METADATA_OF",
    "MODERN",
    "Extrinsic",
    "Runtime",
    "Variant",
    "parse",
]
