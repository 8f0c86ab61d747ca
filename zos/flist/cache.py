"""Plain blocks kept on disk, by their key: shared by all mounts of a node and safe to fill and trim at the same time.

A file is the block and a tag. The block was checked by its hash (`block.unseal`) when it came from outside; the tag is
a MAC (GMAC) under a key of this folder, checked at every load: 25 times as fast as hashing again, and as good against
torn writes, rotten disks and whoever writes here without the key. When the tag does not fit, the hash decides.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import threading
import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zos.flist.layout import Ref

log = logging.getLogger("zos.flist.cache")

TAG = 16
TOUCH = 3600.0
"""Seconds after which another use is noted."""
DRAFT_AGE = 600.0


class BlockCache:
    """The folder `blocks` of a cache. Whoever mounts the cache makes it: without it nothing is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "blocks"
        self._secret = _secret(folder)
        self._full = False

    def path(self, key: bytes) -> Path:
        """Where a block is kept."""
        name = key.hex()
        return self.folder / name[:2] / name

    def has(self, ref: Ref) -> bool:
        """Whether a block seems to be here; `load` tells for sure."""
        try:
            return self.path(ref.key).stat().st_size == ref.size + TAG
        except OSError:
            return False

    def load(self, ref: Ref) -> memoryview | None:
        """A block that is here and whole."""
        path = self.path(ref.key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            data = os.read(descriptor, ref.size + TAG + 1)
            used = os.fstat(descriptor).st_mtime
            if len(data) != ref.size + TAG:
                return None
            # Not cut out: half a megabyte is not to be copied for the sake of its last bytes.
            plain = memoryview(data)[:-TAG]
            if data[-TAG:] != self._tag(ref.key, plain):
                # Here: what is whole needs no hash.
                from zos.flist.block import matches

                if not matches(plain, ref.key):
                    log.warning("a damaged block was in the cache and is fetched again: %s", path.name)
                    return None
                self.keep(ref.key, plain)
            elif time.time() - used > TOUCH:
                with contextlib.suppress(OSError):
                    os.utime(descriptor)
            return plain
        except OSError as err:
            log.warning("a block of the cache cannot be read: %s", err)
            return None
        finally:
            os.close(descriptor)

    def keep(self, key: bytes, plain: bytes | memoryview) -> None:
        """Keep a checked block; a full disk only costs the next fetch."""
        path = self.path(key)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            # Not its parents: where the volume of the cache is not mounted any more, nothing is kept.
            path.parent.mkdir(exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                if os.writev(descriptor, (plain, self._tag(key, plain))) != len(plain) + TAG:
                    raise OSError("a short write")
            finally:
                os.close(descriptor)
            os.replace(draft, path)
            self._full = False
        except OSError as err:
            with contextlib.suppress(OSError):
                draft.unlink()
            if not self._full:
                log.warning("blocks cannot be kept: %s", err)
            self._full = True

    def _tag(self, key: bytes, plain: bytes | memoryview) -> bytes:
        # The nonce is the content's own hash: no two contents meet under one.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._secret).encrypt(key[:12], b"", plain)


def _secret(folder: Path) -> bytes:
    """The folder's own key, made by whoever comes first."""
    path = folder / "secret"
    for _ in range(2):
        with contextlib.suppress(OSError):
            found = path.read_bytes()
            if len(found) == 32:
                return found
        fresh = os.urandom(32)
        draft = folder / "blocks" / f".secret.{os.getpid()}.{threading.get_ident()}"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(fresh)
                file.flush()
                os.fsync(file.fileno())
            if path.exists() and path.stat().st_size != 32:
                path.unlink()
            os.link(draft, path)
        except FileExistsError:
            continue
        except OSError as err:
            log.warning("the cache cannot be written: %s", err)
        finally:
            draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        return path.read_bytes()[:32].ljust(32, b"\0")
    return fresh


@dataclass(frozen=True, slots=True)
class Entry:
    """What the cache knows of a block that is on disk."""

    path: Path
    size: int
    used: float


def entries(folder: Path) -> Iterator[Entry]:
    """Every kept block; left-over drafts are removed on the way."""
    for group in sorted((folder / "blocks").glob("[0-9a-f][0-9a-f]")):
        with os.scandir(group) as found:
            for item in found:
                try:
                    seen = item.stat(follow_symlinks=False)
                    if not item.name.startswith("."):
                        yield Entry(Path(item.path), seen.st_blocks * 512, seen.st_mtime)
                    elif time.time() - seen.st_mtime > DRAFT_AGE:
                        os.unlink(item.path)
                except FileNotFoundError:
                    continue


class Keys:
    """The keys of blocks, in the same memory however many: some others seem to be among them (a Bloom filter).

    Keys are hashes, so parts of one are hashes too. With 1 M keys (512 GiB) one other key in 5 000 seems to be there.
    """

    BITS = 1 << 25
    PARTS = 4

    def __init__(self) -> None:
        self._bits = bytearray(self.BITS // 8)

    def update(self, keys: Iterable[bytes]) -> None:
        """Add keys."""
        for key in keys:
            for at in self._places(key):
                self._bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and all(self._bits[at >> 3] >> (at & 7) & 1 for at in self._places(key))

    def _places(self, key: bytes) -> Iterator[int]:
        for part in range(0, 4 * self.PARTS, 4):
            yield int.from_bytes(key[part : part + 4], "little") % self.BITS


def trim(folder: Path, limit: int, keep: Container[bytes], at_once: int = 20_000) -> int:
    """Remove the blocks not used for longest until `limit` bytes are left; those in `keep` go last. Bytes freed.

    Holds no more than `at_once` blocks in memory, however many there are.
    """
    excess = sum(entry.size for entry in entries(folder)) - limit
    freed = 0
    while freed < excess:
        oldest = heapq.nsmallest(
            at_once, entries(folder), key=lambda entry: (bytes.fromhex(entry.path.name) in keep, entry.used)
        )
        for entry in oldest:
            if freed < excess:
                entry.path.unlink(missing_ok=True)
                freed += entry.size
        if len(oldest) < at_once:
            break
    return freed
