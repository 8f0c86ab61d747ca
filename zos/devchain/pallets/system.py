"""System, Timestamp and TransactionPayment: blocks, accounts' nonces, time, fees."""

from __future__ import annotations

import hashlib
from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.scale.metadata import WEIGHT
from zos.scale.pallet import Constant, Hasher, Pallet, call, errors, event, mapping, value
from zos.scale.types import (
    ACCOUNT,
    EMPTY,
    H256,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U128,
    Array,
    Bytes,
    Compact,
    Enum,
    Later,
    Struct,
    Tuple,
    Variant,
    Vec,
    Wrapped,
    struct,
)

SPEC = 145
TRANSACTION = 2
SS58 = 42
BLOCK_HASHES = 2400
ZERO_HASH = bytes(32)
NEW_LOGIC = 1 << 127
BYTES = Bytes()

ACCOUNT_DATA = struct(
    "pallet_balances::types::AccountData",
    free=U128,
    reserved=U128,
    frozen=U128,
    flags=Wrapped("pallet_balances::types::ExtraFlags", U128),
)
ACCOUNT_INFO = struct(
    "frame_system::AccountInfo", nonce=U32, consumers=U32, providers=U32, sufficients=U32, data=ACCOUNT_DATA
)
NO_ACCOUNT = {
    "nonce": 0,
    "consumers": 0,
    "providers": 0,
    "sufficients": 0,
    "data": {"free": 0, "reserved": 0, "frozen": 0, "flags": NEW_LOGIC},
}
PHASE = Enum(
    "frame_system::Phase",
    (Variant("ApplyExtrinsic", 0, ((None, U32),)), Variant("Finalization", 1), Variant("Initialization", 2)),
)
CLASS = Enum(
    "frame_support::dispatch::DispatchClass",
    (Variant("Normal", 0), Variant("Operational", 1), Variant("Mandatory", 2)),
)
PAYS = Enum("frame_support::dispatch::Pays", (Variant("Yes", 0), Variant("No", 1)))
DISPATCH_INFO = Struct(
    "frame_support::dispatch::DispatchInfo", (("weight", WEIGHT), ("class", CLASS), ("pays_fee", PAYS))
)
MODULE_ERROR = struct("sp_runtime::ModuleError", index=U8, error=Array(4))
TOKEN_ERROR = Enum(
    "sp_runtime::TokenError",
    tuple(
        Variant(name, index)
        for index, name in enumerate(
            errors(
                """FundsUnavailable OnlyProvider BelowMinimum CannotCreate UnknownAsset Frozen Unsupported
                CannotCreateHold NotExpendable"""
            )
        )
    ),
)
ARITHMETIC_ERROR = Enum(
    "sp_arithmetic::ArithmeticError",
    (Variant("Underflow", 0), Variant("Overflow", 1), Variant("DivisionByZero", 2)),
)
TRANSACTIONAL_ERROR = Enum("sp_runtime::TransactionalError", (Variant("LimitReached", 0), Variant("NoLayer", 1)))
DISPATCH_ERROR = Enum(
    "sp_runtime::DispatchError",
    (
        Variant("Other", 0),
        Variant("CannotLookup", 1),
        Variant("BadOrigin", 2),
        Variant("Module", 3, ((None, MODULE_ERROR),)),
        Variant("ConsumerRemaining", 4),
        Variant("NoProviders", 5),
        Variant("TooManyConsumers", 6),
        Variant("Token", 7, ((None, TOKEN_ERROR),)),
        Variant("Arithmetic", 8, ((None, ARITHMETIC_ERROR),)),
        Variant("Transactional", 9, ((None, TRANSACTIONAL_ERROR),)),
        Variant("Exhausted", 10),
        Variant("Corruption", 11),
        Variant("Unavailable", 12),
    ),
)
DISPATCH_RESULT = Enum(
    "Result",
    (Variant("Ok", 0, ((None, EMPTY),)), Variant("Err", 1, ((None, DISPATCH_ERROR),))),
    (("T", EMPTY), ("E", DISPATCH_ERROR)),
)
RUNTIME_EVENT = Later()
# polkadot.js finds the type of events by the first parameter.
EVENT_RECORD = Struct(
    "frame_system::EventRecord",
    (("phase", PHASE), ("event", RUNTIME_EVENT), ("topics", Vec(H256))),
    (("E", RUNTIME_EVENT), ("T", H256)),
)
ENGINE_ITEM = ((None, Array(4)), (None, BYTES))
DIGEST_ITEM = Enum(
    "sp_runtime::generic::digest::DigestItem",
    (
        Variant("PreRuntime", 6, ENGINE_ITEM),
        Variant("Consensus", 4, ENGINE_ITEM),
        Variant("Seal", 5, ENGINE_ITEM),
        Variant("Other", 0, ((None, BYTES),)),
        Variant("RuntimeEnvironmentUpdated", 8),
    ),
)
DIGEST = struct("sp_runtime::generic::digest::Digest", logs=Vec(DIGEST_ITEM))
VERSION = Struct(
    "sp_version::RuntimeVersion",
    (
        ("spec_name", TEXT),
        ("impl_name", TEXT),
        ("authoring_version", U32),
        ("spec_version", U32),
        ("impl_version", U32),
        ("apis", Wrapped("Cow", Vec(Tuple((Array(8), U32))), generic=True)),
        ("transaction_version", U32),
        ("state_version", U8),
    ),
)
NAME = "substrate-threefold"

