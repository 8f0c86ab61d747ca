"""Blocking calls with a deadline: each in a thread of its own, at most one at a time per key.

A thread cannot be ended. One that hangs in libvirt is left behind at the deadline, and until it comes back every
further call on its key is turned away at once: a machine that hangs costs one thread, and no other machine anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from zos.errors import Status, ZosError

T = TypeVar("T")


class TooSlow(ZosError):
    """A call did not come back in time."""

    reason = "vmd.too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "it takes more than {seconds} s to {what}"
    hint = "other machines are not affected; it goes on by itself when the call comes back"


class Calls:
    """The calls that are under way."""

    def __init__(self) -> None:
        self._under_way: dict[str, tuple[str, float]] = {}

    async def run(self, key: str, what: str, action: Callable[[], T], deadline: float) -> T:
        """Run it in a thread; raises what it raises, or TooSlow."""
        if key in self._under_way:
            doing, since = self._under_way[key]
            raise TooSlow(what=doing, seconds=round(time.monotonic() - since))
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._under_way[key] = (what, time.monotonic())

        def finish(result: T | None, error: BaseException | None) -> None:
            self._under_way.pop(key, None)
            if done.done():
                return  # nobody waits any more
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = action()
            except BaseException as err:  # noqa: BLE001 - handed over to the one who waits
                error = err
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(finish, result, error)

        # A daemon thread: one that hangs must not keep vmd from ending.
        threading.Thread(target=work, name=f"{what} {key}", daemon=True).start()
        try:
            async with asyncio.timeout(deadline):
                return await done
        except TimeoutError:
            raise TooSlow(what=what, seconds=deadline) from None
