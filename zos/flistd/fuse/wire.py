"""FUSE's messages (linux/fuse.h, protocol 7.23 and later), as far as a read-only tree meets them. Pure."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from zos.flist.layout import Node

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS = 1, 2, 3, 5, 14, 15, 17
GETXATTR, LISTXATTR, INIT, OPENDIR, READDIR, INTERRUPT, DESTROY = 22, 23, 26, 27, 28, 36, 38
BATCH_FORGET, READDIRPLUS = 42, 44
NOTIFY_RESEND = 7

MAJOR, MINOR = 7, 36
ASYNC_READ = 1 << 0
NO_OPEN_SUPPORT = 1 << 17
DO_READDIRPLUS = 1 << 13
READDIRPLUS_AUTO = 1 << 14
PARALLEL_DIROPS = 1 << 18
MAX_PAGES = 1 << 22
CACHE_SYMLINKS = 1 << 23
NO_OPENDIR_SUPPORT = 1 << 24
INIT_EXT = 1 << 30
HAS_RESEND = 1 << 39
WANTED = (
    ASYNC_READ
    | NO_OPEN_SUPPORT
    | DO_READDIRPLUS
    | READDIRPLUS_AUTO
    | PARALLEL_DIROPS
    | MAX_PAGES
    | CACHE_SYMLINKS
    | NO_OPENDIR_SUPPORT
    | INIT_EXT
    | HAS_RESEND
)

READ_MAX = 1 << 20
MAX_WRITE = 4096
BUFFER = 16 * 1024
"""What a request needs at most: the kernel wants room for a write, and names are short."""
FOREVER = 365 * 24 * 3600
"""A flist never changes, so the kernel may cache what it was told."""

IN = struct.Struct("<IIQQIIIHH")
OUT = struct.Struct("<IiQ")
_INIT_IN = struct.Struct("<IIIII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHII24x")
_ATTR = struct.Struct("<QQQqqq10I")
_ENTRY = struct.Struct("<QQQQII")
_ATTR_HEAD = struct.Struct("<QII")
_READ = struct.Struct("<QQI")
_XATTR_IN = struct.Struct("<II")
_XATTR_OUT = struct.Struct("<II")
_DIRENT = struct.Struct("<QQII")
_STATFS = struct.Struct("<QQQQQIII28x")


Answer = list[bytes | memoryview]
"""In pieces for one write."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message of the kernel."""

    opcode: int
    unique: int
    node: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel offers in INIT."""

    minor: int
    readahead: int
    flags: int

    @property
    def can_resend(self) -> bool:
        """Whether it repeats what a server took and never answered (Linux 6.9)."""
        return bool(self.flags & HAS_RESEND)


def request(data: bytes) -> Request:
    """Parse one message of the kernel."""
    length, opcode, unique, node, _, _, _, extra, _ = IN.unpack_from(data)
    return Request(opcode, unique, node, data[IN.size : length - 8 * extra])


def asker(data: bytes) -> tuple[int, int]:
    """The number of one message of the kernel, and the thread that waits for its answer (0: one that is not seen)."""
    fields = IN.unpack_from(data)
    return fields[2], fields[6]


def reply(unique: int, *parts: bytes | memoryview) -> list[bytes | memoryview]:
    """An answer, in pieces for one write."""
    return [OUT.pack(OUT.size + sum(map(len, parts)), 0, unique), *parts]


def refusal(unique: int, code: int) -> list[bytes | memoryview]:
    """An answer that is an errno."""
    return [OUT.pack(OUT.size, -code, unique)]


def resend() -> bytes:
    """Asks the kernel for everything that was taken and not answered."""
    return OUT.pack(OUT.size, NOTIFY_RESEND, 0)


def kernel(body: bytes) -> Kernel:
    """Parse the kernel's INIT."""
    _, minor, readahead, flags, more = _INIT_IN.unpack_from(body.ljust(_INIT_IN.size, b"\0"))
    return Kernel(minor, readahead, flags | more << 32 if flags & INIT_EXT else flags)


def greeting(seen: Kernel, background: int) -> bytes:
    """The answer to INIT."""
    flags = WANTED & seen.flags
    low, high = flags & 0xFFFFFFFF, flags >> 32
    pages = READ_MAX // 4096
    return _INIT_OUT.pack(
        MAJOR, MINOR, READ_MAX, low, background, background * 3 // 4, MAX_WRITE, 1, pages, 0, high, 0
    )  # fmt: skip


def attributes(number: int, node: Node) -> bytes:
    """`struct fuse_attr` of a node."""
    blocks = -(-node.size // 512)
    times = (node.mtime, node.mtime, node.ctime, 0, 0, 0)
    return _ATTR.pack(
        number, node.size, blocks, *times, node.mode, node.nlink, node.uid, node.gid, node.rdev, 4096, 0
    )  # fmt: skip


def entry(number: int, node: Node) -> bytes:
    """The answer to LOOKUP."""
    return _ENTRY.pack(number, 0, FOREVER, FOREVER, 0, 0) + attributes(number, node)


def no_entry() -> bytes:
    """A name that is not there, and never will be."""
    return _ENTRY.pack(0, 0, FOREVER, 0, 0, 0) + bytes(_ATTR.size)


def attr_reply(number: int, node: Node) -> bytes:
    """The answer to GETATTR."""
    return _ATTR_HEAD.pack(FOREVER, 0, 0) + attributes(number, node)


def read_args(body: bytes) -> tuple[int, int]:
    """Offset and size of READ and READDIR."""
    _, offset, size = _READ.unpack_from(body)
    return offset, size


def xattr_args(body: bytes) -> tuple[int, bytes]:
    """The room that the asker has, and the name."""
    (size, _), name = _XATTR_IN.unpack_from(body), body[_XATTR_IN.size :].partition(b"\0")[0]
    return size, name


def xattr_size(size: int) -> bytes:
    """The answer to somebody who asked with no room."""
    return _XATTR_OUT.pack(size, 0)


def statfs(blocks: int, files: int) -> bytes:
    """A full, read-only file system."""
    return _STATFS.pack(blocks, 0, 0, files, 0, 4096, 255, 4096)


def dirent(number: int, offset: int, name: bytes, mode: int) -> bytes:
    """One line of a listing."""
    padding = bytes(-(_DIRENT.size + len(name)) % 8)
    return _DIRENT.pack(number, offset, len(name), stat.S_IFMT(mode) >> 12) + name + padding


def dirent_plus(number: int, offset: int, name: bytes, node: Node) -> bytes:
    """One line of a listing with what stat shows; dots carry none."""
    head = bytes(_ENTRY.size + _ATTR.size) if name in (b".", b"..") else entry(number, node)
    return head + dirent(number, offset, name, node.mode)
