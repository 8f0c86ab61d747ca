"""Looks twins up, and remembers them for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from zos.rmb.envelope import TwinRecord
from zos.runtime.clock import Clock

Look = Callable[[int], Awaitable[TwinRecord | None]]
LIMIT = 20_000


class TwinCache:
    """Twins as the chain had them lately. One that does not exist is asked for again sooner."""

    def __init__(self, look: Look, clock: Clock, keep: float = 600.0, missing: float = 5.0) -> None:
        self._look = look
        self._clock = clock
        self._keep = keep
        self._missing = missing
        self._known: OrderedDict[int, tuple[float, TwinRecord | None]] = OrderedDict()

    async def twin(self, id: int) -> TwinRecord | None:
        """A twin; None when the chain has none of this number."""
        now = self._clock.monotonic()
        kept = self._known.get(id)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = await self._look(id)
        self._known[id] = (now + (self._keep if found else self._missing), found)
        self._known.move_to_end(id)
        while len(self._known) > LIMIT:
            self._known.popitem(last=False)
        return found

    def forget(self, id: int) -> None:
        """Look again next time: a signature did not fit, and the twin may have changed its key."""
        kept = self._known.get(id)
        # Once in a while only, or a stranger could make us ask the chain for every message.
        if kept is not None and kept[0] - self._clock.monotonic() < self._keep - self._missing:
            del self._known[id]
