"""The blocks by number and by hash: the last ones in memory, the others read from the store when they are asked for."""

from __future__ import annotations

from zos.devchain.block import Block
from zos.devchain.store import Store

KEPT = 1024


class BlockIndex:
    """A list of blocks that does not grow in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._height = store.height()
        self._recent: dict[int, Block] = {}
        self._by_hash: dict[bytes, int] = {}

    def __len__(self) -> int:
        return self._height + 1

    def __getitem__(self, number: int) -> Block:
        if number < 0:
            number += len(self)
        if not 0 <= number <= self._height:
            raise IndexError(number)
        return self._recent.get(number) or self._store.block(number)

    def number_of(self, hash: bytes) -> int | None:
        """The number of a block on the best chain."""
        found = self._by_hash.get(hash)
        return self._store.number_of(hash) if found is None else found

    def append(self, block: Block) -> None:
        """A block that the store has, behind any number of others that it has too."""
        self._height = block.number
        self._keep(block)

    def pop(self) -> Block:
        """The newest, which is none any more."""
        last = self[-1]
        self._recent.pop(last.number, None)
        self._by_hash.pop(last.hash, None)
        self._height -= 1
        return last

    def _keep(self, block: Block) -> None:
        self._recent[block.number] = block
        self._by_hash[block.hash] = block.number
        if len(self._recent) > KEPT:
            gone = self._recent.pop(next(iter(self._recent)))
            self._by_hash.pop(gone.hash, None)
