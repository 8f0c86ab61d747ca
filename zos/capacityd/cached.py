"""Remembers an answer that is dear to get: any twin may ask for it, and asking must not cost a program each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from zos.errors import ZosError
from zos.runtime.clock import Clock

T = TypeVar("T")


class CachedAnswer(Generic[T]):
    """One answer, got at most once in `keep` seconds, or again `retry` seconds after a refusal (which is kept too)."""

    def __init__(self, get: Callable[[], Awaitable[T]], clock: Clock, keep: float, retry: float = 60.0) -> None:
        self._get = get
        self._clock = clock
        self._keep = keep
        self._retry = retry
        self._lock = asyncio.Lock()
        self._until = float("-inf")
        self._value: T
        self._error: ZosError | None = None

    async def __call__(self) -> T:
        """The answer; who asks while it is being got waits for it."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                await self._renew()
            if self._error is not None:
                raise self._error.with_traceback(None)
            return self._value

    async def _renew(self) -> None:
        try:
            self._value, self._error = await self._get(), None
        except ZosError as err:
            self._error = err
        self._until = self._clock.monotonic() + (self._retry if self._error else self._keep)
