"""Posts envelopes to other relays: the first of a twin's relays that accepts one gets it. All effects."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from zos.errors import ZosError
from zos.fetch.aio import Fetcher
from zos.fetch.exchange import Request
from zos.fetch.policy import Policy
from zos.runtime.clock import Clock

log = logging.getLogger("zos.relay")

DEADLINE = 3.0
PASSES = 3
PAUSES = (0.1, 0.2)
AGAIN, LONGEST = 2.0, 30.0
"""Seconds before relays that all failed are tried again, and the most that this grows to."""
PER_DESTINATION = 4
"""Posts at the same time to the same relays: a relay that hangs delays only its own messages."""
POSTS = 4096
"""Posts at the same time, of all destinations."""
LARGEST_ANSWER = 64 * 1024
RELAYS = 4
"""Relays of a twin that are tried; clients write no more."""
HOUR = 3600.0
MEMORY = 1000
ACCEPTED = 202
LATER = (408, 429)
"""Refusals that are not final."""
_DOMAIN = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?")


class Outcome(StrEnum):
    """What became of a message; the texts go to its sender."""

    TAKEN = ""
    REFUSED = "destination offline"
    EXPIRED = "message has expired"


@dataclass(slots=True)
class _Destination:
    """A set of relays that some twins have in common."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PER_DESTINATION))
    users: int = 0


class Away(Protocol):
    """Delivers to other relays."""

    @property
    def counts(self) -> Mapping[str, Counter[str]]: ...

    async def send(self, domains: Sequence[str], frame: bytes, span: float, sender: int = 0) -> Outcome: ...


class Federation:
    """Remembers which relays failed lately and tries them last."""

    def __init__(
        self,
        clock: Clock,
        policy: Policy,
        scheme: str = "https",
        *,
        again: float = AGAIN,
        deadline: float = DEADLINE,
    ) -> None:
        self._clock = clock
        self._scheme = scheme
        self._again = again
        self._deadline = deadline
        self._failures: dict[str, deque[float]] = {}
        self._destinations: dict[tuple[str, ...], _Destination] = {}
        # The callers and the destinations bound the number of posts.
        self._fetcher = Fetcher(policy, total=POSTS, share=PER_DESTINATION)
        self.counts: dict[str, Counter[str]] = {"success": Counter(), "error": Counter()}
        """Messages by relay."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fetcher.close()

    async def send(self, domains: Sequence[str], frame: bytes, span: float, sender: int = 0) -> Outcome:
        """Deliver it to one of the relays within so many seconds, at the expense of its sender.

        A relay's 4xx is final unless it says that it is too early, everything else is tried again until then.
        """
        known = tuple(sorted({one for one in domains if _DOMAIN.fullmatch(one)}))[:RELAYS]
        if not known:
            return Outcome.REFUSED
        destination = self._destinations.setdefault(known, _Destination())
        destination.users += 1
        try:
            async with asyncio.timeout(span):
                outcome = await self._insist(destination.turns, known, frame, sender)
        except TimeoutError:
            outcome = Outcome.EXPIRED
        finally:
            destination.users -= 1
            if not destination.users:
                del self._destinations[known]
        if outcome is not Outcome.TAKEN:
            for domain in known:
                self._count("error", domain)
        return outcome

    async def _insist(self, turns: asyncio.Semaphore, domains: tuple[str, ...], frame: bytes, sender: int) -> Outcome:
        pause = self._again
        while True:
            async with turns:
                outcome = await self._try(domains, frame, sender)
            if outcome is not None:
                return outcome
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(2 * pause, LONGEST)

    async def _try(self, domains: tuple[str, ...], frame: bytes, sender: int) -> Outcome | None:
        for number in range(PASSES):
            for domain in self.ranked(domains):
                status = await self._post(domain, frame, sender)
                if status == ACCEPTED:
                    self._count("success", domain)
                    return Outcome.TAKEN
                if 400 <= status < 500 and status not in LATER:
                    return Outcome.REFUSED
                self._failed(domain)
            if number < len(PAUSES):
                await asyncio.sleep(PAUSES[number] * random.uniform(1.0, 1.5))
        return None

    def ranked(self, domains: Sequence[str]) -> list[str]:
        """The relays, those with the fewest failures of the last hour first."""
        return sorted(domains, key=lambda domain: (self._recent(domain), domain))

    def _recent(self, domain: str) -> int:
        failures = self._failures.get(domain)
        if failures is None:
            return 0
        while failures and failures[0] < self._clock.monotonic() - HOUR:
            failures.popleft()
        return len(failures)

    def _failed(self, domain: str) -> None:
        if domain not in self._failures and len(self._failures) >= MEMORY:
            self._failures.pop(next(iter(self._failures)))
        self._failures.setdefault(domain, deque(maxlen=100)).append(self._clock.monotonic())

    def _count(self, what: str, domain: str) -> None:
        counts = self.counts[what]
        # Anybody with a twin can name relays, so only this many are counted by name.
        counts[domain if domain in counts or len(counts) < MEMORY else "others"] += 1

    async def _post(self, domain: str, frame: bytes, sender: int) -> int:
        # Redirects are not followed: a relay that sends us on would choose whom we talk to.
        request = Request(f"{self._scheme}://{domain}/", limit=LARGEST_ANSWER, method="POST", body=frame)
        try:
            return (await self._fetcher.fetch(request, self._deadline, domain, payer=f"twin {sender}")).status
        except ZosError as err:
            log.info("relay %s took no message: %s", domain, err)
            return 0
