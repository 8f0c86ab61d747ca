"""The build's cache: each stage is a folder named after all that it was made of, and appears when it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from zos.runtime import threads

PATIENCE = 600.0
"""Seconds for copying or removing a folder."""


def digest(parts: Iterable[bytes | str]) -> str:
    """A short name for these parts, none of which can be taken for two."""
    total = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(hashlib.blake2b(data).digest())
    return total.hexdigest()


def tree_digest(folder: Path) -> str:
    """The same of all files below a folder, with their names and modes."""
    parts: list[bytes | str] = []
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts and path.is_file():
            parts += [str(path.relative_to(folder)), oct(path.stat().st_mode & 0o777), path.read_bytes()]
    return digest(parts)


class Cache:
    """Stages below one folder. One build at a time uses it: the caller holds its lock."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say

    async def stage(self, name: str, parts: Iterable[bytes | str], make: Callable[[Path], Awaitable[None]]) -> Path:
        """The folder of a stage; `make` fills it when there is none of these parts. Older ones of its name go."""
        home = self._folder / f"{name}-{digest(parts)}"
        if home.is_dir():
            return home
        self._say(name)
        unfinished = self._folder / f".{name}"
        await threads.run(f"remove {unfinished}", lambda: remove(unfinished), PATIENCE)
        unfinished.mkdir(parents=True)
        await make(unfinished)
        os.sync()
        unfinished.rename(home)
        for old in self._folder.glob(f"{name}-*"):
            if old != home:
                await threads.run(f"remove {old}", lambda old=old: remove(old), PATIENCE)  # type: ignore[misc]
        return home


def remove(folder: Path) -> None:
    """Remove a folder that may not be there."""
    if folder.is_dir():
        shutil.rmtree(folder)
