"""Reads the metadata of a runtime, of the generations V12, V13 and V14, into dicts. Pure.

Its layout is declared with our own types. Docs are read and dropped. The dicts have the names of Substrate's structs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zos.scale.reader import Undecodable
from zos.scale.types import BOOL, BYTES, TEXT, U8, U32, Compact, Enum, Option, Struct, Type, Variant, Vec, decode, words

MAGIC = b"meta"
ID = Compact(U32)
DOCS = Vec(TEXT)
HASHERS = words("", "Blake2_128", "Blake2_256", "Blake2_128Concat", "Twox128", "Twox256", "Twox64Concat", "Identity")
PRIMITIVES = words("", "bool", "char", "str", *(f"{sign}{2**power}" for sign in "ui" for power in range(3, 9)))


def _struct(**fields: Type) -> Struct:
    return Struct("", tuple((name.rstrip("_"), kind) for name, kind in fields.items()))


def _cases(**cases: Type) -> Enum:
    listed = enumerate(cases.items())
    return Enum("", tuple(Variant(name.rstrip("_"), index, ((None, kind),)) for index, (name, kind) in listed))


def _modern() -> Struct:
    field = _struct(name=Option(TEXT), type=ID, typeName=Option(TEXT), docs=DOCS)
    variant = _struct(name=TEXT, fields=Vec(field), index=U8, docs=DOCS)
    definition = _cases(
        composite=_struct(fields=Vec(field)),
        variant=_struct(variants=Vec(variant)),
        sequence=_struct(type=ID),
        array=_struct(len=U32, type=ID),
        tuple=Vec(ID),
        primitive=PRIMITIVES,
        compact=_struct(type=ID),
        bitsequence=_struct(store=ID, order=ID),
    )
    parameter = _struct(name=TEXT, type=Option(ID))
    described = _struct(path=Vec(TEXT), params=Vec(parameter), def_=definition, docs=DOCS)
    entry = _struct(
        name=TEXT,
        modifier=words("", "Optional", "Default", "Required"),
        type=_cases(Plain=ID, Map=_struct(hashers=Vec(HASHERS), key=ID, value=ID)),
        default=BYTES,
        docs=DOCS,
    )
    reference = Option(_struct(ty=ID))
    pallet = _struct(
        name=TEXT,
        storage=Option(_struct(prefix=TEXT, entries=Vec(entry))),
        calls=reference,
        event=reference,
        constants=Vec(_struct(name=TEXT, type=ID, value=BYTES, docs=DOCS)),
        error=reference,
        index=U8,
    )
    extension = _struct(identifier=TEXT, ty=ID, additional_signed=ID)
    return _struct(
        types=Vec(_struct(id=ID, type=described)),
        pallets=Vec(pallet),
        extrinsic=_struct(ty=ID, version=U8, signed_extensions=Vec(extension)),
        ty=ID,
    )


def _old(version: int) -> Struct:
    kinds: dict[str, Type] = {
        "Plain": TEXT,
        "Map": _struct(hasher=HASHERS, key=TEXT, value=TEXT, unused=BOOL),
        "DoubleMap": _struct(hasher=HASHERS, key1=TEXT, key2=TEXT, value=TEXT, key2_hasher=HASHERS),
    }
    if version > 12:
        kinds["NMap"] = _struct(keys=Vec(TEXT), hashers=Vec(HASHERS), value=TEXT)
    modifier = words("", "Optional", "Default", "Required")
    entry = _struct(name=TEXT, modifier=modifier, type=_cases(**kinds), default=BYTES, docs=DOCS)
    call = _struct(name=TEXT, args=Vec(_struct(name=TEXT, type=TEXT)), docs=DOCS)
    module = _struct(
        name=TEXT,
        storage=Option(_struct(prefix=TEXT, entries=Vec(entry))),
        calls=Option(Vec(call)),
        events=Option(Vec(_struct(name=TEXT, args=DOCS, docs=DOCS))),
        constants=Vec(_struct(name=TEXT, type=TEXT, value=BYTES, docs=DOCS)),
        errors=Vec(_struct(name=TEXT, docs=DOCS)),
        index=U8,
    )
    return _struct(modules=Vec(module), extrinsic=_struct(version=U8, signed_extensions=DOCS))


def version(metadata: bytes) -> int:
    """The generation; Undecodable for what is no metadata."""
    if metadata[:4] != MAGIC or len(metadata) < 5:
        raise Undecodable("it does not begin as metadata does")
    return metadata[4]


def read(metadata: bytes) -> Mapping[str, Any]:
    """The content of metadata V12, V13 or V14."""
    number = version(metadata)
    if number not in (12, 13, 14):
        raise Undecodable(f"metadata V{number} is not known")
    content: Mapping[str, Any] = decode(_modern() if number == 14 else _old(number), metadata[5:])
    return content
