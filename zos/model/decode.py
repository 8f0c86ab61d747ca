"""Reading JSON as the grid's nodes read it (Go's encoding/json), with the path of what is wrong in each error.

Keys match whatever their case, unknown keys are ignored, a missing key or null is the zero value, integers must be
plain literals in range. Hashes are taken over what was decoded here, so these rules are part of the wire format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NoReturn

from zos.errors import Status, ZosError


class Malformed(ZosError):
    """Something in a document is not what it must be."""

    reason = "model.malformed"
    status = Status.INVALID_ARGUMENT
    text = "{path}: {problem}"


MOST_DIGITS = 400
"""Of a number; a float64 has 309 before its point. Python takes quadratic time to read long ones."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_FOLDED = {**{upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}, 0x17F: ord("s"), 0x212A: ord("k")}
"""Go folds single characters: beside ASCII only the long s and the Kelvin sign lead to a letter of our names."""


class _MinusZero(int):
    """`-0`: zero where a signed number stands, refused where an unsigned one does, as in Go."""


def parse(data: bytes) -> Any:
    """JSON bytes as Python values, as Go's decoder reads them.

    Each byte that is not UTF-8 becomes one U+FFFD, and so does each half of a surrogate pair. Keys twice in an object,
    numbers that no float64 holds, and constants such as NaN are refused.
    """
    text = _SURROGATES.sub("\ufffd", data.decode(errors="surrogateescape"))
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_fraction,
            object_pairs_hook=_object,
        )
        return _without_surrogates(value) if _ESCAPED_SURROGATE.search(text) else value
    except RecursionError:
        raise Malformed(path="document", problem="nested too deeply") from None
    except ValueError as err:
        raise Malformed(path="document", problem=f"not valid JSON: {err}") from None


