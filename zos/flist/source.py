"""Blocks for readers: from memory, the cache or a store, each fetched once however many ask, and some ahead of time."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from zos.errors import Kind, ZosError
from zos.flist.cache import BlockCache
from zos.flist.layout import Ref
from zos.flist.store import Stores

log = logging.getLogger("zos.flist")

MEMORY = 8 * 1024 * 1024
FETCHERS = 4
AHEAD = 8
"""Blocks that may wait to be fetched ahead."""
PATIENCE = 60.0
"""Seconds that a reader waits for a store that does not answer: guests do not survive a failed read well. What a store
says is final."""
TRY = 10.0
AGAIN = 0.5
SILENCE = 60.0
PAUSE = 10.0
"""Between two tries of filling, when the stores are away."""
GIVE_WAY = 0.02
LONGEST = 2000
"""Characters of what is logged of one trouble."""


Plain = bytes | memoryview


class _Pending:
    __slots__ = ("done", "error", "plain")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.plain: Plain | None = None
        self.error: ZosError | None = None


class Source:
    """Reads blocks for one mount. Threads come with the first block fetched ahead."""

    def __init__(
        self,
        cache: BlockCache,
        stores: Stores,
        *,
        memory: int = MEMORY,
        patience: float = PATIENCE,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
        trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`waiting` is entered by who waits for a store; `trouble` is told what cannot be had, and "" when it can."""
        self._cache = cache
        self._stores = stores
        self._memory = memory
        self._patience = patience
        self._waiting = waiting
        self._trouble = trouble
        self._lacking: tuple[bytes, ZosError] | None = None
        """The block that could not be had last, until it can."""
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._kept: OrderedDict[bytes, Plain] = OrderedDict()
        self._size = 0
        self._pending: dict[bytes, _Pending] = {}
        self._queue: deque[Ref] = deque()
        self._queued = threading.Semaphore(0)
        self._fetchers = 0
        self._said: dict[str, float] = {}

    def read(self, ref: Ref) -> Plain:
        """A block's plain bytes; waits `patience` for stores that are not there."""
        with self._lock:
            plain = self._kept.get(ref.key)
            if plain is not None and len(plain) == ref.size:
                self._kept.move_to_end(ref.key)
                return plain
            pending = self._pending.get(ref.key)
            mine = pending is None
            if pending is None:
                pending = self._pending[ref.key] = _Pending()
        if mine:
            self._settle(ref, pending, self._patience)
        elif not pending.done.is_set():
            with self._waiting():
                pending.done.wait()
        if pending.error is not None:
            self._say(ref, pending.error)
            raise pending.error
        if pending.plain is None or len(pending.plain) != ref.size:
            # Somebody else's flist gave the same key another size.
            return self._get(ref, self._patience)
        return pending.plain

    def ahead(self, refs: Iterable[Ref]) -> None:
        """Have blocks fetched that will probably be read; never waits."""
        for ref in refs:
            with self._lock:
                if ref.key in self._kept or ref.key in self._pending or len(self._queue) >= AHEAD:
                    continue
                self._pending[ref.key] = _Pending()
                self._queue.append(ref)
                if self._fetchers < FETCHERS:
                    self._fetchers += 1
                    threading.Thread(target=self._fetch_for_ever, daemon=True).start()
            self._queued.release()

    def fill(self, refs: Iterator[Ref]) -> int:
        """Have every block on disk, giving way to readers and waiting for absent stores; how many were fetched.

        Several threads may share one iterator. A block that no store has right is passed over.
        """
        fetched = 0
        while True:
            with self._filling:
                ref = next(refs, None)
            if ref is None:
                return fetched
            while not self._cache.has(ref):
                while self._pending:
                    threading.Event().wait(GIVE_WAY)
                try:
                    self._get(ref, TRY)
                except ZosError as err:
                    self._say(ref, err)
                    if err.kind is not Kind.NOT_NOW:
                        break
                    threading.Event().wait(PAUSE)
                else:
                    fetched += 1
                    break

    def _fetch_for_ever(self) -> None:
        while True:
            self._queued.acquire()
            ref = self._queue.popleft()
            # A reader that came meanwhile waits for this one, so it is as patient.
            self._settle(ref, self._pending[ref.key], self._patience)

    def _settle(self, ref: Ref, pending: _Pending, patience: float) -> None:
        try:
            pending.plain = self._get(ref, patience)
        except ZosError as err:
            pending.error = err
        except Exception as err:  # whoever waits must get it, and the mount must live on
            log.exception("a block could not be read")
            pending.error = ZosError(detail=f"{type(err).__name__}: {err}")
        with self._lock:
            del self._pending[ref.key]
            if pending.plain is not None and ref.key not in self._kept:
                self._kept[ref.key] = pending.plain
                self._size += len(pending.plain)
                while self._size > self._memory and len(self._kept) > 1:
                    self._size -= len(self._kept.popitem(last=False)[1])
        pending.done.set()

    def _get(self, ref: Ref, patience: float) -> Plain:
        kept = self._cache.load(ref)
        if kept is not None:
            self._had(ref, asked=False)
            return kept
        with self._waiting():
            return self._ask(ref, patience)

    def _ask(self, ref: Ref, patience: float) -> Plain:
        from zos.flist.block import unseal

        end = time.monotonic() + patience
        while True:
            try:
                left = max(0.5, min(TRY, end - time.monotonic()))
                plain = self._stores.fetch(ref.id, lambda blob: unseal(blob, ref.id, ref.key, ref.size), left)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW or time.monotonic() + AGAIN > end:
                    raise
                self._say(ref, err)
                threading.Event().wait(AGAIN)
            else:
                self._had(ref, asked=True)
                self._cache.keep(ref.key, plain)
                return plain

    def _had(self, ref: Ref, *, asked: bool) -> None:
        """A block came, from a store when it was `asked`: what was lacking may be there again."""
        lacking = self._lacking
        if lacking is not None and (ref.key == lacking[0] or (asked and lacking[1].kind is Kind.NOT_NOW)):
            with self._lock:
                if self._lacking is lacking:
                    self._lacking = None
                    self._trouble("")

    def _say(self, ref: Ref, err: ZosError) -> None:
        """Tell, and log, but not each of a thousand reads: of each kind of trouble one a minute, whatever a store
        answers.
        """
        now = time.monotonic()
        with self._lock:
            if self._lacking is None or self._lacking[0] != ref.key or self._lacking[1].reason != err.reason:
                self._trouble(err.explain()[:LONGEST])
            self._lacking = (ref.key, err)
            if now - self._said.get(err.reason, -SILENCE) < SILENCE:
                return
            self._said[err.reason] = now
        log.error("%s", err.explain()[:LONGEST])
