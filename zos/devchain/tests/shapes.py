"""Metadata V14 read as strict clients read it: by the structure of types. Nothing of ours helps to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Shape = Any
"""Nested tuples; a type within itself is its number of levels up."""


class Metadata:
    """The structure of every item, by its name."""

    def __init__(self, data: bytes) -> None:
        assert data[:5] == b"meta\x0e", "V14"
        self._data, self._at = data, 5
        self._types = dict(self._type() for _ in range(self._compact()))
        self.items: dict[str, Shape] = {}
        for _ in range(self._compact()):
            self._pallet()

    # Bytes

    def _take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def _byte(self) -> int:
        return self._take(1)[0]

    def _compact(self) -> int:
        first = self._byte()
        if first & 3 < 2:
            return first >> 2 if not first & 3 else (first | self._byte() << 8) >> 2
        if first & 3 == 2:
            return int.from_bytes(bytes([first]) + self._take(3), "little") >> 2
        return int.from_bytes(self._take((first >> 2) + 4), "little")

    def _text(self) -> str:
        return self._take(self._compact()).decode()

    def _option(self, read: Any) -> Any:
        return read() if self._byte() else None

    def _list(self, read: Any) -> list[Any]:
        return [read() for _ in range(self._compact())]

    # Types

    def _field(self) -> tuple[str | None, int]:
        name = self._option(self._text)
        kind = self._compact()
        self._option(self._text)
        self._list(self._text)
        return name, kind

    def _variant(self) -> tuple[str, int, list[tuple[str | None, int]]]:
        name, fields, index = self._text(), self._list(self._field), self._byte()
        self._list(self._text)
        return name, index, fields

    def _type(self) -> tuple[int, tuple[Any, ...]]:
        number = self._compact()
        path = self._list(self._text)
        self._list(lambda: (self._text(), self._option(self._compact)))
        kind = self._byte()
        match kind:
            case 0:
                body: Any = self._list(self._field)
            case 1:
                body = self._list(self._variant)
            case 2 | 6:
                body = self._compact()
            case 3:
                body = (int.from_bytes(self._take(4), "little"), self._compact())
            case 4:
                body = self._list(self._compact)
            case 5:
                body = self._byte()
            case _:
                body = (self._compact(), self._compact())
        self._list(self._text)
        return number, (kind, path, body)

    def shape(self, number: int, above: tuple[int, ...] = ()) -> Shape:
        """The structure of a type; names of fields and variants count, paths do not."""
        if number in above:
            return ("again", len(above) - above.index(number))
        kind, path, body = self._types[number]
        here = (*above, number)
        if path[-1:] in (["RuntimeCall"], ["RuntimeEvent"]):
            return tuple(path[-1:])
        match kind:
            case 0:
                return ("struct", *((name, self.shape(one, here)) for name, one in body))
            case 1:
                return ("enum", *(self._shape(one, here) for one in sorted(body, key=lambda one: one[1])))
            case 2:
                return ("list", self.shape(body, here))
            case 3:
                return ("array", body[0], self.shape(body[1], here))
            case 4:
                return ("tuple", *(self.shape(one, here) for one in body))
            case 5:
                return ("primitive", body)
            case 6:
                return ("compact", self.shape(body, here))
        return ("bits", *(self.shape(one, here) for one in body))

    def _shape(self, variant: tuple[str, int, list[tuple[str | None, int]]], above: tuple[int, ...]) -> Shape:
        name, index, fields = variant
        return name, index, *((field, self.shape(one, above)) for field, one in fields)

    # Pallets

    def _entry(self, pallet: str) -> None:
        name, modifier, is_map = self._text(), self._byte(), self._byte()
        if is_map:
            hashers = self._list(self._byte)
            key, value = self._compact(), self._compact()
            shape: Shape = (modifier, tuple(hashers), self.shape(key), self.shape(value))
        else:
            shape = (modifier, self.shape(self._compact()))
        self._take(self._compact())
        self._list(self._text)
        self.items[f"{pallet}.storage.{name}"] = shape

    def _pallet(self) -> None:
        name = self._text()
        if self._byte():
            self._text()
            self._list(lambda: self._entry(name))
        for what in ("call", "event"):
            kind = self._option(self._compact)
            for variant in self._types[kind][2] if kind is not None else ():
                self.items[f"{name}.{what}.{variant[0]}"] = self._shape(variant, ())
        for _ in range(self._compact()):
            constant, kind = self._text(), self._compact()
            self._take(self._compact())
            self._list(self._text)
            self.items[f"{name}.constant.{constant}"] = self.shape(kind)
        if (kind := self._option(self._compact)) is not None:
            for variant in self._types[kind][2]:
                self.items[f"{name}.error.{variant[0]}"] = self._shape(variant, ())
        self.items[f"{name}.index"] = self._byte()


@dataclass(frozen=True)
class Difference:
    """One item that a strict client would refuse."""

    item: str
    ours: Shape
    theirs: Shape

    def __str__(self) -> str:
        return f"{self.item}\n  ours:   {self.ours}\n  theirs: {self.theirs}"


def differences(ours: bytes, theirs: bytes) -> list[Difference]:
    """Items that both have with another structure, and those that only ours has."""
    mine, its = Metadata(ours).items, Metadata(theirs).items
    return [Difference(item, shape, its.get(item)) for item, shape in mine.items() if its.get(item) != shape]
