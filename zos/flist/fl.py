"""Reads and writes `.fl`, rfs' flist: one SQLite file with the tables inode, extra, block, tag and route.

A file is read without trusting anything in it (`untrusted_sqlite.py`): all values are looked at, everything
is bounded. The result is a tree that cannot be wrong: one root, names that are names, no cycles, every file exactly as
many blocks as its size takes. Our own table `xattr` is passed over by other readers.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from zos.flist.errors import FlistBroken
from zos.flist.layout import DIGEST, MAX_NAME, MAX_ROUTES, MAX_TARGET, MAX_URL, ROOT, Node, Route, block_count
from zos.flist.untrusted_sqlite import MAGIC, TROUBLE, UntrustedSqlite

SCHEMA = """
CREATE TABLE inode (ino INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER, name VARCHAR(255), size INTEGER,
    uid INTEGER, gid INTEGER, mode INTEGER, rdev INTEGER, ctime INTEGER, mtime INTEGER);
CREATE INDEX parents ON inode (parent);
CREATE INDEX names ON inode (name);
CREATE TABLE extra (ino INTEGER PRIMARY KEY, data VARCHAR(4096));
CREATE TABLE block (ino INTEGER, id VARCHAR(32), key VARCHAR(32));
CREATE INDEX block_ino ON block (ino);
CREATE TABLE tag (key VARCHAR(10) PRIMARY KEY, value VARCHAR(255));
CREATE TABLE route (start integer, end integer, url VARCHAR(2048));
"""
XATTR_SCHEMA = "CREATE TABLE xattr (ino INTEGER, name BLOB, value BLOB);"

KNOWN = ("inode", "extra", "block", "tag", "route", "xattr")
_U32 = 0xFFFFFFFF
_KINDS = {stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of anything a flist may hold."""

    nodes: int = 1_000_000
    blocks: int = 1_000_000
    """512 GiB of files."""
    size: int = 1 << 40
    """Of one file."""
    rows: int = 100_000
    """Of any other table."""
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Flist:
    """A flist whose inodes, names and blocks are checked: it holds nothing that cannot be mounted."""

    nodes: tuple[Node, ...]
    """In index order: number 1 first, breadth first, each folder's children side by side and sorted."""
    blocks: bytes = field(repr=False)
    """Ids and keys, 64 bytes each, in the order of nodes."""
    targets: Mapping[int, bytes]
    xattrs: Mapping[int, Mapping[bytes, bytes]]
    tags: Mapping[str, str]
    routes: tuple[Route, ...]
    hidden: int = 0
    """Names that are not shown, since an earlier one in the same folder is equal; what is below them is not either."""


def read(path: Path, limits: Limits | None = None) -> Flist:
    """Read and check a flist; FlistBroken says what is wrong with it."""
    bounds = limits or Limits()
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise FlistBroken(flist=path.name, problem="it is another kind of file")
    try:
        with UntrustedSqlite(path, path.name, KNOWN, seconds=bounds.seconds) as database:
            return _Reader(database, bounds).read()
    except TROUBLE as err:
        raise FlistBroken(flist=path.name, problem=str(err) or type(err).__name__) from None


