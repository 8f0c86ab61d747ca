"""Answers the kernel's questions about one flist: no state, so that any number of threads and successors may answer."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from zos.errors import ZosError
from zos.flist.index import Index
from zos.flist.layout import BLOCK_SIZE, ROOT, Node, Ref
from zos.flistd.fuse import wire
from zos.flistd.fuse.wire import Request

AHEAD = 8
"""Blocks that are fetched ahead of a reader that goes from front to back."""
AHEAD_FIRST = 2
"""And of one that has just begun: many only look at the head of a file."""
_STREAMS = 256

Reply = list[bytes | memoryview]


class Blocks(Protocol):
    """Reads blocks; a `zos.flist.source.Source`."""

    def read(self, ref: Ref) -> bytes | memoryview:
        """A block's plain bytes."""

    def ahead(self, refs: Iterator[Ref]) -> None:
        """Fetch these in the background: they will be read soon."""


class Tree:
    """One flist as a file system."""

    def __init__(self, index: Index, blocks: Blocks) -> None:
        self._index = index
        self._blocks = blocks
        self._has_xattrs = index.has_xattrs()
        self._size = index.blocks * BLOCK_SIZE // 4096
        self._last: dict[int, int] = {}

    def answer(self, data: bytes) -> Reply | None:
        """The answer to one message; None when it wants none."""
        asked = wire.request(data)
        if asked.opcode in (wire.FORGET, wire.BATCH_FORGET):
            return None
        try:
            return wire.reply(asked.unique, *self._answer(asked))
        except OSError as err:
            return wire.refusal(asked.unique, err.errno or errno.EIO)
        except ZosError:
            # The source has logged it; the reader learns that these bytes cannot be had.
            return wire.refusal(asked.unique, errno.EIO)
        except (IndexError, struct.error):
            return wire.refusal(asked.unique, errno.EINVAL)

    def _answer(self, asked: Request) -> list[bytes | memoryview]:
        match asked.opcode:
            case wire.LOOKUP:
                return [self._lookup(asked.node, asked.body.partition(b"\0")[0])]
            case wire.GETATTR:
                return [wire.attr_reply(asked.node, self._index.node(asked.node))]
            case wire.READ:
                return self._read(asked.node, *wire.read_args(asked.body))
            case wire.READDIR | wire.READDIRPLUS:
                return [self._list(asked.node, *wire.read_args(asked.body), asked.opcode == wire.READDIRPLUS)]
            case wire.READLINK:
                return [self._index.target(asked.node)]
            case wire.GETXATTR | wire.LISTXATTR:
                return [self._xattr(asked)]
            case wire.STATFS:
                return [wire.statfs(self._size, self._index.nodes)]
            case wire.DESTROY:
                return []
            case _:
                # Also for opening: the kernel then opens and closes by itself and keeps its pages.
                raise OSError(errno.ENOSYS, "not spoken here")

    def _lookup(self, folder: int, name: bytes) -> bytes:
        number = self._index.lookup(folder, name)
        return wire.entry(number, self._index.node(number)) if number else wire.no_entry()

    def _read(self, number: int, offset: int, size: int) -> list[bytes | memoryview]:
        node = self._index.node(number)
        end = min(offset + min(size, wire.READ_MAX), node.size)
        if offset >= end:
            return []
        first, last = offset // BLOCK_SIZE, (end - 1) // BLOCK_SIZE
        self._look_ahead(number, node, first, last)
        parts: list[bytes | memoryview] = []
        for block in range(first, last + 1):
            plain = self._blocks.read(self._index.ref(node, block))
            start = block * BLOCK_SIZE
            parts.append(memoryview(plain)[max(0, offset - start) : end - start])
        return parts

    def _look_ahead(self, number: int, node: Node, first: int, last: int) -> None:
        """The rest of this read at once; and more of the file for who reads it in order."""
        before = self._last.get(number)
        begins, goes_on = before is None and first == 0, before is not None and before <= first <= before + 1
        ahead = AHEAD_FIRST * begins + AHEAD * goes_on
        if len(self._last) >= _STREAMS and before is None:
            self._last.clear()
        self._last[number] = last
        until = min(node.count, last + 1 + ahead)
        if until > first + 1:
            self._blocks.ahead(self._index.ref(node, block) for block in range(first + 1, until))

    def _list(self, number: int, offset: int, room: int, plus: bool) -> bytes:
        pieces: list[bytes] = []
        for position, child, name, node in islice(self._lines(number, offset), 4096):
            line = wire.dirent_plus(child, position, name, node) if plus else wire.dirent(
                child, position, name, node.mode
            )  # fmt: skip
            room -= len(line)
            if room < 0:
                break
            pieces.append(line)
        return b"".join(pieces)

    def _lines(self, number: int, offset: int) -> Iterator[tuple[int, int, bytes, Node]]:
        """A folder's lines from a position on; each comes with the position after it."""
        folder = self._index.node(number)
        if offset < 1:
            yield 1, number, b".", folder
        if offset < 2:
            parent = folder.parent if number != ROOT else ROOT
            yield 2, parent, b"..", self._index.node(parent)
        for place in range(max(0, offset - 2), folder.count):
            child = folder.first + place
            node = self._index.node(child)
            yield place + 3, child, node.name, node

    def _xattr(self, asked: Request) -> bytes:
        if not self._has_xattrs:
            raise OSError(errno.ENOSYS, "it has none at all")
        room, name = wire.xattr_args(asked.body)
        values = self._index.xattrs(asked.node)
        if asked.opcode == wire.LISTXATTR:
            value = b"".join(key + b"\0" for key in sorted(values))
        elif name in values:
            value = values[name]
        else:
            raise OSError(errno.ENODATA, "it has no such attribute")
        if room == 0:
            return wire.xattr_size(len(value))
        if len(value) > room:
            raise OSError(errno.ERANGE, "no room")
        return value
