"""Hooks: a program of the administrator's that is told of events, without a shell, with a deadline."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("zos.zdb")

DEADLINE = 300.0
KEPT = 300.0
"""Seconds that an ended hook is listed."""
MOST_LISTED = 256


@dataclass
class Run:
    """One start of the program."""

    name: str
    arguments: tuple[str, ...]
    pid: int
    started: float
    ended: float = 0.0
    status: int = 0


class Hooks:
    """Starts the program and remembers what became of it."""

    def __init__(self, program: str, instance: int) -> None:
        self.program = program
        self.instance = instance
        self._runs: deque[Run] = deque(maxlen=MOST_LISTED)
        self._tasks: set[asyncio.Task[Any]] = set()

    def listed(self) -> list[Run]:
        """Those that run, and those that ended a short while ago."""
        now = time.time()
        return [run for run in self._runs if not run.ended or now - run.ended < KEPT]

    def tell(self, name: str, *arguments: str | bytes) -> None:
        """Start the program and go on."""
        if self.program:
            self.spawn(self.ask(name, *arguments))

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something that is waited for at the end."""
        self.keep(asyncio.get_running_loop().create_task(work))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Own a task until it ends."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, name: str, *arguments: str | bytes) -> int:
        """Start the program and wait for its exit status; 0 when there is none."""
        if not self.program:
            return 0
        words = tuple(os.fsdecode(one) for one in arguments)
        try:
            process = await asyncio.create_subprocess_exec(
                self.program, name, str(self.instance), *words, stdin=asyncio.subprocess.DEVNULL
            )
        except OSError as err:
            log.error("the hook %s cannot be started: %s", self.program, err)
            return 127
        run = Run(name, words, process.pid, time.time())
        self._runs.append(run)
        try:
            run.status = await asyncio.wait_for(process.wait(), DEADLINE)
        except TimeoutError:
            log.error("the hook %s for %s did not end within %.0f s and is killed", self.program, name, DEADLINE)
            process.kill()
            run.status = await process.wait()
        run.ended = time.time()
        return run.status

    async def close(self) -> None:
        """Wait for those that run."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
