"""Who is connected, and what waits for whom. Bounded, divided fairly, forgets what has expired. Pure but for the clock.

A message is always put into the box of its address first, and a connection takes from its box: so nothing is lost
between two connections, and a slow reader is the same as an absent one. In a box the senders take turns.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from zos.rmb.limits import Share
from zos.runtime.clock import Clock

Address = tuple[int, str]
"""A twin and its session; most nodes have none."""

KEEP = 3600.0
"""Seconds that a message waits at most."""
MIB = 1024 * 1024
OVERHEAD = 2048
"""Bytes that a waiting message costs besides its own, with a box of its own."""
TOTAL = 64 * MIB
PER_TWIN = 16 * MIB
"""Bytes that wait for all twins together, and for one: no sender has more than half of either."""
SESSIONS = 64
"""Sessions of one twin; the oldest makes room for the newest."""
SWEEP = 5.0
"""Seconds after which the boxes are looked through for what has expired."""


@dataclass(eq=False, slots=True)
class Session:
    """One connection."""

    address: Address
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    stop: Callable[[], object] = lambda: None
    """Ends whoever gives it its messages, also in the middle of one that is not read."""

    def end(self) -> None:
        """It is over, or has to be."""
        self.ended = True
        self.stop()


@dataclass(frozen=True, slots=True)
class Message:
    """A frame that waits."""

    frame: bytes
    sender: int
    """The twin whose share of the room it takes."""
    until: float

    @property
    def size(self) -> int:
        """What it is charged with."""
        return len(self.frame) + OVERHEAD


_Box = OrderedDict[int, deque[Message]]


class Sessions:
    """All connections by address, and the messages for them."""

    def __init__(self, clock: Clock, total: int = TOTAL, per_twin: int = PER_TWIN) -> None:
        self._clock = clock
        self._per_twin = per_twin
        self._here: dict[Address, Session] = {}
        self._of_twin: dict[int, OrderedDict[Address, Session]] = {}
        self._boxes: dict[Address, _Box] = {}
        self._room: Share[int] = Share(total, total)
        self._rooms: dict[int, Share[int]] = {}
        self._swept = clock.monotonic()

    def __len__(self) -> int:
        return len(self._here)

    @property
    def waiting(self) -> int:
        """Bytes that are held for somebody."""
        return self._room.used

    def get(self, address: Address) -> Session | None:
        """Who is connected under an address."""
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
        """A connection is over; what waits goes on waiting."""
        session.end()
        if self._here.get(session.address) is not session:
            return
        del self._here[session.address]
        mine = self._of_twin[session.address[0]]
        del mine[session.address]
        if not mine:
            del self._of_twin[session.address[0]]

    def put(self, address: Address, sender: int, frame: bytes, span: float) -> bool:
        """Let a message wait for so many seconds; False when its sender has no room left."""
        message = Message(frame, sender, self._clock.time() + min(span, KEEP))
        now = self._clock.monotonic()
        if now - self._swept >= SWEEP:
            self._swept = now
            self._sweep()
        room = self._rooms.setdefault(address[0], Share(self._per_twin, self._per_twin))
        if not self._room.fits(sender, message.size) or not room.take(sender, message.size):
            if not room.used:
                del self._rooms[address[0]]
            return False
        self._room.take(sender, message.size)
        self._boxes.setdefault(address, OrderedDict()).setdefault(sender, deque()).append(message)
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
        """It could not be given; it waits on, before the others of its sender."""
        address = session.address
        room = self._rooms.setdefault(address[0], Share(self._per_twin, self._per_twin))
        if room.take(message.sender, message.size):
            if self._room.take(message.sender, message.size):
                self._boxes.setdefault(address, OrderedDict()).setdefault(message.sender, deque()).appendleft(message)
            else:
                room.give(message.sender, message.size)
        if not room.used:
            del self._rooms[address[0]]

    def _take(self, address: Address) -> Message | None:
        box = self._boxes.get(address)
        while box:
            sender, messages = next(iter(box.items()))
            message = messages.popleft()
            self._give_back(address[0], message)
            if messages:
                box.move_to_end(sender)
            else:
                del box[sender]
            if message.until > self._clock.time():
                break
        else:
            self._boxes.pop(address, None)
            return None
        if not box:
            del self._boxes[address]
        return message

    def _give_back(self, twin: int, message: Message) -> None:
        self._room.give(message.sender, message.size)
        room = self._rooms[twin]
        room.give(message.sender, message.size)
        if not room.used:
            del self._rooms[twin]

    def _sweep(self) -> None:
        now = self._clock.time()
        for address, box in list(self._boxes.items()):
            for sender, messages in list(box.items()):
                for message in messages:
                    if message.until <= now:
                        self._give_back(address[0], message)
                kept = deque(message for message in messages if message.until > now)
                if kept:
                    box[sender] = kept
                else:
                    del box[sender]
            if not box:
                del self._boxes[address]
