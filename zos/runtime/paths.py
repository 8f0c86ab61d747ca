"""Paths in what msgspec writes and reads, which it does not know by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def encode(value: Any) -> Any:
    """msgspec's `enc_hook`: a path is its text."""
    if isinstance(value, Path):
        return str(value)
    # msgspec's word for "no kind of mine either": it then raises its own error.
    raise NotImplementedError(type(value))


def decode(kind: type, value: Any) -> Any:
    """msgspec's `dec_hook`: the text is a path where one is wanted."""
    if issubclass(kind, Path):
        return Path(value)
    # As above: msgspec then raises its own error.
    raise NotImplementedError(kind)
