"""To other relays: an envelope is posted to the first of a twin's relays that takes it. All effects."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiohttp

from zos.runtime.clock import Clock

log = logging.getLogger("zos.relay")

DEADLINE = 3.0
PASSES = 3
PAUSES = (0.1, 0.2)
AT_ONCE = 64
HOUR = 3600.0
MEMORY = 1000
ACCEPTED = 202


class Federation:
    """Knows which relays failed lately, and asks them last."""

    def __init__(self, clock: Clock, scheme: str = "https") -> None:
        self._clock = clock
        self._scheme = scheme
        self._failures: dict[str, deque[float]] = {}
        self._few = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, domains: Sequence[str], frame: bytes) -> bool:
        """Whether one of the relays took it; a relay's 4xx is final, everything else is tried again."""
        async with self._few:
            for number in range(PASSES):
                for domain in self.ranked(domains):
                    status = await self._post(domain, frame)
                    if status == ACCEPTED:
                        return True
                    if 400 <= status < 500:
                        return False
                    self._failed(domain)
                if number < len(PAUSES):
                    await asyncio.sleep(PAUSES[number])
        return False

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

    async def _post(self, domain: str, frame: bytes) -> int:
        assert self._session is not None, "used outside its block"
        try:
            async with self._session.post(f"{self._scheme}://{domain}/", data=frame) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as err:
            log.info("relay %s took no message: %s", domain, type(err).__name__)
            return 0
