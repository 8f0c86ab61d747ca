"""The runtime: which pallets there are, what an extrinsic says, and what a call does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import sr25519
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from zos.devchain.context import Context
from zos.devchain.errors import Refusal, malformed
from zos.devchain.generation import Generation
from zos.devchain.pallets import balances, contracts, system, tfgrid, utility
from zos.devchain.pallets.system import DISPATCH_ERROR, SPEC, TRANSACTION, dispatch_info
from zos.devchain.state import Overlay
from zos.scale.metadata import MULTI_ADDRESS, SIGNATURE, render, runtime_call, runtime_event
from zos.scale.pallet import by_name
from zos.scale.types import Reader, Undecodable, read_compact

PALLETS = (
    system.SYSTEM,
    system.TIMESTAMP,
    utility.PALLET,
    balances.PALLET,
    system.PAYMENT,
    tfgrid.PALLET,
    contracts.PALLET,
)
BY_NAME = by_name(PALLETS)
CALL = runtime_call(PALLETS)
EVENT = runtime_event(PALLETS)
utility.RUNTIME_CALL.target = CALL
system.RUNTIME_EVENT.target = EVENT
METADATA = render(PALLETS, CALL)
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
        try:
            if self.scheme == "Sr25519":
                return bool(sr25519.verify(self.signature, payload, self.account))
            if self.scheme == "Ed25519":
                VerifyKey(self.account).verify(payload, self.signature)
                return True
        except (BadSignatureError, ValueError, TypeError):
            return False
        return False


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
        nonce, tip = read_compact(reader), read_compact(reader)
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

    def __init__(self) -> None:
        self._houses = {
            "System": system.System(),
            "Timestamp": system.Timestamp(),
            "Utility": utility.Utility(self.dispatch, dispatch_error),
            "Balances": balances.Balances(),
            "TfgridModule": tfgrid.Tfgrid(),
            "SmartContractModule": contracts.SmartContracts(),
        }

    def dispatch(self, ctx: Context, who: bytes, call: Any) -> None:
        """One call in its own storage layer: a refusal leaves nothing behind, but is raised on."""
        pallet, name, arguments = split(call)
        below, said = ctx.storage.store, len(ctx.events)
        assert isinstance(below, Overlay)
        layer = Overlay(below)
        ctx.storage = ctx.storage.over(layer)
        try:
            getattr(self._houses[pallet], name)(ctx, who, **arguments)
        except Refusal:
            del ctx.events[said:]
            raise
        else:
            layer.merge()
        finally:
            ctx.storage = ctx.storage.over(below)

    def execute(self, ctx: Context, extrinsic: Extrinsic) -> None:
        """A signed extrinsic, whose validity was checked: fee, nonce, call, outcome."""
        info = ctx.get("System.Account", extrinsic.account)
        ctx.put("System.Account", extrinsic.account, {**info, "nonce": info["nonce"] + 1})
        balances.take(ctx, extrinsic.account, extrinsic.fee)
        ctx.emit("Balances.Withdraw", who=extrinsic.account, amount=extrinsic.fee)
        pallet, name, _ = split(extrinsic.call)
        is_free = next(one.free for one in BY_NAME[pallet].calls if one.name == name)
        refusal: Refusal | None = None
        try:
            self.dispatch(ctx, extrinsic.account, extrinsic.call)
        except Refusal as err:
            refusal, is_free = err, False
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


__all__ = ["BY_NAME", "CALL", "DISPATCH_ERROR", "EVENT", "METADATA", "MODERN", "Extrinsic", "Runtime", "parse"]
