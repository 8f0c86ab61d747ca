"""Parameters of requests: one description of each parses it, makes a filter of it and describes it in OpenAPI. Pure.

What has a plain meaning is accepted, as by the service that clients know: a size beyond the largest is the largest, a
word that nothing has finds nothing. Why this is no framework's: decisions/0001-parameters.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement

from zos.explorer.errors import BadRequest
from zos.explorer.store.schema import MAX_INT

MAX_TEXT = 16_384
MAX_NUMBERS = 10_000
"""Of one list. SQLite takes 32,766 parameters in a statement, and there are three such lists."""
MAX_WORDS = 1000
MAX_NUMBER = 2**64 - 1
TRUE = ("true", "1", "t", "T", "TRUE", "True", "on")
FALSE = ("false", "0", "f", "F", "FALSE", "False")
_DIGITS = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?")


class Kind(StrEnum):
    """The type of a value; lists are separated by commas or given by repeating the name."""

    NUMBER = "number"
    DECIMAL = "decimal"
    FLAG = "flag"
    TEXT = "text"
    NUMBERS = "numbers"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What conditions depend on besides the parameter's value."""

    now: int = 0
    """Unix seconds."""
    balance: float = 0.0
    """USD."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter. With a `condition` it is a filter."""

    name: str
    kind: Kind
    doc: str
    condition: Callable[[Any, FilterContext], ColumnElement[bool]] | None = None
    subject: str = ""
    """Of which rows the condition is: the list's own (empty), or `gpu` or `node`, which belong to them."""
    choices: Sequence[str] = ()
    """The words that mean something, compared without regard to case."""
    only_choices: bool = False
    """Whether any other word is refused."""
    minimum: int = 0
    """Smaller numbers are taken as this,"""
    maximum: int = MAX_INT
    """and larger ones as this."""
    place: str = "query"
    """As in OpenAPI: `query` or `path`."""

    @property
    def is_list(self) -> bool:
        return self.kind in (Kind.NUMBERS, Kind.TEXTS)

    def parse(self, texts: Sequence[str]) -> Any:
        """The value of the texts that were given (at least one). Raises BadRequest."""
        if self.is_list:
            parts = [part for text in texts for part in text.split(",") if part]
            most = MAX_NUMBERS if self.kind is Kind.NUMBERS else MAX_WORDS
            if len(parts) > most:
                raise self._bad(f"has {len(parts)} values, at most {most} are taken")
            # Each value makes the condition longer: repeated ones are dropped.
            return list(dict.fromkeys(self._one(part) for part in parts))
        return self._one(texts[-1])

    def _one(self, text: str) -> Any:
        match self.kind:
            case Kind.NUMBER | Kind.NUMBERS:
                if not _DIGITS.fullmatch(text) or int(text) > MAX_NUMBER:
                    raise self._bad(f"must be a whole number of at most 64 bits, not `{_shown(text)}`")
                return min(max(int(text), self.minimum), self.maximum)
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
        for choice in self.choices:
            if choice.casefold() == text.casefold():
                return choice
        if self.only_choices:
            raise self._bad(f"must be one of {', '.join(self.choices)}, not `{_shown(text)}`")
        if len(text) > MAX_TEXT or "\0" in text or not _is_unicode(text):
            raise self._bad(f"must be text of at most {MAX_TEXT} characters")
        return text

    def _bad(self, problem: str) -> BadRequest:
        return BadRequest(problem=f"{self.name} {problem}")

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value, for OpenAPI."""
        whole = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}
        word: dict[str, Any] = {"type": "string", "maxLength": MAX_TEXT, "pattern": "^[^\\u0000]+$"}
        if self.only_choices:
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
                return {"type": "array", "items": whole, "minItems": 1, "maxItems": MAX_NUMBERS}
            case _:
                return {"type": "array", "items": word, "minItems": 1, "maxItems": MAX_WORDS}

    def openapi(self) -> dict[str, Any]:
        """The parameter object of OpenAPI."""
        doc = f"{self.doc}: {', '.join(self.choices)}" if self.choices and not self.only_choices else self.doc
        body: dict[str, Any] = {"name": self.name, "in": self.place, "description": doc, "schema": self.schema()}
        if self.place == "path":
            return body | {"required": True, "example": 1}
        body["allowEmptyValue"] = True
        if self.is_list:
            body |= {"style": "form", "explode": False}
        return body


def parse(params: Sequence[Param], given: Iterable[tuple[str, str]], ignored: Collection[str] = ()) -> dict[str, Any]:
    """Values by name (in any case). An empty text counts as not given, whatever its name; else an unknown name raises
    BadRequest.
    """
    known = {param.name: param for param in params}
    texts: dict[str, list[str]] = {}
    for written, text in given:
        name = written.lower()
        if name in ignored or not text.strip(","):
            continue
        if name not in known:
            raise BadRequest(problem=f"there is no parameter `{_shown(written)}` here")
        texts.setdefault(name, []).append(text)
    return {name: known[name].parse(values) for name, values in texts.items()}


def conditions(
    params: Sequence[Param], values: Mapping[str, Any], context: FilterContext
) -> dict[str, list[ColumnElement[bool]]]:
    """The conditions of the values that are filters, by subject."""
    found: dict[str, list[ColumnElement[bool]]] = {}
    for param in params:
        if param.condition is not None and param.name in values:
            found.setdefault(param.subject, []).append(param.condition(values[param.name], context))
    return found


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    """A text of the client, cut and cleaned for an error message."""
    return text[:60].encode(errors="replace").decode()
