"""Legacy generations out of their declarations and today's pallets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from zos.devchain.generation import OLD_APIS, Generation
from zos.devchain.legacy.modules import EXTENSIONS, MODULES, TRANSACTION, Declared
from zos.devchain.legacy.values import CALLS, Translated, fit
from zos.devchain.runtime import BY_NAME, MODERN
from zos.scale.metadata import runtime_call, runtime_event
from zos.scale.metadata12 import Entry, Module, render
from zos.scale.pallet import Call, Event, Item, Pallet
from zos.scale.reader import Reader
from zos.scale.types import Described, Later, Register, Type
from zos.substrate.compat.names import Names, ours

SPECS = {"spec61": 61, "spec49": 49}
NAMES = (MODERN.name, *SPECS)
TWICE = 59
"""From this spec on the cancellation of a contract is raised twice."""
_LINE = re.compile(r"(\w+)(?:\((.*)\)|: (.*?))(?: @(\d+))?")
_ARGUMENT = re.compile(r"(\w+): ((?:[^,<(]|<[^>]*(?:<[^>]*>[^>]*)*>)+)")


@cache
def generation(name: str) -> Generation:
    """A generation by its name."""
    return MODERN if name == MODERN.name else _Legacy(SPECS[name]).generation(name)


class _Legacy:
    """One spec's runtime, being put together."""

    def __init__(self, spec: int) -> None:
        self._spec = spec
        call, event = Later(), Later()
        more = {"AccountInfo": "AccountInfoWithDualRefCount"}
        self._names = Names(spec, call, event, more)
        declared = {one.name: self._pallet(one) for one in MODULES}
        call.target, event.target = runtime_call(tuple(declared.values())), runtime_event(tuple(declared.values()))
        self._declared = declared
        self._call, self._event = call.target, event.target

    def generation(self, name: str) -> Generation:
        return Generation(
            name=name,
            spec=self._spec,
            transaction=TRANSACTION,
            stored={pallet.name: self._stored(pallet) for pallet in BY_NAME.values()},
            call=self._call,
            metadata=render([self._module(one) for one in MODULES], EXTENSIONS),
            timestamp=self._declared["Timestamp"].index,
            weighs_in_two=False,
            apis=OLD_APIS,
            modern=_modern,
        )

    # Declarations as types

    def _lines(self, text: str) -> Iterator[tuple[str, str, str]]:
        """Name, arguments and value of the lines that hold at this spec."""
        for line in filter(None, (line.strip() for line in text.splitlines())):
            found = _LINE.fullmatch(line)
            assert found is not None, line
            name, arguments, value, since = found.groups()
            if self._spec >= int(since or 0):
                yield name, arguments or "", value or ""

    def _pallet(self, one: Declared) -> Pallet:
        ours_now = BY_NAME[one.name]
        served = {call.name for call in ours_now.calls}
        calls = [
            Call(name, 0, tuple((arg, self._names.type(kind)) for arg, kind in _ARGUMENT.findall(arguments)))
            for name, arguments, _ in self._lines(one.calls)
            if name in served
        ]
        return Pallet(
            one.name,
            one.index,
            f"pallet_{one.name.lower()}",
            calls=tuple(Call(call.name, index, call.fields) for index, call in enumerate(calls)),
            events=tuple(
                Event(name, tuple((None, self._names.type(kind)) for kind in _split(arguments)))
                for name, arguments, _ in self._lines(one.events)
            ),
            errors=tuple(one.errors.split()) or tuple(ours()["errors"].get(one.name, ())),
        )

    def _items(self, name: str) -> dict[str, tuple[tuple[str, ...], str]]:
        """Key types and value type of the declared items that today's pallet has."""
        declared = next((one for one in MODULES if one.name == name), None)
        has = {item.name for item in BY_NAME[name].storage}
        found: dict[str, tuple[tuple[str, ...], str]] = {}
        for item, _, text in self._lines(declared.storage if declared else ""):
            keys, arrow, value = text.rpartition(" => ")
            if item in has:
                found[item] = (tuple(_split(keys)) if arrow else (), value)
        return found

    def _stored(self, pallet: Pallet) -> Pallet:
        items = self._items(pallet.name)
        return Pallet(
            pallet.name,
            pallet.index,
            pallet.path,
            storage=tuple(self._item(pallet.name, one, items) for one in pallet.storage),
            calls=pallet.calls,
            events=pallet.events,
            errors=pallet.errors,
        )

    def _item(self, pallet: str, item: Item, declared: Mapping[str, tuple[tuple[str, ...], str]]) -> Item:
        if item.name not in declared:
            return item
        keys, value = declared[item.name]
        kind: Type = Translated(self._names.type(value), pallet, item.name)
        if (pallet, item.name) == ("System", "Events"):
            kind = Records(self._names.type(value), self)
        return Item(item.name, kind, tuple(map(self._names.type, keys)), item.hashers, item.optional, item.default)

    def _module(self, one: Declared) -> Module:
        items = self._items(one.name)
        pallet = self._declared[one.name]
        stored = {item.name: item for item in self._stored(BY_NAME[one.name]).storage}
        known = {call.name for call in pallet.calls}
        return Module(
            one.name,
            one.index,
            storage=tuple(self._entry(stored[name], text) for name, text in items.items()),
            calls=tuple(
                (name, tuple(_ARGUMENT.findall(arguments)))
                for name, arguments, _ in self._lines(one.calls)
                if name in known
            ),
            events=tuple((name, tuple(_split(kinds))) for name, kinds, _ in self._lines(one.events)),
            constants=tuple(self._constants(one)),
            errors=pallet.errors if one.tells_errors else (),
        )

    def _constants(self, one: Declared) -> Iterator[tuple[str, str, bytes]]:
        values = {constant.name: constant.value for constant in BY_NAME[one.name].constants}
        for name, _, kind in self._lines(one.constants):
            yield name, kind, self._names.type(kind).encode(values[name])

    def _entry(self, item: Item, text: tuple[tuple[str, ...], str]) -> Entry:
        keys, value = text
        if isinstance(item.value, Translated) and item.optional:
            default = item.value.nothing()
        else:
            default = item.value.encode(item.default)
        return Entry(item.name, value, default, keys, item.hashers)

    # Events

    def records(self, records: Any) -> list[dict[str, Any]]:
        """Event records as this spec has them; what it does not know is left out."""
        found: list[dict[str, Any]] = []
        for record in records:
            found += [{**record, "event": event} for event in self._converted(record["event"])]
        return found

    def _converted(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        ((pallet, inner),) = event.items()
        name, content = (inner, ()) if isinstance(inner, str) else next(iter(inner.items()))
        declared = self._declared.get(pallet)
        known = next((one for one in declared.events if one.name == name), None) if declared else None
        if known is None:
            return
        kinds = [kind for _, kind in known.fields]
        parts = self._parts(pallet, name, content, len(kinds))
        values = tuple(fit(kind, part) for kind, part in zip(kinds, parts, strict=True))
        content = values[0] if len(values) == 1 else values
        yield {pallet: {name: content} if kinds else name}
        if name == "NodeContractCanceled" and self._spec >= TWICE:
            # It is raised twice, the second time with no node.
            yield {pallet: {name: (values[0], 0, 0)}}

    def _parts(self, pallet: str, name: str, content: Any, count: int) -> tuple[Any, ...]:
        if name == "ExtrinsicFailed":
            return self._error(content["dispatch_error"]), content["dispatch_info"]
        if name == "IPsFreed":
            return content["contract_id"], [one["ip"] for one in content["public_ips"]]
        if name == "BalanceSet":
            return content["who"], content["free"], 0
        fields = next(one.fields for one in BY_NAME[pallet].events if one.name == name)
        if fields and fields[0][0] is not None:
            return tuple(content[field] for field, _ in fields)
        return tuple(content) if count > 1 else (content,)[:count]

    def _error(self, error: Any) -> Any:
        if not isinstance(error, Mapping):
            return error if error in ("CannotLookup", "BadOrigin") else "Other"
        ((kind, what),) = error.items()
        if kind == "Token":
            # Money that is missing was a matter of Balances.
            return self._numbered("Balances", "KeepAlive" if what == "NotExpendable" else "InsufficientBalance")
        if kind != "Module":
            return "Other"
        pallet = next(one for one in BY_NAME.values() if one.index == what["index"])
        return self._numbered(pallet.name, pallet.errors[what["error"][0]])

    def _numbered(self, pallet: str, error: str) -> Any:
        declared = self._declared.get(pallet)
        if declared is None or error not in declared.errors:
            return "Other"
        return {"Module": {"index": declared.index, "error": declared.errors.index(error)}}


class Records:
    """System.Events, whose records are converted to this spec when they are stored."""

    def __init__(self, inner: Type, legacy: _Legacy) -> None:
        self._inner = inner
        self._legacy = legacy

    def encode(self, value: Any) -> bytes:
        return self._inner.encode(self._legacy.records(value))

    def read(self, reader: Reader) -> Any:
        return self._inner.read(reader)

    def describe(self, register: Register) -> Described:
        return self._inner.describe(register)


def _modern(call: Any) -> Any:
    """A decoded legacy call as the pallets have it."""
    ((pallet, inner),) = call.items()
    if isinstance(inner, str):
        return call
    ((name, arguments),) = inner.items()
    # "transfer" is still there; newer names for it only come beside.
    return {pallet: {name: CALLS[name](arguments) if name in CALLS else arguments}}


def _split(text: str) -> list[str]:
    """Types in a list, at the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts
