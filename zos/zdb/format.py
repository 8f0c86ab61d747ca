"""The files of 0-db, byte for byte: headers, index items, data entries, cursors, namespace records. Pure.

All integers are little-endian and packed. Source: 0-db's files, recorded from its release build.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import crc32c

from zos.errors import Status, ZosError

MAX_KEY = 255
MAX_VALUE = 8 << 20
MAX_NAME = 128
MAX_PASSWORD = 63
SEQUENTIAL_KEY = 8

INDEX_MAGIC, INDEX_VERSION = b"IDX0", 4
DATA_MAGIC, DATA_VERSION = b"DAT0", 3
_INDEX_HEADER = struct.Struct("<4sIQQIB")
_DATA_HEADER = struct.Struct("<4sIQQI")
_ITEM = struct.Struct("<BIIIBIIIII")
_ENTRY = struct.Struct("<BIIIBI")
_CURSOR = struct.Struct("<BIIII")
_COOKIE = struct.Struct("<II")
_NAMESPACE = struct.Struct("<IBBQB")
INDEX_HEADER = _INDEX_HEADER.size
DATA_HEADER = _DATA_HEADER.size
ITEM = _ITEM.size
ENTRY = _ENTRY.size
FLAGS_AT = 13
"""Where an index item's flags stand: the one byte that is changed in place."""
DELETED = 1
_NAMESPACE_VERSION = 1
_EXTENDED = 4


class BadFile(ZosError):
    """A file is not what its name says."""

    reason = "zdb.bad_file"
    status = Status.FAILED_PRECONDITION
    text = "{path}: {problem}"
    hint = "restore the file from a copy, or move the namespace's folders away; nothing was changed"


NO_CHECKSUM = 0
"""Of nothing."""


def checksum(payload: bytes, before: int = NO_CHECKSUM) -> int:
    """0-db's CRC-32C: it starts at 0 and is not inverted at the end ("x" is fb410cc2). Goes on from what was before."""
    return int(crc32c.crc32c(payload, before ^ 0xFFFFFFFF)) ^ 0xFFFFFFFF


class Item(NamedTuple):
    """One item of an index file. `offset` is the entry's place in the data file, `parent` the version before."""

    key: bytes
    offset: int
    length: int
    previous: int
    """Offset of the item before; of the last item in the file before for the first one."""
    flags: int
    data_file: int
    """Right in sequential mode; 0 in user mode, where the data file has the number of the index file."""
    timestamp: int
    crc: int
    parent_file: int = 0
    parent_offset: int = 0
    """0 when there is no version before: offsets begin behind the header."""

    @property
    def is_live(self) -> bool:
        """Neither deleted nor replaced."""
        return not self.flags & DELETED


class Located(NamedTuple):
    """An item and where it is."""

    file: int
    offset: int
    item: Item


class Entry(NamedTuple):
    """The head of one entry of a data file; key and payload follow it."""

    key_length: int
    length: int
    previous: int
    crc: int
    flags: int
    timestamp: int

    @property
    def size(self) -> int:
        """Bytes of the whole entry."""
        return ENTRY + self.key_length + self.length


class Cursor(NamedTuple):
    """An item that a scan goes on behind."""

    key_length: int
    file: int
    length: int
    offset: int
    crc: int


def index_header(file: int, is_sequential: bool) -> bytes:
    """The first 29 bytes of an index file; 0-db writes its times as 0."""
    return _INDEX_HEADER.pack(INDEX_MAGIC, INDEX_VERSION, 0, 0, file, is_sequential)


def data_header(file: int) -> bytes:
    """The first 28 bytes of a data file."""
    return _DATA_HEADER.pack(DATA_MAGIC, DATA_VERSION, 0, 0, file)


def read_index_header(data: bytes, path: object) -> bool:
    """Whether an index file is of a sequential namespace; raises BadFile."""
    if len(data) < INDEX_HEADER:
        raise BadFile(path=path, problem="is cut short within its header")
    magic, version, _, _, _, mode = _INDEX_HEADER.unpack_from(data)
    if magic != INDEX_MAGIC or version != INDEX_VERSION:
        raise BadFile(path=path, problem=f"is no index file of version {INDEX_VERSION}")
    if mode > 1:
        raise BadFile(path=path, problem=f"is of mode {mode}, which is neither user nor sequential")
    return bool(mode)


