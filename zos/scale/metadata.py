"""Metadata V14 out of the declarations of the pallets: what a client needs to read, call and understand the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zos.scale.pallet import Item, Pallet
from zos.scale.reader import compact
from zos.scale.types import (
    ACCOUNT,
    BYTES,
    EMPTY,
    H256,
    TEXT,
    U8,
    U32,
    U64,
    U128,
    Array,
    Compact,
    Described,
    Enum,
    Later,
    Struct,
    Tuple,
    Type,
    UInt,
    Variant,
    Wrapped,
    struct,
)

MAGIC = b"meta\x0e"
EXTRINSIC_VERSION = 4

MULTI_ADDRESS = Enum(
    "sp_runtime::multiaddress::MultiAddress",
    (
        Variant("Id", 0, ((None, ACCOUNT),)),
        Variant("Index", 1, ((None, Compact(EMPTY)),)),
        Variant("Raw", 2, ((None, BYTES),)),
        Variant("Address32", 3, ((None, Array(32)),)),
        Variant("Address20", 4, ((None, Array(20)),)),
    ),
    (("AccountId", ACCOUNT), ("AccountIndex", EMPTY)),
)
SIGNATURE = Enum(
    "sp_runtime::MultiSignature",
    (
        Variant("Ed25519", 0, ((None, Wrapped("sp_core::ed25519::Signature", Array(64))),)),
        Variant("Sr25519", 1, ((None, Wrapped("sp_core::sr25519::Signature", Array(64))),)),
        Variant("Ecdsa", 2, ((None, Wrapped("sp_core::ecdsa::Signature", Array(65))),)),
    ),
)
WEIGHT = struct("sp_weights::weight_v2::Weight", ref_time=Compact(U64), proof_size=Compact(U64))


def _era() -> Enum:
    # Two bytes of a mortal era start with 1..255: the metadata lists each first byte as a case of its own.
    cases = [Variant("Immortal", 0)]
    cases += [Variant(f"Mortal{index}", index, ((None, U8),)) for index in range(1, 256)]
    return Enum("sp_runtime::generic::era::Era", tuple(cases))


def _extension(name: str, inner: Type | None = None) -> Type:
    path = f"frame_system::extensions::{name}"
    return Struct(path, ()) if inner is None else Wrapped(path, inner)


SIGNED_EXTENSIONS: tuple[tuple[str, Type, Type], ...] = (
    ("CheckNonZeroSender", _extension("check_non_zero_sender::CheckNonZeroSender"), EMPTY),
    ("CheckSpecVersion", _extension("check_spec_version::CheckSpecVersion"), U32),
    ("CheckTxVersion", _extension("check_tx_version::CheckTxVersion"), U32),
    ("CheckGenesis", _extension("check_genesis::CheckGenesis"), H256),
    ("CheckMortality", _extension("check_mortality::CheckMortality", _era()), H256),
    ("CheckNonce", _extension("check_nonce::CheckNonce", Compact(U32)), EMPTY),
    ("CheckWeight", _extension("check_weight::CheckWeight"), EMPTY),
    (
        "ChargeTransactionPayment",
        Wrapped("pallet_transaction_payment::ChargeTransactionPayment", Compact(U128)),
        EMPTY,
    ),
)
"""Name, what stands in the extrinsic, what is only signed."""


class Registry:
    """Numbers types and describes each once."""

    def __init__(self) -> None:
        self.entries: list[Described] = []
        self._ids: dict[Any, int] = {}

    def add(self, kind: Type) -> int:
        """The number of a type."""
        key: Any = id(kind) if isinstance(kind, Later) else kind
        if isinstance(kind, Later) and kind.target is not None:
            return self.add(kind.target)
        if key not in self._ids:
            # Numbered before it is described: a type may contain itself.
            number = self._ids[key] = len(self.entries)
            self.entries.append({})
            self.entries[number] = kind.describe(self.add)
        return self._ids[key]

    def describe(self, entry: Described) -> int:
        """The number of an entry that is no type of ours (the extrinsic)."""
        self.entries.append(entry)
        return len(self.entries) - 1


def runtime_call(pallets: Sequence[Pallet]) -> Enum:
    """The enum of all calls."""
    listed = [(p, kind) for p in pallets if (kind := p.call_type())]
    return Enum("tfchain_runtime::RuntimeCall", tuple(Variant(p.name, p.index, ((None, kind),)) for p, kind in listed))


def runtime_event(pallets: Sequence[Pallet]) -> Enum:
    """The enum of all events."""
    listed = [(p, kind) for p in pallets if (kind := p.event_type())]
    return Enum("tfchain_runtime::RuntimeEvent", tuple(Variant(p.name, p.index, ((None, kind),)) for p, kind in listed))


Extension = tuple[str, Type, Type]


def render(pallets: Sequence[Pallet], call: Enum, extensions: Sequence[Extension] = SIGNED_EXTENSIONS) -> bytes:
    """The metadata of a runtime with these pallets, as bytes."""
    registry = Registry()
    listed = [_pallet(pallet, registry) for pallet in pallets]
    extra = Tuple(tuple(kind for _, kind, _ in extensions))
    params: list[tuple[str, Type]] = [
        ("Address", MULTI_ADDRESS),
        ("Call", call),
        ("Signature", SIGNATURE),
        ("Extra", extra),
    ]
    body: Described = {"name": None, "type": registry.add(BYTES), "typeName": None, "docs": []}
    extrinsic = registry.describe(
        {
            "path": ["sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic"],
            "params": [{"name": name, "type": registry.add(kind)} for name, kind in params],
            "def": {"composite": {"fields": [body]}},
            "docs": [],
        }
    )
    signed = [(name.encode(), registry.add(kind), registry.add(additional)) for name, kind, additional in extensions]
    runtime = registry.describe(
        {"path": ["tfchain_runtime", "Runtime"], "params": [], "def": {"composite": {"fields": []}}, "docs": []}
    )
    types = b"".join(compact(index) + _type(entry) for index, entry in enumerate(registry.entries))
    return b"".join(
        (
            MAGIC,
            compact(len(registry.entries)) + types,
            compact(len(listed)) + b"".join(listed),
            compact(extrinsic) + bytes([EXTRINSIC_VERSION]),
            compact(len(signed)),
            *(BYTES.encode(name) + compact(kind) + compact(additional) for name, kind, additional in signed),
            compact(runtime),
        )
    )


def _option(number: int | None) -> bytes:
    return b"\x00" if number is None else b"\x01" + compact(number)


def _pallet(pallet: Pallet, registry: Registry) -> bytes:
    numbers = [
        registry.add(kind) if kind else None for kind in (pallet.call_type(), pallet.event_type(), pallet.error_type())
    ]
    storage = b"\x00"
    if pallet.storage:
        entries = b"".join(_item(item, registry) for item in pallet.storage)
        storage = b"\x01" + TEXT.encode(pallet.prefix or pallet.name) + compact(len(pallet.storage)) + entries
    constants = b"".join(
        TEXT.encode(c.name) + compact(registry.add(c.kind)) + BYTES.encode(c.kind.encode(c.value)) + b"\x00"
        for c in pallet.constants
    )
    return b"".join(
        (
            TEXT.encode(pallet.name),
            storage,
            _option(numbers[0]),
            _option(numbers[1]),
            compact(len(pallet.constants)) + constants,
            _option(numbers[2]),
            bytes([pallet.index]),
        )
    )


_HASHERS = {
    name: index
    for index, name in enumerate(
        ["Blake2_128", "Blake2_256", "Blake2_128Concat", "Twox128", "Twox256", "Twox64Concat", "Identity"]
    )
}


def _item(item: Item, registry: Registry) -> bytes:
    value = compact(registry.add(item.value))
    if item.keys:
        key = item.keys[0] if len(item.keys) == 1 else Tuple(item.keys)
        hashers = bytes(_HASHERS[hasher] for hasher in item.hashers)
        kind = b"\x01" + compact(len(hashers)) + hashers + compact(registry.add(key)) + value
    else:
        kind = b"\x00" + value
    default = b"\x00" if item.optional else item.value.encode(item.absent)
    modifier = b"\x00" if item.optional else b"\x01"
    return TEXT.encode(item.name) + modifier + kind + BYTES.encode(default) + b"\x00"


_PRIMITIVES = {
    name: index for index, name in enumerate(["bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "u256"])
}


def _type(entry: Described) -> bytes:
    params = b"".join(TEXT.encode(p["name"]) + _option(p["type"]) for p in entry["params"])
    path = b"".join(TEXT.encode(word) for word in entry["path"])
    definition = _definition(entry["def"])
    return compact(len(entry["path"])) + path + compact(len(entry["params"])) + params + definition + b"\x00"


def _definition(definition: Described) -> bytes:
    kind, content = next(iter(definition.items()))
    match kind:
        case "composite":
            return b"\x00" + _fields(content["fields"])
        case "variant":
            listed = b"".join(
                TEXT.encode(v["name"]) + _fields(v["fields"]) + bytes([v["index"]]) + b"\x00"
                for v in content["variants"]
            )
            return b"\x01" + compact(len(content["variants"])) + listed
        case "sequence":
            return b"\x02" + compact(content["type"])
        case "array":
            return b"\x03" + UInt(32).encode(content["len"]) + compact(content["type"])
        case "tuple":
            return b"\x04" + compact(len(content)) + b"".join(compact(number) for number in content)
        case "primitive":
            return b"\x05" + bytes([_PRIMITIVES[content]])
        case "compact":
            return b"\x06" + compact(content["type"])
    raise ValueError(kind)


def _fields(fields: list[Described]) -> bytes:
    listed = b"".join(
        _text_option(f["name"]) + compact(f["type"]) + _text_option(f["typeName"]) + b"\x00" for f in fields
    )
    return compact(len(fields)) + listed


def _text_option(text: str | None) -> bytes:
    return b"\x00" if text is None else b"\x01" + TEXT.encode(text)
