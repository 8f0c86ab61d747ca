"""Takes the two files that matter out of 0-fs' archive, an untrusted gzip'd tar: its database and `router.yaml`.

Read from front to back, with bounds on everything; no name in it decides where anything is written. tarfile would go
on for ever at some headers (sizes below zero, chains of long names), and all that is wanted of a tar here is this.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zos.flist.errors import FlistBroken

GZIP = b"\x1f\x8b"
DATABASE, ROUTER = b"flistdb.sqlite3", b"router.yaml"
MAX_CONTENT = 256 << 20
"""Bytes unpacked, of all members together."""
MAX_ROUTER = 64 << 10
MAX_MEMBERS = 1000
_BLOCK = 512
_PIECE = 256 << 10


def is_archive(path: Path) -> bool:
    """Whether a file looks like one; nothing else that can be a flist begins so."""
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def unpack(path: Path, database: Path) -> bytes:
    """Write the archive's database to `database`; returns its `router.yaml`, empty when it has none."""
    with path.open("rb") as file:
        try:
            return _Tar(_inflate(file)).extract(database)
        except (ValueError, zlib.error) as err:
            raise FlistBroken(flist=path.name, problem=err) from None


def _inflate(file: IO[bytes]) -> Iterator[bytes]:
    """What was compressed; at the end zlib has compared its checksum."""
    unzip, size = zlib.decompressobj(wbits=31), 0
    while not unzip.eof:
        packed = unzip.unconsumed_tail or file.read(_PIECE)
        if not packed:
            raise ValueError("it is cut off")
        piece = unzip.decompress(packed, _PIECE)
        size += len(piece)
        if size > MAX_CONTENT:
            raise ValueError(f"unpacked it has more than {MAX_CONTENT >> 20} MiB")
        yield piece
    if unzip.unused_data.strip(b"\0") or file.read(_PIECE).strip(b"\0"):
        raise ValueError("something follows its end")


class _Tar:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._read = b""
        self._router: bytes | None = None

    def extract(self, database: Path) -> bytes:
        found = False
        for _ in range(MAX_MEMBERS):
            # 0-fs' own writer ends its tar without the blocks that say so.
            header = b"" if self._ended() else self._take(_BLOCK)
            if not any(header):
                break
            name, size = self._member(header)
            if name == DATABASE:
                if found:
                    raise ValueError(f"it has two {DATABASE.decode()}")
                found = True
                with database.open("wb") as file:
                    for piece in self._data(size):
                        file.write(piece)
            elif name == ROUTER:
                self._keep_router(size)
            else:
                for _ in self._data(size):
                    pass
            self._take(-size % _BLOCK)
        else:
            raise ValueError(f"it has more than {MAX_MEMBERS} members")
        for _ in self._pieces:
            pass  # to its end, where the checksum is
        if not found:
            raise ValueError(f"it has no {DATABASE.decode()}")
        return self._router or b""

    def _keep_router(self, size: int) -> None:
        if self._router is not None:
            raise ValueError(f"it has two {ROUTER.decode()}")
        if size > MAX_ROUTER:
            raise ValueError(f"its {ROUTER.decode()} has {size} bytes")
        self._router = b"".join(self._data(size))

    def _member(self, header: bytes) -> tuple[bytes, int]:
        """A member's name, without `./`, and its size."""
        if _octal(header[148:156]) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
            raise ValueError("a header in it is damaged")
        name = header[:100].partition(b"\0")[0]
        if header[257:262] == b"ustar" and header[345] and header[263:265] != b" \0":
            name = header[345:500].partition(b"\0")[0] + b"/" + name
        if name.startswith(b"/") or b".." in name.split(b"/"):
            raise ValueError(f"a member is called {name!r:.100}")
        while name.startswith(b"./"):
            name = name[2:]
        if name in (DATABASE, ROUTER) and header[156:157] not in (b"0", b"\0"):
            raise ValueError(f"{name.decode()} in it is no regular file")
        return name, _octal(header[124:136])

    def _data(self, size: int) -> Iterator[bytes]:
        while size:
            if self._ended():
                raise ValueError("the tar in it is cut off")
            piece, self._read = self._read[:size], self._read[size:]
            size -= len(piece)
            yield piece

    def _take(self, size: int) -> bytes:
        return b"".join(self._data(size))

    def _ended(self) -> bool:
        while not self._read:
            piece = next(self._pieces, None)
            if piece is None:
                return True
            self._read = piece
        return False


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not text or text.strip(b"01234567"):
        raise ValueError(f"a number in a header is {field!r}")
    return int(text, 8)
