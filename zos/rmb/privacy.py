"""Which commands are answered in cipher only."""

from __future__ import annotations

from collections.abc import Callable

IsPrivate = Callable[[str], bool]
"""Whether what answers a command is nobody else's to read."""


def never(command: str) -> bool:
    """No command is private."""
    return False


def always(command: str) -> bool:
    """Every command is private."""
    return True
