"""A file that is being downloaded: what came is hashed and written in threads, and nothing more is read before.

A disk that is slow makes its own download slow; the event loop, which serves all tenants, goes on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

TOGETHER = 1 << 20
"""Bytes that are written in one go."""


class OnDisk(Protocol):
    """Runs work on the disk in a thread, with a deadline."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]: ...


class Draft:
    """The file at a path, which is made new, also when nothing comes for it."""

    def __init__(self, path: Path, on_disk: OnDisk) -> None:
        self._path = path
        self._on_disk = on_disk
        self._digest = hashlib.blake2b(digest_size=32)
        self._held = bytearray()
        self._size = 0

    async def take(self, piece: bytes | bytearray) -> None:
        """The next bytes."""
        self._held += piece
        if len(self._held) >= TOGETHER:
            await self._write(False)

    async def finish(self) -> str:
        """Nothing more comes: bring it to the disk; returns the hash of all (BLAKE2b, 32 bytes)."""
        await self._write(True)
        return self._digest.hexdigest()

    async def _write(self, is_last: bool) -> None:
        raw, at = bytes(self._held), self._size
        self._held.clear()
        await self._on_disk(partial(self._append, raw, at, is_last))
        self._size += len(raw)

    def _append(self, raw: bytes, at: int, is_last: bool) -> None:
        # Opened anew each time: a thread that hangs and is left behind holds nothing that another would wait for.
        flags = os.O_WRONLY | os.O_CLOEXEC | (0 if at else os.O_CREAT | os.O_TRUNC)
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.lseek(descriptor, at, os.SEEK_SET)
            rest = memoryview(raw)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            self._digest.update(raw)
            if is_last:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
