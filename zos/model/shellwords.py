"""Splits a line into words as a shell does. Pure.

`shlex.split` does the same in time that grows with the square of a word's length, and the lines are strangers'.
"""

from __future__ import annotations

import re

_PIECE = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<plain>[^ \t\r\n'"\\]+)
    | \\(?P<escaped>.)
    | '(?P<single>[^']*)'
    | "(?P<double>[^"\\]*(?:\\.[^"\\]*)*)"
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPED = re.compile(r"\\([\"\\])")


def split(text: str) -> list[str]:
    """The words of a text. Raises ValueError for a quote that is not closed, or a backslash with nothing behind it."""
    words: list[str] = []
    word: list[str] | None = None
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ValueError("No escaped character" if text[at] == "\\" else "No closing quotation")
        at = piece.end()
        found = piece[piece.lastgroup or 0]
        if piece.lastgroup == "space":
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        word.append(_ESCAPED.sub(r"\1", found) if piece.lastgroup == "double" else found)
    if word is not None:
        words.append("".join(word))
    return words