def _refuse_constant(word: str) -> NoReturn:
    raise Malformed(path="document", problem=f"{word} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise Malformed(path="document", problem=f"a number has {len(digits)} digits; at most {MOST_DIGITS} are read")
    return _MinusZero() if digits == "-0" else int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise Malformed(path="document", problem=f"the number {digits[:20]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Malformed(path="document", problem=f"the key `{key[:40]}` is there twice in one object")
            seen.add(key)
    return found


def _without_surrogates(value: Any) -> Any:
    """The value with each half of a surrogate pair, which JSON can escape and UTF-8 cannot hold, as U+FFFD."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(entry) for entry in value]
    if isinstance(value, dict):
        return _object([(_without_surrogates(key), _without_surrogates(entry)) for key, entry in value.items()])
    return value


def fold(key: str) -> str:
    """A key as Go compares it with a field's name, which is ASCII: without case."""
    return key.translate(_FOLDED)


class Fields:
    """A JSON object with typed getters; `path` is where it stands in its document."""

    def __init__(self, value: Any, path: str = "") -> None:
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise Malformed(path=path or "document", problem=f"must be an object, not {_kind(value)}")
        self.path = path
        self._values: dict[str, Any] = {}
        for key, entry in value.items():
            if entry is None:
                continue
            if fold(key) in self._values:
                raise Malformed(path=self.at(key), problem="is there twice, in upper and lower case")
            self._values[fold(key)] = entry

    def __contains__(self, name: str) -> bool:
        return fold(name) in self._values

    def raw(self, name: str) -> Any:
        """The value as it came, None when missing or null."""
        return self._values.get(fold(name))

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Raise for a field."""
        raise Malformed(path=self.at(name), problem=problem)

    def text(self, name: str) -> str:
        """A string; "" when missing."""
        value = self.raw(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(name, f"must be a string, not {_kind(value)}")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; False when missing."""
        value = self.raw(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {_kind(value)}")
        return value

    def uint(self, name: str, bits: int = 64) -> int:
        """An unsigned integer of so many bits; 0 when missing."""
        if isinstance(self.raw(name), _MinusZero):
            self.refuse(name, "must be a whole number without a sign, not -0")
        return self._integer(name, 0, 2**bits - 1)

    def integer(self, name: str, bits: int = 64) -> int:
        """A signed integer of so many bits; 0 when missing."""
        return self._integer(name, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def _integer(self, name: str, low: int, high: int) -> int:
        value = self.raw(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, f"must be a whole number, not {_kind(value)}")
        if not low <= value <= high:
            self.refuse(name, f"{value} is outside {low}..{high}")
        return value

    def timestamp(self, name: str) -> int:
        """Unix seconds, also from an RFC 3339 text."""
        value = self.raw(name)
        if isinstance(value, str):
            try:
                return _rfc3339(value)
            except (ValueError, OverflowError):
                self.refuse(name, f"`{value[:40]}` is neither Unix seconds nor an RFC 3339 time")
        return self.integer(name)

    def list(self, name: str) -> list[Any]:
        """A list; empty when missing."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, f"must be a list, not {_kind(value)}")
        return value

    def objects(self, name: str) -> Iterator[Fields]:
        """A list of objects."""
        for index, value in enumerate(self.list(name)):
            yield Fields(value, f"{self.at(name)}[{index}]")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; a null among them is the empty one."""
        found = []
        for index, value in enumerate(self.list(name)):
            if value is not None and not isinstance(value, str):
                self.refuse(f"{name}[{index}]", f"must be a string, not {_kind(value)}")
            found.append(value or "")
        return tuple(found)

    def object(self, name: str) -> Fields:
        """An object; an empty one when missing."""
        return Fields(self.raw(name), self.at(name))

    def optional(self, name: str) -> Fields | None:
        """An object, or None when missing or null."""
        return self.object(name) if name in self else None

    def mapping(self, name: str) -> dict[str, str]:
        """An object of strings, keys as they came."""
        value = self.raw(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.refuse(name, f"must be an object, not {_kind(value)}")
        for key, entry in value.items():
            if entry is not None and not isinstance(entry, str):
                self.refuse(f"{name}.{key}", f"must be a string, not {_kind(entry)}")
        return {key: entry or "" for key, entry in value.items()}

    def hex(self, name: str) -> bytes:
        """Bytes written as hex, either case; empty when missing."""
        text = self.text(name)
        try:
            if not text.isascii() or any(char.isspace() for char in text):
                raise ValueError
            return bytes.fromhex(text)
        except ValueError:
            self.refuse(name, "must be hexadecimal digits, two for each byte")

    def cidr(self, name: str) -> str:
        """An address with prefix length in canonical text, host bits kept; "" when unset."""
        return self._cidr(name, self.text(name))

    def cidrs(self, name: str) -> tuple[str, ...]:
        """A list of addresses with prefix length."""
        return tuple(self._cidr(f"{name}[{index}]", text) for index, text in enumerate(self.texts(name)))

    def _cidr(self, name: str, text: str) -> str:
        if not text:
            return ""
        address, slash, length = text.partition("/")
        try:
            parsed = _address(address)
            limit = 32 if isinstance(ip_address(address), IPv4Address) else 128
            if not slash or not length.isdigit() or not length.isascii() or len(length) > 3 or int(length) > limit:
                raise ValueError
        except ValueError:
            self.refuse(name, f"`{text}` is not an address with a prefix length, like 10.1.2.0/24")
        # Go shows an IPv4-mapped prefix by the last four bytes of its mask.
        is_mapped = getattr(parsed, "ipv4_mapped", None) is not None
        return f"{show_address(parsed)}/{max(0, int(length) - 96) if is_mapped else int(length)}"

    def address(self, name: str) -> str:
        """An IP address in canonical text; "" when unset."""
        text = self.text(name)
        if not text:
            return ""
        try:
            return show_address(_address(text))
        except ValueError:
            self.refuse(name, f"`{text}` is not an IP address")


def _rfc3339(text: str) -> int:
    """Unix seconds of a time with its zone; a fraction is cut off downwards."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return int(datetime.fromisoformat(found[1] + found[2]).timestamp())


def _address(text: str) -> IPv4Address | IPv6Address:
    if "%" in text:
        raise ValueError
    return ip_address(text)


def show_address(address: IPv4Address | IPv6Address) -> str:
    """The text that the grid hashes: dotted also for IPv4-mapped IPv6, else the shortest form."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _kind(value: Any) -> str:
    # bool before int: Python's True is an int too.
    kinds = ((bool, "true or false"), (str, "a string"), (int, "a number"), (float, "a fraction"), (list, "a list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "an object" if value is not None else "null")
