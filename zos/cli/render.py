"""Values as text for people: tables, ages, sizes. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

Cell = str | int | float | None
GAP = "  "
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]")
"""Control sequences (ECMA-48) as terminals know them: with parameters, with a text, of two characters."""


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Columns as wide as they must be; numbers to the right. An empty table says so."""
    kept = [list(row) for row in rows]
    cells = [[_text(cell) for cell in row] for row in kept]
    if not cells:
        return "(none)"
    right = [all(isinstance(row[column], int | float) for row in kept) for column in range(len(headers))]
    lines = [[header.upper() for header in headers], *cells]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join(_line(line, widths, right) for line in lines)


def fields(values: Mapping[str, Cell]) -> str:
    """One thing, a line per field."""
    width = max((len(name) for name in values), default=0)
    return "\n".join(f"{name.ljust(width)}  {_text(value)}".rstrip() for name, value in values.items())


def _line(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for text, width, to_right in zip(line, widths, right, strict=True):
        fill = " " * (width - _width(text))
        parts.append(fill + text if to_right else text + fill)
    return GAP.join(parts).rstrip()


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.2f}"
    # What comes from a guest or a chain must not move the cursor of the reader's terminal.
    return printable(str(cell))


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


def printable(text: str) -> str:
    """The text on one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def harmless(text: str) -> str:
    """The text with its lines and tabs, without what would command the reader's terminal (colours, cursor, title)."""
    return "".join(char for char in ESCAPES.sub("", text) if char.isprintable() or char in "\n\t")


def since(seconds: float) -> str:
    """A span of time for people: `3 s`, `2 min`, `5 h`, `4 d`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
