"""Makes archives as 0-fs' own writer does. The records are laid out by hand, so that the reader's library has somebody
who may disagree with it; `test_archive.py` holds both against what the real writer wrote.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import pwd
import sqlite3
import stat
import struct
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cramjam
import xxtea

from zos.flist.layout import BLOCK_SIZE

SCHEMA = (
    "CREATE TABLE entries (key VARCHAR(64) PRIMARY KEY, value BLOB)",
    "CREATE TABLE metadata (key VARCHAR(64) PRIMARY KEY, value TEXT)",
)
FOLDER, FILE, LINK, SPECIAL = range(4)


class Message:
    """A Cap'n Proto message of one segment, built word by word."""

    def __init__(self) -> None:
        self._words = bytearray(8)

    def _room(self, words: int) -> int:
        at = len(self._words) // 8
        self._words += bytes(8 * words)
        return at

    def _put(self, at: int, data: bytes) -> None:
        self._words[8 * at : 8 * at + len(data)] = data

    def struct(self, pointer: int, data: bytes, pointers: int) -> int:
        """A struct; returns the word of its first pointer."""
        at = self._room(len(data) // 8 + pointers)
        self._put(pointer, struct.pack("<iHH", (at - pointer - 1) << 2, len(data) // 8, pointers))
        self._put(at, data)
        return at + len(data) // 8

    def data(self, pointer: int, data: bytes) -> None:
        at = self._room(-(-len(data) // 8))
        self._put(pointer, struct.pack("<iI", (at - pointer - 1) << 2 | 1, len(data) << 3 | 2))
        self._put(at, data)

    def text(self, pointer: int, text: bytes) -> None:
        """Bytes, and a NUL."""
        self.data(pointer, text + b"\0")

    def structs(self, pointer: int, data: Sequence[bytes], pointers: int) -> list[int]:
        """A list of structs; returns the words of their first pointers."""
        words = (len(data[0]) // 8 if data else 0) + pointers
        tag = self._room(1 + words * len(data))
        self._put(pointer, struct.pack("<iI", (tag - pointer - 1) << 2 | 1, (words * len(data)) << 3 | 7))
        self._put(tag, struct.pack("<iHH", len(data) << 2, words - pointers, pointers))
        starts = [tag + 1 + words * number for number in range(len(data))]
        for start, values in zip(starts, data, strict=True):
            self._put(start, values)
        return [start + words - pointers for start in starts]

    def framed(self) -> bytes:
        """As it stands in a table: one segment, its length, itself."""
        return struct.pack("<II", 0, len(self._words) // 8) + bytes(self._words)


@dataclass
class Item:
    """One name in a folder."""

    name: bytes
    what: int = FILE
    size: int = 0
    acl: bytes = b""
    mtime: int = 0
    ctime: int = 0
    blocks: Sequence[tuple[bytes, bytes]] = ()
    text: bytes = b""
    """A folder's key, a link's target, or the numbers of a device."""
    kind: int = 0


def listing(
    items: Sequence[Item], path: bytes = b"", acl: bytes = b"", mtime: int = 0, ctime: int = 0, parent: bytes = b""
) -> bytes:
    message = Message()
    pointers = message.struct(0, struct.pack("<QII", 4096, mtime, ctime), 5)
    message.text(pointers, path.rpartition(b"/")[2])
    message.text(pointers + 1, path)
    data = [struct.pack("<QHxxIIxxxx", item.size, item.what, item.mtime, item.ctime) for item in items]
    for item, at in zip(items, message.structs(pointers + 2, data, 3), strict=True):
        message.text(at, item.name)
        message.text(at + 2, item.acl)
        if item.what in (FOLDER, LINK):
            message.text(message.struct(at + 1, b"", 1), item.text)
        elif item.what == SPECIAL:
            message.data(message.struct(at + 1, struct.pack("<Hxxxxxx", item.kind), 1), item.text)
        elif item.what == FILE:
            inside = message.struct(at + 1, struct.pack("<Hxxxxxx", 128), 1)
            starts = message.structs(inside, [b""] * len(item.blocks), 2) if item.blocks else []
            for start, pair in zip(starts, item.blocks, strict=True):
                message.data(start, pair[0])
                message.data(start + 1, pair[1])
    message.text(pointers + 3, parent or key(b""))
    message.text(pointers + 4, acl)
    return message.framed()


def acl(mode: int, uid: int = 0, gid: int = 0, user: bytes = b"root", group: bytes = b"root") -> bytes:
    """An access list's record."""
    message = Message()
    pointers = message.struct(0, struct.pack("<HxxIqq", mode, 0, uid ^ -1, gid ^ -1), 3)
    message.text(pointers, user)
    message.text(pointers + 1, group)
    return message.framed()


def key(path: bytes) -> bytes:
    """The key of a folder's record."""
    return hashlib.blake2b(path, digest_size=16).hexdigest().encode()


def acl_key(mode: int, uid: int, gid: int, user: bytes = b"root", group: bytes = b"root") -> bytes:
    """The key of an access list's record."""
    text = b"user:%b\ngroup:%b\nmode:0o%o\nuid:%d\ngid:%d" % (user, group, mode, uid, gid)
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


def seal(plain: bytes) -> tuple[bytes, bytes, bytes]:
    """Id, key and stored form of a block."""
    secret = hashlib.blake2b(plain, digest_size=16).digest()
    packed = bytes(cramjam.snappy.compress_raw(plain))
    words = packed + bytes(-len(packed) % 4) + struct.pack("<I", len(packed))
    blob = bytes(xxtea.encrypt(words, secret, padding=xxtea.Padding.NONE))
    return hashlib.blake2b(blob, digest_size=16).digest(), secret, blob


@dataclass
class Archive:
    """An archive to be, and the blocks of its files by their ids."""

    records: dict[bytes, bytes] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    router: bytes | None = None

    def keep_acl(self, mode: int, uid: int = 0, gid: int = 0) -> bytes:
        """Keep an access list; returns its key."""
        user = _name(uid)
        found = acl_key(mode, uid, gid, user)
        self.records[found] = acl(mode, uid, gid, user)
        return found

    def keep_file(self, content: bytes) -> list[tuple[bytes, bytes]]:
        """Keep a file's blocks; returns their ids and keys."""
        pairs = []
        for at in range(0, len(content), BLOCK_SIZE):
            id, secret, blob = seal(content[at : at + BLOCK_SIZE])
            self.blobs[id] = blob
            pairs.append((id, secret))
        return pairs

    def keep_folder(self, path: bytes, items: Sequence[Item], mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Keep a folder's record."""
        parent = key(path.rpartition(b"/")[0])
        self.records[key(path)] = listing(items, path, self.keep_acl(mode, uid, gid), parent=parent)

    def take(self, folder: Path, path: bytes = b"") -> Archive:
        """All that is in a real folder, as the writer takes it (which calls everything special a socket)."""
        seen = folder.stat()
        items = [self._item(entry, path) for entry in sorted(folder.iterdir())]
        access = self.keep_acl(stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid)
        times = (int(seen.st_mtime), int(seen.st_ctime))
        self.records[key(path)] = listing(items, path, access, *times, parent=key(path.rpartition(b"/")[0]))
        return self

    def _item(self, entry: Path, folder: bytes) -> Item:
        seen = entry.lstat()
        name = os.fsencode(entry.name)
        item = Item(name, SPECIAL, seen.st_size, mtime=int(seen.st_mtime), ctime=int(seen.st_ctime))
        item.acl = self.keep_acl(stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid)
        item.text = b"(nothing)"
        if stat.S_ISDIR(seen.st_mode):
            path = folder + b"/" + name if folder else name
            self.take(entry, path)
            item.what, item.text = FOLDER, key(path)
        elif stat.S_ISLNK(seen.st_mode):
            item.what, item.text = LINK, os.fsencode(entry.readlink())
        elif stat.S_ISREG(seen.st_mode):
            item.what, item.blocks = FILE, self.keep_file(entry.read_bytes())
        return item

    def write(self, path: Path) -> Path:
        members = {"./flistdb.sqlite3": database(path.with_name("database"), self.records, self.metadata)}
        if self.router is not None:
            members["./router.yaml"] = self.router
        return pack(path, members.items())


def database(
    path: Path, records: Mapping[bytes, object], metadata: Mapping[str, str], schema: Iterable[str] = SCHEMA
) -> bytes:
    """The bytes of a database."""
    made = sqlite3.connect(path)
    for statement in schema:
        made.execute(statement)
    rows = [(name.decode(errors="surrogateescape"), value) for name, value in records.items()]
    made.executemany("INSERT INTO entries VALUES (?, ?)", rows)
    if metadata:
        made.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
    made.commit()
    made.close()
    content = path.read_bytes()
    path.unlink()
    return content


def pack(path: Path, members: Iterable[tuple[str, bytes]], end: bytes = b"") -> Path:
    """A gzip'd tar; the real writer's has nothing at its end that says so."""
    with gzip.open(path, "wb") as file:
        file.write(member(".", kind=tarfile.DIRTYPE))
        for name, content in members:
            file.write(member(name, len(content)) + content + bytes(-len(content) % 512))
        file.write(end)
    return path


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    return made.tobuf(tarfile.GNU_FORMAT)


def _name(uid: int) -> bytes:
    try:
        return pwd.getpwuid(uid).pw_name.encode()
    except KeyError:
        return b"%d" % uid
