"""One runtime, as its metadata describes it: storage keys, calls, events, errors, what is signed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from zos.model import chaincalls
from zos.scale import described
from zos.scale.reader import Undecodable, compact
from zos.scale.registry import Described
from zos.scale.types import BYTES, Struct, Tuple, Type, decode
from zos.substrate import compat
from zos.substrate.coerce import coerce
from zos.substrate.errors import BadValue, MovedCall, NotOnThisChain, Unreadable
from zos.substrate.keys import KeyKind, shortened

_SIGNATURES = {KeyKind.ED25519: 0, KeyKind.SR25519: 1}


@dataclass(frozen=True, slots=True)
class Event:
    """An event: fields by name; without names a tuple, or the value itself when there is one."""

    pallet: str
    name: str
    fields: Any
    extrinsic: int | None
    """Index of the extrinsic in its block that raised it."""


@dataclass(frozen=True, slots=True)
class Era:
    """How long an extrinsic is valid; period 0 is for ever."""

    period: int = 0
    birth: int = 0

    def encode(self) -> bytes:
        if not self.period:
            return b"\0"
        quantised = max(self.period >> 12, 1)
        phase = (self.birth % self.period) // quantised
        trailing = (self.period & -self.period).bit_length() - 1
        return (min(15, max(1, trailing - 1)) | phase << 4).to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Extension:
    """What a signed extension adds: to the extrinsic, and to what is signed."""

    extra: str = ""
    additional: str = ""


EXTENSIONS = {
    "CheckSpecVersion": Extension(additional="spec"),
    "CheckTxVersion": Extension(additional="transaction"),
    "CheckGenesis": Extension(additional="genesis"),
    "CheckMortality": Extension("era", "birth"),
    "CheckEra": Extension("era", "birth"),
    "CheckNonce": Extension("nonce"),
    "ChargeTransactionPayment": Extension("tip"),
    "CheckMetadataHash": Extension("no_metadata_hash", "no_metadata_hash"),
}
"""Extensions with content; one that is not among them must have none."""


class Runtime:
    """Metadata of one spec version: V14, or V12 and V13 with our registry of their types."""

    def __init__(self, metadata: bytes, spec: int, transaction: int) -> None:
        metadata = compat.lift(metadata, spec)
        self.spec = spec
        self.transaction = transaction
        try:
            content = described.read(metadata)
        except Undecodable as err:
            raise Unreadable(what="the metadata", spec=spec, problem=err) from err
        self._types = Described(content["types"])
        self._pallets: Mapping[str, Any] = {pallet["name"]: pallet for pallet in content["pallets"]}
        self._extensions = tuple(self._extension(one) for one in content["extrinsic"]["signed_extensions"])

    # Queries

    def has_call(self, pallet: str, call: str) -> bool:
        """Whether the runtime has this call."""
        return self._variant(pallet, "calls", call) is not None

    def has_item(self, pallet: str, item: str) -> bool:
        """Whether the runtime stores this."""
        return self._item(pallet, item) is not None

    def takes(self, pallet: str, call: str, argument: str) -> bool:
        """Whether a call of this runtime has an argument of that name."""
        variant = self._variant(pallet, "calls", call)
        return variant is not None and any(field["name"] == argument for field in variant["fields"])

    def call_name(self, pallet: str, call: str) -> str:
        """What this runtime calls a call of today."""
        return call if self.has_call(pallet, call) else compat.OTHERWISE.get((pallet, call), call)

    # Storage

    def prefix(self, pallet: str, item: str) -> bytes:
        """The first 32 bytes of an item's keys."""
        return twox128(self._storage(pallet)["prefix"]) + twox128(self._require_item(pallet, item)["name"])

    def key(self, pallet: str, item: str, *keys: Any) -> bytes:
        """The storage key of an entry."""
        shape = self._require_item(pallet, item)["type"]
        out = self.prefix(pallet, item)
        if "Map" not in shape:
            return out
        body = shape["Map"]
        types = [body["key"]]
        if len(body["hashers"]) > 1:
            types = list(self._types.definition(body["key"])["tuple"])
        for hasher, type_id, value in zip(body["hashers"], types, keys, strict=True):
            out += _hashed(hasher, self.encode(type_id, value, f"{pallet}.{item}"))
        return out

    def value(self, pallet: str, item: str, data: bytes | None) -> Any:
        """A stored value; a missing one is the item's default (None when it is optional)."""
        entry = self._require_item(pallet, item)
        if data is None:
            if entry["modifier"] != "Default":
                return None
            data = entry["default"]
        shape = entry["type"]
        value = self.decode(shape["Map"]["value"] if "Map" in shape else shape["Plain"], data)
        return compat.modern_value(pallet, item, value)

    def constant(self, pallet: str, name: str) -> Any:
        """A constant of a pallet."""
        for constant in self._pallet(pallet)["constants"]:
            if constant["name"] == name:
                return self.decode(constant["type"], constant["value"])
        raise NotOnThisChain(spec=self.spec, what=f"constant {pallet}.{name}")

    # Calls

    def call(self, pallet: str, name: str, arguments: Mapping[str, Any]) -> bytes:
        """An encoded call; arguments by their names of today, whatever this runtime calls them.

        Raises NotOnThisChain for a call, or an argument with a meaning, that this runtime does not know.
        """
        spelled = compat.spell(pallet, name, arguments, self._wants(pallet))
        if spelled is None:
            raise NotOnThisChain(spec=self.spec, what=f"call {pallet}.{name}")
        variant = self._call(pallet, spelled.call)
        wanted = [field["name"] for field in variant["fields"]]
        if set(wanted) != spelled.arguments.keys():
            problem = f"takes {', '.join(wanted) or 'nothing'}, not {', '.join(arguments) or 'nothing'}"
            raise BadValue(what=f"{pallet}.{name}", problem=problem)
        if spelled.lost:
            raise NotOnThisChain(spec=self.spec, what=f"argument {', '.join(spelled.lost)} in {pallet}.{name}")
        told = self._pallet(pallet)["index"], variant["index"]
        known = chaincalls.place(self.spec, pallet, spelled.call)
        if any(mine not in (None, its) for mine, its in zip(known, told, strict=True)):
            raise MovedCall(spec=self.spec, call=f"{pallet}.{spelled.call}", told=told, known=known)
        out = bytes(told)
        for entry in variant["fields"]:
            value = spelled.arguments[entry["name"]]
            if value is None and self._types[entry["type"]] == BYTES:
                value = b""  # what is optional today was empty bytes once
            out += self.encode(entry["type"], value, f"{pallet}.{name}.{entry['name']}")
        return out

    def _wants(self, pallet: str) -> Callable[[str], Sequence[str] | None]:
        def wants(call: str) -> Sequence[str] | None:
            variant = self._variant(pallet, "calls", call)
            return None if variant is None else [field["name"] for field in variant["fields"]]

        return wants

    def payload(self, call: bytes, extra: bytes, genesis: bytes, birth: bytes) -> bytes:
        """The bytes that are signed for a call."""
        return shortened(self.whole_payload(call, extra, genesis, birth))

    def whole_payload(self, call: bytes, extra: bytes, genesis: bytes, birth: bytes) -> bytes:
        """The same before a long one is hashed."""
        parts = {
            "": b"",
            "spec": self.spec.to_bytes(4, "little"),
            "transaction": self.transaction.to_bytes(4, "little"),
            "genesis": genesis,
            "birth": birth,
            "no_metadata_hash": b"\0",
        }
        return call + extra + b"".join(parts[one.additional] for one in self._extensions)

    def unsigned_part(self, era: Era, nonce: int, tip: int = 0) -> bytes:
        """What goes into the extrinsic besides the call."""
        parts = {
            "": b"",
            "era": era.encode(),
            "nonce": compact(nonce),
            "tip": compact(tip),
            "no_metadata_hash": b"\0",
        }
        return b"".join(parts[one.extra] for one in self._extensions)

    def _extension(self, declared: Mapping[str, Any]) -> Extension:
        name = declared["identifier"]
        if name in EXTENSIONS:
            return EXTENSIONS[name]
        if _is_empty(self._types[declared["ty"]]) and _is_empty(self._types[declared["additional_signed"]]):
            return Extension()
        raise NotOnThisChain(spec=self.spec, what=f"way to sign that we know (it wants {name})")

    @staticmethod
    def extrinsic(call: bytes, extra: bytes, account: bytes, kind: KeyKind, signature: bytes) -> bytes:
        """A signed extrinsic of version 4."""
        # 0x84 is a signed extrinsic of version 4; 0 says that the address is an account id, as all on TFChain are.
        body = b"\x84\x00" + account + bytes([_SIGNATURES[kind]]) + signature + extra + call
        return compact(len(body)) + body

    # Events and errors

    def events(self, data: bytes | None) -> tuple[Event, ...]:
        """The records at System.Events."""
        if data is None:
            return ()
        kind = self._require_item("System", "Events")["type"]["Plain"]
        try:
            return tuple(self._event(record) for record in decode(self._types[kind], data))
        except (Undecodable, KeyError) as err:
            raise Unreadable(what="the events of a block", spec=self.spec, problem=err) from err

    def _event(self, record: Mapping[str, Any]) -> Event:
        ((pallet, event),) = record["event"].items()
        ((name, fields),) = event.items() if isinstance(event, Mapping) else ((event, ()),)
        declared = self._variant(pallet, "event", name)["fields"]
        is_named = bool(declared and declared[0]["name"])
        modern = compat.modern_event(pallet, name, fields, len(declared), is_named)
        phase = record["phase"]
        return Event(pallet, name, modern, phase["ApplyExtrinsic"] if isinstance(phase, Mapping) else None)

    def error(self, dispatch_error: Any) -> tuple[str, str]:
        """Pallet and name of a dispatch error."""
        if isinstance(dispatch_error, Mapping) and "Module" in dispatch_error:
            module = dispatch_error["Module"]
            index, code = module["index"], module["error"]
            # Old runtimes have one byte here, later ones four, of which the first is the error.
            number = code if isinstance(code, int) else code[0]
            for name, pallet in self._pallets.items():
                if pallet["index"] == index:
                    return name, self._error_name(pallet, number)
            return f"pallet {index}", f"error {number}"
        if isinstance(dispatch_error, Mapping):
            ((kind, what),) = dispatch_error.items()
            return str(kind), str(what)
        return "runtime", str(dispatch_error)

    def _error_name(self, pallet: Mapping[str, Any], number: int) -> str:
        if pallet["error"] is not None:
            for variant in self._types.definition(pallet["error"]["ty"])["variant"]["variants"]:
                if variant["index"] == number:
                    return str(variant["name"])
        return f"error {number}"

    # Types

    def encode(self, type_id: int, value: Any, path: str) -> bytes:
        """A value of a type of the metadata."""
        kind = self._types[type_id]
        try:
            return kind.encode(coerce(kind, value, path))
        except (ValueError, TypeError) as err:
            raise BadValue(what=path, problem=err) from None

    def decode(self, type_id: int, data: bytes) -> Any:
        """A value of a type of the metadata."""
        try:
            return decode(self._types[type_id], data)
        except Undecodable as err:
            raise Unreadable(what="a stored value", spec=self.spec, problem=err) from err

    # The metadata

    def _pallet(self, name: str) -> Any:
        if name not in self._pallets:
            raise NotOnThisChain(spec=self.spec, what=f"pallet {name}")
        return self._pallets[name]

    def _storage(self, pallet: str) -> Any:
        storage = self._pallet(pallet)["storage"]
        if storage is None:
            raise NotOnThisChain(spec=self.spec, what=f"storage of {pallet}")
        return storage

    def _item(self, pallet: str, item: str) -> Any:
        storage = self._pallets.get(pallet, {}).get("storage") or {"entries": ()}
        return next((entry for entry in storage["entries"] if entry["name"] == item), None)

    def _require_item(self, pallet: str, item: str) -> Any:
        entry = self._item(pallet, item)
        if entry is None:
            raise NotOnThisChain(spec=self.spec, what=f"storage item {pallet}.{item}")
        return entry

    def _variant(self, pallet: str, section: str, name: str) -> Any:
        owner = self._pallets.get(pallet, {}).get(section)
        if owner is None:
            return None
        variants = self._types.definition(owner["ty"])["variant"]["variants"]
        return next((variant for variant in variants if variant["name"] == name), None)

    def _call(self, pallet: str, name: str) -> Any:
        variant = self._variant(pallet, "calls", name)
        if variant is None:
            raise NotOnThisChain(spec=self.spec, what=f"call {pallet}.{name}")
        return variant


def _is_empty(kind: Type) -> bool:
    """Whether values of a type have no bytes."""
    match kind:
        case Struct():
            return all(_is_empty(inner) for _, inner in kind.fields)
        case Tuple():
            return all(map(_is_empty, kind.items))
    return False


def twox128(text: str) -> bytes:
    """xxhash of a name, as storage prefixes have it."""
    raw = text.encode()
    return b"".join(xxhash.xxh64_intdigest(raw, seed).to_bytes(8, "little") for seed in (0, 1))


def _hashed(hasher: str, data: bytes) -> bytes:
    match hasher:
        case "Blake2_128Concat":
            return hashlib.blake2b(data, digest_size=16).digest() + data
        case "Blake2_128":
            return hashlib.blake2b(data, digest_size=16).digest()
        case "Blake2_256":
            return hashlib.blake2b(data, digest_size=32).digest()
        case "Twox64Concat":
            return xxhash.xxh64_intdigest(data, 0).to_bytes(8, "little") + data
        case "Twox128":
            return b"".join(xxhash.xxh64_intdigest(data, seed).to_bytes(8, "little") for seed in (0, 1))
        case "Identity":
            return data
        case _:
            raise BadValue(what="storage hasher", problem=f"`{hasher}` is unknown")
