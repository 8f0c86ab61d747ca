"""A flist's tree in one flat file: made once from a checked flist, then mapped and read without parsing.

The mount processes answer from it. Nodes are numbered breadth first, children of a folder side by side and sorted by
name, so that listing is counting and finding is bisection. It is trusted: only `build` makes one, from a tree that
`zos.flist.fl` accepted; its digest catches torn files.

    header   magic, nodes, blocks, length of the heap, nodes with attributes, blake2b-256 of the rest
    nodes    68 bytes each (`_NODE`)
    blocks   id and key, 64 bytes each, in the order of nodes
    heap     names, link targets, extended attributes
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from zos.flist.errors import FlistBroken
from zos.flist.layout import BLOCK_SIZE, DIGEST, ROOT, Node, Ref

MAGIC = b"ZOSFLI\x00\x01"
_HEADER = struct.Struct("<8sQQQQ32s")
# parent, mode, uid, gid, rdev, nlink, name at, first, count, xattr at, name and xattr length, size, mtime, ctime
_NODE = struct.Struct("<10IHHQqq")
_XATTR = struct.Struct("<HI")

Xattrs = Mapping[int, Mapping[bytes, bytes]]


def build(
    nodes: Sequence[Node], blocks: bytes, targets: Mapping[int, bytes], xattrs: Xattrs | None = None
) -> Iterator[bytes]:
    """The file, in pieces: `nodes` in their order (the first is number 1), `blocks` as ids and keys."""
    heap = bytearray()
    records = bytearray()
    for number, node in enumerate(nodes, ROOT):
        name_at = len(heap)
        heap += node.name
        first, count = node.first, node.count
        if number in targets:
            first, count = len(heap), len(targets[number])
            heap += targets[number]
        packed = _pack_xattrs((xattrs or {}).get(number, {}))
        xattr_at = len(heap)
        heap += packed
        lengths = (len(node.name), len(packed))
        owner = (node.parent, node.mode, node.uid, node.gid, node.rdev, node.nlink)
        records += _NODE.pack(*owner, name_at, first, count, xattr_at, *lengths, node.size, node.mtime, node.ctime)
    check = hashlib.blake2b(digest_size=DIGEST)
    for part in (records, blocks, heap):
        check.update(part)
    yield _HEADER.pack(MAGIC, len(nodes), len(blocks) // (2 * DIGEST), len(heap), len(xattrs or {}), check.digest())
    yield bytes(records)
    yield blocks
    yield bytes(heap)


def _pack_xattrs(values: Mapping[bytes, bytes]) -> bytes:
    return b"".join(_XATTR.pack(len(name), len(value)) + name + value for name, value in sorted(values.items()))


class Index:
    """A tree, mapped. Numbers that it never gave out raise IndexError."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size < _HEADER.size:
                raise FlistBroken(flist=path.name, problem="its index is torn")
            self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        magic, self.nodes, self.blocks, heap, self._attributed, check = _HEADER.unpack_from(self._map)
        self._blocks_at = _HEADER.size + self.nodes * _NODE.size
        self._heap_at = self._blocks_at + self.blocks * 2 * DIGEST
        view = memoryview(self._map)
        try:
            whole = magic == MAGIC and size == self._heap_at + heap
            if not whole or hashlib.blake2b(view[_HEADER.size :], digest_size=DIGEST).digest() != check:
                raise FlistBroken(flist=path.name, problem="its index is torn")
        finally:
            view.release()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self._map.close()

    def _record(self, number: int) -> tuple[int, ...]:
        if not ROOT <= number <= self.nodes:
            raise IndexError(number)
        return _NODE.unpack_from(self._map, _HEADER.size + (number - ROOT) * _NODE.size)

    def _heap(self, at: int, length: int) -> bytes:
        return self._map[self._heap_at + at : self._heap_at + at + length]

    def node(self, number: int) -> Node:
        """A node by its number."""
        parent, mode, uid, gid, rdev, nlink, name_at, first, count, _, length, _, size, mtime, ctime = self._record(
            number
        )
        name = self._heap(name_at, length)
        return Node(parent, name, mode, uid, gid, size, rdev, mtime, ctime, nlink, first, count)

    def name(self, number: int) -> bytes:
        """A node's name, nothing else."""
        record = self._record(number)
        return self._heap(record[6], record[10])

    def lookup(self, folder: int, name: bytes) -> int:
        """The child of that name; 0 when there is none."""
        record = self._record(folder)
        if not stat.S_ISDIR(record[1]):
            return 0
        low, high = record[7], record[7] + record[8]
        while low < high:
            middle = (low + high) // 2
            found = self.name(middle)
            if found == name:
                return middle
            if found < name:
                low = middle + 1
            else:
                high = middle
        return 0

    def target(self, number: int) -> bytes:
        """Where a link points."""
        record = self._record(number)
        return self._heap(record[7], record[8]) if stat.S_ISLNK(record[1]) else b""

    def xattrs(self, number: int) -> dict[bytes, bytes]:
        """Extended attributes of the node, name to value."""
        record = self._record(number)
        data, found, at = self._heap(record[9], record[11]), {}, 0
        while at < len(data):
            name, value = _XATTR.unpack_from(data, at)
            at += _XATTR.size
            found[data[at : at + name]] = data[at + name : at + name + value]
            at += name + value
        return found

    def has_xattrs(self) -> bool:
        """Whether any node has some."""
        return bool(self._attributed)

    def ref(self, node: Node, number: int) -> Ref:
        """The `number`-th block of a file."""
        at = self._blocks_at + (node.first + number) * 2 * DIGEST
        size = min(BLOCK_SIZE, node.size - number * BLOCK_SIZE)
        return Ref(self._map[at : at + DIGEST], self._map[at + DIGEST : at + 2 * DIGEST], size)

    def keys(self) -> Iterator[bytes]:
        """The keys of all blocks."""
        for at in range(self._blocks_at, self._heap_at, 2 * DIGEST):
            yield self._map[at + DIGEST : at + 2 * DIGEST]

    def refs(self) -> Iterator[Ref]:
        """The blocks of all files, file by file."""
        for number in range(ROOT, self.nodes + 1):
            node = self.node(number)
            if stat.S_ISREG(node.mode):
                for block in range(node.count):
                    yield self.ref(node, block)

    def walk(self) -> Iterator[tuple[int, str, Node]]:
        """Every node with its path, parents first."""
        paths: dict[int, str] = {}
        for number in range(ROOT, self.nodes + 1):
            node = self.node(number)
            name = node.name.decode(errors="backslashreplace")
            path = "/" if number == ROOT else f"{paths[node.parent].rstrip('/')}/{name}"
            if stat.S_ISDIR(node.mode):
                paths[number] = path
            yield number, path, node
