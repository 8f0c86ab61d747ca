"""Who is connected, and what waits for whom: bounded queues that forget what has expired. Pure but for the clock."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from zos.runtime.clock import Clock

Address = tuple[int, str]
"""A twin and its session; most nodes have none."""

WINDOW = 256
"""Messages that a connection may be behind."""
KEEP = 3600.0
"""Seconds that a message waits for a twin that is away."""
PER_ADDRESS = 1000
"""Messages that wait for one address."""
TOTAL = 64 * 1024 * 1024
"""Bytes that wait for all addresses together."""


@dataclass(eq=False, slots=True)
class Session:
    """One connection."""

    address: Address
    outgoing: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(WINDOW))
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Waiting:
    until: float
    frame: bytes


class Sessions:
    """All connections by address, and the messages of those that are away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._here: dict[Address, Session] = {}
        self._away: OrderedDict[Address, deque[_Waiting]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._here)

    @property
    def waiting(self) -> int:
        """Bytes that wait for somebody."""
        return self._bytes

    def get(self, address: Address) -> Session | None:
        """Who is connected under an address."""
        return self._here.get(address)

    def join(self, address: Address) -> tuple[Session, list[bytes]]:
        """Connect, in the place of an older connection of the same address; gives what waited for it."""
        if (old := self._here.get(address)) is not None:
            old.ended.set()
        self._here[address] = session = Session(address)
        return session, list(self._collect(address))

    def leave(self, session: Session) -> None:
        """A connection is over; what it was not given yet waits for the next one."""
        session.ended.set()
        if self._here.get(session.address) is session:
            del self._here[session.address]
        while not session.outgoing.empty():
            self.keep(session.address, session.outgoing.get_nowait(), self._clock.time() + KEEP)

    def keep(self, address: Address, frame: bytes, until: float) -> bool:
        """Let a message wait; false when there is no room for it."""
        self._forget_expired()
        queue = self._away.setdefault(address, deque())
        if len(queue) >= PER_ADDRESS or self._bytes + len(frame) > TOTAL:
            if not queue:
                del self._away[address]
            return False
        queue.append(_Waiting(min(until, self._clock.time() + KEEP), frame))
        self._bytes += len(frame)
        return True

    def _collect(self, address: Address) -> Iterable[bytes]:
        now = self._clock.time()
        for one in self._away.pop(address, ()):
            self._bytes -= len(one.frame)
            if one.until > now:
                yield one.frame

    def _forget_expired(self) -> None:
        """Look at the address that waits longest; over many calls all are looked at."""
        if not self._away:
            return
        address, queue = next(iter(self._away.items()))
        now = self._clock.time()
        kept = deque(one for one in queue if one.until > now)
        self._bytes -= sum(len(one.frame) for one in queue) - sum(len(one.frame) for one in kept)
        del self._away[address]
        if kept:
            self._away[address] = kept