SYSTEM = Pallet(
    name="System",
    index=0,
    path="frame_system",
    storage=(
        mapping("Account", ACCOUNT, ACCOUNT_INFO, NO_ACCOUNT),
        mapping("BlockHash", U32, H256, ZERO_HASH, hasher=Hasher.TWOX_64_CONCAT),
        value("Number", U32, 0),
        value("ParentHash", H256, ZERO_HASH),
        value("Digest", DIGEST, {"logs": ()}),
        value("Events", Vec(EVENT_RECORD), ()),
        value("EventCount", U32, 0),
    ),
    calls=(call(0, "remark", remark=BYTES), call(7, "remark_with_event", remark=BYTES)),
    events=(
        event("ExtrinsicSuccess", dispatch_info=DISPATCH_INFO),
        event("ExtrinsicFailed", dispatch_error=DISPATCH_ERROR, dispatch_info=DISPATCH_INFO),
        event("CodeUpdated"),
        event("NewAccount", account=ACCOUNT),
        event("KilledAccount", account=ACCOUNT),
        event("Remarked", sender=ACCOUNT, hash=H256),
    ),
    errors=errors(
        """InvalidSpecName SpecVersionNeedsToIncrease FailedToExtractRuntimeVersion NonDefaultComposite
        NonZeroRefCount CallFiltered"""
    ),
    constants=(
        Constant("BlockHashCount", U32, BLOCK_HASHES),
        Constant(
            "Version",
            VERSION,
            {
                "spec_name": NAME,
                "impl_name": NAME,
                "authoring_version": 1,
                "spec_version": SPEC,
                "impl_version": 1,
                "apis": (),
                "transaction_version": TRANSACTION,
                "state_version": 0,
            },
        ),
        Constant("SS58Prefix", U16, SS58),
    ),
)

TIMESTAMP = Pallet(
    name="Timestamp",
    index=1,
    path="pallet_timestamp",
    storage=(value("Now", U64, 0),),
    calls=(call(0, "set", now=Compact(U64)),),
    constants=(Constant("MinimumPeriod", U64, 3000),),
)

PAYMENT = Pallet(
    name="TransactionPayment",
    index=21,
    path="pallet_transaction_payment",
    storage=(value("NextFeeMultiplier", Wrapped("sp_arithmetic::fixed_point::FixedU128", U128), 10**18),),
    events=(event("TransactionFeePaid", who=ACCOUNT, actual_fee=U128, tip=U128),),
    constants=(Constant("OperationalFeeMultiplier", U8, 5),),
)


class System:
    def remark(self, ctx: Context, who: bytes, remark: bytes) -> None:
        """Nothing but bytes in a block."""

    def remark_with_event(self, ctx: Context, who: bytes, remark: bytes) -> None:
        ctx.emit("System.Remarked", sender=who, hash=hashlib.blake2b(remark, digest_size=32).digest())


class Timestamp:
    """The inherent that every block begins with; nobody else may send it."""

    def set(self, ctx: Context, who: bytes, now: int) -> None:
        raise Refusal("runtime", "BadOrigin")


def dispatch_info(is_free: bool) -> dict[str, Any]:
    """What the runtime says about a call's cost."""
    return {
        "weight": {"ref_time": 100_000_000, "proof_size": 0},
        "class": "Normal",
        "pays_fee": "No" if is_free else "Yes",
    }
