"""The one loop: a round at start, on a wake-up and on the timer; back-off when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zos.errors import Kind, ZosError
from zos.runtime.backoff import Backoff

log = logging.getLogger("zos.loop")


class Wake:
    """An event that starts a loop's next round early; `set` is kept until somebody waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Start the next round now."""
        self._event.set()

    async def wait(self, timeout: float | None) -> bool:
        """Wait for `set` or `timeout` seconds; true when it was set. It is cleared then."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Loop:
    """Runs a level-triggered function forever; its failures are logged once per change and backed off."""

    def __init__(
        self,
        name: str,
        action: Callable[[], Awaitable[object]],
        every: float,
        wake: Wake | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.wake = wake or Wake()
        self.failures = 0
        self.rounds = 0
        self.error: str = ""
        self._action = action
        self._every = every
        self._backoff = backoff or Backoff()

    async def run(self) -> None:
        while True:
            await self._round()
            pause = self._every
            if self.failures:
                pause = min(self._every, self._backoff.delay(self.failures))
            await self.wake.wait(pause)

    async def _round(self) -> None:
        self.rounds += 1
        try:
            # In a task of its own: Python 3.11.2 (Debian 12) leaves the cancellation by a failed task group inside
            # counted on the task, and the loop's next timeout would end it as if somebody had cancelled it.
            await asyncio.create_task(self._act(), name=self.name)
        except ZosError as err:
            self._failed(err.explain(), None if err.kind is Kind.NOT_NOW else err)
        except Exception as err:  # noqa: BLE001 - a loop outlives every bug of its action
            self._failed(f"{type(err).__name__}: {err}", err)
        else:
            if self.failures:
                log.info("%s works again after %d failures", self.name, self.failures)
            self.failures, self.error = 0, ""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError  # asked for while the action failed or ended

    async def _act(self) -> None:
        await self._action()

    def _failed(self, text: str, err: BaseException | None) -> None:
        self.failures += 1
        if text != self.error:
            level = logging.WARNING if err is None else logging.ERROR
            bug = err if err is not None and not isinstance(err, ZosError) else None
            log.log(level, "%s: %s", self.name, text, exc_info=bug)
        self.error = text