class _Reader:
    def __init__(self, database: UntrustedSqlite, limits: Limits) -> None:
        self._rows = database.rows
        self._broken = database.broken
        self._limits = limits
        self._tables = database.tables("inode", "extra", "block", "tag", "route")
        self._hidden: set[int] = set()

    def read(self) -> Flist:
        inodes = self._inodes()
        order = self._order(inodes)
        numbers = {ino: number for number, ino in enumerate(order, ROOT)}
        targets = self._targets(inodes)
        blocks = self._blocks(inodes)
        nodes, packed = self._number(inodes, order, numbers, targets, blocks)
        links = {numbers[ino]: target for ino, target in targets.items() if ino in numbers}
        rest = self._xattrs(numbers), self._tags(), self._routes()
        return Flist(nodes, packed, links, *rest, hidden=len(self._hidden))

    def _number_in(self, value: object, what: str, high: int, low: int = 0) -> int:
        if type(value) is not int or not low <= value <= high:
            raise self._broken(f"{what} is {value!r:.60}")
        return value

    def _bytes(self, value: object, what: str, high: int, low: int = 1) -> bytes:
        if not isinstance(value, bytes) or not low <= len(value) <= high:
            raise self._broken(f"{what} is {value!r:.60}")
        return value

    def _inodes(self) -> dict[int, Node]:
        sql = "SELECT ino, parent, name, size, uid, gid, mode, rdev, ctime, mtime FROM inode"
        found: dict[int, Node] = {}
        for ino, parent, name, size, uid, gid, mode, rdev, ctime, mtime in self._rows(sql, self._limits.nodes):
            key = self._number_in(ino, "an inode's number", (1 << 63) - 1, 1)
            if key in found:
                raise self._broken(f"inode {key} is there twice")
            bits = self._number_in(mode, f"the mode of inode {key}", 0o177777)
            kind = stat.S_IFMT(bits)
            if kind not in _KINDS:
                raise self._broken(f"the mode of inode {key} is {bits:o}")
            is_file = kind == stat.S_IFREG
            found[key] = Node(
                self._number_in(parent, f"the parent of inode {key}", (1 << 63) - 1),
                b"" if key == ROOT else self._file_name(key, name),
                bits,
                self._number_in(uid, f"the owner of inode {key}", _U32),
                self._number_in(gid, f"the group of inode {key}", _U32),
                self._number_in(size, f"the size of inode {key}", self._limits.size) if is_file else 0,
                self._number_in(rdev, f"the device of inode {key}", _U32) if kind in _DEVICES else 0,
                self._number_in(mtime, f"a time of inode {key}", 1 << 62, -(1 << 62)),
                self._number_in(ctime, f"a time of inode {key}", 1 << 62, -(1 << 62)),
            )
        root = found.get(ROOT)
        if root is None or not stat.S_ISDIR(root.mode):
            raise self._broken("it has no root folder")
        return found

    def _file_name(self, ino: int, value: object) -> bytes:
        name = self._bytes(value, f"the name of inode {ino}", MAX_NAME)
        if name in (b".", b"..") or b"/" in name or b"\0" in name:
            raise self._broken(f"inode {ino} cannot be called {name!r}")
        return name

    def _order(self, inodes: Mapping[int, Node]) -> list[int]:
        """All inodes breadth first; what the root does not lead to (an orphan, a cycle) is refused."""
        children: dict[int, list[int]] = defaultdict(list)
        for ino, node in inodes.items():
            if ino != ROOT:
                children[node.parent].append(ino)
        order = [ROOT]
        for ino in order:
            inside = sorted(children.pop(ino, ()), key=lambda child: inodes[child].name)
            if inside and not stat.S_ISDIR(inodes[ino].mode):
                raise self._broken(f"inode {ino} is no folder and has something inside")
            # rfs writes names that are no UTF-8 as U+FFFD, so that different ones become equal: the first is shown.
            shown = [next(alike) for _, alike in itertools.groupby(inside, key=lambda child: inodes[child].name)]
            hidden = list(set(inside).difference(shown)) if len(shown) < len(inside) else []
            for child in hidden:
                hidden += children.pop(child, ())
            self._hidden.update(hidden)
            order += shown
        if children:
            lost = min(child for inside in children.values() for child in inside)
            raise self._broken(f"the root does not lead to inode {lost}")
        return order

    def _targets(self, inodes: Mapping[int, Node]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for ino, data in self._rows("SELECT ino, data FROM extra", self._limits.nodes):
            if isinstance(ino, int) and ino in inodes and stat.S_ISLNK(inodes[ino].mode):
                found[ino] = self._bytes(data, f"the target of link {ino}", MAX_TARGET)
                if b"\0" in found[ino]:
                    raise self._broken(f"the target of link {ino} is {found[ino]!r:.60}")
        for ino, node in inodes.items():
            if stat.S_ISLNK(node.mode) and ino not in found:
                raise self._broken(f"link {ino} has no target")
        return found

    def _blocks(self, inodes: Mapping[int, Node]) -> dict[int, bytearray]:
        found: dict[int, bytearray] = {}
        for ino, id, key in self._rows("SELECT ino, id, key FROM block ORDER BY rowid", self._limits.blocks):
            node = inodes.get(ino) if isinstance(ino, int) else None
            if not isinstance(ino, int) or node is None or not stat.S_ISREG(node.mode):
                raise self._broken(f"a block belongs to inode {ino!r:.60}, which is no file")
            pair = self._bytes(id, "a block's id", DIGEST, DIGEST) + self._bytes(key, "a block's key", DIGEST, DIGEST)
            found.setdefault(ino, bytearray()).extend(pair)
        for ino, node in inodes.items():
            count = len(found.get(ino, b"")) // (2 * DIGEST)
            if stat.S_ISREG(node.mode) and count != block_count(node.size):
                raise self._broken(f"file {ino} of {node.size} bytes has {count} blocks")
        return found

    def _number(
        self,
        inodes: Mapping[int, Node],
        order: list[int],
        numbers: Mapping[int, int],
        targets: Mapping[int, bytes],
        blocks: Mapping[int, bytearray],
    ) -> tuple[tuple[Node, ...], bytes]:
        counts: dict[int, int] = defaultdict(int)
        firsts: dict[int, int] = {}
        folders: dict[int, int] = defaultdict(int)
        for number, ino in enumerate(order[1:], ROOT + 1):
            parent = inodes[ino].parent
            counts[parent] += 1
            firsts.setdefault(parent, number)
            folders[parent] += stat.S_ISDIR(inodes[ino].mode)
        packed = bytearray()
        made: list[Node] = []
        for ino in order:
            node = inodes[ino]
            size, nlink, first, count = node.size, 1, 0, 0
            if stat.S_ISDIR(node.mode):
                size, nlink, first, count = 4096, 2 + folders[ino], firsts.get(ino, 0), counts[ino]
            elif stat.S_ISLNK(node.mode):
                size = len(targets[ino])
            elif ino in blocks:
                first, count = len(packed) // (2 * DIGEST), len(blocks[ino]) // (2 * DIGEST)
                packed += blocks[ino]
            parent = ROOT if ino == ROOT else numbers[node.parent]
            made.append(
                Node(
                    parent, node.name, node.mode, node.uid, node.gid, size, node.rdev, node.mtime, node.ctime,
                    nlink, first, count,
                )
            )  # fmt: skip
        return tuple(made), bytes(packed)

    def _xattrs(self, numbers: Mapping[int, int]) -> dict[int, dict[bytes, bytes]]:
        found: dict[int, dict[bytes, bytes]] = {}
        if "xattr" not in self._tables:
            return found
        for ino, name, value in self._rows("SELECT ino, name, value FROM xattr", self._limits.rows):
            if ino in self._hidden:
                continue
            if not isinstance(ino, int) or ino not in numbers:
                raise self._broken(f"an attribute belongs to inode {ino!r:.60}")
            inside = found.setdefault(numbers[ino], {})
            inside[self._bytes(name, "an attribute's name", MAX_NAME)] = self._bytes(value, "an attribute", 4096, 0)
            if len(inside) > 8:
                raise self._broken(f"inode {ino} has too many attributes")
        return found

    def _tags(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in self._rows("SELECT key, value FROM tag", 1000):
            name, text = self._bytes(key, "a tag's name", 1024), self._bytes(value, "a tag", 1 << 16, 0)
            found[name.decode(errors="replace")] = text.decode(errors="replace")
        return found

    def _routes(self) -> tuple[Route, ...]:
        found = []
        for start, end, url in self._rows("SELECT start, end, url FROM route", MAX_ROUTES):
            text = self._bytes(url, "a route's URL", MAX_URL).decode(errors="replace")
            found.append(
                Route(self._number_in(start, "a route's start", 255), self._number_in(end, "a route's end", 255), text)
            )
        return tuple(found)


_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)


class Writer:
    """Writes a flist row by row; on leaving without an error it stands complete at its path.

    With `raw_names`, names that are no UTF-8 stay as they are; rfs could not read them.
    """

    def __init__(self, path: Path, *, raw_names: bool = False) -> None:
        self._path = path
        self._raw_names = raw_names
        self._draft = path.with_name(f".{path.name}.draft")
        self._draft.unlink(missing_ok=True)
        self._database = sqlite3.connect(self._draft, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(SCHEMA)
        self._database.execute("BEGIN")
        self._has_xattrs = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._database.close()
            self._draft.unlink(missing_ok=True)
            return
        self._database.execute("COMMIT")
        self._database.close()
        with self._draft.open("rb+") as file:
            os.fsync(file.fileno())
        self._draft.replace(self._path)

    def add(self, node: Node, target: bytes = b"", xattrs: Mapping[bytes, bytes] | None = None) -> int:
        """A node below an earlier one (the root first, with parent 0); returns its inode number."""
        name: str | bytes = node.name if self._raw_names else node.name.decode(errors="replace")
        name = "/" if node.parent == 0 else name
        row = (node.parent, name, node.size, node.uid, node.gid, node.mode, node.rdev, node.ctime, node.mtime)
        sql = "INSERT INTO inode (parent, name, size, uid, gid, mode, rdev, ctime, mtime) VALUES (?,?,?,?,?,?,?,?,?)"
        ino = int(self._database.execute(sql, row).lastrowid or 0)
        if stat.S_ISLNK(node.mode):
            self._database.execute("INSERT INTO extra (ino, data) VALUES (?, ?)", (ino, target))
        if xattrs:
            if not self._has_xattrs:
                self._database.execute(XATTR_SCHEMA)
                self._has_xattrs = True
            rows = [(ino, name, value) for name, value in sorted(xattrs.items())]
            self._database.executemany("INSERT INTO xattr (ino, name, value) VALUES (?, ?, ?)", rows)
        return ino

    def blocks(self, ino: int, size: int, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """The content of a file: its size, and the ids and keys of its blocks in order."""
        rows = [(ino, id, key) for id, key in pairs]
        self._database.executemany("INSERT INTO block (ino, id, key) VALUES (?, ?, ?)", rows)
        self._database.execute("UPDATE inode SET size = ? WHERE ino = ?", (size, ino))

    def drop(self, ino: int) -> None:
        """Forget a file that a later entry of the same name replaces."""
        for table in ("inode", "block", "extra", *(("xattr",) if self._has_xattrs else ())):
            self._database.execute(f"DELETE FROM {table} WHERE ino = ?", (ino,))  # noqa: S608 - our own table names

    def tag(self, key: str, value: str) -> None:
        """Stores a remark that readers ignore when they do not know its key."""
        self._database.execute("INSERT OR REPLACE INTO tag (key, value) VALUES (?, ?)", (key, value))

    def route(self, route: Route) -> None:
        """Where the blocks are."""
        self._database.execute("INSERT INTO route VALUES (?, ?, ?)", (route.start, route.end, route.url))
