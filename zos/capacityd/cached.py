"""Caches an answer that is expensive to get: any twin may ask for it, and asking must not cost a program each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from cachetools import TLRUCache

from zos.errors import ZosError
from zos.runtime.clock import Clock

T = TypeVar("T")


class CachedAnswer(Generic[T]):
    """One answer, got at most once in `keep` seconds, or again `retry` seconds after a refusal (cached too)."""

    def __init__(self, get: Callable[[], Awaitable[T]], clock: Clock, keep: float, retry: float = 60.0) -> None:
        def until(_key: str, answer: T | ZosError, now: float) -> float:
            return now + (retry if isinstance(answer, ZosError) else keep)

        self._get = get
        self._lock = asyncio.Lock()
        self._cache: TLRUCache[str, T | ZosError] = TLRUCache(1, until, timer=clock.monotonic)

    async def __call__(self) -> T:
        """The answer; who asks while it is being got waits for it."""
        async with self._lock:
            answer = self._cache.get("answer", None)
            if answer is None:
                answer = self._cache["answer"] = await self._get_or_refusal()
        if isinstance(answer, ZosError):
            raise answer.with_traceback(None)
        return answer

    async def _get_or_refusal(self) -> T | ZosError:
        try:
            return await self._get()
        except ZosError as err:
            return err
