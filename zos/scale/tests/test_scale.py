"""Our codec against the public library, type by type of a whole runtime; and what no library gave back as it was."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes  # type: ignore[attr-defined]
from scalecodec.type_registry import load_type_registry_preset

from zos.devchain.layout import METADATA
from zos.scale import described
from zos.scale.reader import Reader, Undecodable, compact, read_compact
from zos.scale.registry import Described
from zos.scale.types import (
    Array,
    Bool,
    Bytes,
    Compact,
    Enum,
    Int,
    Later,
    Many,
    Option,
    Struct,
    Text,
    Tuple,
    Type,
    UInt,
    Vec,
    decode,
)
from zos.substrate.keys import address

CONTENT = described.read(METADATA)
TYPES = Described(CONTENT["types"])


@pytest.fixture(scope="module")
def library() -> Any:
    config = RuntimeConfigurationObject(ss58_format=42)
    config.update_type_registry(load_type_registry_preset("core") or {})
    metadata = config.create_scale_object("MetadataVersioned", ScaleBytes(METADATA))
    metadata.decode()
    config.add_portable_registry(metadata)
    return config


def made(kind: Type, chance: random.Random, depth: int = 0) -> Any:
    """Some value of a type; bytes are letters, so that the library's guesses are right."""
    match kind:
        case UInt():
            return chance.randrange(1 << chance.randrange(1, kind.bits + 1))
        case Int():
            return chance.randrange(-(1 << kind.bits - 1), 1 << kind.bits - 1)
        case Bool():
            return chance.random() < 0.5
        case Text():
            return "text"
        case Bytes():
            return bytes(chance.choices(b"abcdef", k=chance.randrange(1, 9)))
        case Array():
            return chance.randbytes(kind.length)
        case Vec():
            return [made(kind.inner, chance, depth + 1) for _ in range(chance.randrange(3 if depth < 6 else 1))]
        case Many():
            return [made(kind.inner, chance, depth + 1) for _ in range(kind.length)]
        case Compact():
            return made(kind.inner, chance, depth)
        case Option():
            return made(kind.inner, chance, depth + 1) if chance.random() < 0.5 else None
        case Tuple():
            return tuple(made(item, chance, depth + 1) for item in kind.items)
        case Struct():
            return {name: made(inner, chance, depth + 1) for name, inner in kind.fields}
        case Enum():
            listed = [one for one in kind.variants if depth < 6 or not one.fields] or list(kind.variants)
            one = chance.choice(listed)
            fields = [(name, made(inner, chance, depth + 1)) for name, inner in one.fields]
            if not fields:
                return one.name
            if fields[0][0] is not None:
                return {one.name: dict(fields)}
            return {one.name: fields[0][1] if len(fields) == 1 else tuple(value for _, value in fields)}
        case Later():
            assert kind.target is not None
            return made(kind.target, chance, depth + 1)
    raise AssertionError(kind)


def same(kind: Type, ours: Any, theirs: Any) -> bool:
    """Whether the library, which shows bytes as text, hex or an address, means the same value."""
    match kind:
        case Bytes() | Array():
            raw = bytes(ours)
            return theirs in (raw, list(raw), "0x" + raw.hex(), raw.decode(errors="replace"), address(raw))
        case Vec() | Many():
            return len(ours) == len(theirs) and all(same(kind.inner, *pair) for pair in zip(ours, theirs, strict=True))
        case Compact():
            return same(kind.inner, ours, theirs)
        case Option():
            return theirs is None if ours is None else same(kind.inner, ours, theirs)
        case Tuple():
            parts = theirs if len(kind.items) > 1 else (theirs,)
            return not kind.items or all(same(*each) for each in zip(kind.items, ours, parts, strict=True))
        case Struct():
            return all(same(inner, ours[name], theirs[name]) for name, inner in kind.fields)
        case Enum():
            if isinstance(ours, str):
                return bool(theirs == ours)
            ((name, content),) = ours.items()
            fields = kind.variant(name).fields
            if fields[0][0] is not None:
                return all(same(inner, content[str(field)], theirs[name][field]) for field, inner in fields)
            inner = Tuple(tuple(inner for _, inner in fields))
            return same(inner, (content,) if len(fields) == 1 else content, theirs[name])
        case Later():
            assert kind.target is not None
            return same(kind.target, ours, theirs)
    return bool(ours == theirs)


