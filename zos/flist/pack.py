"""Makes a flist: a folder or a tar becomes a `.fl` and blocks in a folder store.

One tree packed twice gives the same bytes. Memory is bounded by the blocks in work, whatever the source's size.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import tarfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from zos.flist.block import seal
from zos.flist.errors import BadSource
from zos.flist.fl import Writer
from zos.flist.layout import BLOCK_SIZE, MAX_NAME, MAX_TARGET, Node, Route
from zos.flist.store import FolderStore

_PAX_XATTR = "SCHILY.xattr."
log = logging.getLogger("zos.flist")

SAID = 20
"""Warnings of one kind that are written out."""
_KEPT_XATTRS = ("security.capability", "user.")
_TAR_KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far packing is."""

    path: str
    """What is being packed now."""
    entries: int
    size: int
    """Bytes of files read."""
    stored: int
    """Bytes of blocks that the store did not have."""


@dataclass(frozen=True, slots=True)
class Packed:
    """How much a folder came to: sizes in bytes."""

    entries: int
    size: int
    blocks: int
    stored: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """One name of the source; `parts` is its path."""

    parts: tuple[bytes, ...]
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    rdev: int = 0
    target: bytes = b""
    same: tuple[bytes, ...] = ()
    """A hard link: the path of the file that this is another name of."""
    open: Callable[[], AbstractContextManager[IO[bytes]]] | None = None
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    dropped: Sequence[str] = ()
    """Extended attributes that are not stored."""


@dataclass(slots=True)
class _Made:
    ino: int
    mode: int
    size: int = 0
    pairs: list[tuple[bytes, bytes]] = field(default_factory=list)


def pack(
    source: Path,
    out: Path,
    store: FolderStore,
    url: str,
    *,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[Progress], object] | None = None,
    workers: int = 0,
) -> Packed:
    """Pack a folder or a tar (plain, gzip, bzip2, xz) into `out`; `url` is where readers find the store's blocks."""
    entries = _walk(source) if source.is_dir() else _untar(source)
    with ThreadPoolExecutor(workers or os.cpu_count() or 2) as pool, Writer(out) as writer:
        packer = _Packer(writer, store, pool, progress)
        try:
            for entry in entries:
                packer.add(entry)
        except (OSError, tarfile.TarError, EOFError) as err:
            raise BadSource(source=source, problem=err) from err
        for key, value in (tags or {}).items():
            writer.tag(key, value)
        writer.route(Route(0, 255, url))
        return packer.packed()


class _Packer:
    def __init__(
        self,
        writer: Writer,
        store: FolderStore,
        pool: ThreadPoolExecutor,
        progress: Callable[[Progress], object] | None,
    ) -> None:
        self._writer = writer
        self._store = store
        self._pool = pool
        self._progress = progress
        self._made: dict[tuple[bytes, ...], _Made] = {}
        self._changed: dict[tuple[int, str], bytes] = {}
        self._warned: Counter[str] = Counter()
        self._entries = self._size = self._blocks = self._stored = 0

    def packed(self) -> Packed:
        """Completes the flist (a folder that holds nothing still has a root) and answers the sums."""
        if () not in self._made:
            self.add(_Entry((), stat.S_IFDIR | 0o755))
        return Packed(self._entries, self._size, self._blocks, self._stored)

    def add(self, entry: _Entry) -> None:
        """One entry; its folders are made when they were not named before."""
        for length in range(len(entry.parts)):
            if entry.parts[:length] not in self._made:
                self.add(_Entry(entry.parts[:length], stat.S_IFDIR | 0o755))
        old = self._made.get(entry.parts)
        if old is not None:
            if stat.S_ISDIR(old.mode):
                return  # a later word on a folder: its content must stay where it is
            self._writer.drop(old.ino)
        parent = self._made[entry.parts[:-1]].ino if entry.parts else 0
        name = entry.parts[-1] if entry.parts else b"/"
        self._check(entry, parent, name)
        size = {stat.S_IFDIR: 4096, stat.S_IFLNK: len(entry.target)}.get(stat.S_IFMT(entry.mode), 0)
        # The time of change is not the source's own, so that a copy packs to the same bytes.
        node = Node(
            parent, name, entry.mode, entry.uid, entry.gid, size, entry.rdev, mtime=entry.mtime, ctime=entry.mtime
        )
        made = _Made(self._writer.add(node, entry.target, entry.xattrs), entry.mode)
        self._entries += 1
        self._tell(entry)
        self._fill(entry, made)
        self._made[entry.parts] = made

    def _check(self, entry: _Entry, parent: int, name: bytes) -> None:
        """What a flist cannot hold: names that are no UTF-8, and attributes that readers do not know."""
        if entry.dropped:
            self._warn(entry, f"is stored without {', '.join(entry.dropped)}")
        try:
            name.decode()
        except UnicodeDecodeError:
            written = name.decode(errors="replace")
            if self._changed.setdefault((parent, written), name) != name:
                shown = b"/".join(entry.parts)
                raise BadSource(
                    source=repr(shown)[1:],
                    problem="another name in its folder differs only in bytes that are no UTF-8; rename one of them",
                ) from None
            self._warn(entry, f"is stored as {written!r}: flists hold UTF-8 only")

    def _warn(self, entry: _Entry, what: str) -> None:
        kind = what.partition(" as ")[0]
        self._warned[kind] += 1
        if self._warned[kind] <= SAID:
            log.warning("%s %s%s", repr(b"/".join(entry.parts))[1:], what, "; …" * (self._warned[kind] == SAID))

    def _fill(self, entry: _Entry, made: _Made) -> None:
        if entry.same:
            other = self._made.get(entry.same)
            if other is None:
                raise OSError(errno.ENOENT, "a hard link leads nowhere", b"/".join(entry.same))
            made.size, made.pairs = other.size, other.pairs
        elif entry.open is not None:
            with entry.open() as file:
                self._read(file, entry, made)
        else:
            return
        self._writer.blocks(made.ino, made.size, made.pairs)

    def _read(self, file: IO[bytes], entry: _Entry, made: _Made) -> None:
        """Blocks are sealed and stored by the pool, a few at a time, and named in order."""
        running: deque[Future[tuple[bytes, bytes, int]]] = deque()
        while True:
            piece = file.read(BLOCK_SIZE)
            if piece:
                made.size += len(piece)
                running.append(self._pool.submit(self._keep, piece))
            while running and (not piece or len(running) > 8):
                id, key, stored = running.popleft().result()
                made.pairs.append((id, key))
                self._blocks += 1
                self._stored += stored
                self._tell(entry)
            if not piece:
                break
            self._size += len(piece)

    def _keep(self, plain: bytes) -> tuple[bytes, bytes, int]:
        sealed = seal(plain)
        new = self._store.put(sealed.id, sealed.blob)
        return sealed.id, sealed.key, len(sealed.blob) if new else 0

    def _tell(self, entry: _Entry) -> None:
        if self._progress is not None:
            path = b"/".join((b"", *entry.parts)).decode(errors="replace") or "/"
            self._progress(Progress(path, self._entries, self._size, self._stored))


