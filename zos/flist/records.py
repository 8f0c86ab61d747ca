"""The records in 0-fs' archives, Cap'n Proto messages: what is in a folder, and who may do what. Pure.

The library checks every pointer; that a small message may not stand for much (pointers to one place, elements without
a size) is bounded here. `BadRecord` says what is wrong with a record.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zos.flist.layout import OLD_DIGEST

ENTRY, BLOCK = 48, 16
"""Bytes that one of them takes in a record at least."""
NESTING = 8


class BadRecord(ValueError):
    """A record that cannot be."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Another folder, by the key of its record."""

    key: bytes


@dataclass(frozen=True, slots=True)
class File:
    """Ids and keys, 16 bytes each, block after block."""

    blocks: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: bytes


@dataclass(frozen=True, slots=True)
class Special:
    """A socket (0), block device (1), character device (2) or fifo (3); of devices, `major,minor`."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder."""

    name: bytes
    size: int
    acl: bytes
    """The key of an `Acl`."""
    mtime: int
    ctime: int
    what: Folder | File | Link | Special


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder as 0-fs stores it: entries, access rights, times."""

    entries: tuple[Entry, ...]
    acl: bytes
    mtime: int
    ctime: int


@dataclass(frozen=True, slots=True)
class Acl:
    """Owner, group and mode; an id of -1 is only known by its name."""

    user: bytes
    group: bytes
    mode: int
    uid: int
    gid: int


def listing(data: bytes) -> Listing:
    """Reads the Cap'n Proto record of a folder. Raises BadRecord."""
    with _message("Listing", data) as record:
        entries = record.entries
        if len(entries) > len(data) // ENTRY:
            raise BadRecord(f"it says that it has {len(entries)} entries")
        return Listing(tuple(_entry(one, len(data)) for one in entries), _text(record.acl), record.mtime, record.ctime)


def acl(data: bytes) -> Acl:
    """An access list's record."""
    with _message("Acl", data) as record:
        return Acl(_text(record.user), _text(record.group), record.mode, record.uid, record.gid)


def load() -> None:
    """Load Cap'n Proto's reader and the schema, which the first record does otherwise."""
    _schema()


@functools.cache
def _schema() -> Any:
    import capnp

    capnp.remove_import_hook()
    return capnp.load(str(Path(__file__).with_name("archive.capnp")))


@contextmanager
def _message(kind: str, data: bytes) -> Iterator[Any]:
    if len(data) % 8:
        raise BadRecord(f"it has {len(data)} bytes, which are no whole words")
    schema = getattr(_schema(), kind)
    from capnp import KjException

    try:
        # Honest records are read once from end to end; twice their size keeps the others short.
        words = len(data) // 4 + 1024
        with schema.from_bytes(data, traversal_limit_in_words=words, nesting_limit=NESTING) as record:
            yield record
    except KjException as err:
        raise BadRecord(f"it is damaged, {str(err.description).partition(';')[0]:.150}") from None


def _entry(record: Any, size: int) -> Entry:
    name = _text(record.name)
    return Entry(name, record.size, _text(record.acl), record.mtime, record.ctime, _what(record.what, name, size))


def _what(what: Any, name: bytes, size: int) -> Folder | File | Link | Special:
    from capnp import KjException

    try:
        kind = what.which()
    except KjException:
        raise BadRecord(f"{name!r:.100} in it is of an unknown kind") from None
    if kind == "folder":
        return Folder(_text(what.folder.key))
    if kind == "link":
        return Link(_text(what.link.target))
    if kind == "special":
        special = what.special
        return Special(special.kind, special.data)
    blocks = what.file.blocks
    if len(blocks) > size // BLOCK:
        raise BadRecord(f"it says that {name!r:.100} has {len(blocks)} blocks")
    found = tuple((block.id, block.key) for block in blocks)
    for digests in found:
        if any(len(digest) != OLD_DIGEST for digest in digests):
            raise BadRecord(f"a block of {name!r:.100} is named by {max(map(len, digests))} bytes, not {OLD_DIGEST}")
    return File(found)


def _text(data: bytes) -> bytes:
    return data[:-1] if data.endswith(b"\0") else data
