"""Sessions, and queues of messages for them: bounded, shared fairly, expiring. Pure but for the clock.

A message is always put into the queue of its address first, and a connection takes from its queue: so nothing is lost
between two connections, and a slow reader is the same as an absent one. In a queue the senders take turns.

What had to wait so long that it is on disk is kept until its reader has confirmed it by a pong; what a connection
leaves unconfirmed is given to the next.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zos.relay.spool import Kept, Memory, Spool, Way
from zos.runtime.clock import Clock
from zos.runtime.quota import FairQuota, PairQuota

Address = tuple[int, str]
"""A twin and its session; most nodes have none."""

KEEP = 3600.0
"""Seconds that a message waits at most."""
MIB = 1024 * 1024
OVERHEAD, QUEUE = 512, 1792
"""Bytes that a waiting message costs besides its own (measured: 230, and its ticket), and a sender's queue of them."""
TOTAL = 64 * MIB
PER_TWIN = 16 * MIB
"""Bytes that wait for all twins together, and for one: no sender has more than half of either. Of what waits of one
sender, no twin that it is for has more than half: one that does not read makes nobody mute for others."""
READS = 32 * MIB
"""Bytes beside those for twins that are connected, whoever sends: a node answers whoever listens."""
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
    sent: deque[Message] = field(default_factory=deque)
    """What was written to it from the disk and is not confirmed."""
    confirmed: int = 0
    """Messages that it has confirmed."""

    def end(self) -> None:
        """End it and stop its writer."""
        self.ended = True
        self.stop()


@dataclass(eq=False, slots=True)
class Message:
    """A frame in a queue."""

    frame: bytes
    sender: int
    """The twin whose share of the quota it takes."""
    until: float
    ticket: int = 0
    opens: bool = False
    """Whether its queue counts with it; each queue counts with one of its messages at least."""
    reads: bool = False
    """Whether it counts, with a queue, for its reader alone: its sender has used up its share."""

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.frame) + OVERHEAD + (QUEUE if self.opens or self.reads else 0)

    def pass_on(self, others: Sequence[Message]) -> None:
        """Leave the queue to one of the others, which stay in it."""
        if self.opens and others and not others[0].opens and not others[0].reads:
            self.opens, others[0].opens = False, True


_Queue = OrderedDict[int, deque[Message]]


class Sessions:
    """All sessions by address, and the messages queued for them."""

    def __init__(self, clock: Clock, total: int = TOTAL, per_twin: int = PER_TWIN, spool: Spool | None = None) -> None:
        self._clock = clock
        self._spool = spool or Memory()
        self._here: dict[Address, Session] = {}
        self._of_twin: dict[int, OrderedDict[Address, Session]] = {}
        self._queues: dict[Address, _Queue] = {}
        self._from: PairQuota[int] = PairQuota(total, total // 2)
        self._to: PairQuota[int] = PairQuota(total + min(READS, total // 2), per_twin)
        self._reads: FairQuota[int] = FairQuota(min(READS, total // 2), per_twin)
        self._swept = clock.monotonic()

    def __len__(self) -> int:
        return len(self._here)

    @property
    def waiting(self) -> int:
        """Bytes that are queued."""
        return self._to.used

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
        """Remove a session; its queue stays, and what it has not confirmed joins it again."""
        session.end()
        while session.sent:
            self.again(session, session.sent.pop())
        if self._here.get(session.address) is not session:
            return
        del self._here[session.address]
        mine = self._of_twin[session.address[0]]
        del mine[session.address]
        if not mine:
            del self._of_twin[session.address[0]]

    def put(self, address: Address, sender: int, frame: bytes, span: float) -> bool:
        """Let a message wait for so many seconds; False when its sender has used up its share."""
        until = self._clock.time() + min(span, KEEP)
        return self.keep(Kept(Way.HERE, address, (sender, ""), until, frame), None) is not None

    def keep(self, kept: Kept, ticket: int | None) -> int | None:
        """Let a message wait that may have a ticket already; its ticket, or None as above."""
        (twin, _), (sender, _) = kept.to, kept.sender
        now = self._clock.monotonic()
        if now - self._swept >= SWEEP:
            self._swept = now
            self._sweep()
        queue = self._queues.get(kept.to)
        is_first = queue is None or sender not in queue or queue[sender][-1].reads
        message = Message(kept.frame, sender, kept.until, ticket or 0, is_first)
        size = message.size
        if not self._from.take(sender, twin, size):
            message.opens, message.reads = False, True
            size = message.size
            if kept.to not in self._here or not self._reads.take(twin, size):
                return None
        if not self._to.take(twin, sender, size):
            self._uncharge(twin, message)
            return None
        if ticket is None:
            message.ticket = self._spool.add(kept)
        self._queue(kept.to, sender).append(message)
        self._wake(kept.to)
        return message.ticket

    def _queue(self, address: Address, sender: int) -> deque[Message]:
        return self._queues.setdefault(address, OrderedDict()).setdefault(sender, deque())

    def _wake(self, address: Address) -> None:
        if (session := self._here.get(address)) is not None:
            session.wake.set()

    async def next(self, session: Session) -> Message:
        """The next message for a connection, its senders in turn; `done` or `again` must follow."""
        while (message := self._take(session.address)) is None:
            session.wake.clear()
            await session.wake.wait()
        return message

    def is_empty(self, address: Address) -> bool:
        """Whether nothing is queued for a session."""
        return address not in self._queues

    def again(self, session: Session, message: Message) -> None:
        """Put a message back that could not be written, before the others of its sender."""
        self._queue(session.address, message.sender).appendleft(message)
        self._wake(session.address)

    def written(self, session: Session, message: Message) -> None:
        """It was written to a connection: what is on disk stays there until that is confirmed."""
        if not self._spool.holds(message.ticket):
            self.done(session.address, message)
        elif session.ended:
            self.again(session, message)
        else:
            session.sent.append(message)

    def confirm(self, session: Session, total: int) -> None:
        """A connection has read so many messages of those that were to be confirmed."""
        while session.sent and session.confirmed < total:
            session.confirmed += 1
            self.done(session.address, session.sent.popleft())

    def done(self, address: Address, message: Message) -> None:
        """Nobody waits for it any more."""
        self._spool.drop(message.ticket)
        self._uncharge(address[0], message)
        self._to.release(address[0], message.sender, message.size)

    def _uncharge(self, twin: int, message: Message) -> None:
        if message.reads:
            self._reads.release(twin, message.size)
        else:
            self._from.release(message.sender, twin, message.size)

    def _take(self, address: Address) -> Message | None:
        queue = self._queues.get(address)
        while queue:
            sender, messages = next(iter(queue.items()))
            message = messages.popleft()
            message.pass_on(messages)
            if messages:
                queue.move_to_end(sender)
            else:
                del queue[sender]
            if message.until > self._clock.time():
                break
            self.done(address, message)
        else:
            self._queues.pop(address, None)
            return None
        if not queue:
            del self._queues[address]
        return message

    def _sweep(self) -> None:
        now = self._clock.time()
        for address, queue in list(self._queues.items()):
            for sender, messages in list(queue.items()):
                kept = deque(message for message in messages if message.until > now)
                for message in messages:
                    if message.until <= now:
                        message.pass_on(kept)
                        self.done(address, message)
                if kept:
                    queue[sender] = kept
                else:
                    del queue[sender]
            if not queue:
                del self._queues[address]