def check_data_header(data: bytes, path: object) -> None:
    """Raise BadFile unless a data file begins here."""
    if len(data) < DATA_HEADER:
        raise BadFile(path=path, problem="is cut short within its header")
    magic, version, *_ = _DATA_HEADER.unpack_from(data)
    if magic != DATA_MAGIC or version != DATA_VERSION:
        raise BadFile(path=path, problem=f"is no data file of version {DATA_VERSION}")


def pack_item(item: Item) -> bytes:
    """34 bytes and the key."""
    key, *numbers = item
    return _ITEM.pack(len(key), *numbers) + key


def read_item(data: bytes, at: int = 0) -> Item | None:
    """The item at an offset, or None when it is not whole."""
    if len(data) < at + ITEM:
        return None
    length, *numbers = _ITEM.unpack_from(data, at)
    key = data[at + ITEM : at + ITEM + length]
    return Item(bytes(key), *numbers) if len(key) == length else None


def pack_entry(key: bytes, payload: bytes, previous: int, crc: int, flags: int, timestamp: int) -> bytes:
    """18 bytes, the key and the payload."""
    return b"".join((_ENTRY.pack(len(key), len(payload), previous, crc, flags, timestamp), key, payload))


def read_entry(data: bytes, at: int = 0) -> Entry | None:
    """The head of the entry at an offset, or None when it is not whole."""
    return Entry(*_ENTRY.unpack_from(data, at)) if len(data) >= at + ENTRY else None


def pack_cursor(cursor: Cursor) -> bytes:
    """A cursor as clients get it, 17 bytes."""
    return _CURSOR.pack(*cursor)


def read_cursor(data: bytes) -> Cursor | None:
    """A cursor, or None when it has another size."""
    return Cursor(*_CURSOR.unpack(data)) if len(data) == _CURSOR.size else None


def pack_cookie(file: int, offset: int) -> bytes:
    """Where HISTORY goes on: an index file and an offset, 8 bytes."""
    return _COOKIE.pack(file, offset)


def read_cookie(data: bytes) -> tuple[int, int] | None:
    """A cookie, or None when it has another size."""
    if len(data) != _COOKIE.size:
        return None
    file, offset = _COOKIE.unpack(data)
    return file, offset


@dataclass(frozen=True, slots=True)
class Settings:
    """What a namespace's record holds."""

    name: bytes
    password: bytes = b""
    """Empty: everybody may write."""
    max_size: int = 0
    """Bytes of live payload; 0: no limit."""
    is_public: bool = True
    """Readable without the password."""
    is_worm: bool = False
    """Nothing is overwritten or deleted."""
    is_locked: bool = False
    """Writes are refused. 0-db forgets this and the next at a restart; we keep them in bits that it does not read."""
    is_frozen: bool = False
    """Reads and writes are refused."""


_FLAGS = (("is_public", 1), ("is_worm", 2), ("is_locked", 8), ("is_frozen", 16))


def pack_settings(settings: Settings) -> bytes:
    """The content of `zdb-namespace`."""
    flags = _EXTENDED | sum(bit for name, bit in _FLAGS if getattr(settings, name))
    name, password = settings.name, settings.password
    head = _NAMESPACE.pack(_NAMESPACE_VERSION, len(name), len(password), settings.max_size, flags)
    return head + name + password


def read_settings(data: bytes, path: object) -> Settings:
    """The settings in a `zdb-namespace` file (bytes behind them are older passwords); raises BadFile."""
    if len(data) < _NAMESPACE.size:
        raise BadFile(path=path, problem="is cut short")
    version, name_length, password_length, max_size, flags = _NAMESPACE.unpack_from(data)
    if version != _NAMESPACE_VERSION:
        raise BadFile(path=path, problem=f"has version {version}, not {_NAMESPACE_VERSION}")
    end = _NAMESPACE.size + name_length + password_length
    if len(data) < end:
        raise BadFile(path=path, problem="is cut short")
    name = data[_NAMESPACE.size : _NAMESPACE.size + name_length]
    password = data[_NAMESPACE.size + name_length : end]
    return Settings(name, password, max_size, **{field: bool(flags & bit) for field, bit in _FLAGS})
