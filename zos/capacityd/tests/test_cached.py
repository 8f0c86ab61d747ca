"""Answers that are dear to get."""

from __future__ import annotations

import asyncio

import pytest

from zos.capacityd.api import NoLocation
from zos.capacityd.cached import CachedAnswer
from zos.errors import ZosError
from zos.runtime.clock import FakeClock


class Source:
    """What is asked, and how often."""

    def __init__(self) -> None:
        self.asked = 0
        self.trouble: ZosError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self) -> int:
        self.asked += 1
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return self.asked


async def test_an_answer_is_got_once_until_its_time_is_over() -> None:
    source, clock = Source(), FakeClock()
    answer = CachedAnswer(source.get, clock, keep=100.0)
    assert [await answer(), await answer()] == [1, 1]
    clock.advance(99.9)
    assert await answer() == 1
    clock.advance(0.1)
    assert await answer() == 2


async def test_a_refusal_is_remembered_for_a_shorter_time() -> None:
    source, clock = Source(), FakeClock()
    answer = CachedAnswer(source.get, clock, keep=100.0, retry=10.0)
    source.trouble = NoLocation()
    for _ in range(3):
        with pytest.raises(NoLocation):
            await answer()
    assert source.asked == 1
    source.trouble = None
    clock.advance(10.0)
    assert await answer() == 2


async def test_all_who_ask_at_once_wait_for_one_answer() -> None:
    source = Source()
    source.gate.clear()
    answer = CachedAnswer(source.get, FakeClock(), keep=100.0)
    asking = [asyncio.create_task(answer()) for _ in range(5)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*asking) == [1] * 5


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    source = Source()
    source.gate.clear()
    answer = CachedAnswer(source.get, FakeClock(), keep=100.0)
    first = asyncio.create_task(answer())
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert await answer() == 2
