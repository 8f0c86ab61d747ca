"""Decides which requests come in: the cheapest question first, and no twin and no relay at the cost of another.

A request names its sender, and anybody may put any name there until the signature is checked. So what a name costs us
before that is charged to the relay that brought it; only what is signed is charged to its twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from zos.rmb import envelope as env
from zos.rmb.envelope import TwinRecord
from zos.rmb.errors import Forgotten, ProtocolError, UnknownTwin, WrongSignature
from zos.rmb.limits import Once, Rate, Room, Share
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import Clock

MIB = 1024 * 1024
CHECKS, CHECKS_BURST = 2000.0, 4000.0
"""Signatures per second that are checked for one relay: a tenth of a core."""
CLAIMS = 4.0
"""Times a twin's rate that signatures in its name are checked for one relay: a forger does not use the rate up."""
LOOKUPS, LOOKUPS_BURST = 5.0, 50.0
"""Twins per second that one relay may make us look up on the chain."""
STRANGERS, STRANGERS_BYTES = 256, 4 * MIB
"""Messages of one relay that wait for such a look; of one twin there are half as many."""
TOLD, TOLD_BURST = 10.0, 50.0
"""Refusals per second of what nobody signed, or signed long ago, by relay: they go to whom a forger names."""
AT_ONCE, PER_TWIN = 1024, 128
"""Requests that are held at the same time, worked on or waiting their turn, of all twins and of one. Go's grid client
sends a batch of deployments to a node all at once, and takes back each that is not answered."""
HELD_BYTES, HELD_PER_TWIN = 32 * MIB, 4 * MIB

BEFORE = 60.0
"""Seconds before our start from which messages are still taken: which of them were dealt with, nobody remembers."""


class Verdict(Enum):
    """What becomes of a request."""

    DROP = auto()
    LOOK = auto()
    """Its twin must be looked up; ask again then."""
    ENTER = auto()
    """It holds a place, which must be given back."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision, and what to answer with it, if anything."""

    verdict: Verdict
    twin: TwinRecord | None = None
    refusal: ProtocolError | None = None


_DROP = Admission(Verdict.DROP)
_LOOK = Admission(Verdict.LOOK)


class Gate:
    """Of one peer. Decides at once, never waits."""

    def __init__(self, twins: TwinCache, clock: Clock, rate: Rate[int] | None = None) -> None:
        self._twins = twins
        self._clock = clock
        self._began = clock.monotonic()
        self._rate = rate or Rate(clock)
        self._checks: Rate[str] = Rate(clock, CHECKS, CHECKS_BURST)
        self._claims: Rate[tuple[str, int]] = self._rate.times(CLAIMS)
        self._lookups: Rate[str] = Rate(clock, LOOKUPS, LOOKUPS_BURST)
        self._told: Rate[str] = Rate(clock, TOLD, TOLD_BURST)
        self._strangers: Room[str] = Room(Share(4 * STRANGERS, STRANGERS), Share(4 * STRANGERS_BYTES, STRANGERS_BYTES))
        self._alike: Share[tuple[str, int]] = Share(4 * STRANGERS, STRANGERS // 2)
        self.held: Room[int] = Room(Share(AT_ONCE, PER_TWIN), Share(HELD_BYTES, HELD_PER_TWIN))
        self.once = Once(clock)

    def ask(self, seen: Envelope, size: int, relay: str) -> Admission:
        """Whether a request that a relay brought comes in; `size` in bytes."""
        twin = seen.source.twin
        if self.once.has(twin, seen.source.connection, seen.uid):
            return _DROP
        known = self._twins.known(twin)
        if not self._twins.knows(twin):
            if self._may_look(twin, size, relay):
                return _LOOK
            # A twin that was known is served while its relay has others looked up.
            if known is None:
                return _DROP
        return self._judge(seen, size, relay, known, may_look=True)

    def looked(self, seen: Envelope, size: int, relay: str) -> Admission:
        """The same after its twin was looked up."""
        return self._judge(seen, size, relay, self._twins.known(seen.source.twin), may_look=False)

    def is_over(self, seen: Envelope, size: int, relay: str) -> None:
        """A message does not wait for a look any more."""
        self._strangers.give(relay, size)
        self._alike.give((relay, seen.source.twin))

    def may_tell(self, relay: str) -> bool:
        """Whether a message that nobody signed may be answered."""
        return self._told.take(relay)

    def may_check(self, relay: str) -> bool:
        """Whether one more signature may be checked for a relay."""
        return self._checks.take(relay)

    def _judge(self, seen: Envelope, size: int, relay: str, twin: TwinRecord | None, may_look: bool) -> Admission:
        if twin is None:
            return self._refused(UnknownTwin(twin=seen.source.twin), relay)
        # Who has had its part is not worth a check: it would be dropped with a true signature as well.
        if not self._rate.has(twin.id) or not self.held.fits(twin.id, size):
            return _DROP
        if not self._claims.take((relay, twin.id)) or not self._checks.take(relay):
            return _DROP
        try:
            env.check_signature(seen, twin)
        except WrongSignature as err:
            if may_look and self._twins.may_have_changed(twin.id) and self._may_look(twin.id, size, relay):
                self._twins.forget(twin.id)
                return _LOOK
            return self._refused(err, relay)
        # A relay may bring again what was signed once; that is not at the cost of who signed it.
        try:
            env.check_time(seen, self._clock.time())
            # By the monotonic clock: the other one may have been wrong when we started.
            if self._clock.time() - seen.timestamp > self._clock.monotonic() - self._began + BEFORE:
                raise Forgotten()
        except ProtocolError as err:
            return self._refused(err, relay)
        if not self._rate.take(twin.id) or not self.held.take(twin.id, size):
            return _DROP
        if not self.once.is_new(twin.id, seen.source.connection, seen.uid, env.ends(seen)):
            self.held.give(twin.id, size)
            return _DROP
        return Admission(Verdict.ENTER, twin)

    def _may_look(self, twin: int, size: int, relay: str) -> bool:
        """Take a place among those who wait for a look; they share it when it is for the same twin."""
        alike = (relay, twin)
        if not self._alike.take(alike):
            return False
        if (self._alike.holds(alike) > 1 or self._lookups.take(relay)) and self._strangers.take(relay, size):
            return True
        self._alike.give(alike)
        return False

    def _refused(self, err: ProtocolError, relay: str) -> Admission:
        return Admission(Verdict.DROP, None, err if self.may_tell(relay) else None)
