"""One run of a daemon. When it ends, so does everything that was started by it, wherever that stands at the moment."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

_OWNER: contextvars.ContextVar[Life | None] = contextvars.ContextVar("sim_owner", default=None)


class Dead(asyncio.CancelledError):
    """Raised into code of a daemon that was killed, where it reaches for a file, the kernel or another daemon."""


class Life:
    """A daemon's tasks from its start to its death. Afterwards its code changes nothing any more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._end = asyncio.Event()
        self._last_words: list[Callable[[], None]] = []
        self.context = contextvars.copy_context()
        self.context.run(_OWNER.set, self)

    def start(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this life."""
        return asyncio.get_running_loop().create_task(coro, context=self.context.copy())

    def check(self) -> None:
        """Raise Dead after the end."""
        if not self.alive:
            raise Dead(self.name)

    def at_end(self, action: Callable[[], None]) -> None:
        """Call this at the end, as the kernel closes a dead process's sockets."""
        self._last_words.append(action)

    async def ended_or(self, main: asyncio.Task[Any]) -> None:
        """Wait until it was ended, or its main task ended by itself."""
        end = asyncio.get_running_loop().create_task(self._end.wait())
        await asyncio.wait((main, end), return_when=asyncio.FIRST_COMPLETED)
        end.cancel()

    def end(self) -> None:
        """SIGKILL: no farewell, no more effects. Tasks unwind in the next steps, and reach nothing while they do."""
        if not self.alive:
            return
        self.alive = False
        self._end.set()
        for action in self._last_words:
            action()
        for task in list(self.tasks):
            task.cancel()


def owner_in(context: contextvars.Context) -> Life | None:
    """Whose code runs in a context."""
    return context.get(_OWNER)


def owner() -> Life | None:
    """Whose code is running; None outside of the daemons."""
    return _OWNER.get()


def task_factory(
    loop: asyncio.AbstractEventLoop, coro: Any, context: contextvars.Context | None = None
) -> asyncio.Task[Any]:
    """Makes tasks that belong to the life that starts them."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
    life = _OWNER.get() if context is None else context.get(_OWNER)
    if life is not None:
        life.tasks[task] = None
        task.add_done_callback(life.tasks.pop)
        if not life.alive:
            task.cancel()
    return task