def entries(content: Any) -> list[tuple[str, Any]]:
    return [
        (f"{pallet['name']}.{entry['name']}", entry)
        for pallet in content["pallets"]
        for entry in (pallet["storage"] or {"entries": ()})["entries"]
    ]


STORED = {
    name: entry["type"]["Map"]["value"] if "Map" in entry["type"] else entry["type"]["Plain"]
    for name, entry in entries(CONTENT)
    if name not in ("System.Events", "Council.ProposalOf", "Dao.ProposalOf")
}
"""The library has forms of its own for events and calls; those are told by bytes in zos/substrate/tests."""


@pytest.mark.parametrize("name", STORED)
def test_the_library_reads_what_we_write(library: Any, name: str) -> None:
    kind, chance = TYPES[STORED[name]], random.Random(name)
    for _ in range(20):
        value = made(kind, chance)
        raw = kind.encode(value)
        assert decode(kind, raw) == value
        assert same(kind, value, library.create_scale_object(f"scale_info::{STORED[name]}", ScaleBytes(raw)).decode())


EVENTS = next(entry for name, entry in entries(CONTENT) if name == "System.Events")["type"]["Plain"]


def test_the_library_reads_every_event_that_we_write(library: Any) -> None:
    kind, chance = TYPES[EVENTS], random.Random(7)
    assert isinstance(kind, Vec)
    assert isinstance(kind.inner, Struct)
    told = dict(kind.inner.fields)["event"]
    assert isinstance(told, Enum)
    for pallet in told.variants:
        events = pallet.fields[0][1]
        assert isinstance(events, Enum)
        for event in events.variants:
            single = Enum("", (event,))
            content = made(single, chance)
            record = {"phase": {"ApplyExtrinsic": 3}, "event": {pallet.name: content}, "topics": []}
            (seen,) = library.create_scale_object(f"scale_info::{EVENTS}", ScaleBytes(kind.encode([record]))).decode()
            assert (seen["module_id"], seen["event_id"], seen["extrinsic_idx"]) == (pallet.name, event.name, 3)
            assert same(single, content, {event.name: seen["attributes"]} if event.fields else event.name), event.name


def test_metadata_is_read_as_the_library_reads_it(library: Any) -> None:
    other = library.create_scale_object("MetadataVersioned", ScaleBytes(METADATA))
    other.decode()
    (content,) = other.value[1].values()
    assert content["extrinsic"] == CONTENT["extrinsic"]
    assert [one["id"] for one in content["types"]["types"]] == [one["id"] for one in CONTENT["types"]]
    for theirs, ours in zip(content["pallets"], CONTENT["pallets"], strict=True):
        for part in ("name", "index", "calls", "event", "error"):
            assert theirs[part] == ours[part]
    for (name, one), (again, two) in zip(entries(content), entries(CONTENT), strict=True):
        assert (name, one["modifier"], one["type"]) == (again, two["modifier"], two["type"])


@pytest.mark.parametrize("raw", [b"0x6162", b"0x", b"0xzz", b"ab", b"\xff\xfe", b"", b"\x00"])
def test_bytes_come_back_as_they_were_whatever_they_look_like(raw: bytes) -> None:
    """On the chain a name may look like hexadecimal digits; it is a name all the same."""
    farm = TYPES[STORED["TfgridModule.Farms"]]
    value = {**made(farm, random.Random(1)), "name": raw}
    assert decode(farm, farm.encode(value))["name"] == raw


def test_a_type_that_contains_itself_is_read_to_a_depth() -> None:
    utility = next(pallet for pallet in CONTENT["pallets"] if pallet["name"] == "Utility")
    batch_of_one_call_of_utility = bytes([2]) + compact(1) + bytes([utility["index"]])
    with pytest.raises(Undecodable, match="deep"):
        decode(TYPES[utility["calls"]["ty"]], batch_of_one_call_of_utility * 40)


@given(st.binary(max_size=300))
def test_metadata_of_any_bytes_is_refused_or_read(raw: bytes) -> None:
    for version in (12, 13, 14, 15):
        try:
            described.read(b"meta" + bytes([version]) + raw)
        except Undecodable:
            continue


@given(st.integers(0, 2**100))
def test_compact_integers_come_back(value: int) -> None:
    assert read_compact(Reader(compact(value))) == value
