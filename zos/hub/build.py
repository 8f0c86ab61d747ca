"""Makes a flist of a folder or a tar, with its blocks in a hub's folder: what `zos flist create` calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zos.flist.errors import BadSource
from zos.flist.pack import Progress, pack
from zos.flist.store import FolderStore

BLOCKS = "blocks"
"""The folder of blocks below a hub's root, and its path in URLs."""


@dataclass(frozen=True, slots=True)
class Built:
    """The flist that was made of a folder."""

    path: Path
    hash: str
    """blake2b-256 of the `.fl`, in hex: what a deployment may ask for."""
    entries: int
    size: int
    """Bytes of all files."""
    blocks: int
    stored: int
    """Bytes of blocks that the hub did not have yet."""


def build(
    source: Path,
    out: Path,
    *,
    root: Path,
    url: str,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> Built:
    """Pack `source` into `out` (a `.fl`), the blocks below the hub's `root`.

    `url` is the hub's as nodes reach it (`http://hub:8080`); it is written into the flist.
    """
    if not source.exists():
        raise BadSource(source=source, problem="there is no such folder or file")
    if out.suffix != ".fl":
        raise BadSource(source=out, problem="a flist's name ends with .fl")
    out.parent.mkdir(parents=True, exist_ok=True)
    blocks = f"{url.rstrip('/')}/{BLOCKS}"
    packed = pack(source, out, FolderStore(root / BLOCKS), blocks, tags=tags, progress=progress)
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    return Built(out, digest, packed.entries, packed.size, packed.blocks, packed.stored)
