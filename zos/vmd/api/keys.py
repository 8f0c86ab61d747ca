"""The SSH keys in a text of a user. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_KEY = re.compile(r"(?:^|[\s,])(?:ssh-|ecdsa-|sk-)[\w@.-]+\s+[A-Za-z0-9+/]{16,}={0,3}")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
"""What a comma does not part; a quote that is never closed encloses nothing."""


def split_keys(text: str) -> tuple[str, ...]:
    """The keys of a text with one a line, or with commas between; each once.

    Options before a key, and its comment, may hold commas too: a comma parts two keys only when one stands on
    either side of it.
    """
    return tuple(dict.fromkeys(key for line in text.splitlines() for key in _of_line(line)))


def _of_line(line: str) -> Iterator[str]:
    pieces = [(piece, _KEY.search(piece) is not None) for piece in _pieces(line)]
    left = sum(is_key for _, is_key in pieces)
    if not left:
        yield from filter(None, (piece.strip() for piece, _ in pieces))
        return
    key: list[str] = []
    has_key = False
    for piece, is_key in pieces:
        if left and has_key:
            yield ",".join(key).strip()
            key, has_key = [], False
        left -= is_key
        has_key = has_key or is_key
        key.append(piece)
    yield ",".join(key).strip()


def _pieces(line: str) -> Iterator[str]:
    """What stands between commas that no quotes enclose, but for nothing; in one pass: lines are strangers'."""
    piece: list[str] = []
    at = 0
    while (quote := line.find('"', at)) >= 0 and (quoted := _QUOTED.match(line, quote)):
        first, *rest = line[at:quote].split(",")
        piece.append(first)
        for one in rest:
            yield from filter(None, ("".join(piece),))
            piece = [one]
        piece.append(quoted[0])
        at = quoted.end()
    # Behind a quote that is not closed no other one is.
    first, *rest = line[at:].split(",")
    yield from filter(None, ("".join((*piece, first)), *rest))
