"""Looks twins up, and remembers them for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from zos.errors import ZosError
from zos.rmb.envelope import TwinRecord
from zos.runtime.clock import Clock

Look = Callable[[int], Awaitable[TwinRecord | None]]
LIMIT = 20_000
STALE = 6 * 3600.0
"""Seconds that a twin is believed to be as it was while the chain does not answer."""


@dataclass(slots=True)
class _Kept:
    record: TwinRecord | None
    at: float
    until: float


class TwinCache:
    """Twins as the chain had them lately. One that does not exist is asked for again sooner."""

    def __init__(self, look: Look, clock: Clock, keep: float = 600.0, missing: float = 5.0) -> None:
        self._look = look
        self._clock = clock
        self._keep = keep
        self._missing = missing
        self._known: OrderedDict[int, _Kept] = OrderedDict()
        self._looking: dict[int, asyncio.Future[ZosError | None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, id: int) -> bool:
        """Whether `known` has the answer, and no question to the chain is needed."""
        kept = self._known.get(id)
        return kept is not None and kept.until > self._clock.monotonic()

    def known(self, id: int) -> TwinRecord | None:
        """What was last heard of a twin; None also when nothing was."""
        kept = self._known.get(id)
        return kept.record if kept is not None else None

    async def twin(self, id: int) -> TwinRecord | None:
        """A twin; None when the chain has none of this number. Who asks at the same time shares one question."""
        while not self.knows(id):
            looking = self._looking.get(id)
            if looking is None:
                await self._ask(id)
            elif (err := await asyncio.shield(looking)) is not None:
                raise err
        return self.known(id)

    async def _ask(self, id: int) -> None:
        self._looking[id] = said = asyncio.get_running_loop().create_future()
        problem: ZosError | None = None
        try:
            found = await self._look(id)
            now = self._clock.monotonic()
            self._keep_it(id, _Kept(found, now, now + (self._keep if found else self._missing)))
        except ZosError as err:
            kept, now = self._known.get(id), self._clock.monotonic()
            if kept is None or kept.record is None or now - kept.at > STALE:
                problem = err
                raise
            # Silence is not a word: the twin is as it was.
            kept.until = now + self._missing
        finally:
            del self._looking[id]
            said.set_result(problem)

    def _keep_it(self, id: int, kept: _Kept) -> None:
        self._known[id] = kept
        self._known.move_to_end(id)
        while len(self._known) > LIMIT:
            self._known.popitem(last=False)

    def may_have_changed(self, id: int) -> bool:
        """Whether it is worth while to look again: a signature did not fit, and the twin may have a new key.

        Once in a while only, or a stranger could make us ask the chain for every message.
        """
        kept = self._known.get(id)
        return kept is not None and self._clock.monotonic() - kept.at > self._missing

    def forget(self, id: int) -> None:
        """Look again next time, if the twin may have changed."""
        if self.may_have_changed(id):
            self._known[id].until = 0.0
