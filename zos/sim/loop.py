"""Virtual time: an event loop whose clock jumps to the next timer when nothing is ready, one step after another.

Everything happens in one thread and in one order: with the same seed a story runs the same way each time.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""Unix seconds at which virtual time begins."""


class Stuck(RuntimeError):
    """No task can go on and no timer runs: in a real node everybody would wait for ever."""


class _Selector(selectors.BaseSelector):
    """Looks for ready files without waiting; what asyncio would have waited is added to the clock."""

    def __init__(self, wait: Callable[[float | None], None]) -> None:
        self._real = selectors.DefaultSelector()
        self._wait = wait

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # The loop's own pipe only wakes it from a sleep that it never sleeps here.
        ready = self._real.select(0) if len(self._real.get_map()) > 1 else []
        if not ready:
            self._wait(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class _Ready(collections.deque[Any]):
    """asyncio's queue of callbacks that are ready; `step` is called before each of them runs."""

    step: Callable[[], None]

    def popleft(self) -> Any:
        self.step()
        return super().popleft()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. `steps` counts callbacks: between two of them any await may be interrupted."""

    def __init__(self) -> None:
        self._now = 0.0
        self.steps = 0
        self.limit = 500_000
        """Steps after which somebody is taken to run in circles."""
        self.watcher: Callable[[contextvars.Context], None] | None = None
        """Called before each step with the context that it runs in."""
        self._alarms: list[tuple[int, Callable[[], None]]] = []
        super().__init__(_Selector(self._jump))
        # BaseEventLoop keeps what is ready in a deque under this name; there is no public hook between two callbacks.
        ready = _Ready()
        ready.step = self._step
        self._ready = ready

    def time(self) -> float:
        return self._now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run it now and here: threads would end in an order that no seed decides."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as err:  # noqa: BLE001 - whoever awaits it gets it
            future.set_exception(err)
        return future

    def after_steps(self, count: int, action: Callable[[], None]) -> None:
        """Call the action before the step that comes `count` steps from now."""
        self._alarms.append((self.steps + count, action))

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self.limit:
            # Once: what follows is the tidying up.
            limit, self.limit = self.limit, 2 * self.limit
            raise Stuck(f"more than {limit} steps by {self._now:.0f} s of virtual time")
        if self.watcher is not None:
            self.watcher(self._ready[0]._context)
        if self._alarms:
            due = [action for at, action in self._alarms if at <= self.steps]
            self._alarms = [(at, action) for at, action in self._alarms if at > self.steps]
            for action in due:
                action()

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            raise Stuck("every task waits, and no timer runs")
        self._now += timeout


class VirtualClock:
    """The clocks of a node on virtual time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset = 0.0
        """What somebody set the wall clock forward by."""

    def time(self) -> float:
        return EPOCH + self._loop.time() + self.offset

    def monotonic(self) -> float:
        """Seconds since the loop began."""
        return self._loop.time()


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run a story on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)
