"""Turns 0-fs' archive, the older kind of flist, into a `.fl`, which is all that is read after that.

An archive is a gzip'd tar with an SQLite database of Cap'n Proto records: a folder under the hash of its path, access
lists under a hash of theirs, and metadata. It is not trusted: everything is looked at and bounded, folders are found
once only, and what is wrong is said with its path. The result still goes through `fl.read`.

Modes are kept whole, although 0-fs showed them without setuid, setgid and sticky: programs such as sudo need theirs,
and flists are mounted nosuid on the node. Who is only known by name is root or 1000, as with 0-fs on a node. Hard links
and attributes are not told, nor is what a device is: 0-fs' writer calls everything special a socket.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from zos.flist import records, routing
from zos.flist.errors import FlistBroken
from zos.flist.fl import Limits, Writer
from zos.flist.layout import (
    DIGEST,
    MAX_NAME,
    MAX_TARGET,
    OLD_DIGEST,
    Node,
    Route,
    block_count,
)
from zos.flist.unpack import unpack
from zos.flist.untrusted_sqlite import UntrustedSqlite

ROOT_KEY = hashlib.blake2b(b"", digest_size=OLD_DIGEST).hexdigest().encode()
MAX_RECORD = 16 << 20
"""0-fs' writer itself ends at 4 MiB."""
MAX_PATH = 4095
UNKNOWN_ID = 1000
_KINDS = {0: stat.S_IFSOCK, 1: stat.S_IFBLK, 2: stat.S_IFCHR, 3: stat.S_IFIFO}
_DEVICE = re.compile(rb"(\d{1,4}),(\d{1,7})")
_PADDING = bytes(DIGEST - OLD_DIGEST)


def prepare() -> None:
    """Load whatever reading an archive takes, for a process that will not see our files."""
    records.load()


def convert(path: Path, out: Path, store: str, limits: Limits | None = None) -> None:
    """Write the archive at `path` as a `.fl` to `out`; `store` has its blocks when it does not say where they are."""
    database = out.with_name(f".{out.name}.database")
    bounds = limits or Limits()
    try:
        router = unpack(path, database)
        with UntrustedSqlite(
            database, path.name, ("entries", "metadata"), longest=MAX_RECORD, seconds=bounds.seconds
        ) as entries:
            routes = _routes(entries, router) or (Route(0, 255, store),)
            with Writer(out, raw_names=True) as writer:
                for route in routes:
                    writer.route(route)
                _Converter(entries, writer, bounds).convert()
    finally:
        database.unlink(missing_ok=True)


