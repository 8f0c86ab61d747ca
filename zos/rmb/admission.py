"""Decides which requests a peer accepts: the cheapest check first, and no twin and no relay at the cost of another.

A request names its sender, and anybody may put any name there until the signature is checked. So what a name costs us
before that is charged to the relay that brought it; only what is signed is charged to its twin.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

from zos.rmb import envelope as env
from zos.rmb.envelope import TwinRecord
from zos.rmb.errors import Busy, Crowded, Forgotten, ProtocolError, UnknownTwin, WrongSignature
from zos.rmb.limits import MessageQuota, RateLimiter
from zos.rmb.replays import ReplayMemory, Seen
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Envelope
from zos.runtime.clock import Clock
from zos.runtime.quota import FairQuota

MIB = 1024 * 1024
CHECKS, CHECKS_BURST = 2000.0, 4000.0
"""Signatures per second that are checked for one relay: a tenth of a core."""
CLAIMS = 4.0
"""Times a twin's rate that signatures in its name are checked for one relay: a forger does not use the rate up."""
LOOKUPS, LOOKUPS_BURST = 5.0, 50.0
"""Twins per second that one relay may make us look up on the chain."""
UNVERIFIED, UNVERIFIED_BYTES = 256, 4 * MIB
"""Messages of one relay that wait for such a lookup, and their bytes; one twin may have half as many."""
REFUSALS, REFUSALS_BURST = 10.0, 50.0
"""Refusals per second and relay for messages without a valid signature: they go to whomever a forger names."""
AT_ONCE, PER_TWIN = 1024, 128
"""Requests that are held at the same time, worked on or waiting their turn, of all twins and of one. Go's grid client
sends a batch of deployments to a node all at once, and takes back each that is not answered."""
HELD_BYTES, HELD_PER_TWIN = 32 * MIB, 4 * MIB
BYTES = 32 * 1024
"""Of a request or its answer that count for a twin's rate as one more message: what is long costs us by its length."""

BEFORE = 60.0
"""Seconds before our start from which messages are accepted; we do not remember which of them were processed."""


class Verdict(Enum):
    """What becomes of a request."""

    DROP = auto()
    LOOK = auto()
    """Its twin must be looked up; ask again then."""
    ENTER = auto()
    """Process it, and release its place in `held` afterwards."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision, and what to answer with it, if anything."""

    verdict: Verdict
    twin: TwinRecord | None = None
    refusal: ProtocolError | None = None


_DROP = Decision(Verdict.DROP)
_LOOK = Decision(Verdict.LOOK)


