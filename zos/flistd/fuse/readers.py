"""Who waits for a block store: lets go of readers that were killed, and writes down for flistd what cannot be read.

A process that was killed ends only once the kernel has answers to what it asked. Its store may be silent for a minute,
so that the watch answers in its place; what is fetched meanwhile is kept.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from zos.flistd.fuse import wire

LOOK = 0.25
"""Seconds between two looks at those who wait; nobody looks while nobody waits."""
LONGEST = 2000
"""Characters of one trouble."""
_KILLED = 1 << 8
"""SIGKILL's bit. Its module is not imported: a mount waits for imports."""

log = logging.getLogger("zos.flistd")


class Readers:
    """The requests of this process that wait for a store; `refuse` answers one in its thread's place."""

    def __init__(self, refuse: Callable[[int], None], is_killed: Callable[[int], bool]) -> None:
        self._refuse = refuse
        self._is_killed = is_killed
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._waiting: dict[int, int] = {}
        self._some = threading.Event()
        self._watched = False

    def asked(self, message: bytes) -> None:
        """What this thread works on from now on."""
        self._mine.message = message

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around all that may take long."""
        message: bytes | None = getattr(self._mine, "message", None)
        if message is None:
            yield
            return
        unique, pid = wire.asker(message)
        with self._lock:
            self._waiting[unique] = pid
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, daemon=True).start()
        self._some.set()
        try:
            yield
        finally:
            with self._lock:
                self._waiting.pop(unique, None)

    def _watch(self) -> None:
        while True:
            self._some.wait()
            threading.Event().wait(LOOK)
            with self._lock:
                waiting = dict(self._waiting)
                if not waiting:
                    self._some.clear()
            for unique, pid in waiting.items():
                if self._is_killed(pid):
                    with self._lock:
                        self._waiting.pop(unique, None)
                    self._refuse(unique)


def is_killed(pid: int) -> bool:
    """Whether a thread was killed and has not ended yet; false where it cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    pending = next((line for line in status.splitlines() if line.startswith("SigPnd:")), "SigPnd: 0")
    return bool(int(pending.split()[1], 16) & _KILLED)


class Trouble:
    """A file that says what of a served flist cannot be read; it is not there when all can."""

    SUFFIX = ".trouble"

    def __init__(self, folder: Path, source: str) -> None:
        self._path = folder / f"{source}{self.SUFFIX}"

    def note(self, text: str) -> None:
        """Something cannot be read, or ("") all can again."""
        draft = self._path.with_suffix(".draft")
        try:
            if text:
                draft.write_text(text[:LONGEST])
                draft.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as err:
            log.warning("what is wrong cannot be told: %s", err)

    @classmethod
    def told(cls, folder: Path) -> Mapping[str, str]:
        """What all servers say, by flist."""
        found: dict[str, str] = {}
        for path in sorted(folder.glob(f"*{cls.SUFFIX}")):
            with contextlib.suppress(OSError):
                found[path.name.partition("-")[0]] = path.read_bytes()[: 4 * LONGEST].decode(errors="replace")
        return found
