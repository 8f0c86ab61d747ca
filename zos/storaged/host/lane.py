"""Blocking work on one pool, one piece after the other, so that a dead device holds up nobody but its own callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from zos.storaged.api.errors import DeviceRefused

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread of its own; the process does not wait for it when it ends."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, err: BaseException | None) -> None:
        if result.cancelled():
            return
        if err is not None:
            result.set_exception(err)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def body() -> None:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = work()
        except BaseException as err:  # noqa: BLE001 - it is raised again where it is awaited
            failure = err
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=body, daemon=True).start()
    return await result


class Lane:
    """The queue in front of one device."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._last: asyncio.Task[object] | None = None

    async def run(self, work: Callable[[], T], action: str, deadline: float) -> T:
        """Wait for the work before, then do this; both within `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline), self._turn:
                if self._last is not None and not self._last.done():
                    # Its caller gave up, its thread did not; two at once could undo each other.
                    await asyncio.wait((self._last,))
                task = asyncio.ensure_future(in_thread(work))
                task.add_done_callback(_heard)
                self._last = task
                return await asyncio.shield(task)
        except TimeoutError:
            raise DeviceRefused(action=action, problem=f"the device did not answer within {deadline:.0f} s") from None


def _heard(task: asyncio.Task[object]) -> None:
    if not task.cancelled():
        task.exception()
