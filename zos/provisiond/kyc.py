"""Asks a KYC service whether the person behind a twin is known, as a farmer may demand. Off unless configured.

A yes is believed for a while, a no for a moment. Only what is new asks: what runs, runs on whatever the service says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cachetools import TLRUCache

from zos.errors import ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.provisiond.api.errors import CannotVerify, NotVerified
from zos.runtime.clock import Clock

DEADLINE = 5.0
"""Seconds for one service; the least patient client waits ten for all."""
BELIEVED, DOUBTED = 600.0, 5.0
LIMIT = 10_000
LARGEST = 64 * 1024
REDIRECTS = 5
VERIFIED = "VERIFIED"


class Kyc:
    """The services of one grid, asked in order."""

    def __init__(self, urls: Sequence[str], clock: Clock) -> None:
        self._urls = tuple(url.rstrip("/") for url in urls)
        self._known: TLRUCache[int, bool] = TLRUCache(
            LIMIT, lambda _, is_known, now: now + (BELIEVED if is_known else DOUBTED), clock.monotonic
        )

    async def check(self, twin: int) -> None:
        """Raise NotVerified for a twin that is not known, CannotVerify when no service answers."""
        if not self._urls:
            return
        is_known = self._known.get(twin)
        if is_known is None:
            is_known = self._known[twin] = await self._ask(twin)
        if not is_known:
            raise NotVerified(twin=twin)

    async def _ask(self, twin: int) -> bool:
        problem = "none is configured"
        for url in self._urls:
            try:
                return await _status(url, twin) == VERIFIED
            except (ZosError, ValueError, AttributeError, RecursionError) as err:
                problem = str(err) if isinstance(err, ZosError) else f"{url}: {err or type(err).__name__}"
        raise CannotVerify(twin=twin, problem=problem)


async def _status(url: str, twin: int) -> str:
    request = Request(f"{url}/api/v1/status?twin_id={twin}", limit=LARGEST, redirects=REDIRECTS)
    answer = await fetch_configured(request, DEADLINE)
    if answer.status == 404:
        return ""  # the service has never heard of the twin
    if answer.status != 200:
        raise ValueError(f"HTTP status {answer.status}")
    body = json.loads(answer.body)
    return str(body["result"]["status"]) if isinstance(body.get("result"), dict) else ""
