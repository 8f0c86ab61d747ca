"""Whose turn it is: connections that have requests, in one thread, none for longer than a slice at a time.

While all get along, a request is answered as soon as it is read. Once a slice of the processor went by without a pause,
those who have more wait, and the network goes first that had the least since it began to wait: much work of one makes
that one wait. Time is that of the clock, since a disk that is read holds up everybody.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from time import perf_counter
from typing import Protocol

log = logging.getLogger("zos.zdb")

SLICE = 0.002
"""Seconds."""
MOST_REMEMBERED = 4096
"""Networks; those that had no more than the others are forgotten."""


class Worker(Protocol):
    """A connection, as turns are given to it."""

    @property
    def network(self) -> str:
        """For whom its time counts."""

    def work(self, until: float) -> bool:
        """Do what there is to do until this time of `perf_counter`; True when there is more."""

    def abort(self) -> None:
        """End it: it has a fault of ours."""


class Turns:
    """The turns of one server."""

    def __init__(self) -> None:
        self._queued: set[Worker] = set()
        self._waiting: dict[str, deque[Worker]] = {}
        self._next: list[tuple[float, int, str]] = []
        """A heap of the networks that wait: seconds they had, number of the entry."""
        self._had: dict[str, float] = {}
        self._now = 0.0
        """What a network had that waited all the time: who comes new begins there, and saved nothing up."""
        self._entries = 0
        self._spent = 0.0
        """Seconds of work since the last pause."""
        self._is_scheduled = False
        self._is_working = False

    def has(self, one: Worker) -> bool:
        """Whether a connection waits for its turn."""
        return one in self._queued

    def wants(self, one: Worker) -> None:
        """A connection has something to do."""
        if self._is_scheduled or self._is_working:
            self._put(one)
            return
        began = perf_counter()
        if self._worked(one, began):
            self._put(one)
        self._spent += perf_counter() - began
        if self._queued or self._spent >= SLICE:
            self._schedule()

    def _put(self, one: Worker) -> None:
        if one in self._queued:
            return
        self._queued.add(one)
        queue = self._waiting.get(one.network)
        if queue is not None:
            queue.append(one)
            return
        self._waiting[one.network] = deque((one,))
        self._enter(one.network, max(self._now, self._had.get(one.network, 0.0)))

    def _enter(self, network: str, had: float) -> None:
        self._entries += 1
        heapq.heappush(self._next, (had, self._entries, network))

    def _schedule(self) -> None:
        self._is_scheduled = True
        # Others are read before.
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        ends = perf_counter() + SLICE
        while self._next and perf_counter() < ends:
            start, _, network = heapq.heappop(self._next)
            queue = self._waiting[network]
            one = queue.popleft()
            began = perf_counter()
            if self._worked(one, began):
                queue.append(one)
            else:
                self._queued.discard(one)
            cost = perf_counter() - began
            had = self._had[network] = start + cost
            # Also when nobody but new ones come, each at once: those that were here before have their turn.
            self._now = max(self._now, start) + cost / (1 + len(self._waiting))
            if queue:
                self._enter(network, had)
            else:
                del self._waiting[network]
        if len(self._had) > MOST_REMEMBERED:
            self._had = {network: had for network, had in self._had.items() if had > self._now}
            if len(self._had) > MOST_REMEMBERED:
                self._had.clear()
        self._spent = 0.0
        if self._next:
            self._schedule()

    def _worked(self, one: Worker, began: float) -> bool:
        self._is_working = True
        try:
            return one.work(began + SLICE)
        except Exception:
            log.exception("a request ends its connection, and no other")
            one.abort()
            return False
        finally:
            self._is_working = False
