"""The SSH keys in a text of a user. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_KEY = re.compile(r"(?:^|[\s,])(?:ssh-|ecdsa-|sk-)[\w@.-]+\s+[A-Za-z0-9+/]{16,}={0,3}")
_PIECE = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"]|")+')
"""What stands between commas that no quotes enclose; a quote that is never closed encloses nothing."""


def split_keys(text: str) -> tuple[str, ...]:
    """The keys of a text with one a line, or with commas between; each once.

    Options before a key, and its comment, may hold commas too: a comma parts two keys only when one stands on
    either side of it.
    """
    return tuple(dict.fromkeys(key for line in text.splitlines() for key in _of_line(line)))


def _of_line(line: str) -> Iterator[str]:
    pieces = _PIECE.findall(line)
    if not any(map(_is_key, pieces)):
        yield from filter(None, map(str.strip, pieces))
        return
    left = sum(map(_is_key, pieces))
    key: list[str] = []
    for piece in pieces:
        if left and any(map(_is_key, key)):
            yield ",".join(key).strip()
            key = []
        left -= _is_key(piece)
        key.append(piece)
    yield ",".join(key).strip()


def _is_key(piece: str) -> bool:
    return _KEY.search(piece) is not None
