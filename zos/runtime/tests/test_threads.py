"""Blocking calls in threads: deadlines, order, and what a thread that hangs costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from zos.runtime import threads
from zos.runtime.threads import CallTooSlow, Threads


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What hanging threads wait for."""
    event = threading.Event()
    yield event
    event.set()


def fail() -> None:
    raise KeyError("x")


async def test_a_call_gives_back_what_it_returns_or_raises():
    assert await threads.run("count", lambda: 7, 5) == 7
    assert await Threads().run("a", "count", lambda: 7, 5) == 7
    with pytest.raises(KeyError):
        await threads.run("fail", fail, 5)
    with pytest.raises(KeyError):
        await Threads().run("a", "fail", fail, 5)


async def test_what_comes_after_keeps_nobody_waiting_and_comes_whatever_became_of_the_work(stuck: threading.Event):
    over = list[str]()

    def after() -> None:
        stuck.wait(5)
        over.append(threading.current_thread().name)

    assert await threads.run("count", lambda: 7, 5, after) == 7
    with pytest.raises(KeyError):
        await threads.run("fail", fail, 5, after)
    assert over == []
    left = [one for one in threading.enumerate() if one.name in ("count", "fail")]
    stuck.set()
    for thread in left:
        await asyncio.to_thread(thread.join, 5)
    assert sorted(over) == ["count", "fail"]


async def test_a_call_that_hangs_is_left_behind_at_its_deadline(stuck: threading.Event):
    with pytest.raises(CallTooSlow, match=r"it takes more than 0\.05 s to look"):
        await threads.run("look", stuck.wait, 0.05)


async def test_a_timeout_that_the_work_raises_is_its_own():
    def work() -> None:
        raise TimeoutError("the server's")

    with pytest.raises(TimeoutError, match="the server's"):
        await threads.run("ask", work, 5)


async def test_calls_on_one_key_run_one_after_the_other():
    calls, seen = Threads(), list[str]()

    def work(name: str) -> str:
        seen.append(f"{name} in")
        seen.append(f"{name} out")
        return name

    answers = await asyncio.gather(*(calls.run("k", "work", lambda n=n: work(n), 5) for n in "abc"))  # type: ignore[misc]
    assert answers == ["a", "b", "c"]
    assert seen == ["a in", "a out", "b in", "b out", "c in", "c out"]


async def test_a_key_that_hangs_costs_one_thread_and_no_other_key_anything(stuck: threading.Event):
    calls, began = Threads(), list[str]()
    with pytest.raises(CallTooSlow, match="to look at a"):
        await calls.run("a", "look at a", stuck.wait, 0.05)
    async with asyncio.timeout(1):
        with pytest.raises(CallTooSlow, match="to look at a"):
            await calls.run("a", "start a", lambda: began.append("a"), 60)
    assert await calls.run("b", "look at b", lambda: 7, 5) == 7
    stuck.set()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await calls.run("a", "look at a", lambda: 8, 5) == 8
                break
            except CallTooSlow:
                await asyncio.sleep(0)
    assert not began, "what was refused never ran"


async def test_whoever_waits_for_the_call_before_waits_no_longer_than_its_own_deadline(stuck: threading.Event):
    calls = Threads()
    before = asyncio.create_task(calls.run("a", "copy", lambda: stuck.wait(30), 60))
    await asyncio.sleep(0)
    with pytest.raises(CallTooSlow, match="to look"):
        await calls.run("a", "look", lambda: None, 0.05)
    stuck.set()
    assert await before


async def test_a_caller_that_goes_away_leaves_its_turn_to_the_thread(stuck: threading.Event):
    calls = Threads()
    first = asyncio.create_task(calls.run("a", "copy", stuck.wait, 60))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(calls.run("a", "look", stuck.is_set, 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()
    stuck.set()
    assert await second, "it ran after the first thread's end"
