"""Loops run on a wake-up and on the timer, outlive their action's failures, and back off."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from hypothesis import given
from hypothesis import strategies as st

from zos.errors import Status, ZosError
from zos.runtime.backoff import Backoff
from zos.runtime.loops import Loop, Wake


class NotNow(ZosError):
    reason = "test.loops.not_now"
    status = Status.UNAVAILABLE
    text = "not now"


async def rounds(loop: Loop, count: int) -> None:
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        while loop.rounds < count:
            await asyncio.sleep(0.001)
    task.cancel()


async def test_a_wake_up_is_kept_until_somebody_waits():
    wake = Wake()
    wake.set()
    assert await wake.wait(1.0)
    assert not await wake.wait(0.001)


async def test_a_loop_turns_at_start_and_on_a_wake_up():
    received = []

    async def action() -> None:
        received.append(1)
        if len(received) < 3:
            wake.set()

    wake = Wake()
    await rounds(Loop("test", action, every=60, wake=wake), 3)
    assert len(received) == 3


async def test_a_failing_action_is_tried_again_and_logged_once(caplog):
    async def action() -> None:
        raise NotNow()

    loop = Loop("test", action, every=60, backoff=Backoff(first=0.001, cap=0.002))
    with caplog.at_level(logging.WARNING):
        await rounds(loop, 5)
    assert loop.failures >= 4
    assert caplog.text.count("not now") == 1


async def test_a_bug_in_the_action_does_not_end_the_loop():
    async def action() -> None:
        if loop.rounds < 3:
            raise KeyError("a bug")

    loop = Loop("test", action, every=0.001, backoff=Backoff(first=0.001))
    await rounds(loop, 3)
    assert (loop.failures, loop.error) == (0, "")


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_back_off_grows_to_its_cap_and_stays(failures: int, spread: float):
    backoff = Backoff(first=0.2, cap=30.0, jitter=0.1)
    assert 0 <= backoff.delay(failures, spread) <= 33.0
    assert backoff.delay(failures, 0.5) <= backoff.delay(failures + 1, 0.5)


async def test_a_loop_goes_on_after_a_task_group_in_it_failed() -> None:
    """Python 3.11.2 counts the group's own cancellation of its task for ever."""
    turned = asyncio.Event()

    async def fails() -> None:
        raise ValueError("a child failed")

    async def action() -> None:
        if loop.rounds == 3:
            turned.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())

    loop = Loop("test", action, every=0.01)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await turned.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
