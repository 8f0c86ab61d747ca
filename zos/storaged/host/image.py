"""Copying an image out of an untrusted tree."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator

from zos.model.units import show
from zos.runtime import inroot
from zos.storaged.api.errors import BadImage, ImageTooLarge
from zos.storaged.model import Fill

_CHUNK, _PIECE = 1 << 20, 1 << 16
_ZEROS, _ZERO_PIECE = bytes(_CHUNK), bytes(_PIECE)
_FLUSH = 64 << 20
"""Dirty pages are pushed out after so much, or a large image would stall the fsync, and everybody else, at the end."""


@contextlib.contextmanager
def opened(fill: Fill) -> Iterator[tuple[int, int]]:
    """The image's descriptor and size; it is a regular file below its root, and fits on the disk."""
    try:
        source = inroot.open_file(fill.root, fill.source)
    except OSError as err:
        outside = err.errno in (errno.EXDEV, errno.ELOOP)
        problem = "it leads out of its root" if outside else (err.strerror or str(err)).lower()
        raise BadImage(source=fill.source, problem=problem) from None
    try:
        size = os.fstat(source).st_size
        if size > fill.size:
            raise ImageTooLarge(id=fill.id, need=show(size), size=show(fill.size))
        if size == 0:
            raise BadImage(source=fill.source, problem="it is empty")
        yield source, size
    finally:
        os.close(source)


def copy(source: int, target: int, size: int, stop: threading.Event) -> bool:
    """Copy what is not zero into an empty, sparse file; false when told to stop."""
    done = flushed = 0
    while done < size:
        if stop.is_set():
            return False
        start = _data(source, done)
        if start is None:
            break
        done = start
        chunk = os.pread(source, min(_CHUNK, size - done), done)
        if not chunk:
            break
        _write(target, chunk, done)
        done += len(chunk)
        if done - flushed >= _FLUSH:
            os.fdatasync(target)
            flushed = done
    if os.fstat(source).st_size != size:
        raise OSError(errno.EIO, f"the image has not {size} bytes any more")
    os.fsync(target)
    return True


def _data(source: int, offset: int) -> int | None:
    """The next place with data; file systems that know no holes say `here`."""
    try:
        return os.lseek(source, offset, os.SEEK_DATA)
    except OSError as err:
        if err.errno == errno.ENXIO:
            return None
        return offset


def _write(target: int, chunk: bytes, offset: int) -> None:
    if chunk == _ZEROS[: len(chunk)]:
        return
    start = None
    for at in range(0, len(chunk) + _PIECE, _PIECE):
        piece = chunk[at : at + _PIECE]
        if piece and piece != _ZERO_PIECE[: len(piece)]:
            start = at if start is None else start
        elif start is not None:
            _write_all(target, memoryview(chunk)[start:at], offset + start)
            start = None


def _write_all(target: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(target, data, offset)
        data, offset = data[written:], offset + written
