"""Sessions, and queues of messages for them: bounded, shared fairly, expiring. Pure but for the clock.

A message is always put into the queue of its address first, and a connection takes from its queue: so nothing is lost
between two connections, and a slow reader is the same as an absent one. In a queue the senders take turns.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from zos.runtime.clock import Clock
from zos.runtime.quota import FairQuota

Address = tuple[int, str]
"""A twin and its session; most nodes have none."""

KEEP = 3600.0
"""Seconds that a message waits at most."""
MIB = 1024 * 1024
OVERHEAD = 2048
"""Bytes that a waiting message costs besides its own, with a queue of its own."""
TOTAL = 64 * MIB
PER_TWIN = 16 * MIB
"""Bytes that wait for all twins together, and for one: no sender has more than half of either."""
SESSIONS = 64
"""Sessions of one twin; the oldest makes way for the newest."""
SWEEP = 5.0
"""Seconds after which the queues are looked through for what has expired."""


@dataclass(eq=False, slots=True)
class Session:
    """One connection of a twin, and the frames that wait for it."""

    address: Address
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    stop: Callable[[], object] = lambda: None
    """Stops its writer, even in the middle of a message that is not read."""

    def end(self) -> None:
        """End it and stop its writer."""
        self.ended = True
        self.stop()


@dataclass(frozen=True, slots=True)
class Message:
    """A frame in a queue."""

    frame: bytes
    sender: int
    """The twin whose share of the quota it takes."""
    until: float

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.frame) + OVERHEAD


_Queue = OrderedDict[int, deque[Message]]


class Sessions:
    """All sessions by address, and the messages queued for them."""

    def __init__(self, clock: Clock, total: int = TOTAL, per_twin: int = PER_TWIN) -> None:
        self._clock = clock
        self._per_twin = per_twin
        self._here: dict[Address, Session] = {}
        self._of_twin: dict[int, OrderedDict[Address, Session]] = {}
        self._queues: dict[Address, _Queue] = {}
        self._all: FairQuota[int] = FairQuota(total, total)
        self._quotas: dict[int, FairQuota[int]] = {}
        self._swept = clock.monotonic()

    def __len__(self) -> int:
        return len(self._here)

    @property
    def waiting(self) -> int:
        """Bytes that are queued."""
        return self._all.used

    def get(self, address: Address) -> Session | None:
        """The session of an address, if it is connected."""
        return self._here.get(address)

    def join(self, address: Address) -> Session:
        """Connect, in the place of an older connection of the same address."""
        if (old := self._here.get(address)) is not None:
            self.leave(old)
        mine = self._of_twin.get(address[0])
        if mine is not None and len(mine) >= SESSIONS:
            self.leave(next(iter(mine.values())))
        self._here[address] = session = Session(address)
        self._of_twin.setdefault(address[0], OrderedDict())[address] = session
        return session

    def leave(self, session: Session) -> None:
        """Remove a session; its queue stays."""
        session.end()
        if self._here.get(session.address) is not session:
            return
        del self._here[session.address]
        mine = self._of_twin[session.address[0]]
        del mine[session.address]
        if not mine:
            del self._of_twin[session.address[0]]

    def put(self, address: Address, sender: int, frame: bytes, span: float) -> bool:
        """Let a message wait for so many seconds; False when its sender has used up its quota."""
        message = Message(frame, sender, self._clock.time() + min(span, KEEP))
        now = self._clock.monotonic()
        if now - self._swept >= SWEEP:
            self._swept = now
            self._sweep()
        quota = self._quotas.setdefault(address[0], FairQuota(self._per_twin, self._per_twin))
        if not self._all.fits(sender, message.size) or not quota.take(sender, message.size):
            if not quota.used:
                del self._quotas[address[0]]
            return False
        self._all.take(sender, message.size)
        self._queues.setdefault(address, OrderedDict()).setdefault(sender, deque()).append(message)
        session = self._here.get(address)
        if session is not None:
            session.wake.set()
        return True

    async def next(self, session: Session) -> Message:
        """The next message for a connection, its senders in turn."""
        while (message := self._take(session.address)) is None:
            session.wake.clear()
            await session.wake.wait()
        return message

    def again(self, session: Session, message: Message) -> None:
        """Put a message back that could not be written, before the others of its sender."""
        address = session.address
        quota = self._quotas.setdefault(address[0], FairQuota(self._per_twin, self._per_twin))
        if quota.take(message.sender, message.size):
            if self._all.take(message.sender, message.size):
                self._queues.setdefault(address, OrderedDict()).setdefault(message.sender, deque()).appendleft(message)
            else:
                quota.release(message.sender, message.size)
        if not quota.used:
            del self._quotas[address[0]]

    def _take(self, address: Address) -> Message | None:
        queue = self._queues.get(address)
        while queue:
            sender, messages = next(iter(queue.items()))
            message = messages.popleft()
            self._give_back(address[0], message)
            if messages:
                queue.move_to_end(sender)
            else:
                del queue[sender]
            if message.until > self._clock.time():
                break
        else:
            self._queues.pop(address, None)
            return None
        if not queue:
            del self._queues[address]
        return message

    def _give_back(self, twin: int, message: Message) -> None:
        self._all.release(message.sender, message.size)
        quota = self._quotas[twin]
        quota.release(message.sender, message.size)
        if not quota.used:
            del self._quotas[twin]

    def _sweep(self) -> None:
        now = self._clock.time()
        for address, queue in list(self._queues.items()):
            for sender, messages in list(queue.items()):
                for message in messages:
                    if message.until <= now:
                        self._give_back(address[0], message)
                kept = deque(message for message in messages if message.until > now)
                if kept:
                    queue[sender] = kept
                else:
                    del queue[sender]
            if not queue:
                del self._queues[address]
