"""Blocking calls in threads, with a deadline.

A thread cannot be ended. One that hangs in the kernel or in a library is left behind at its deadline; it is a daemon
thread, so that the process does not wait for it at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from zos.errors import Status, ZosError

T = TypeVar("T")


class CallTooSlow(ZosError):
    """A blocking call did not come back in time."""

    reason = "runtime.call_too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "it takes more than {seconds} s to {what}"
    hint = "nothing else waits for it; it is tried again when the call comes back"


async def run(what: str, work: Callable[[], T], deadline: float | None, after: Callable[[], object] | None = None) -> T:
    """Run `work` in a thread of its own; raises what it raises, or CallTooSlow after `deadline` seconds.

    `what` completes the sentence "it takes more than 5 s to …". No deadline is for work that is ended in another way.
    `after` is done by the same thread when `work` is over; nobody waits for it.
    """
    return await _within(deadline, what, _start(what, work, after))


@dataclass(frozen=True, slots=True)
class _Call:
    what: str
    since: float
    overdue: float
    """When its deadline is over, on the loop's clock."""
    done: asyncio.Future[Any]


class Threads:
    """Blocking calls of which at most one per key runs at a time: two at once could undo each other.

    A call on a key that is taken waits, within its own deadline, as long as the call before is in time. Once that one
    is overdue, further calls on its key are refused at once: a key that hangs costs one thread.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    async def run(self, key: str, what: str, work: Callable[[], T], deadline: float) -> T:
        """Run `work` in a thread of its own; raises what it raises, or CallTooSlow."""
        overdue = asyncio.get_running_loop().time() + deadline
        while (before := self._calls.get(key)) is not None:
            await self._wait_for(before, what, overdue)
        now = asyncio.get_running_loop().time()
        call = _Call(what, now, overdue, _start(what, work))
        self._calls[key] = call
        call.done.add_done_callback(lambda _: self._calls.pop(key, None))
        return await _within(overdue - now, what, call.done)

    async def _wait_for(self, before: _Call, what: str, overdue: float) -> None:
        loop = asyncio.get_running_loop()
        patience = min(before.overdue, overdue) - loop.time()
        done, _ = await asyncio.wait((before.done,), timeout=max(patience, 0.0))
        if done:
            return
        if before.overdue <= overdue:
            raise CallTooSlow(what=before.what, seconds=round(loop.time() - before.since))
        raise CallTooSlow(what=what, seconds=round(overdue - before.since))


async def _within(deadline: float | None, what: str, done: asyncio.Future[T]) -> T:
    timeout = asyncio.timeout(deadline)
    try:
        async with timeout:
            # A caller that goes away does not end the thread, and others may wait for it.
            return await asyncio.shield(done)
    except TimeoutError:
        if timeout.expired():
            raise CallTooSlow(what=what, seconds=round(deadline or 0.0, 2)) from None
        raise


def _start(name: str, work: Callable[[], T], after: Callable[[], object] | None = None) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    done.add_done_callback(_looked_at)

    def finish(result: T | None, error: BaseException | None) -> None:
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as err:  # noqa: BLE001 - raised again where it is awaited
            error = err
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, nobody waits
            loop.call_soon_threadsafe(finish, result, error)
        if after is not None:
            after()

    threading.Thread(target=body, name=name, daemon=True).start()
    return done


def _looked_at(done: asyncio.Future[Any]) -> None:
    # An error of an abandoned call is nobody's; asyncio would complain of it.
    if not done.cancelled():
        done.exception()
