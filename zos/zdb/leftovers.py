"""What a flush leaves on the disk: files to remove, and parts of one to give back.

It takes seconds where there is much, so it is done beside all else, and whoever needs it done does the rest himself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from zos.runtime import linux


class Leftovers:
    """Those of one namespace. Safe to use in several threads."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        """One thing at a time: what is done is done when this is free."""

    def __bool__(self) -> bool:
        return bool(self._work)

    def files(self, paths: Iterable[Path]) -> None:
        """These are to be removed."""
        self._work.extend(partial(path.unlink, missing_ok=True) for path in paths)

    def part(self, path: Path, start: int, end: int) -> None:
        """A part of a file is to be given back; it reads as zeros then."""
        if end > start:
            self._work.append(partial(_punch, path, start, end))

    def remove(self) -> None:
        """Do it all. Blocking, in any thread; raises OSError, and what is left then is done the next time."""
        while True:
            with self._lock:
                if not self._work:
                    return
                self._work[0]()
                self._work.popleft()

    def forget(self) -> None:
        """It goes in another way."""
        with self._lock:
            self._work.clear()


def _punch(path: Path, start: int, end: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            linux.punch_hole(descriptor, start, end)
        finally:
            os.close(descriptor)
