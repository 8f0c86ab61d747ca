"""Reads the user's YAML without surprises: a value is what it looks like, and what it means is for who asks for it.

YAML 1.1 makes `yes` a truth, `1.10` a fraction, `0755` a number and `12:30` another, wherever they stand. Here every
plain word stays text; a flag, a number or a size is made of it only where one is wanted. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from zos.errors import Status, ZosError
from zos.model.units import Bytes
from zos.runtime import data

SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
SCALE = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
ABSENT = ("", "~", "null", "Null", "NULL")
SURROGATE = re.compile("[\ud800-\udfff]")


class BadSpec(ZosError):
    """The file cannot be deployed as it is written."""

    reason = "cli.bad_spec"
    status = Status.INVALID_ARGUMENT
    text = "{path}: {problem}"
    hint = f"{data.folder('examples') / 'vm.yaml'} is a complete example"


class _Loader(yaml.SafeLoader):
    """Knows mappings, lists and text."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are text, each of them there once."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise BadSpec(path=_line(key), problem="a key must be text")
            line = key.start_mark.line + 1
            if key.value in seen and not key.tag.endswith(":merge"):
                problem = f"the key `{key.value}` is there twice; the first is in line {seen[key.value]}"
                raise BadSpec(path=_line(key), problem=problem)
            seen[key.value] = line
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def load(text: str) -> Any:
    """The document: dictionaries, lists and text."""
    try:
        loader = _Loader(text)
        try:
            document = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as err:
        raise BadSpec(path="the file", problem=f"is not YAML: {' '.join(str(err).split())}") from None
    except (RecursionError, ValueError) as err:
        raise BadSpec(path="the file", problem=f"cannot be read: {err}") from None
    return document


class Table:
    """A mapping of the file, with its path; it records which keys were read, so that others can be refused."""

    def __init__(self, value: Any, path: str) -> None:
        if value is None or value == "":
            value = {}
        if not isinstance(value, dict):
            raise BadSpec(path=path or "the file", problem="must be a table of `key: value` lines")
        self.path = path
        self.values = {str(key): entry for key, entry in value.items()}
        self._asked: set[str] = set()

    def at(self, key: str) -> str:
        """The path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raise for a key."""
        raise BadSpec(path=self.at(key), problem=problem)

    def get(self, key: str) -> Any:
        """A value as it came; None when it is missing or left empty."""
        self._asked.add(key)
        value = self.values.get(key)
        return None if isinstance(value, str) and value in ABSENT else value

    def text(self, key: str, default: str = "") -> str:
        """Text, letter by letter as it stands in the file."""
        value = self.get(key)
        return default if value is None else self._text(key, value)

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            self.refuse(key, "must be text")
        if SURROGATE.search(value):
            self.refuse(key, "holds half of a character (a lone surrogate)")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self.get(key)
        if value is None:
            return default
        found = FLAGS.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            self.refuse(key, "must be true or false")
        return found

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number."""
        value = self.get(key)
        return default if value is None else self._number(key, value, low, high)

    def _number(self, key: str, value: Any, low: int, high: int) -> int:
        if not isinstance(value, str) or not NUMBER.fullmatch(value) or not low <= int(value) <= high:
            self.refuse(key, f"must be a whole number from {low} to {high}")
        return int(value)

    def numbers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self.get(key)
        if value is not None and not isinstance(value, list):
            self.refuse(key, "must be a list such as [1, 2]")
        return tuple(self._number(key, one, low, high) for one in value or ())

    def size(self, key: str, default: Bytes | None = None) -> Bytes:
        """A size in bytes: a number with a unit, powers of two; a fraction of a byte is cut off."""
        value = self.get(key)
        if value is None:
            if default is None:
                self.refuse(key, "is missing; give a size such as 1GiB")
            return default
        matched = SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if not matched:
            self.refuse(key, f"`{value}` is not a size; write for instance 512MiB or 1GiB")
        return Bytes(int(float(matched[1]) * SCALE[matched[2].upper()]))

    def tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """The tables below a key, by their names."""
        for name, value in Table(self.get(key), self.at(key)).values.items():
            yield name, Table(value, f"{self.at(key)}.{name}")

    def texts(self, key: str) -> dict[str, str]:
        """A table of texts; only what is left out altogether is empty: `null` is a word here."""
        table = Table(self.get(key), self.at(key))
        return {name: table._text(name, "" if value is None else value) for name, value in table.values.items()}

    def done(self) -> None:
        """Refuse the keys that were not read: a misspelt key must not be ignored."""
        for key in self.values:
            if key not in self._asked:
                self.refuse(key, f"is not a key here; the keys are {', '.join(sorted(self._asked))}")
