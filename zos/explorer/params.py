"""What a request may say: one description of each parameter that both parses it and tells OpenAPI of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement

from zos.explorer.errors import BadRequest

LARGEST = 2**63 - 1
LONGEST = 1024
MOST = 1000
TRUE = ("true", "1", "t", "T", "TRUE", "True", "on")
FALSE = ("false", "0", "f", "F", "FALSE", "False")
_DIGITS = re.compile(r"[0-9]{1,19}")
_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


class Kind(StrEnum):
    """What a value is; lists are separated by commas or given by repeating the name."""

    NUMBER = "number"
    DECIMAL = "decimal"
    FLAG = "flag"
    TEXT = "text"
    NUMBERS = "numbers"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class Scope:
    """What conditions depend on besides the value."""

    now: int = 0
    balance: float = 0.0


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter; `condition` makes a filter of it, on rows of the table that `room` names."""

    name: str
    kind: Kind
    doc: str
    condition: Callable[[Any, Scope], ColumnElement[bool]] | None = None
    room: str = ""
    choices: Sequence[str] = ()
    """The words it may be, compared without regard to case."""
    least: int = 0
    most: int = LARGEST
    place: str = "query"

    def parse(self, texts: Sequence[str]) -> Any:
        """The value of what was given (never empty)."""
        if self.kind in (Kind.NUMBERS, Kind.TEXTS):
            parts = [part for text in texts for part in text.split(",")]
            if len(parts) > MOST:
                raise self._bad(f"has {len(parts)} values, at most {MOST} are taken")
            # Once is enough: a condition grows with each.
            return list(dict.fromkeys(self._one(part) for part in parts))
        return self._one(texts[-1])

    def _one(self, text: str) -> Any:
        match self.kind:
            case Kind.NUMBER | Kind.NUMBERS:
                if not _DIGITS.fullmatch(text) or not self.least <= int(text) <= self.most:
                    raise self._bad(f"must be a whole number from {self.least} to {self.most}, not `{_shown(text)}`")
                return int(text)
            case Kind.DECIMAL:
                if not _DECIMAL.fullmatch(text):
                    raise self._bad(f"must be a number such as 12.5, not `{_shown(text)}`")
                return float(text)
            case Kind.FLAG:
                if text not in TRUE + FALSE:
                    raise self._bad(f"must be true or false, not `{_shown(text)}`")
                return text in TRUE
            case _:
                return self._word(text)

    def _word(self, text: str) -> str:
        if self.choices:
            found = next((choice for choice in self.choices if choice.casefold() == text.casefold()), None)
            if found is None:
                raise self._bad(f"must be one of {', '.join(self.choices)}, not `{_shown(text)}`")
            return found
        if len(text) > LONGEST or "\0" in text or not _is_unicode(text):
            raise self._bad(f"must be text of at most {LONGEST} characters")
        return text

    def _bad(self, problem: str) -> BadRequest:
        return BadRequest(problem=f"{self.name} {problem}")

    def schema(self) -> dict[str, Any]:
        """For OpenAPI."""
        whole = {"type": "integer", "minimum": self.least, "maximum": self.most}
        word: dict[str, Any] = {"type": "string", "maxLength": LONGEST, "pattern": "^[^\\u0000]+$"}
        if self.choices:
            word = {"type": "string", "enum": list(self.choices)}
        match self.kind:
            case Kind.NUMBER:
                return whole
            case Kind.DECIMAL:
                return {"type": "string", "pattern": f"^{_DECIMAL.pattern}$"}
            case Kind.FLAG:
                return {"type": "string", "enum": [*TRUE, *FALSE]}
            case Kind.TEXT:
                return word
            case Kind.NUMBERS:
                return {"type": "array", "items": whole, "minItems": 1, "maxItems": MOST}
            case _:
                return {"type": "array", "items": word, "minItems": 1, "maxItems": MOST}

    def described(self) -> dict[str, Any]:
        """As a parameter of OpenAPI."""
        body: dict[str, Any] = {"name": self.name, "in": self.place, "description": self.doc, "schema": self.schema()}
        if self.place == "path":
            return body | {"required": True, "example": 1}
        body["allowEmptyValue"] = True
        if self.kind in (Kind.NUMBERS, Kind.TEXTS):
            body |= {"style": "form", "explode": False}
        return body


def parse(params: Sequence[Param], given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values by name; what is empty counts as not given, and what nobody knows is refused."""
    known = {param.name: param for param in params}
    texts: dict[str, list[str]] = {}
    for name, text in given:
        if name not in known:
            raise BadRequest(problem=f"there is no parameter `{_shown(name)}` here")
        if text:
            texts.setdefault(name, []).append(text)
    return {name: known[name].parse(values) for name, values in texts.items()}


def conditions(
    params: Sequence[Param], values: Mapping[str, Any], scope: Scope
) -> dict[str, list[ColumnElement[bool]]]:
    """The filters among the values, by room."""
    found: dict[str, list[ColumnElement[bool]]] = {}
    for param in params:
        if param.condition is not None and param.name in values:
            found.setdefault(param.room, []).append(param.condition(values[param.name], scope))
    return found


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    """Somebody else's text, fit for an answer."""
    return text[:60].encode(errors="replace").decode()
