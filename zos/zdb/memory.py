"""How much of a process's memory the keys of its namespaces may take, and who may have how much. For many threads.

A key takes memory for as long as it is there, and what a tenant pays for is disk. So each namespace has a part of the
memory for sure, as its owner pays for a part of the disk; half of all is for these parts. The other half is common: who
needs more than his part has it there, but never more than he leaves to the others.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from zos.errors import Status, ZosError

STEP = 1 << 12
"""Bytes that are given at once."""


class TooManyKeys(ZosError):
    """A namespace that was filled before there was this bound, or on a larger machine."""

    reason = "zdb.too_many_keys"
    status = Status.RESOURCE_EXHAUSTED
    text = "its keys take more memory than this disk's 0-db has left for them"
    hint = "its data is kept, and it is tried again; a machine with more memory serves it"


class Memory:
    """Bytes for all namespaces of a process: `total` while they are written to, `most` with what was there before."""

    def __init__(self, total: int, most: int) -> None:
        self.assured = total // 2
        """For the parts that namespaces have for sure; who hands them out gives no more than this in all."""
        self._common = total - self.assured
        self._most_common = most - self.assured
        self._lock = threading.Lock()
        self._extra = 0
        """Held beyond such parts."""
        self._by_owner: defaultdict[str, int] = defaultdict(int)
        """The same by owner."""

    def share(self, owner: str, assured: int) -> Share:
        """What a namespace of this owner has, so much of it for sure."""
        return Share(self, owner, assured)

    def set(self, share: Share, assured: int, held: int, *, is_there: bool) -> bool:
        """Change what a namespace has, unless it may not; `is_there`: its keys are on the disk already."""
        with self._lock:
            extra = max(0, held - assured)
            more = extra - max(0, share.held - share.assured)
            # A part that became smaller takes nothing away from who has it.
            if more > 0 and held > share.held:
                if is_there:
                    fits = self._extra + more <= self._most_common
                else:
                    fits = self._by_owner[share.owner] + more <= self._common - self._extra - more
                if not fits:
                    return False
            self._extra += more
            self._by_owner[share.owner] += more
            if not self._by_owner[share.owner]:
                del self._by_owner[share.owner]
            share.assured, share.held = assured, held
            return True


class Share:
    """What one namespace has of the memory."""

    __slots__ = ("_memory", "assured", "held", "is_over", "owner")

    def __init__(self, memory: Memory, owner: str, assured: int) -> None:
        self._memory = memory
        self.owner = owner
        self.assured = assured
        self.held = 0
        """Bytes that it has."""
        self.is_over = False
        """Nobody wants the namespace any more: who reads it in another thread stops."""

    def covers(self, size: int, *, is_there: bool = False) -> bool:
        """Have so many bytes, if it has not got them yet; False when it may not."""
        return size <= self.held or self._memory.set(self, self.assured, -(-size // STEP) * STEP, is_there=is_there)

    def assure(self, assured: int) -> None:
        """So much of it is for sure from now on."""
        if assured != self.assured:
            self._memory.set(self, assured, self.held, is_there=True)

    def shrink(self, size: int) -> None:
        """It takes no more than this now."""
        if size < self.held:
            self._memory.set(self, self.assured, size, is_there=True)