def _routes(entries: UntrustedSqlite, router: bytes) -> tuple[Route, ...]:
    has_metadata = "metadata" in entries.tables("entries")
    found: tuple[Route, ...] = ()
    try:
        if router:
            found += routing.from_router(router)
        for (value,) in entries.rows("SELECT value FROM metadata WHERE key = 'backend'", 1) if has_metadata else ():
            if not isinstance(value, bytes):
                raise ValueError("its metadata `backend` is no text")
            found += (routing.from_backend(value),)
    except ValueError as err:
        raise entries.broken(str(err)) from None
    return found


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A folder that is to be looked into."""

    key: bytes
    path: bytes
    parent: int


@dataclass(frozen=True, slots=True)
class _Access:
    mode: int
    uid: int = 0
    gid: int = 0


class _Converter:
    def __init__(self, entries: UntrustedSqlite, writer: Writer, limits: Limits) -> None:
        self._entries = entries
        self._writer = writer
        self._limits = limits
        self._waiting = deque([_Waiting(ROOT_KEY, b"", 0)])
        self._keys = {ROOT_KEY}
        self._accesses: dict[bytes, _Access] = {}
        self._nodes = 1
        self._blocks = 0

    def convert(self) -> None:
        """Folder by folder, each before what is inside it."""
        while self._waiting:
            here = self._waiting.popleft()
            listing = self._listing(here)
            access = self._access(here.path, listing.acl, 0o755)
            name = here.path.rpartition(b"/")[2]
            times = {"mtime": listing.mtime, "ctime": listing.ctime}
            node = Node(here.parent, name, stat.S_IFDIR | access.mode, access.uid, access.gid, 4096, **times)
            ino = self._writer.add(node)
            names: set[bytes] = set()
            for entry in listing.entries:
                self._check_name(here.path, entry.name, names)
                self._add(ino, here.path + b"/" + entry.name, entry)

    def _broken(self, path: bytes, problem: str) -> FlistBroken:
        return self._entries.broken(f"{path.decode(errors='backslashreplace') or '/':.200} {problem}")

    def _record(self, key: bytes) -> bytes | None:
        # As text: the table compares no bytes with it.
        rows = self._entries.rows("SELECT value FROM entries WHERE key = ? LIMIT 1", 1, key.decode(errors="replace"))
        found = next(rows, (None,))[0]
        return found if isinstance(found, bytes) else None

    def _listing(self, folder: _Waiting) -> records.Listing:
        data = self._record(folder.key)
        if data is None:
            raise self._broken(folder.path, f"has no record, {folder.key!r:.40}")
        try:
            return records.listing(data)
        except records.BadRecord as err:
            raise self._broken(folder.path, f"has a record that cannot be read: {err}") from None

    def _access(self, path: bytes, key: bytes, default: int) -> _Access:
        found = self._accesses.get(key)
        if found is None and key:
            data = self._record(key)
            found = self._accesses[key] = _Access(-1) if data is None else self._parse(path, data)
        return found if found is not None and found.mode >= 0 else _Access(default)

    def _parse(self, path: bytes, data: bytes) -> _Access:
        try:
            acl = records.acl(data)
        except records.BadRecord as err:
            raise self._broken(path, f"has an access list that cannot be read: {err}") from None
        uid, gid = (_id(number, name) for number, name in ((acl.uid, acl.user), (acl.gid, acl.group)))
        if not 0 <= uid <= 0xFFFFFFFF or not 0 <= gid <= 0xFFFFFFFF:
            raise self._broken(path, f"belongs to {uid}:{gid}")
        return _Access(acl.mode & 0o7777, uid, gid)

    def _check_name(self, folder: bytes, name: bytes, names: set[bytes]) -> None:
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > MAX_NAME:
            raise self._broken(folder, f"holds something that cannot be called {name!r:.300}")
        if name in names:
            raise self._broken(folder, f"holds {name!r:.300} twice")
        names.add(name)
        if len(folder) + 1 + len(name) > MAX_PATH:
            raise self._broken(folder, "is nested too deep")
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            raise self._entries.broken(f"it has more than {self._limits.nodes} entries")

    def _add(self, parent: int, path: bytes, entry: records.Entry) -> None:
        if isinstance(entry.what, records.Folder):
            if entry.what.key in self._keys:
                raise self._broken(path, "is a folder that was there before")
            self._keys.add(entry.what.key)
            self._waiting.append(_Waiting(entry.what.key, path, parent))
            return
        access = self._access(path, entry.acl, 0o444)
        size, rdev, target = 0, 0, b""
        pairs: tuple[tuple[bytes, bytes], ...] = ()
        match entry.what:
            case records.File(pairs):
                mode, size = stat.S_IFREG | access.mode, entry.size
                self._check_blocks(path, size, len(pairs))
            case records.Link(target):
                mode, size = stat.S_IFLNK | 0o777, len(target)
                if not 0 < size <= MAX_TARGET or b"\0" in target:
                    raise self._broken(path, f"points to {target!r:.100}")
            case special:
                kind, rdev = self._special(path, special)
                mode = kind | access.mode
        node = Node(parent, entry.name, mode, access.uid, access.gid, size, rdev, entry.mtime, entry.ctime)
        ino = self._writer.add(node, target)
        if pairs:
            self._writer.blocks(ino, size, ((id + _PADDING, key + _PADDING) for id, key in pairs))

    def _check_blocks(self, path: bytes, size: int, count: int) -> None:
        if size > self._limits.size or count != block_count(size):
            raise self._broken(path, f"of {size} bytes has {count} blocks")
        self._blocks += count
        if self._blocks > self._limits.blocks:
            raise self._entries.broken(f"it has more than {self._limits.blocks} blocks")

    def _special(self, path: bytes, special: records.Special) -> tuple[int, int]:
        kind = _KINDS.get(special.kind)
        if kind is None:
            raise self._broken(path, f"is of a kind that is not known, {special.kind}")
        if kind not in (stat.S_IFBLK, stat.S_IFCHR):
            return kind, 0
        numbers = _DEVICE.fullmatch(special.data)
        if numbers is None or int(numbers[1]) > 0xFFF or int(numbers[2]) > 0xFFFFF:
            raise self._broken(path, f"is the device {special.data!r:.60}")
        return kind, os.makedev(int(numbers[1]), int(numbers[2]))


def _id(number: int, name: bytes) -> int:
    if number != -1:
        return number
    if name.isdigit() and len(name) <= 10:
        return int(name)  # of one without a name its writer knew only the number
    return 0 if name == b"root" else UNKNOWN_ID
