"""Which contracts end this daemon: one in the middle of whose work it ended again and again is put aside.

A document may find a bug that no `except` catches: an endless loop, all of the memory, a crash of a library. Read again
at each start it would keep every other contract from its work. So whose work is being done is noted where it outlives
the process: in a page of a file that is mapped into memory, which costs no system call. The note stands only while the
processor is at that contract's work, not while that waits for anything; so a kill from outside, which finds the daemon
waiting, accuses nobody, and one that hits somebody's work by chance counts once. It lies where a boot finds nothing, so
neither a cut of power nor a reboot accuses anybody.

What the chain says of it is another chance as well: that it is not paid, paid again, or over. If that ends the process
too, it is over only for its machines, which are stopped by their names (`executor.py`); disks and networks stay until a
reboot or another release. It counts as what it took last.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import mmap
import os
import struct
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zos import __version__
from zos.provisiond.api.errors import PutAside
from zos.runtime.ledger import Ledger

log = logging.getLogger("zos.provisiond")

T = TypeVar("T")

MOST = 3
"""Ends in the middle of one contract's work, with none between in nobody's, after which it is put aside."""
_NOTE = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Strike:
    """What is held against a contract (ledger `strikes`, which ends with the node's uptime)."""

    count: int
    revision: str
    """Of the contract: another one is another chance."""
    release: str
    """Of this daemon: another one may be without the bug."""


class Strikes:
    """`revision_of` a contract changes when its document does, or when it ends."""

    def __init__(self, file: Path, ledger: Ledger[Strike], revision_of: Callable[[int], str]) -> None:
        self._ledger = ledger
        self._revision_of = revision_of
        self.struck = _read(file)
        """The contract in the middle of whose work the process before this one ended; 0 when there is none."""
        # Before it counts: who is killed here counts once, or not at all.
        self._note = _new(file)
        self._learn(self.struck)

    def close(self) -> None:
        """This process ends in good order."""
        self._set(0)

    def _learn(self, contract: int) -> None:
        for key, strike in self._ledger.items():
            if strike.release != __version__ or (not contract and strike.count < MOST):
                self._ledger.drop(key)
        if contract:
            before = self._ledger.get(str(contract))
            revision = self._revision_of(contract)
            is_same = before is not None and (before.revision == revision or before.count >= MOST)
            count = min(MOST, before.count + 1) if before is not None and is_same else 1
            self._ledger.put(str(contract), Strike(count, revision, __version__))
            log.error(
                "the process before ended in the middle of the work on contract %d (%d of %d)", contract, count, MOST
            )

    def is_aside(self, contract: int) -> bool:
        """Whether nothing is done for a contract."""
        strike = self._ledger.get(str(contract))
        return strike is not None and strike.count >= MOST and strike.revision == self._revision_of(contract)

    def require(self, contract: int) -> None:
        """Raise PutAside for a contract that is."""
        if self.is_aside(contract):
            raise PutAside(contract=contract, count=MOST)

    def forgive(self, contract: int) -> None:
        """Something about it changed: it has one more chance."""
        strike = self._ledger.get(str(contract))
        if strike is not None and strike.count >= MOST:
            self._ledger.put(str(contract), dataclasses.replace(strike, revision="forgiven"))

    def done(self, contract: int) -> None:
        """All work on it was done, and this process is there."""
        self._ledger.drop(str(contract))

    @contextlib.contextmanager
    def at(self, contract: int) -> Iterator[None]:
        """Note whose work is done in a block that waits for nothing."""
        before = self._get()
        self._set(contract)
        try:
            yield
        except BaseException as err:
            if _ends_the_process(err):
                raise
            self._set(before)
            raise
        self._set(before)

    @types.coroutine
    def during(self, contract: int, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Do the work, noting whose it is whenever the processor is at it."""
        send: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        try:
            while True:
                try:
                    with self.at(contract):
                        awaited = send()
                except StopIteration as end:
                    result: T = end.value
                    return result
                try:
                    sent = yield awaited
                except BaseException as err:  # noqa: BLE001 - it is the work's, whatever it is
                    send = _thrower(work, err)
                else:
                    send = _sender(work, sent)
        finally:
            work.close()

    def _get(self) -> int:
        return int(_NOTE.unpack_from(self._note)[0])

    def _set(self, contract: int) -> None:
        _NOTE.pack_into(self._note, 0, contract)


def _sender(work: Coroutine[Any, Any, T], value: Any) -> Callable[[], Any]:
    return lambda: work.send(value)


def _thrower(work: Coroutine[Any, Any, T], err: BaseException) -> Callable[[], Any]:
    return lambda: work.throw(err)


def _ends_the_process(err: BaseException) -> bool:
    return not isinstance(err, Exception | asyncio.CancelledError | GeneratorExit)


def _read(file: Path) -> int:
    try:
        return int(_NOTE.unpack(file.read_bytes())[0])
    except (OSError, struct.error):
        return 0


def _new(file: Path) -> mmap.mmap:
    # A new file: whatever still has the old one mapped writes to that.
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, _NOTE.size)
        return mmap.mmap(descriptor, _NOTE.size)
    finally:
        os.close(descriptor)
