"""Work of a router that one message or one lost peer may cause a lot of: done in pieces, between other work. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from zos.mycelium.effects import Effect
from zos.mycelium.table import Peer

AT_ONCE = 64
"""Items that are done at once; the others wait for `work`."""

Item = Callable[[float], list[Effect]]


@dataclass(slots=True)
class _Job:
    items: Iterator[Item]
    dump_for: Peer | None


class Backlog:
    """Jobs in turn, each an iterator of things to do at a time."""

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._dumps: set[Peer] = set()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def begin(self, items: Iterator[Item], now: float, dump_for: Peer | None = None) -> list[Effect]:
        """Do the first items and keep the others. A peer has one dump at a time; nothing for another."""
        if dump_for is not None:
            if dump_for in self._dumps:
                return []
            self._dumps.add(dump_for)
        first = list(islice(items, AT_ONCE))
        effects = [effect for item in first for effect in item(now)]
        job = _Job(items, dump_for)
        if len(first) < AT_ONCE:
            self._end(job)
        else:
            self._jobs.append(job)
        return effects

    def work(self, now: float) -> list[Effect]:
        """Do one item of the job whose turn it is."""
        job = self._jobs.popleft()
        item = next(job.items, None)
        if item is None:
            self._end(job)
            return []
        self._jobs.append(job)
        return item(now)

    def _end(self, job: _Job) -> None:
        if job.dump_for is not None:
            self._dumps.discard(job.dump_for)