def _walk(root: Path) -> Iterator[_Entry]:
    """A folder's entries, each before what is inside it, sorted by name."""
    waiting: list[tuple[bytes, ...]] = [()]
    base = os.fsencode(root)
    while waiting:
        parts = waiting.pop()
        path = os.path.join(base, *parts)
        seen = os.stat(path) if not parts else os.lstat(path)
        kind = stat.S_IFMT(seen.st_mode)
        yield _Entry(
            parts,
            seen.st_mode,
            seen.st_uid,
            seen.st_gid,
            int(seen.st_mtime),
            seen.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
            target=os.readlink(path) if kind == stat.S_IFLNK else b"",
            open=_opener(path) if kind == stat.S_IFREG else None,
            xattrs=_xattrs(path),
            dropped=_dropped(path),
        )
        if kind == stat.S_IFDIR:
            waiting += [(*parts, name) for name in sorted(os.listdir(path), reverse=True)]


def _opener(path: bytes) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    def open_it() -> AbstractContextManager[IO[bytes]]:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0)

    return open_it


def _xattrs(path: bytes) -> dict[bytes, bytes]:
    with contextlib.suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return {
            os.fsencode(name): os.getxattr(path, name, follow_symlinks=False)
            for name in names
            if name.startswith(_KEPT_XATTRS)
        }
    return {}


def _dropped(path: bytes) -> list[str]:
    """Attributes that somebody will miss; security labels belong to the machine that the folder is on."""
    with contextlib.suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return sorted(name for name in names if name.startswith(("system.posix_acl", "trusted.")))
    return []


def _untar(path: Path) -> Iterator[_Entry]:
    """A tar's entries in its own order, read once from front to back."""
    with tarfile.open(path, "r|*", encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            kind = stat.S_IFREG if member.isreg() or member.islnk() else _TAR_KINDS.get(member.type)
            if kind is None:
                raise tarfile.TarError(f"{member.name} is of a kind that is not known here")
            yield _Entry(
                _tar_parts(member.name),
                kind | (member.mode & 0o7777 if kind != stat.S_IFLNK else 0o777),
                member.uid,
                member.gid,
                int(member.mtime),
                os.makedev(member.devmajor, member.devminor) if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
                target=_target(member.linkname) if member.issym() else b"",
                same=_tar_parts(member.linkname) if member.islnk() else (),
                open=_member(archive, member) if member.isreg() else None,
                xattrs=_pax_xattrs(member.pax_headers),
            )
            # A stream forgets nothing by itself: a million members would stay in memory.
            archive.members = []  # type: ignore[attr-defined]


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    def open_it() -> AbstractContextManager[IO[bytes]]:
        file = archive.extractfile(member)
        if file is None:
            raise tarfile.TarError(f"{member.name} has no content")
        return file

    return open_it


def _tar_parts(name: str) -> tuple[bytes, ...]:
    parts = tuple(part for part in os.fsencode(name).split(b"/") if part not in (b"", b"."))
    if b".." in parts or any(len(part) > MAX_NAME or b"\0" in part for part in parts):
        raise tarfile.TarError(f"{name!r:.100} is no name inside it")
    return parts


def _target(text: str) -> bytes:
    target = os.fsencode(text)
    if not 0 < len(target) <= MAX_TARGET or b"\0" in target:
        raise tarfile.TarError(f"{text!r:.100} is no target of a link")
    return target


def _pax_xattrs(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    found = {}
    for name, value in headers.items():
        attribute = name.removeprefix(_PAX_XATTR)
        if name.startswith(_PAX_XATTR) and attribute.startswith(_KEPT_XATTRS):
            found[os.fsencode(attribute)] = value.encode(errors="surrogateescape")
    return found
