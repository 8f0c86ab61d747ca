"""Keeps on disk what waits in the relay, so that it is there again after a kill or a restart.

Most messages are given to a connection at once and never come here: only what still waits after `LINGER` is written,
many messages in one transaction, in a thread of its own. How much waits is bounded by whoever lets it wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from itertools import takewhile
from pathlib import Path
from time import monotonic
from typing import Protocol

from zos.errors import Status, ZosError

log = logging.getLogger("zos.relay")

LINGER = 0.02
"""Seconds that a message waits in memory only; nobody was told by then that it was taken."""
GONE = 32
"""Messages that were given, after which that is written at once: a kill has the others given again."""
RETRY = 5.0
"""Seconds after which a disk that took nothing is tried again."""
PAGE = 4096
LARGEST = 256 * 1024 * 1024
"""Bytes of the file at most, whatever goes wrong; what may wait is less than half of it."""
FILE = "waiting.sqlite"
_SETUP = f"""
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA page_size = {PAGE};
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = {LARGEST // 16};
PRAGMA max_page_count = {LARGEST // PAGE};
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, way INTEGER, twin INTEGER, session TEXT, sender INTEGER, reply TEXT, until REAL, frame BLOB
) STRICT;
"""


class InUse(ZosError):
    """Two relays would give every message twice."""

    reason = "relay.spool_in_use"
    status = Status.FAILED_PRECONDITION
    text = "{path} cannot be used: {problem}"
    hint = "give each relay a --data folder of its own that it may write to"


class Way(IntEnum):
    """How a message came to wait."""

    HERE = 0
    """For a session of this relay."""
    ROUTED = 1
    """On its way to another relay, or here by way of a lookup."""
    POSTED = 2
    """From another relay, which was told that it is here."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as it is kept."""

    way: Way
    to: tuple[int, str]
    sender: tuple[int, str]
    until: float
    """Unix seconds."""
    frame: bytes


class Spool(Protocol):
    """Where messages are kept while they wait. A message has a ticket, 0 where nothing is kept."""

    @property
    def saved(self) -> int: ...

    def add(self, item: Kept) -> int: ...

    def drop(self, ticket: int) -> None: ...

    def holds(self, ticket: int) -> bool: ...

    async def kept(self, ticket: int) -> None: ...


class Memory:
    """Keeps nothing: a relay without a folder."""

    @property
    def saved(self) -> int:
        return 0

    def add(self, item: Kept) -> int:
        return 0

    def drop(self, ticket: int) -> None:
        return

    def holds(self, ticket: int) -> bool:
        return False

    async def kept(self, ticket: int) -> None:
        return


class Disk:
    """A folder that one relay has for itself."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._thread = ThreadPoolExecutor(1, "spool")
        self._new: dict[int, tuple[float, Kept]] = {}
        self._gone: list[int] = []
        self._written: set[int] = set()
        self._dirty = asyncio.Event()
        self._hurry = asyncio.Event()
        self._callers: dict[int, asyncio.Future[None]] = {}
        self._closing = asyncio.Event()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = self._open()
        self._written.update(ticket for (ticket,) in self._db.execute("SELECT id FROM waiting"))
        self._next = 1 + max(self._written, default=0)

    @property
    def saved(self) -> int:
        """Messages that are on disk."""
        return len(self._written)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.OperationalError as err:
            raise InUse(path=self._path, problem=err) from None
        except sqlite3.DatabaseError as err:
            aside = self._path.with_suffix(".damaged")
            log.error("%s is damaged (%s); it is kept as %s, and the relay begins with nothing", self._path, err, aside)
            self._path.replace(aside)
            for rest in ("-wal", "-shm"):
                Path(f"{self._path}{rest}").unlink(missing_ok=True)
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            db.executescript(_SETUP)
            db.execute("SELECT sum(length(frame)), max(until), max(sender) FROM waiting").fetchall()
        except sqlite3.Error:
            db.close()
            raise
        self._path.chmod(0o600)
        return db

    def load(self) -> Sequence[tuple[int, Kept]]:
        """What is on disk, in the order in which it came."""
        rows = self._db.execute("SELECT id, way, twin, session, sender, reply, until, frame FROM waiting ORDER BY id")
        return [(row[0], Kept(Way(row[1]), (row[2], row[3]), (row[4], row[5]), row[6], row[7])) for row in rows]

    def add(self, item: Kept) -> int:
        """Keep it, unless it is dropped very soon; gives its ticket."""
        ticket = self._next
        self._next += 1
        self._new[ticket] = monotonic(), item
        self._dirty.set()
        return ticket

    def drop(self, ticket: int) -> None:
        """It was given to whom it is for, or nobody waits for it any more."""
        if self._new.pop(ticket, None) is not None:
            self._tell(ticket)
        elif ticket in self._written:
            self._written.discard(ticket)
            self._gone.append(ticket)
            self._dirty.set()
            if len(self._gone) >= GONE:
                self._hurry.set()

    def _tell(self, ticket: int) -> None:
        if (caller := self._callers.pop(ticket, None)) is not None and not caller.done():
            caller.set_result(None)

    def holds(self, ticket: int) -> bool:
        """Whether it would be there after a kill."""
        return ticket in self._written

    async def kept(self, ticket: int) -> None:
        """Wait until it is on disk, was dropped, or the disk has refused it."""
        if ticket in self._new:
            self._callers[ticket] = caller = asyncio.get_running_loop().create_future()
            self._hurry.set()
            await caller

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write what waits until the block ends, and all of it then."""
        writing = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._closing.set()
            self._hurry.set()
            self._dirty.set()
            await asyncio.gather(writing, return_exceptions=True)
            self._thread.shutdown()
            self._db.close()

    async def _run(self) -> None:
        while True:
            await self._dirty.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), LINGER)
            last = self._closing.is_set()
            if not await self._save(monotonic() - (0 if self._hurry.is_set() else LINGER)):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), RETRY)
            if last:
                return

    async def _save(self, until: float) -> bool:
        """Write what was added until then; False when the disk did not take it."""
        new = dict(takewhile(lambda one: one[1][0] <= until, self._new.items()))
        gone, self._gone = self._gone, []
        taken = True
        # From here on a drop of one of these is a deletion of the next turn.
        for ticket in new:
            del self._new[ticket]
        self._written.update(new)
        if new or gone:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, new, gone)
            except sqlite3.Error as err:
                log.error("what waits cannot be written to %s: %s; it waits in memory", self._path, err)
                taken = False
                self._gone = gone + self._gone
                self._unwritten(new)
        for ticket in new:
            self._tell(ticket)
        if not self._callers and not self._closing.is_set():
            self._hurry.clear()
        if not self._new and not self._gone and not self._closing.is_set():
            self._dirty.clear()
        return taken

    def _unwritten(self, new: dict[int, tuple[float, Kept]]) -> None:
        left = {ticket: one for ticket, one in new.items() if ticket in self._written}
        self._written.difference_update(new)
        dropped = new.keys() - left.keys()
        self._gone = [ticket for ticket in self._gone if ticket not in dropped]
        self._new = left | self._new

    def _write(self, new: dict[int, tuple[float, Kept]], gone: list[int]) -> None:
        rows = [(ticket, one.way, *one.to, *one.sender, one.until, one.frame) for ticket, (_, one) in new.items()]
        self._db.execute("BEGIN")
        try:
            self._db.executemany("DELETE FROM waiting WHERE id = ?", [(ticket,) for ticket in gone])
            self._db.executemany("INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
