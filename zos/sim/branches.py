"""Branches of one history: where something may happen, a copy of this process goes on with it, and this one without it.

All that a history writes lies below its working folder, of which each copy has its own: so a point costs what follows
on it, and not what comes before.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")
SHM = Path("/dev/shm")


class Branches(Generic[P, R]):
    """The copies, `jobs` at once at most. `tell` hears what became of each: its result, or None when it died."""

    def __init__(self, jobs: int, tell: Callable[[P, R | None], None]) -> None:
        self._jobs = jobs
        self._tell = tell
        self._running: dict[int, tuple[P, int]] = {}
        self._out = -1
        self._home = Path.cwd()
        self._all = Path(tempfile.mkdtemp(prefix="zos-sim-", dir=SHM if SHM.is_dir() else None))
        self._folder = Path(tempfile.mkdtemp(dir=self._all))
        os.chdir(self._folder)

    @property
    def is_branch(self) -> bool:
        """Whether this process is a copy."""
        return self._out >= 0

    def branch(self, point: P, loop: asyncio.AbstractEventLoop) -> bool:
        """Go on without the point here, and with it in a copy: False here, True there. A copy has no branches."""
        if self.is_branch:
            return False
        while len(self._running) >= self._jobs:
            self._reap()
        # Before the copy of the process: the first one goes on, and writes.
        folder = Path(tempfile.mkdtemp(dir=self._all))
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writer)
            self._running[pid] = point, reader
            return False
        os.close(reader)
        self._out, self._running = writer, {}
        # The loop is remembered as that of another process.
        asyncio._set_running_loop(loop)
        self._folder = folder
        os.chdir(folder)
        return True

    def end(self, result: R) -> None:
        """The history is over: a copy says what became of it, and ends; the first process waits for all copies."""
        if self.is_branch:
            shutil.rmtree(self._folder, ignore_errors=True)
            with os.fdopen(self._out, "wb") as out:
                pickle.dump(result, out)
            os._exit(0)
        while self._running:
            self._reap()

    def close(self) -> None:
        """End the copies that still run, and leave nothing."""
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        while self._running:
            self._reap()
        os.chdir(self._home)
        shutil.rmtree(self._all, ignore_errors=True)

    def _reap(self) -> None:
        """Hear the eldest copy to its end."""
        pid, (point, reader) = next(iter(self._running.items()))
        with os.fdopen(reader, "rb") as said:
            data = said.read()
        os.waitpid(pid, 0)
        del self._running[pid]
        self._tell(point, pickle.loads(data) if data else None)  # noqa: S301 - our own copy wrote it