class AdmissionControl:
    """Decides at once and never waits: what needs a lookup comes back after it."""

    def __init__(self, twins: TwinCache, clock: Clock, rate: RateLimiter[int] | None = None) -> None:
        self._twins = twins
        self._clock = clock
        self._began = clock.monotonic()
        self._rate = rate or RateLimiter(clock)
        self._checks: RateLimiter[str] = RateLimiter(clock, CHECKS, CHECKS_BURST)
        self._claims: RateLimiter[tuple[str, int]] = self._rate.times(CLAIMS)
        self._lookups: RateLimiter[str] = RateLimiter(clock, LOOKUPS, LOOKUPS_BURST)
        self._answers: RateLimiter[str] = RateLimiter(clock, REFUSALS, REFUSALS_BURST)
        self._unverified: MessageQuota[str] = MessageQuota(
            FairQuota(4 * UNVERIFIED, UNVERIFIED), FairQuota(4 * UNVERIFIED_BYTES, UNVERIFIED_BYTES)
        )
        self._alike: FairQuota[tuple[str, int]] = FairQuota(4 * UNVERIFIED, UNVERIFIED // 2)
        self.held: MessageQuota[int] = MessageQuota(FairQuota(AT_ONCE, PER_TWIN), FairQuota(HELD_BYTES, HELD_PER_TWIN))
        self.replays = ReplayMemory(clock)
        self.dropped: Counter[str] = Counter()
        """Requests that were neither let in nor answered, by reason."""

    def ask(self, seen: Envelope, size: int, relay: str) -> Decision:
        """Decide on a request that a relay delivered; `size` in bytes."""
        twin = seen.source.twin
        known = self._twins.known(twin)
        if not self._twins.knows(twin):
            if self._may_look(twin, size, relay):
                return _LOOK
            # A twin that was known is served even when its relay has used up its lookups.
            if known is None:
                return self._drop("too many unknown twins")
        return self._judge(seen, size, relay, known, may_look=True)

    def ask_again(self, seen: Envelope, size: int, relay: str) -> Decision:
        """Decide again after its twin was looked up."""
        return self._judge(seen, size, relay, self._twins.known(seen.source.twin), may_look=False)

    def release_lookup(self, seen: Envelope, size: int, relay: str) -> None:
        """Give back the place of a message that waited for a lookup."""
        self._unverified.release(relay, size)
        self._alike.release((relay, seen.source.twin))

    def may_answer(self, relay: str) -> bool:
        """Whether the relay may be answered one more message without a valid signature."""
        return self._answers.take(relay)

    def may_check(self, relay: str) -> bool:
        """Whether one more of the relay's signatures may be checked."""
        return self._checks.take(relay)

    def _judge(self, seen: Envelope, size: int, relay: str, twin: TwinRecord | None, may_look: bool) -> Decision:
        if twin is None:
            return self._refused(UnknownTwin(twin=seen.source.twin), relay)
        # A twin over its limits is not worth a signature check: its message would be dropped in any case.
        if not self._rate.has(twin.id) or not self.held.fits(twin.id, size):
            return self._refused(Busy(twin=twin.id), relay)
        if not self._claims.take((relay, twin.id)) or not self._checks.take(relay):
            return self._drop("too many signatures to check")
        try:
            env.check_signature(seen, twin)
        except WrongSignature as err:
            if may_look and self._twins.may_have_changed(twin.id) and self._may_look(twin.id, size, relay):
                self._twins.forget(twin.id)
                return _LOOK
            return self._refused(err, relay)
        # A relay may deliver old signed messages again; that is not charged to the twin that signed them.
        try:
            env.check_time(seen, self._clock.time())
            # By the monotonic clock: the other one may have been wrong when we started.
            if self._clock.time() - seen.timestamp > self._clock.monotonic() - self._began + BEFORE:
                raise Forgotten()
        except ProtocolError as err:
            return self._refused(err, relay)
        name = env.challenge(seen)
        match self.replays.judge(twin.id, name, seen.timestamp):
            case Seen.KNOWN:
                return self._drop("repeated")
            case Seen.FORGOTTEN:
                return self._refused(Crowded(twin=twin.id), relay)
        if not self._rate.take(twin.id) or not self.held.take(twin.id, size):
            return self._refused(Busy(twin=twin.id), relay)
        self.replays.add(twin.id, name, seen.timestamp, env.ends(seen))
        self.charge(twin.id, size)
        return Decision(Verdict.ENTER, twin)

    def charge(self, twin: int, size: int) -> None:
        """Count the bytes of a twin's request or of the answer to it for his rate, which may be overdrawn by them."""
        self._rate.wait(twin, size // BYTES)

    def _may_look(self, twin: int, size: int, relay: str) -> bool:
        """Take a place among the messages that wait for a lookup; those of one twin share one lookup."""
        alike = (relay, twin)
        if not self._alike.take(alike):
            return False
        if (self._alike.holds(alike) > 1 or self._lookups.take(relay)) and self._unverified.take(relay, size):
            return True
        self._alike.release(alike)
        return False

    def _refused(self, err: ProtocolError, relay: str) -> Decision:
        if not self.may_answer(relay):
            return self._drop(type(err).__name__)
        return Decision(Verdict.DROP, None, err)

    def _drop(self, reason: str) -> Decision:
        self.dropped[reason] += 1
        return _DROP
