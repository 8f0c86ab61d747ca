"""What was removed on purpose and may still be there: it is told from what has only lost its record."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from zos.runtime.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Removal:
    """A record that was dropped (ledger `removed`); its key says of what."""


class Removals:
    """Names of networks (ids) and taps (devices) whose records were dropped, until they are seen to be gone."""

    def __init__(self, ledger: Ledger[Removal]) -> None:
        self._ledger = ledger

    def add(self, name: str) -> None:
        """Note it; call this before its record is dropped."""
        self._ledger.put(name, Removal())

    def over(self, names: Collection[str]) -> None:
        """These are gone, or are wanted again."""
        for name in names:
            self._ledger.drop(name)

    def names(self) -> frozenset[str]:
        return frozenset(self._ledger.keys())
